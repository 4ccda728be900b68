//! Commands that concern several pools: sent to each, and answered with one reply.
//!
//! A pool that does not answer in time costs the client its own rooms, never the other pools' rooms. Rooms that it lets
//! the client into later are announced by a second reply.

use std::collections::HashSet;
use std::time::Instant;

use bytes::Bytes;
use holdover_protocol::room::RoomUri;
use holdover_protocol::translate::{merge_replies, rooms_named};
use holdover_protocol::xccos::{
    CommandId, Document, Item, Limits, Outcome, Reply, ResultCode, Verb,
};

use super::core::SessionCore;
use super::downstream::Queue;
use super::output::Event;
use super::pending::{PendingCommand, Purpose, all_failed};
use super::rooms::Rooms;
use super::upstream::{rooms_opened, without_rooms};
use crate::pool::PoolId;

/// Names one command that was split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GatherId(u64);

/// The replies that came so far.
#[derive(Debug)]
struct Gather {
    id: GatherId,
    client: CommandId<'static>,
    verb: Verb,
    /// The rooms in the client's order.
    order: Vec<RoomUri>,
    /// Rooms that cannot be had.
    refused: Vec<RoomUri>,
    /// As the client takes them.
    replies: Vec<(PoolId, Document)>,
    /// The rooms that these open.
    opens: HashSet<RoomUri>,
    /// What was said of rooms that the answer opens. It comes behind the answer: a client drops what is about a room that
    /// it does not have open.
    behind: Queue,
    deadline: Instant,
    /// Whether all shares were sent.
    is_begun: bool,
}

impl Gather {
    /// Drops what was said of rooms.
    fn forget_told(&mut self, left: &HashSet<RoomUri>) {
        self.behind.forget_rooms(left);
        self.opens.retain(|room| !left.contains(room));
        for (_, reply) in &mut self.replies {
            let Some(Item::Reply(view)) = reply.items().next() else {
                continue;
            };
            let edits = without_rooms(view.element(), |room| !left.contains(room));
            if !edits.is_empty()
                && let Ok(edited) = Document::parse(edits.apply(reply), &Limits::OWN)
            {
                *reply = edited;
            }
        }
    }
}

/// All commands that are split at present.
#[derive(Debug, Default)]
pub(super) struct Gathers {
    open: Vec<Gather>,
    next: u64,
}

impl Gathers {
    /// When the first of them has waited long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.iter().map(|gather| gather.deadline).min()
    }

    fn get(&mut self, id: GatherId) -> Option<&mut Gather> {
        self.open.iter_mut().find(|gather| gather.id == id)
    }

    /// The client has left rooms: no answer may tell of them any more.
    fn forget_rooms(&mut self, left: &HashSet<RoomUri>) {
        for gather in &mut self.open {
            gather.order.retain(|room| !left.contains(room));
            gather.refused.retain(|room| !left.contains(room));
            gather.forget_told(left);
        }
    }

    /// Rooms that answers were to open are lost before they were given: they cannot be had.
    pub(super) fn fail_rooms(&mut self, lost: &HashSet<RoomUri>) {
        for gather in &mut self.open {
            let failed: Vec<RoomUri> = gather.opens.intersection(lost).cloned().collect();
            if !failed.is_empty() {
                gather.forget_told(lost);
                gather.refused.extend(failed);
            }
        }
    }

    /// Whether an answer is to open a room.
    pub(super) fn opens(&self, legacy: &RoomUri) -> bool {
        self.open.iter().any(|gather| gather.opens.contains(legacy))
    }

    /// What waits behind an answer, though its rooms were opened by another by now.
    pub(super) fn overtaken(&mut self, rooms: &Rooms) -> Vec<Bytes> {
        let mut overtaken = Vec::new();
        for gather in self
            .open
            .iter_mut()
            .filter(|gather| gather.behind.len() > 0)
        {
            let mut rest = Queue::default();
            for body in std::mem::take(&mut gather.behind).into_iter() {
                let named =
                    Document::parse(body.clone(), &Limits::OWN).map(|body| rooms_named(&body));
                if named.is_ok_and(|named| named.iter().any(|room| rooms.is_untold(room))) {
                    rest.put(body);
                } else {
                    overtaken.push(body);
                }
            }
            gather.behind = rest;
        }
        overtaken
    }

    /// The split command whose answer is to open one of these rooms.
    fn opening(&mut self, rooms: &[RoomUri]) -> Option<&mut Gather> {
        let opens = |gather: &&mut Gather| rooms.iter().any(|room| gather.opens.contains(room));
        self.open.iter_mut().find(opens)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

impl SessionCore {
    /// Begins to gather the replies to a command. The commands that carry the answer's [`GatherId`] are its shares.
    pub(super) fn gather(
        &mut self,
        now: Instant,
        client: CommandId<'static>,
        verb: Verb,
        order: Vec<RoomUri>,
        refused: Vec<RoomUri>,
    ) -> GatherId {
        let id = GatherId(self.gathers.next);
        self.gathers.next += 1;
        let deadline = now + self.settings.split_timeout;
        let replies = Vec::new();
        self.gathers.open.push(Gather {
            id,
            client,
            verb,
            order,
            refused,
            replies,
            opens: HashSet::new(),
            behind: Queue::default(),
            deadline,
            is_begun: false,
        });
        id
    }

    /// The client has left rooms: see [`Gathers::forget_rooms`].
    pub(super) fn forget_in_gathers(&mut self, now: Instant, left: &HashSet<RoomUri>) {
        if self.gathers.open.is_empty() {
            return;
        }
        self.gathers.forget_rooms(left);
        // Nobody waits for an answer about nothing.
        let is_about_nothing =
            |gather: &Gather| gather.verb == Verb::BatchJoin && gather.order.is_empty();
        self.gathers.open.retain(|gather| !is_about_nothing(gather));
        let ids: Vec<GatherId> = self.gathers.open.iter().map(|gather| gather.id).collect();
        for id in ids {
            self.finish_if_complete(now, id);
        }
    }

    /// Puts a document behind the answer that is to open its room, if there is one. Returns whether it did.
    pub(super) fn wait_for_answer(&mut self, now: Instant, body: &Bytes) -> bool {
        if self.gathers.open.is_empty() {
            return false;
        }
        let Ok(document) = Document::parse(body.clone(), &Limits::OWN) else {
            return false;
        };
        let mut untold = rooms_named(&document);
        untold.retain(|room| self.rooms.is_untold(room));
        let Some(gather) = self.gathers.opening(&untold) else {
            return false;
        };
        let limits = &self.settings.queue;
        let is_roomy = gather.behind.is_roomy(body.len(), limits);
        if is_roomy
            && gather
                .behind
                .push(body.clone(), Box::default(), limits)
                .is_ok()
        {
            return true;
        }
        // More than may wait: the answer comes now, and the pools that have not answered are late.
        let id = gather.id;
        self.answer_late(now, id);
        false
    }

    /// All shares are sent, or failed already.
    pub(super) fn gather_begun(&mut self, now: Instant, id: GatherId) {
        if let Some(gather) = self.gathers.get(id) {
            gather.is_begun = true;
        }
        self.finish_if_complete(now, id);
    }

    /// A share was answered, but for rooms that the answer does not mention: they cannot be had.
    pub(super) fn gathered(
        &mut self,
        now: Instant,
        id: GatherId,
        pool: PoolId,
        reply: Bytes,
        unanswered: &[RoomUri],
    ) {
        if let Ok(document) = Document::parse(reply, &Limits::OWN)
            && let Some(gather) = self.gathers.get(id)
        {
            if gather.verb == Verb::BatchJoin {
                gather.opens.extend(rooms_opened(&document));
            }
            gather.refused.extend_from_slice(unanswered);
            gather.replies.push((pool, document));
        }
        self.finish_if_complete(now, id);
    }

    /// A share failed: its rooms cannot be had.
    pub(super) fn gather_failed(
        &mut self,
        now: Instant,
        id: GatherId,
        rooms: impl Iterator<Item = RoomUri>,
    ) {
        if let Some(gather) = self.gathers.get(id) {
            gather.refused.extend(rooms);
        }
        self.finish_if_complete(now, id);
    }

    /// Answers the client once no share is under way.
    pub(super) fn finish_if_complete(&mut self, now: Instant, id: GatherId) {
        let waits = |command: &PendingCommand| command.gather() == Some(id);
        let is_begun = self.gathers.get(id).is_some_and(|gather| gather.is_begun);
        if is_begun && !self.commands.iter().any(waits) {
            self.finish_gather(now, id, Outcome::from(ResultCode::Unavailable));
        }
    }

    /// Answers with what came for those that have waited long enough.
    pub(super) fn expire_gathers(&mut self, now: Instant) {
        while let Some(at) = self
            .gathers
            .open
            .iter()
            .position(|gather| gather.deadline <= now)
        {
            let Some(gather) = self.gathers.open.get(at) else {
                return;
            };
            let id = gather.id;
            self.answer_late(now, id);
        }
    }

    /// Answers without the pools that have not answered.
    fn answer_late(&mut self, now: Instant, id: GatherId) {
        let Some(gather) = self.gathers.open.iter_mut().find(|gather| gather.id == id) else {
            return;
        };
        for command in &mut self.commands {
            if command.gather() != Some(id) {
                continue;
            }
            let rooms = command.rooms.iter().map(|(legacy, _)| legacy.clone());
            gather.refused.extend(rooms);
            match (command.is_join(), command.client().cloned()) {
                (true, Some(client)) => command.purpose = Purpose::Late(client),
                _ => command.disown(),
            }
        }
        self.finish_gather(now, id, Outcome::from(ResultCode::Timeout));
    }

    fn finish_gather(&mut self, now: Instant, id: GatherId, otherwise: Outcome) {
        let Some(at) = self.gathers.open.iter().position(|gather| gather.id == id) else {
            return;
        };
        let Gather {
            client,
            verb,
            order,
            refused,
            mut replies,
            behind,
            ..
        } = self.gathers.open.remove(at);
        if !replies.is_empty() {
            // Pools are numbered as the configuration lists them; what is said once is the first one's.
            replies.sort_by_key(|(pool, _)| *pool);
            let replies: Vec<Document> = replies.into_iter().map(|(_, reply)| reply).collect();
            let merged = merge_replies(&replies, &order);
            let merged = if refused.is_empty() {
                merged
            } else {
                self.with_failures(merged, &refused)
            };
            if verb == Verb::BatchJoin {
                self.deliver_opening(now, merged);
            } else {
                self.deliver(now, merged);
            }
            for body in behind.into_iter() {
                // It may tell of a room too that another answer is to open.
                if !self.wait_for_answer(now, &body) {
                    self.deliver(now, body);
                }
            }
            return;
        }
        self.event(Event::CommandFailed {
            verb: verb.clone(),
            code: otherwise.code,
        });
        let reply = match verb {
            Verb::BatchJoin => all_failed(refused.into_iter()),
            verb => Reply::failure(verb, otherwise),
        };
        self.reply(now, &client, &reply);
    }
}
