//! What a pool says: brought into the client's words and queued for it.

use std::collections::HashSet;
use std::time::Instant;

use bytes::Bytes;
use holdover_protocol::room::{CategoryUri, RoomUri};
use holdover_protocol::translate::{self, EnvelopeIds, RoomMap};
use holdover_protocol::xccos::verb::RoomHistory;
use holdover_protocol::xccos::{
    CommandId, Document, Edits, ElementRef, Item, OPERATION_FAILED, Outcome, Reply, ReplyData,
    ReplyView, Verb, XccosError, text,
};

use super::core::SessionCore;
use super::downstream::QueueLimits;
use super::output::{Event, Side};
use super::pending::{PendingCommand, Purpose};
use super::rooms::Rooms;
use super::tracks::Fingerprint;
use crate::decide::{Decisions, Target};
use crate::pool::PoolId;

/// A pool's identifiers as the client knows them.
struct ToClient<'a> {
    pool: PoolId,
    decisions: &'a dyn Decisions,
    rooms: &'a Rooms,
    /// The rooms of the command that is answered: they are called what the client called them.
    asked: &'a [(RoomUri, Target)],
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

    fn category(&self, domain: &str, value: &str) -> Option<CategoryUri> {
        CategoryUri::new(&self.domain(domain)?, value).ok()
    }

    fn domain(&self, domain: &str) -> Option<Box<str>> {
        let (legacy, migrated) = self.decisions.domains(self.pool)?;
        domain.eq_ignore_ascii_case(migrated).then(|| legacy.into())
    }
}

impl ToClient<'_> {
    fn asked_for(&self, domain: &str, value: &str) -> impl Iterator<Item = &RoomUri> {
        self.asked
            .iter()
            .filter(move |(_, target)| {
                target.migrated.domain() == domain && target.migrated.value() == value
            })
            .map(|(legacy, _)| legacy)
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
        let (Some(only), second) = (items.next(), items.next()) else {
            return;
        };
        if second.is_none() {
            return self.handle_item(now, pool, &document, only, decisions);
        }
        let ranges: Vec<_> = document
            .items()
            .map(|item| item.element().range())
            .collect();
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
            return;
        };
        let bytes = document.bytes();
        let around = (bytes.get(..first.start), bytes.get(last.end..));
        let (Some(head), Some(tail)) = around else {
            return;
        };
        for range in ranges {
            let alone = [head, bytes.get(range).unwrap_or_default(), tail].concat();
            if let Ok(alone) = Document::parse(alone, &self.settings.xccos)
                && let Some(item) = alone.items().next()
            {
                self.handle_item(now, pool, &alone, item, decisions);
            }
        }
    }

    pub(super) fn handle_item(
        &mut self,
        now: Instant,
        pool: PoolId,
        document: &Document,
        item: Item<'_>,
        decisions: &dyn Decisions,
    ) {
        match item {
            Item::Reply(reply) => self.handle_reply(now, pool, document, reply, decisions),
            // What concerns only rooms the client does not have open is not for it.
            Item::Notice(_) if !self.concerns_open_room(pool, document) => {}
            // Who comes back asks for the history.
            Item::GroupChat(_) if !self.has_reader() => {}
            Item::GroupChat(post) => {
                let room = post.room();
                // Nearly always the room is open; then nothing else needs to be looked for.
                let is_open = |room: &RoomUri| self.is_open(pool, room);
                if !room.as_ref().is_ok_and(is_open) && !self.concerns_open_room(pool, document) {
                    return;
                }
                if let Ok(room) = room {
                    let fingerprint = Fingerprint::of(post);
                    if self.tracks.holds(pool, &room) {
                        let held = self.to_hold(pool, &room, fingerprint, document, decisions);
                        let limits = &self.settings.queue;
                        return self.tracks.hold(pool, &room, held, limits);
                    }
                    self.tracks.saw(pool, &room, fingerprint);
                }
                self.pass_on(now, pool, document, None, decisions);
            }
            Item::Notice(notice) => {
                let edits = without_rooms(notice.element(), |room| self.is_open(pool, room));
                self.pass_on_edited(now, pool, document, &edits, None, decisions);
            }
            _ => self.pass_on(now, pool, document, None, decisions),
        }
    }

    fn handle_reply(
        &mut self,
        now: Instant,
        pool: PoolId,
        document: &Document,
        reply: ReplyView<'_>,
        decisions: &dyn Decisions,
    ) {
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
                && self.concerns_open_room(pool, document)
                && !self.is_late(reply)
                && !self.is_held(pool, document);
            if is_welcome {
                self.note_history(pool, reply, &[]);
                self.pass_on(now, pool, document, None, decisions);
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
                return self.shadow_second(id, pool, reply, decisions);
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
            self.shadow_first(id, pool, reply, decisions);
        }
        if !reply.is_success() && !matches!(command.purpose, Purpose::Client(_)) {
            let outcome = Outcome {
                code: reply.code(),
                text: reply.text().into_owned().into(),
            };
            return self.fail_command(now, command, outcome);
        }
        if !reply.is_success() {
            if command.is_join() {
                self.forget_rooms(now, command.rooms.iter().map(|(legacy, _)| legacy));
            }
            self.event(Event::CommandFailed {
                verb: command.verb.clone(),
                code: reply.code(),
            });
        } else if command.is_join() {
            self.note_joined(now, reply, &command);
            // Rooms that the client left in the meantime stay closed.
            let edits = without_rooms(reply.element(), |room| {
                command
                    .rooms
                    .iter()
                    .any(|(_, target)| target.migrated == *room)
            });
            return self.pass_on_edited(now, pool, document, &edits, Some(&command), decisions);
        } else if command.verb == Verb::BackChat {
            self.note_history(pool, reply, &command.rooms);
            self.pass_on(now, pool, document, Some(&command), decisions);
            for (legacy, _) in &command.rooms {
                self.show_notice(now, legacy, decisions);
            }
            return;
        } else if is_list_of_rooms(&command.verb) && !decisions.offers_all() {
            // What would be refused, or be found elsewhere, must not be offered either.
            let edits = without_rooms(reply.element(), |room| decisions.offers(pool, room));
            return self.pass_on_edited(now, pool, document, &edits, Some(&command), decisions);
        }
        self.pass_on(now, pool, document, Some(&command), decisions);
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
        for RoomHistory { room, messages } in history.rooms {
            let messages: Vec<Fingerprint> = messages.iter().map(Fingerprint::of_message).collect();
            let of_room = |(_, target): &&(RoomUri, Target)| target.migrated == room;
            let asked = asked.iter().filter(of_room).map(|(legacy, _)| legacy);
            let mut names: Vec<RoomUri> = asked.cloned().collect();
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

    /// Whether a document is about a room whose messages are held back.
    fn is_held(&self, pool: PoolId, document: &Document) -> bool {
        let named = translate::rooms_named(document);
        named.iter().any(|room| self.tracks.holds(pool, room))
    }

    /// Whether a document is about a room that the client has open, or about none at all.
    fn concerns_open_room(&self, pool: PoolId, document: &Document) -> bool {
        let named = translate::rooms_named(document);
        named.is_empty() || named.iter().any(|room| self.is_open(pool, room))
    }

    fn malformed_upstream(&mut self, error: &XccosError) {
        self.event(Event::Malformed {
            from: Side::Upstream,
            detail: error.to_string().into(),
        });
    }

    /// Opens the rooms that the pool let the client into, and forgets those it did not.
    fn note_joined(&mut self, now: Instant, reply: ReplyView<'_>, command: &PendingCommand) {
        let data = reply.data();
        let joined: HashSet<String> = data
            .into_iter()
            .flat_map(|data| data.children_named("chanib"))
            .filter_map(|chanib| chanib.attr("uri").map(Into::into))
            .collect();
        for (legacy, target) in &command.rooms {
            if !joined.contains(target.migrated.as_str()) {
                self.forget_rooms(now, std::iter::once(legacy));
                let legacy = legacy.clone();
                self.event(Event::NotJoined { legacy });
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
                self.event(Event::Joined {
                    legacy: legacy.clone(),
                    migrated,
                    pool,
                });
            }
        }
    }

    /// [`Self::pass_on`] of the edited document.
    fn pass_on_edited(
        &mut self,
        now: Instant,
        pool: PoolId,
        document: &Document,
        edits: &Edits,
        command: Option<&PendingCommand>,
        decisions: &dyn Decisions,
    ) {
        if edits.is_empty() {
            return self.pass_on(now, pool, document, command, decisions);
        }
        match Document::parse(edits.apply(document), &self.settings.xccos) {
            Ok(edited) => self.pass_on(now, pool, &edited, command, decisions),
            Err(error) => self.malformed_upstream(&error),
        }
    }

    /// What becomes of a document for the client.
    pub(super) fn translated(
        &self,
        pool: PoolId,
        document: &Document,
        command: Option<&PendingCommand>,
        decisions: &dyn Decisions,
    ) -> Vec<Bytes> {
        let asked = command.map_or(&[][..], |command| &command.rooms);
        let map = ToClient {
            pool,
            decisions,
            rooms: &self.rooms,
            asked,
        };
        let client = command.and_then(PendingCommand::client);
        let renumber = |_: &CommandId<'_>| client.cloned();
        let ids = EnvelopeIds {
            envid: None,
            command: Some(&renumber),
        };
        // What is more than may wait for the client cuts it off; it need not be made.
        let QueueLimits {
            messages, bytes, ..
        } = self.settings.queue;
        translate::to_client_within(document, &map, &ids, messages, bytes)
    }

    /// Translates a document and queues what becomes of it.
    fn pass_on(
        &mut self,
        now: Instant,
        pool: PoolId,
        document: &Document,
        command: Option<&PendingCommand>,
        decisions: &dyn Decisions,
    ) {
        let refused = command.map_or(&[][..], |command| &command.refused);
        let gather = command.and_then(PendingCommand::gather);
        for body in self.translated(pool, document, command, decisions) {
            if let Some(gather) = gather {
                self.gathered(now, gather, pool, body);
                continue;
            }
            let body = if refused.is_empty() {
                body
            } else {
                self.with_failures(body, refused)
            };
            match command {
                Some(command) if command.is_late() => {
                    if let Some(body) = self.opened_late(body) {
                        self.deliver_opening(now, body);
                    }
                }
                Some(command) if command.is_join() => {
                    self.deliver_opening(now, body);
                }
                None if self.wait_for_answer(now, &body) => {}
                Some(_) | None => self.deliver(now, body),
            }
        }
    }

    /// What a late answer tells that is new: that its rooms could not be had the client was told. `None`: nothing.
    fn opened_late(&self, body: Bytes) -> Option<Bytes> {
        let reply = Document::parse(body, &self.settings.xccos).ok()?;
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
        let Ok(document) = Document::parse(reply.clone(), &self.settings.xccos) else {
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
    rooms.filter_map(room_of).collect()
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
            if room_of(told).is_some_and(|room| !keep(&room)) {
                edits.remove(told.range());
            }
        }
    }
    edits
}

/// The room an element tells of: in its `uri`, or in `domain` and `value`.
fn room_of(element: ElementRef<'_>) -> Option<RoomUri> {
    match element.attr("uri") {
        Some(uri) => uri.parse().ok(),
        None => RoomUri::new(&element.attr("domain")?, &element.attr("value")?).ok(),
    }
}

/// Whether a command is answered with rooms that the client may choose from.
fn is_list_of_rooms(verb: &Verb) -> bool {
    matches!(
        verb,
        Verb::ChannelSearch | Verb::GetInvitations | Verb::GetAssociations
    )
}
