//! What was sent to a pool and waits for its answer.

use std::collections::HashSet;
use std::time::Instant;

use bytes::Bytes;
use holdover_protocol::room::RoomUri;
use holdover_protocol::sip::Status;
use holdover_protocol::xccos::block::FailureBlock;
use holdover_protocol::xccos::verb::JoinReply;
use holdover_protocol::xccos::{
    CommandId, Envelope, OPERATION_FAILED, Outcome, Reply, ReplyData, ResultCode, Verb,
};

use super::commands::UNREACHABLE;
use super::core::SessionCore;
use super::downstream::ServerTransaction;
use super::gather::GatherId;
use super::output::{Event, Side};
use super::shadow::{ShadowId, Which};
use crate::answer;
use crate::decide::Target;
use crate::pool::{PoolId, Receipt, SendId};

/// A command whose reply is awaited.
#[derive(Debug)]
pub(super) struct PendingCommand {
    pub(super) pool: PoolId,
    pub(super) id: SendId,
    pub(super) verb: Verb,
    /// Who waits for the reply.
    pub(super) purpose: Purpose,
    /// The rooms the command names, as the client and as the pool knows them, in the client's order.
    pub(super) rooms: Vec<(RoomUri, Target)>,
    /// The rooms of a `bjoin` that were refused before the pool was asked.
    pub(super) refused: Vec<RoomUri>,
    /// The comparison that its reply is for.
    pub(super) shadow: Option<ShadowId>,
    pub(super) deadline: Instant,
}

/// Who waits for a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The client, which numbered its command so.
    Client(CommandId<'static>),
    /// The client, for one reply that is gathered from several pools.
    Share(GatherId, CommandId<'static>),
    /// The client, which was told that these rooms failed, as their pool was slow. It hears of those that do not.
    Late(CommandId<'static>),
    /// Nobody.
    Nobody,
    /// These rooms of a pool, as it knows them, are joined again.
    Rejoin(Vec<RoomUri>),
    /// Rooms that have their windows are joined where they are to be now.
    MoveIn {
        /// As the pool knows them.
        rooms: Vec<RoomUri>,
    },
    /// It is compared with what another pool answered.
    Shadow(ShadowId),
    /// What a room missed is fetched.
    Gap {
        /// The room, as the pool knows it.
        room: RoomUri,
        /// How often it was fetched before.
        attempt: usize,
    },
}

impl PendingCommand {
    /// The client's number of the command, if it waits for the reply.
    pub(super) fn client(&self) -> Option<&CommandId<'static>> {
        match &self.purpose {
            Purpose::Client(client) | Purpose::Share(_, client) | Purpose::Late(client) => {
                Some(client)
            }
            Purpose::Nobody
            | Purpose::Rejoin(_)
            | Purpose::MoveIn { .. }
            | Purpose::Shadow(_)
            | Purpose::Gap { .. } => None,
        }
    }

    /// The split command that this is a part of.
    pub(super) fn gather(&self) -> Option<GatherId> {
        match &self.purpose {
            Purpose::Share(gather, _) => Some(*gather),
            _ => None,
        }
    }

    /// The client does not wait for the reply any more.
    pub(super) fn disown(&mut self) {
        if self.client().is_some() {
            self.purpose = Purpose::Nobody;
            self.rooms.clear();
        }
    }

    /// Whether the client was told that the rooms failed, as their pool was slow.
    pub(super) fn is_late(&self) -> bool {
        matches!(self.purpose, Purpose::Late(_))
    }

    pub(super) fn is_join(&self) -> bool {
        matches!(self.verb, Verb::Join | Verb::BatchJoin)
    }
}

/// A post whose receipt is awaited: the client's INFO is answered when the pool has answered ours.
#[derive(Debug)]
pub(super) struct PendingPost {
    pub(super) pool: PoolId,
    pub(super) id: SendId,
    pub(super) transaction: ServerTransaction,
    pub(super) legacy: RoomUri,
    pub(super) sent_at: Instant,
    pub(super) deadline: Instant,
}

/// The status for a client whose pool answered `status`. Only codes that legacy clients survive
/// (`facts/sipe-client.md`): after a 481, or a 408 (RFC 3261 §12.2.1.2), they give up the dialog, 401 and 407 they
/// repeat without end, and a 3xx or 6xx would concern the whole address.
pub(super) fn survivable(status: u16) -> Status {
    match status {
        401 | 407 => Status::FORBIDDEN,
        408 | 481 => Status::SERVICE_UNAVAILABLE,
        400..=599 => Status::new(status).unwrap_or(Status::SERVICE_UNAVAILABLE),
        _ => Status::SERVICE_UNAVAILABLE,
    }
}

impl SessionCore {
    /// A pool says what became of a document.
    pub(super) fn handle_receipt(
        &mut self,
        now: Instant,
        pool: PoolId,
        id: SendId,
        receipt: &Receipt,
    ) {
        if let Some(at) = self
            .posts
            .iter()
            .position(|post| post.pool == pool && post.id == id)
        {
            let post = self.posts.remove(at);
            return self.settle_post(now, post, receipt);
        }
        let outcome = match receipt {
            Receipt::Accepted => return,
            Receipt::Refused { status: 503, .. } | Receipt::Unknown => ResultCode::Unavailable,
            Receipt::Refused { .. } => ResultCode::ServerError,
        };
        if let Some(at) = self
            .commands
            .iter()
            .position(|command| command.pool == pool && command.id == id)
        {
            let command = self.commands.remove(at);
            self.fail_command(now, command, outcome.into());
        }
    }

    fn settle_post(&mut self, now: Instant, post: PendingPost, receipt: &Receipt) {
        match receipt {
            Receipt::Accepted => {
                let accepted = answer::ok(&post.transaction.request);
                self.respond_late(&post.transaction, accepted);
                let PendingPost {
                    legacy,
                    pool,
                    sent_at,
                    ..
                } = post;
                let took = now.saturating_duration_since(sent_at);
                self.event(Event::PostAccepted { legacy, pool, took });
            }
            Receipt::Refused { status, reason } => {
                let status = survivable(*status);
                let refused = answer::refuse(&post.transaction.request, status, Some(reason), None);
                self.respond_late(&post.transaction, refused);
                let (legacy, status, by) = (post.legacy, status.code(), Side::Upstream);
                self.event(Event::PostRefused { legacy, status, by });
            }
            Receipt::Unknown => self.report_unknown(post),
        }
    }

    /// Tells the client and the log that nobody knows what became of a post.
    pub(super) fn report_unknown(&mut self, post: PendingPost) {
        let text = "the pool did not say whether it has the message";
        let refused = answer::refuse(
            &post.transaction.request,
            Status::SERVER_TIMEOUT,
            Some(text),
            None,
        );
        self.respond_late(&post.transaction, refused);
        let headers = post.transaction.request.headers();
        let call_id = headers.call_id().unwrap_or_default().into();
        let cseq = headers.cseq().map_or(0, |cseq| cseq.number);
        self.event(Event::PostUnknown {
            request: (call_id, cseq),
            id: post.id,
            legacy: post.legacy,
            pool: post.pool,
        });
    }

    /// Gives up posts whose receipt is overdue.
    pub(super) fn expire_posts(&mut self, now: Instant) {
        while let Some(at) = self.posts.iter().position(|post| post.deadline <= now) {
            let post = self.posts.remove(at);
            self.report_unknown(post);
        }
    }

    /// Gives up commands whose reply is overdue.
    pub(super) fn expire_commands(&mut self, now: Instant) {
        while let Some(at) = self
            .commands
            .iter()
            .position(|command| command.deadline <= now)
        {
            let command = self.commands.remove(at);
            self.fail_command(now, command, ResultCode::Timeout.into());
        }
    }

    /// There never was a leg: the pool has none of the posts on it.
    pub(super) fn refuse_posts(&mut self, pool: PoolId) {
        while let Some(at) = self.posts.iter().position(|post| post.pool == pool) {
            let post = self.posts.remove(at);
            let status = Status::SERVICE_UNAVAILABLE;
            let request = &post.transaction.request;
            let refused = answer::refuse(request, status, Some(UNREACHABLE), None);
            self.respond_late(&post.transaction, refused);
            let (legacy, status, by) = (post.legacy, status.code(), Side::Downstream);
            self.event(Event::PostRefused { legacy, status, by });
        }
    }

    /// The leg is gone: nobody knows what became of the posts on it.
    pub(super) fn fail_posts(&mut self, pool: PoolId) {
        while let Some(at) = self.posts.iter().position(|post| post.pool == pool) {
            let post = self.posts.remove(at);
            self.report_unknown(post);
        }
    }

    /// The leg is gone: no reply will come.
    pub(super) fn fail_commands(&mut self, now: Instant, pool: PoolId) {
        while let Some(at) = self
            .commands
            .iter()
            .position(|command| command.pool == pool)
        {
            let command = self.commands.remove(at);
            self.fail_command(now, command, ResultCode::Unavailable.into());
        }
    }

    /// Tells whoever waits for it that a command failed, in place of the pool.
    pub(super) fn fail_command(&mut self, now: Instant, command: PendingCommand, outcome: Outcome) {
        if command.is_join() {
            self.forget_rooms(now, command.rooms.iter().map(|(legacy, _)| legacy));
        }
        if let Some(id) = command.shadow {
            self.shadow_failed(id, Which::First, outcome.code);
        }
        if command.verb == Verb::BackChat {
            self.looked_back(command.id);
        }
        let rooms = command.rooms.into_iter().map(|(legacy, _)| legacy);
        match command.purpose {
            Purpose::Client(client) => {
                self.event(Event::CommandFailed {
                    verb: command.verb.clone(),
                    code: outcome.code,
                });
                let reply = if command.verb == Verb::BatchJoin {
                    // A failed bjoin as a whole would hide from the client which rooms it was about.
                    all_failed(rooms.chain(command.refused))
                } else {
                    Reply::failure(command.verb, outcome)
                };
                self.reply(now, &client, &reply);
            }
            Purpose::Share(gather, _) => self.gather_failed(now, gather, rooms),
            Purpose::Rejoin(asked) => self.rejoined(now, command.pool, &asked, None),
            Purpose::Shadow(id) => self.shadow_failed(id, Which::Second, outcome.code),
            Purpose::MoveIn { rooms } => self.moved_in(now, command.pool, rooms, Err(outcome)),
            Purpose::Gap { room, .. } => self.gap_failed(now, command.pool, &room),
            Purpose::Late(_) | Purpose::Nobody => {}
        }
    }

    /// Forgets rooms that could not be joined, unless another join for them is under way. The pool is told: it may have
    /// let the user in without our hearing of it in time, or from an earlier connection of the client.
    pub(super) fn forget_rooms<'a>(
        &mut self,
        now: Instant,
        rooms: impl Iterator<Item = &'a RoomUri>,
    ) {
        let joins = self.commands.iter().filter(|command| command.is_join());
        let asked_again: HashSet<&RoomUri> = joins
            .flat_map(|command| command.rooms.iter().map(|(room, _)| room))
            .collect();
        let left: Vec<Target> = rooms
            .filter(|legacy| !asked_again.contains(legacy))
            .filter_map(|legacy| self.rooms.refused(legacy))
            .collect();
        self.leave(now, left);
    }

    /// Sends the client a reply of our own.
    pub(super) fn reply(&mut self, now: Instant, to: &CommandId<'_>, reply: &Reply) {
        let document = own_reply(to, reply);
        self.deliver(now, document);
    }
}

/// A reply that no pool wrote. Its envelope has the number of the command's: clients do not look at it, and it is the
/// one number that cannot be taken for another's.
pub(crate) fn own_reply(to: &CommandId<'_>, reply: &Reply) -> Bytes {
    Envelope::new(&to.envid).reply(1, Some(to), reply).finish()
}

/// The reply to a `bjoin` none of whose rooms could be joined.
pub(super) fn all_failed(rooms: impl Iterator<Item = RoomUri>) -> Reply {
    let failures = rooms
        .map(|room| FailureBlock {
            room,
            key: OPERATION_FAILED.into(),
        })
        .collect();
    let data = JoinReply {
        failures,
        ..JoinReply::default()
    };
    Reply::success(Verb::BatchJoin, ReplyData::Join(data))
}
