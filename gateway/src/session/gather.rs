//! Commands that concern several pools: sent to each, and answered with one reply.
//!
//! A pool that does not answer in time costs the client its own rooms, never the other pools' rooms. Rooms that it lets
//! the client into later are announced by a second reply.

use std::time::Instant;

use bytes::Bytes;
use holdover_protocol::room::RoomUri;
use holdover_protocol::translate::merge_replies;
use holdover_protocol::xccos::{CommandId, Document, Outcome, Reply, ResultCode, Verb};

use super::core::SessionCore;
use super::output::Event;
use super::pending::{PendingCommand, Purpose, all_failed};
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
    deadline: Instant,
    /// Whether all parts were sent.
    is_begun: bool,
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
}

impl SessionCore {
    /// Begins to gather the replies to a command. The commands that carry the answer's [`GatherId`] are its parts.
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
            deadline,
            is_begun: false,
        });
        id
    }

    /// All parts are sent, or failed already.
    pub(super) fn gather_begun(&mut self, now: Instant, id: GatherId) {
        if let Some(gather) = self.gathers.get(id) {
            gather.is_begun = true;
        }
        self.finish_if_complete(now, id);
    }

    /// A part was answered.
    pub(super) fn gathered(&mut self, now: Instant, id: GatherId, pool: PoolId, reply: Bytes) {
        let Ok(document) = Document::parse(reply, &self.settings.xccos) else {
            return;
        };
        if let Some(gather) = self.gathers.get(id) {
            gather.replies.push((pool, document));
        }
        self.finish_if_complete(now, id);
    }

    /// A part failed: its rooms cannot be had.
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

    /// Answers the client once no part is under way.
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
            let Some(gather) = self.gathers.open.get_mut(at) else {
                return;
            };
            let id = gather.id;
            for command in &mut self.commands {
                if command.gather() != Some(id) {
                    continue;
                }
                gather
                    .refused
                    .extend(command.rooms.iter().map(|(legacy, _)| legacy.clone()));
                match (command.is_join(), command.client().cloned()) {
                    (true, Some(client)) => command.purpose = Purpose::Late(client),
                    _ => command.disown(),
                }
            }
            self.finish_gather(now, id, Outcome::from(ResultCode::Timeout));
        }
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
            return self.deliver(now, merged);
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
