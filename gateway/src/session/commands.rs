//! What the client wants: each INFO is decided, resolved, translated and sent on its pool's leg.

use std::time::Instant;

use bytes::Bytes;
use holdover_config::rules::Act;
use holdover_protocol::room::{CategoryUri, RoomUri};
use holdover_protocol::sip::{Request, Status};
use holdover_protocol::translate::{self, EnvelopeIds, RoomMap};
use holdover_protocol::xccos::verb::{BatchJoin, PartReply, RequestUriReply};
use holdover_protocol::xccos::{
    Command, CommandId, CommandView, Document, Envelope, GroupChatView, Item, Outcome, Reply,
    ReplyData, ResultCode, Verb,
};

use super::core::SessionCore;
use super::output::{Event, Side};
use super::pending::{PendingCommand, PendingPost, Purpose, all_failed};
use super::rooms::Rooms;
use super::shadow::{ShadowCommand, ShadowId};
use crate::answer;
use crate::decide::{Decided, Decisions, Refusal, RefusalReason, Target, act_of};
use crate::pool::{PoolId, SendId};

/// Legacy identifiers as a pool knows them.
struct ToPool<'a> {
    pool: PoolId,
    decisions: &'a dyn Decisions,
    rooms: &'a Rooms,
    /// What was decided about the rooms of this document: it is translated by nothing else.
    decided: &'a [(RoomUri, Target)],
}

impl RoomMap for ToPool<'_> {
    fn room(&self, domain: &str, value: &str) -> Option<RoomUri> {
        let decided = self
            .decided
            .iter()
            .find(|(legacy, _)| legacy.domain() == domain && legacy.value() == value);
        if let Some((_, target)) = decided {
            return (target.pool == self.pool).then(|| target.migrated.clone());
        }
        let legacy = RoomUri::new(domain, value).ok()?;
        let target = match self.rooms.target(&legacy) {
            Some(target) => target.clone(),
            None => self.decisions.resolve(Act::Read, &legacy).outcome.ok()?,
        };
        // A link to a room of another pool means nothing to this one; it stays what the user wrote.
        (target.pool == self.pool).then_some(target.migrated)
    }

    fn category(&self, domain: &str, value: &str) -> Option<CategoryUri> {
        CategoryUri::new(&self.domain(domain)?, value).ok()
    }

    fn domain(&self, domain: &str) -> Option<Box<str>> {
        let (legacy, migrated) = self.decisions.domains(self.pool)?;
        domain.eq_ignore_ascii_case(legacy).then(|| migrated.into())
    }
}

/// Posts and commands of one client that may wait for their pools; about half of what a pool lets wait of one leg. A
/// client that asks faster is told to ask again: losing the leg would cost it all its rooms.
const MAX_PENDING: usize = 64;

/// What such a client is told.
const BUSY: &str = "Too many requests at once.";

/// What a client is told of a room whose pool cannot be reached.
pub(super) const UNREACHABLE: &str = "The room cannot be reached at the moment.";

impl SessionCore {
    /// An INFO of the client.
    pub(super) fn handle_info(
        &mut self,
        now: Instant,
        request: Box<Request>,
        decisions: &dyn Decisions,
    ) {
        let document = match Document::parse(request.body().clone(), &self.settings.xccos) {
            Ok(document) => document,
            Err(error) => return self.refuse_document(&request, &error.to_string()),
        };
        let mut items = document.items();
        match (items.next(), items.next()) {
            (Some(Item::GroupChat(post)), None) => {
                self.handle_post(now, request, &document, post, decisions);
            }
            // Leaving is never refused: see `handle_part`.
            (Some(Item::Command(command)), None)
                if self.is_busy() && command.verb() != Verb::Part =>
            {
                let status = Status::SERVICE_UNAVAILABLE;
                self.respond(answer::refuse(&request, status, Some(BUSY), None));
                let (verb, code) = (command.verb(), status.code());
                self.event(Event::CommandFailed { verb, code });
            }
            (Some(Item::Command(command)), None) => {
                self.respond(answer::ok(&request));
                self.handle_command(now, &document, command, decisions);
            }
            // One receipt cannot speak for several posts, and no client was ever seen to send several commands at once
            // (facts/xccos.md §2): what cannot be answered truly is not half done.
            (Some(_), Some(_)) => {
                self.refuse_document(&request, "more than one item in a document")
            }
            (Some(_), None) => self.refuse_document(&request, "neither a command nor a post"),
            (None, _) => self.refuse_document(&request, "nothing in the document"),
        }
    }

    fn is_busy(&self) -> bool {
        self.posts.len() + self.commands.len() >= MAX_PENDING
    }

    fn refuse_document(&mut self, request: &Request, detail: &str) {
        self.respond(answer::refuse(
            request,
            Status::BAD_REQUEST,
            Some(detail),
            None,
        ));
        self.event(Event::Malformed {
            from: Side::Downstream,
            detail: detail.into(),
        });
    }

    fn handle_post(
        &mut self,
        now: Instant,
        request: Box<Request>,
        document: &Document,
        post: GroupChatView<'_>,
        decisions: &dyn Decisions,
    ) {
        let legacy = match post.room() {
            Ok(legacy) => legacy,
            Err(error) => return self.refuse_document(&request, &error.to_string()),
        };
        let decided = self.target_of_post(&legacy, decisions);
        if decided.outcome.is_err() {
            self.tell_decided(Act::Post, Some(&legacy), &decided);
        }
        let target = match decided.outcome {
            Ok(target) => target,
            Err(refusal) => {
                let status = Status::FORBIDDEN;
                self.respond(answer::refuse(&request, status, Some(&refusal.text), None));
                let (status, by) = (status.code(), Side::Downstream);
                return self.event(Event::PostRefused { legacy, status, by });
            }
        };
        if self.is_busy() {
            let status = Status::SERVICE_UNAVAILABLE;
            self.respond(answer::refuse(&request, status, Some(BUSY), None));
            let (status, by) = (status.code(), Side::Downstream);
            return self.event(Event::PostRefused { legacy, status, by });
        }
        let Some(id) = self.next_id(target.pool) else {
            let status = Status::SERVICE_UNAVAILABLE;
            self.respond(answer::refuse(&request, status, Some(UNREACHABLE), None));
            let (status, by) = (status.code(), Side::Downstream);
            return self.event(Event::PostRefused { legacy, status, by });
        };
        let pool = target.pool;
        let decided = [(legacy, target)];
        let body = self.to_pool(document, pool, &decided, id, decisions);
        let [(legacy, _)] = decided;
        self.send(pool, id, body);
        let transaction = self.transaction(request);
        let deadline = now + self.settings.pool_timeout;
        self.posts.push(PendingPost {
            pool,
            id,
            transaction,
            legacy,
            sent_at: now,
            deadline,
        });
    }

    fn handle_command(
        &mut self,
        now: Instant,
        document: &Document,
        view: CommandView<'_>,
        decisions: &dyn Decisions,
    ) {
        let client = view.id().into_owned();
        let command = match Command::read(view) {
            Ok(command) => command,
            Err(error) => {
                self.event(Event::Malformed {
                    from: Side::Downstream,
                    detail: error.to_string().into(),
                });
                let outcome = Outcome::from(ResultCode::InvalidArgument);
                return self.reply(now, &client, &Reply::failure(view.verb(), outcome));
            }
        };
        match command {
            Command::RequestUri => {
                let uri = Some(self.settings.channel_uri.clone());
                let data = ReplyData::RequestUri(RequestUriReply { uri });
                self.reply(now, &client, &Reply::success(Verb::RequestUri, data));
            }
            Command::Part(part) => self.handle_part(now, client, part.rooms),
            Command::BatchJoin(bjoin) => {
                self.handle_bjoin(now, document, client, bjoin, decisions);
            }
            command => {
                let shadow = ShadowCommand::of(&command);
                self.handle_other(now, document, client, view.verb(), shadow, decisions);
            }
        }
    }

    /// Leaving is answered at once and always well: a client whose `part` fails can never enter the room again in this
    /// sign-in, and what comes for the room before the answer can crash it (`facts/sipe-client.md`).
    fn handle_part(&mut self, now: Instant, client: CommandId<'static>, rooms: Vec<RoomUri>) {
        for legacy in &rooms {
            self.leave_room(now, legacy);
        }
        let data = ReplyData::Part(PartReply { rooms });
        self.reply(now, &client, &Reply::success(Verb::Part, data));
    }

    /// The client has no window of a room any more: nothing may tell of it, and the pool's room is parted with the last of
    /// its names.
    pub(super) fn leave_room(&mut self, now: Instant, legacy: &RoomUri) {
        self.forget_queued(legacy);
        self.shadows.forget(legacy);
        self.tracks.forget_name(legacy);
        // Nor may the reply to an earlier command tell of the room.
        for command in &mut self.commands {
            let before = command.rooms.len() + command.refused.len();
            command.rooms.retain(|(room, _)| room != legacy);
            command.refused.retain(|room| room != legacy);
            if before > 0 && command.rooms.is_empty() && command.refused.is_empty() {
                command.disown();
            }
        }
        self.forget_in_gathers(now, legacy);
        if let Some(target) = self.rooms.part(legacy) {
            self.send_part(now, &target);
        }
        self.forget_strays();
        self.event(Event::Parted {
            legacy: legacy.clone(),
        });
    }

    /// Sends a command of our own.
    pub(super) fn send_own(
        &mut self,
        now: Instant,
        pool: PoolId,
        command: &Command,
        purpose: Purpose,
    ) {
        let request = Outgoing::new(pool, command.verb(), purpose);
        self.send_command(now, request, |_, id| {
            Envelope::new(id.0).command(1, command).finish()
        });
    }

    /// Sends a command and waits for its reply. A pool that cannot be reached fails it at once.
    fn send_command(
        &mut self,
        now: Instant,
        request: Outgoing,
        body: impl FnOnce(&Self, SendId) -> Bytes,
    ) {
        let Outgoing {
            pool,
            verb,
            purpose,
            rooms,
            refused,
            shadow,
        } = request;
        let deadline = now + self.settings.pool_timeout;
        let id = self.next_id(pool);
        let is_reachable = id.is_some();
        let id = id.unwrap_or(SendId(0));
        let command = PendingCommand {
            pool,
            id,
            verb,
            purpose,
            rooms,
            refused,
            shadow,
            deadline,
        };
        if !is_reachable {
            return self.fail_command(now, command, ResultCode::Unavailable.into());
        }
        let body = body(self, id);
        self.commands.push(command);
        self.send(pool, id, body);
    }

    fn handle_bjoin(
        &mut self,
        now: Instant,
        document: &Document,
        client: CommandId<'static>,
        bjoin: BatchJoin,
        decisions: &dyn Decisions,
    ) {
        let order = bjoin.rooms.clone();
        let mut pools: Vec<(PoolId, Vec<(RoomUri, Target)>)> = Vec::new();
        let mut refused = Vec::new();
        for legacy in bjoin.rooms {
            let decided = self.target(Act::Read, &legacy, decisions);
            self.tell_decided(Act::Read, Some(&legacy), &decided);
            match decided.outcome {
                Ok(target) => {
                    self.rooms.joining(&legacy, &target);
                    match pools.iter_mut().find(|(pool, _)| *pool == target.pool) {
                        Some((_, rooms)) => rooms.push((legacy, target)),
                        None => pools.push((target.pool, vec![(legacy, target)])),
                    }
                }
                Err(refusal) => {
                    self.refuse_room(&legacy, refusal.reason);
                    refused.push(legacy);
                }
            }
        }
        if pools.len() > 1 {
            let gather = self.gather(now, client.clone(), Verb::BatchJoin, order, refused);
            for (pool, rooms) in pools {
                let purpose = Purpose::Share(gather, client.clone());
                let request = Outgoing {
                    rooms,
                    ..Outgoing::new(pool, Verb::BatchJoin, purpose)
                };
                self.send_bjoin(now, document, &client, request, true, decisions);
            }
            return self.gather_begun(now, gather);
        }
        let Some((pool, rooms)) = pools.pop() else {
            return self.reply(now, &client, &all_failed(refused.into_iter()));
        };
        let is_partial = !refused.is_empty();
        let purpose = Purpose::Client(client.clone());
        let request = Outgoing {
            rooms,
            refused,
            ..Outgoing::new(pool, Verb::BatchJoin, purpose)
        };
        self.send_bjoin(now, document, &client, request, is_partial, decisions);
    }

    /// Sends a `bjoin` of the rooms in `request`, which are only some of the client's if `is_partial`.
    fn send_bjoin(
        &mut self,
        now: Instant,
        document: &Document,
        client: &CommandId<'_>,
        request: Outgoing,
        is_partial: bool,
        decisions: &dyn Decisions,
    ) {
        let mut migrated: Vec<RoomUri> = Vec::with_capacity(request.rooms.len());
        for (_, target) in &request.rooms {
            if !migrated.contains(&target.migrated) {
                migrated.push(target.migrated.clone());
            }
        }
        // The document goes on as the client wrote it, unless rooms must be left out of it or were merged into one.
        let is_whole = !is_partial && migrated.len() == request.rooms.len();
        let pool = request.pool;
        let decided = request.rooms.clone();
        self.send_command(now, request, |core, id| {
            if is_whole {
                return core.to_pool(document, pool, &decided, id, decisions);
            }
            let command = Command::BatchJoin(BatchJoin { rooms: migrated });
            Envelope::new(id.0)
                .command(&client.seqid, &command)
                .finish()
        });
    }

    /// A command that names rooms of one pool, or none.
    fn handle_other(
        &mut self,
        now: Instant,
        document: &Document,
        client: CommandId<'static>,
        verb: Verb,
        shadow: Option<ShadowCommand>,
        decisions: &dyn Decisions,
    ) {
        let act = act_of(&verb);
        let mut rooms = Vec::new();
        for legacy in translate::rooms_named(document) {
            let decided = self.target(act, &legacy, decisions);
            if verb == Verb::Join || decided.outcome.is_err() {
                self.tell_decided(act, Some(&legacy), &decided);
            }
            match decided.outcome {
                Ok(target) => rooms.push((legacy, target)),
                Err(refusal) => {
                    self.refuse_room(&legacy, refusal.reason);
                    return self.refuse_command(now, &client, verb, refusal);
                }
            }
        }
        let mut only = None;
        if rooms.is_empty() {
            let admitted = decisions.admit(act);
            if act == Act::Search || admitted.outcome.is_err() {
                let decided = Decided {
                    outcome: admitted.outcome.clone().map(|_| None),
                    rule: admitted.rule.clone(),
                    generation: admitted.generation,
                };
                self.event(Event::Decided {
                    act,
                    legacy: None,
                    decided: Box::new(decided),
                });
            }
            match admitted.outcome {
                Ok(pool) => only = pool,
                Err(refusal) => return self.refuse_command(now, &client, verb, refusal),
            }
        }
        let pools = match &only {
            Some(pool) => std::slice::from_ref(pool),
            None => decisions.pools(),
        };
        if rooms.is_empty() && pools.len() > 1 && concerns_all_pools(&verb) {
            let gather = self.gather(now, client.clone(), verb.clone(), Vec::new(), Vec::new());
            for pool in pools {
                let purpose = Purpose::Share(gather, client.clone());
                let request = Outgoing::new(*pool, verb.clone(), purpose);
                self.send_command(now, request, |core, id| {
                    core.to_pool(document, *pool, &[], id, decisions)
                });
            }
            return self.gather_begun(now, gather);
        }
        let pool = rooms.first().map_or_else(
            || only.unwrap_or_else(|| pool_of(&verb, decisions)),
            |(_, target)| target.pool,
        );
        if verb == Verb::Join {
            for (legacy, target) in &rooms {
                self.rooms.joining(legacy, target);
            }
        }
        let decided = rooms.clone();
        let shadow = self.begin_shadow(now, shadow, pool, decisions);
        let request = Outgoing {
            rooms,
            shadow,
            ..Outgoing::new(pool, verb, Purpose::Client(client))
        };
        self.send_command(now, request, |core, id| {
            core.to_pool(document, pool, &decided, id, decisions)
        });
    }

    fn refuse_command(
        &mut self,
        now: Instant,
        client: &CommandId<'_>,
        verb: Verb,
        refusal: Refusal,
    ) {
        let outcome = Outcome::new(refused_code(refusal.reason), refusal.text.into_string());
        self.reply(now, client, &Reply::failure(verb, outcome));
    }

    /// Where a post goes. That the user may post in an open room is decided once for as long as nothing changes it.
    fn target_of_post(&mut self, legacy: &RoomUri, decisions: &dyn Decisions) -> Decided {
        let moment = decisions.moment();
        if moment.is_none() || moment != self.posting_since {
            self.posting_since = moment;
            self.rooms.forbid_posts();
        }
        if let Some(target) = self.rooms.target_of_post(legacy) {
            return Ok(target.clone()).into();
        }
        let decided = self.target(Act::Post, legacy, decisions);
        if moment.is_some() && decided.outcome.is_ok() {
            self.rooms.allow_posts(legacy);
        }
        decided
    }

    /// Where a room lives: for an open room where it was joined, else where it is decided to be.
    fn target(&self, act: Act, legacy: &RoomUri, decisions: &dyn Decisions) -> Decided {
        let decided = decisions.resolve(act, legacy);
        match self.rooms.target(legacy) {
            Some(joined) if !decided.is_forbidden() => Decided {
                outcome: Ok(joined.clone()),
                ..decided
            },
            _ => decided,
        }
    }

    fn to_pool(
        &self,
        document: &Document,
        pool: PoolId,
        decided: &[(RoomUri, Target)],
        id: SendId,
        decisions: &dyn Decisions,
    ) -> Bytes {
        let envid = id.0.to_string();
        let ids = EnvelopeIds {
            envid: Some(&envid),
            command: None,
        };
        translate::to_pool(
            document,
            &ToPool {
                pool,
                decisions,
                rooms: &self.rooms,
                decided,
            },
            &ids,
        )
    }

    /// Tells of a decision about a room.
    fn tell_decided(&mut self, act: Act, legacy: Option<&RoomUri>, decided: &Decided) {
        let decided = Decided {
            outcome: decided.outcome.clone().map(Some),
            rule: decided.rule.clone(),
            generation: decided.generation,
        };
        self.event(Event::Decided {
            act,
            legacy: legacy.cloned(),
            decided: Box::new(decided),
        });
    }

    fn refuse_room(&mut self, legacy: &RoomUri, reason: RefusalReason) {
        self.event(Event::Refused {
            legacy: legacy.clone(),
            reason,
        });
    }
}

/// A command on its way to a pool.
struct Outgoing {
    pool: PoolId,
    verb: Verb,
    purpose: Purpose,
    rooms: Vec<(RoomUri, Target)>,
    refused: Vec<RoomUri>,
    shadow: Option<ShadowId>,
}

impl Outgoing {
    fn new(pool: PoolId, verb: Verb, purpose: Purpose) -> Self {
        Self {
            pool,
            verb,
            purpose,
            rooms: Vec::new(),
            refused: Vec::new(),
            shadow: None,
        }
    }
}

/// Commands that name no room and are answered by all pools together.
fn concerns_all_pools(verb: &Verb) -> bool {
    matches!(
        verb,
        Verb::ChannelSearch | Verb::GetInvitations | Verb::GetAssociations | Verb::GetServerInfo
    )
}

/// The pool that answers a command which names no room and is not for all pools.
fn pool_of(verb: &Verb, decisions: &dyn Decisions) -> PoolId {
    match verb {
        Verb::GetPreference | Verb::SetPreference => decisions.preferences_pool(),
        _ => decisions.default_pool(),
    }
}

fn refused_code(reason: RefusalReason) -> ResultCode {
    match reason {
        RefusalReason::Retired => ResultCode::NodeDisabled,
        RefusalReason::Pending | RefusalReason::Maintenance | RefusalReason::NoTarget => {
            ResultCode::Unavailable
        }
        RefusalReason::Unlisted => ResultCode::NoSuchNode,
        RefusalReason::Rule | RefusalReason::ReadOnly | RefusalReason::Region => {
            ResultCode::Permission
        }
    }
}
