//! What a pool says: brought into the client's words and queued for it.

use std::collections::HashSet;
use std::time::Instant;

use bytes::Bytes;
use holdover_protocol::room::RoomUri;
use holdover_protocol::translate::{self, Bounds, EnvelopeIds, RoomMap, TooLong};
use holdover_protocol::xccos::verb::RoomHistory;
use holdover_protocol::xccos::{
    CommandId, Document, Edits, ElementRef, Item, Limits, OPERATION_FAILED, Outcome, Reply,
    ReplyData, ReplyView, ResultCode, Verb, XccosError, text,
};

use super::core::SessionCore;
use super::lookup::Lookup;
use super::not_joined;
use super::output::{Event, Side};
use super::pending::{PendingCommand, Purpose};
use super::room_events::RoomEvents;
use super::rooms::Rooms;
use super::shadow::Which;
use super::tracks::Fingerprint;
use crate::decide::{Decisions, Target};
use crate::pool::PoolId;

/// Items of one document that are looked at. Servers put a few replies into one (facts/xccos.md §2); what comes behind so many
/// is dropped, and the log says so.
const MOST_ITEMS: usize = 1_000;

/// What a client is told of an answer that is too long for it.
const TOO_LONG: &str = "The answer is too long.";

/// A pool's identifiers as the client knows them.
struct ToClient<'a> {
    pool: PoolId,
    decisions: &'a dyn Decisions,
    rooms: &'a Rooms,
    /// The rooms of the command that is answered: they are called what the client called them.
    asked: Lookup<'a>,
}

impl RoomMap for ToClient<'_> {
    fn room(&self, domain: &str, value: &str) -> Option<RoomUri> {
        self.asked_for(domain, value)
            .next()
            .or_else(|| self.rooms.aliases(self.pool, domain, value).next())
            .cloned()
            .or_else(|| {
                let migrated = RoomUri::new(domain, value).ok()?;
                self.decisions.legacy_of(self.pool, &migrated)
            })
    }

    fn aliases(&self, domain: &str, value: &str) -> Vec<RoomUri> {
        let asked: Vec<RoomUri> = self.asked_for(domain, value).cloned().collect();
        if !asked.is_empty() {
            return asked;
        }
        self.rooms
            .aliases(self.pool, domain, value)
            .cloned()
            .collect()
    }

    fn domain(&self, domain: &str) -> Option<Box<str>> {
        let (legacy, migrated) = self.decisions.domains(self.pool)?;
        domain.eq_ignore_ascii_case(migrated).then(|| legacy.into())
    }
}

impl ToClient<'_> {
    fn asked_for<'b>(
        &'b self,
        domain: &'b str,
        value: &'b str,
    ) -> impl Iterator<Item = &'b RoomUri> {
        self.asked.find(domain, value).map(|(legacy, _)| legacy)
    }
}

impl SessionCore {
    /// A document of the pool.
    pub(super) fn handle_document(
        &mut self,
        now: Instant,
        pool: PoolId,
        body: Bytes,
        decisions: &dyn Decisions,
    ) {
        let document = match Document::parse(body, &self.settings.xccos) {
            Ok(document) => document,
            Err(error) => return self.malformed_upstream(&error),
        };
        // A server merges several replies into one envelope at times (facts/xccos.md §2); each is handled by itself.
        let mut items = document.items();
        for item in items.by_ref().take(MOST_ITEMS) {
            self.handle_item(now, pool, item, decisions);
        }
        if items.next().is_some() {
            self.event(Event::Malformed {
                from: Side::Upstream,
                detail: format!("more than {MOST_ITEMS} items in one document").into(),
            });
        }
    }

    fn handle_item(
        &mut self,
        now: Instant,
        pool: PoolId,
        item: Item<'_>,
        decisions: &dyn Decisions,
    ) {
        match item {
            Item::Reply(reply) => self.handle_reply(now, pool, reply, decisions),
            // Who comes back asks for the history.
            _ if !self.has_reader() => {}
            // What concerns only rooms the client does not have open is not for it.
            Item::Notice(_) if !self.concerns_open_room(pool, item) => {}
            Item::GroupChat(post) => {
                let room = post.room();
                // Nearly always the room is open; then nothing else needs to be looked for.
                let is_open = |room: &RoomUri| self.is_open(pool, room);
                if !room.as_ref().is_ok_and(is_open) && !self.concerns_open_room(pool, item) {
                    return;
                }
                if let Ok(room) = room {
                    let fingerprint = Fingerprint::of(post);
                    if self.is_behind_front_end() {
                        self.hold_overflow(pool, &room, item.element().range().len());
                    }
                    if self.tracks.holds(pool, &room) {
                        return self.hold(pool, &room, fingerprint, item, decisions);
                    }
                    self.tracks.saw(pool, &room, fingerprint);
                }
                self.pass_on(now, pool, item, decisions);
            }
            Item::Notice(notice) => {
                let removed = without_rooms(notice.element(), |room| self.is_open(pool, room));
                let told = self.translated(pool, item, &removed, None, decisions);
                self.tell(now, pool, told);
            }
            _ => self.pass_on(now, pool, item, decisions),
        }
    }

    /// Holds a message back until the gap of its room is closed.
    fn hold(
        &mut self,
        pool: PoolId,
        room: &RoomUri,
        fingerprint: Fingerprint,
        item: Item<'_>,
        decisions: &dyn Decisions,
    ) {
        // What finds no space need not be made.
        if self.tracks.may_hold(pool, room, &self.settings.queue) {
            let held = self.to_hold(pool, room, fingerprint, item, decisions);
            self.tracks.hold(pool, room, held);
        }
    }

    fn handle_reply(
        &mut self,
        now: Instant,
        pool: PoolId,
        reply: ReplyView<'_>,
        decisions: &dyn Decisions,
    ) {
        let item = Item::Reply(reply);
        let answered = reply
            .command_id()
            .and_then(|id| id.envid.parse().ok())
            .and_then(|id: u64| {
                self.commands
                    .iter()
                    .position(|command| command.pool == pool && command.id.0 == id)
            });
        let Some(at) = answered else {
            // History that a server sends on its own after a bjoin is welcome. An rpl:join that nobody asked for is
            // not: for an open room it breaks sending in the client (facts/sipe-client.md).
            // Nor is history while a gap is closed, which brings what is new in it; nor an answer that came before, or too
            // late.
            let is_welcome = reply.verb() == Verb::BackChat
                && self.has_reader()
                && self.concerns_open_room(pool, item)
                && !self.is_late(reply)
                && !self.is_held(pool, item)
                && self.will_fit(1, item.element().range().len());
            if is_welcome {
                self.note_history(pool, reply, &[]);
                self.pass_on(now, pool, item, decisions);
            }
            return;
        };
        let mut command = self.commands.remove(at);
        if command.verb == Verb::BackChat {
            self.looked_back(command.id);
        }
        match &mut command.purpose {
            Purpose::Client(_) | Purpose::Share(..) | Purpose::Late(_) => {}
            Purpose::Nobody => return,
            Purpose::Shadow(id) => {
                let id = *id;
                return self.shadow_answered((id, Which::Second), pool, reply, decisions);
            }
            Purpose::Rejoin(asked) => {
                let asked = std::mem::take(asked);
                return self.rejoined(now, pool, &asked, Some(reply));
            }
            Purpose::MoveIn { rooms } => {
                let rooms = std::mem::take(rooms);
                return self.moved_in(now, pool, rooms, Ok(reply));
            }
            Purpose::Gap { room, attempt } => {
                let (room, attempt) = (room.clone(), *attempt);
                return self.gap_fetched(now, pool, &room, attempt, reply, decisions);
            }
        }
        if let Some(id) = command.shadow.take() {
            self.shadow_answered((id, Which::First), pool, reply, decisions);
        }
        if !reply.is_success() && command.is_join() {
            self.report_not_joined(&command, reply.code());
        }
        if !reply.is_success() && !matches!(command.purpose, Purpose::Client(_)) {
            let outcome = Outcome {
                code: reply.code(),
                text: reply.text().into_owned().into(),
            };
            return self.fail_command(now, command, outcome);
        }
        let changed = if !reply.is_success() {
            not_joined::in_words(reply)
        } else if command.is_join() {
            // Rooms that the client left in the meantime stay closed.
            let asked = command.rooms.iter().map(|(_, target)| &target.migrated);
            let asked: HashSet<&RoomUri> = asked.collect();
            without_rooms(reply.element(), |room| asked.contains(room))
        } else if is_list_of_rooms(&command.verb) && !decisions.offers_all() {
            // What would be refused, or be found elsewhere, must not be offered either.
            without_rooms(reply.element(), |room| decisions.offers(pool, room))
        } else {
            Edits::new()
        };
        let told = match self.translated(pool, item, &changed, Some(&command), decisions) {
            Ok(told) => told,
            // Nothing of it was done yet, so the client can be told that nothing was.
            Err(TooLong { .. }) => {
                self.tell_too_long(pool, Some(command.verb.clone()));
                let outcome = Outcome::new(ResultCode::LimitExceeded, TOO_LONG);
                return self.fail_command(now, command, outcome);
            }
        };
        if !reply.is_success() {
            if command.is_join() {
                self.forget_rooms(now, command.rooms.iter().map(|(legacy, _)| legacy));
            } else {
                self.event(Event::CommandFailed {
                    verb: command.verb.clone(),
                    code: reply.code(),
                });
            }
        } else if command.is_join() {
            let unanswered = self.note_joined(now, reply, &command);
            command.refused.extend(unanswered);
        } else if command.verb == Verb::BackChat {
            // Behind a front end one that does not fit is not seen.
            if !self.is_behind_front_end() {
                self.note_history(pool, reply, &command.rooms);
            }
        }
        self.answer(now, pool, told, &command);
        if command.verb == Verb::BackChat && reply.is_success() {
            if self.is_behind_front_end() && self.is_attached() {
                self.note_history(pool, reply, &command.rooms);
            }
            for (legacy, _) in &command.rooms {
                self.show_notice(now, legacy, decisions);
            }
        }
    }

    /// Remembers what the client saw of a room's history.
    fn note_history(&mut self, pool: PoolId, reply: ReplyView<'_>, asked: &[(RoomUri, Target)]) {
        let Ok(Reply {
            data: ReplyData::BackChat(history),
            ..
        }) = Reply::read(reply)
        else {
            return;
        };
        let asked = Lookup::by_migrated(asked);
        for RoomHistory { room, messages } in history.rooms {
            let messages: Vec<Fingerprint> = messages.iter().map(Fingerprint::of_message).collect();
            let asked = asked.find(room.domain(), room.value());
            let mut names: Vec<RoomUri> = asked.map(|(legacy, _)| legacy.clone()).collect();
            if names.is_empty() {
                let aliases = self.rooms.aliases(pool, room.domain(), room.value());
                names.extend(aliases.cloned());
            }
            // Rooms can be looked into that have no window; nothing is missed there. And a client drops the history of a
            // room whose opening it has not been told.
            names.retain(|legacy| self.rooms.has_window(legacy));
            if !names.is_empty() {
                let is_shut = self.rooms.is_shut(pool, &room);
                self.tracks
                    .looked_back(pool, &room, &names, &messages, is_shut);
            }
        }
    }

    /// Whether a history answers what was answered before, or given up.
    fn is_late(&self, reply: ReplyView<'_>) -> bool {
        let id = reply.command_id().and_then(|id| id.envid.parse().ok());
        id.is_some_and(|id| self.has_looked_back(id))
    }

    /// Whether the client has a pool's room open under any name.
    pub(super) fn is_open(&self, pool: PoolId, room: &RoomUri) -> bool {
        let mut aliases = self.rooms.aliases(pool, room.domain(), room.value());
        aliases.next().is_some()
    }

    /// Whether an item is about a room whose messages are held back.
    fn is_held(&self, pool: PoolId, item: Item<'_>) -> bool {
        let mut named = translate::rooms_named_in(item.element());
        named.any(|room| self.tracks.holds(pool, &room))
    }

    /// Whether an item is about a room that the client has open, or about none at all.
    fn concerns_open_room(&self, pool: PoolId, item: Item<'_>) -> bool {
        let mut named = translate::rooms_named_in(item.element()).peekable();
        named.peek().is_none() || named.any(|room| self.is_open(pool, &room))
    }

    fn malformed_upstream(&mut self, error: &XccosError) {
        self.event(Event::Malformed {
            from: Side::Upstream,
            detail: error.to_string().into(),
        });
    }

    /// Opens the rooms that the pool let the client into, and forgets those it did not. Returns those that it does not
    /// mention: the client waits for a word about each.
    fn note_joined(
        &mut self,
        now: Instant,
        reply: ReplyView<'_>,
        command: &PendingCommand,
    ) -> Vec<RoomUri> {
        let told = || reply.data().into_iter().flat_map(ElementRef::children);
        let joined: HashSet<String> = told()
            .filter(|element| element.is("chanib"))
            .filter_map(|chanib| chanib.attr("uri").map(Into::into))
            .collect();
        let failed: HashSet<RoomUri> = told()
            .filter(|element| element.is("fib"))
            .filter_map(translate::room_of)
            .collect();
        let (mut not_joined, mut unanswered) = (Vec::new(), Vec::new());
        let mut events = RoomEvents::default();
        for (legacy, target) in &command.rooms {
            if !joined.contains(target.migrated.as_str()) {
                not_joined.push(legacy);
                if command.verb == Verb::BatchJoin && !failed.contains(&target.migrated) {
                    unanswered.push(legacy.clone());
                }
                let refused = Event::NotJoined {
                    legacy: legacy.clone(),
                    pool: target.pool,
                    code: None,
                };
                self.room_event(&mut events, refused);
                continue;
            }
            let was_open = self.is_open(target.pool, &target.migrated)
                || self.rooms.is_shut(target.pool, &target.migrated);
            if self.rooms.joined(legacy, target) {
                if !was_open {
                    // What was before it asks the history for.
                    self.forget_track(target.pool, &target.migrated);
                }
                let Target { pool, migrated } = target.clone();
                let legacy = legacy.clone();
                let joined = Event::Joined {
                    legacy,
                    migrated,
                    pool,
                };
                self.room_event(&mut events, joined);
            }
        }
        self.forget_rooms(now, not_joined.into_iter());
        self.sum_up(command.verb.clone(), events);
        unanswered
    }

    /// What becomes of an item for the client, without what is `removed`.
    pub(super) fn translated(
        &self,
        pool: PoolId,
        item: Item<'_>,
        removed: &Edits,
        command: Option<&PendingCommand>,
        decisions: &dyn Decisions,
    ) -> Result<Vec<Bytes>, TooLong> {
        let asked = command.map_or(&[][..], |command| &command.rooms);
        let map = ToClient {
            pool,
            decisions,
            rooms: &self.rooms,
            asked: Lookup::by_migrated(asked),
        };
        let client = command.and_then(PendingCommand::client);
        let renumber = |_: &CommandId<'_>| client.cloned();
        let ids = EnvelopeIds {
            envid: None,
            command: Some(&renumber),
        };
        // What is more than may wait for the client cuts it off; it need not be made.
        let bounds = Bounds {
            documents: self.settings.queue.messages,
            bytes: self.settings.queue.bytes,
            longest: self.settings.longest_document(),
        };
        translate::item_to_client(item.element(), removed, &map, &ids, &bounds)
    }

    /// Translates an item that answers nothing, and queues what becomes of it.
    fn pass_on(&mut self, now: Instant, pool: PoolId, item: Item<'_>, decisions: &dyn Decisions) {
        let told = self.translated(pool, item, &Edits::new(), None, decisions);
        self.tell(now, pool, told);
    }

    /// Queues what answers nothing.
    fn tell(&mut self, now: Instant, pool: PoolId, told: Result<Vec<Bytes>, TooLong>) {
        let Ok(told) = told else {
            return self.tell_too_long(pool, None);
        };
        for body in told {
            if !self.wait_for_answer(now, &body) {
                self.deliver(now, body);
            }
        }
    }

    fn tell_too_long(&mut self, pool: PoolId, verb: Option<Verb>) {
        let longest = self.settings.longest_document();
        self.event(Event::TooLong {
            pool,
            verb,
            longest,
        });
    }

    /// Gives the client the answer to its command.
    fn answer(&mut self, now: Instant, pool: PoolId, told: Vec<Bytes>, command: &PendingCommand) {
        for body in told {
            if let Some(gather) = command.gather() {
                self.gathered(now, gather, pool, body, &command.refused);
                continue;
            }
            let body = if command.refused.is_empty() {
                body
            } else {
                self.with_failures(body, &command.refused)
            };
            if command.is_late() {
                if let Some(body) = self.opened_late(body) {
                    self.deliver_opening(now, body);
                }
            } else if command.is_join() {
                self.deliver_opening(now, body);
            } else {
                self.deliver(now, body);
            }
        }
    }

    /// What a late answer tells that is new: that its rooms could not be had the client was told. `None`: nothing.
    fn opened_late(&self, body: Bytes) -> Option<Bytes> {
        let reply = Document::parse(body, &Limits::OWN).ok()?;
        if rooms_opened(&reply).is_empty() {
            return None;
        }
        let Some(Item::Reply(view)) = reply.items().next() else {
            return None;
        };
        let mut edits = Edits::new();
        let data = view.data().into_iter();
        for failure in data.flat_map(|data| data.children_named("fib")) {
            edits.remove(failure.range());
        }
        Some(edits.apply(&reply))
    }

    /// The reply to a `bjoin` that was sent without some of its rooms: it gets a `fib` for each of them.
    pub(super) fn with_failures(&self, reply: Bytes, refused: &[RoomUri]) -> Bytes {
        let Ok(document) = Document::parse(reply.clone(), &Limits::OWN) else {
            return reply;
        };
        let Some(Item::Reply(view)) = document.items().next() else {
            return reply;
        };
        let mut failures = String::new();
        for room in refused {
            failures.push_str("<fib key=\"");
            failures.push_str(OPERATION_FAILED);
            failures.push_str("\" value=\"");
            text::escape_attribute(room.value(), &mut failures);
            failures.push_str("\" domain=\"");
            text::escape_attribute(room.domain(), &mut failures);
            failures.push_str("\"/>");
        }
        let mut edits = Edits::new();
        match view.data() {
            Some(data) if !data.is_self_closing() => {
                edits.insert_raw(data.content_range().end, &failures);
            }
            Some(data) => edits.replace_raw(data.range(), &format!("<data>{failures}</data>")),
            None => edits.insert_raw(
                view.element().content_range().end,
                &format!("<data>{failures}</data>"),
            ),
        }
        edits.apply(&document)
    }
}

/// The rooms that the reply to a join opens.
pub(super) fn rooms_opened(reply: &Document) -> Vec<RoomUri> {
    let Some(Item::Reply(view)) = reply.items().next() else {
        return Vec::new();
    };
    let data = view.data().into_iter();
    let rooms = data.flat_map(|data| data.children_named("chanib"));
    rooms.filter_map(translate::room_of).collect()
}

/// Removes from a reply or notice what it tells of rooms that are not to be kept.
pub(super) fn without_rooms(item: ElementRef<'_>, keep: impl Fn(&RoomUri) -> bool) -> Edits {
    let mut edits = Edits::new();
    for element in item
        .child("data")
        .into_iter()
        .flat_map(ElementRef::children)
    {
        // Who came is told as a user with rooms in it.
        let rooms = element.children().filter(|_| element.is("uib"));
        for told in std::iter::once(element).chain(rooms) {
            if translate::room_of(told).is_some_and(|room| !keep(&room)) {
                edits.remove(told.range());
            }
        }
    }
    edits
}

/// Whether a command is answered with rooms that the client may choose from.
fn is_list_of_rooms(verb: &Verb) -> bool {
    matches!(
        verb,
        Verb::ChannelSearch | Verb::GetInvitations | Verb::GetAssociations
    )
}
