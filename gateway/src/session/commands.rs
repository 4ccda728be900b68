//! What the client wants: each INFO is decided, resolved, translated and sent on its pool's leg.

use std::collections::HashSet;
use std::time::Instant;

use bytes::Bytes;
use holdover_config::rules::Act;
use holdover_protocol::room::RoomUri;
use holdover_protocol::sip::{Request, Status};
use holdover_protocol::translate::{self, EnvelopeIds, RoomMap};
use holdover_protocol::xccos::verb::{BatchJoin, PartReply, RequestUriReply};
use holdover_protocol::xccos::{
    Command, CommandId, CommandView, Document, Envelope, GroupChatView, Item, Outcome, Reply,
    ReplyData, ResultCode, Verb,
};

use super::core::SessionCore;
use super::lookup::{Lookup, Pair};
use super::output::{Event, Side};
use super::pending::{PendingCommand, PendingPost, Purpose, all_failed};
use super::room_events::RoomEvents;
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
    decided: Lookup<'a>,
}

impl RoomMap for ToPool<'_> {
    fn room(&self, domain: &str, value: &str) -> Option<RoomUri> {
        if let Some((_, target)) = self.decided.find(domain, value).next() {
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

/// What a client is told that names more rooms at once than it may.
const TOO_MANY_ROOMS: &str = "Too many rooms.";

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
        let Placed { decided, place } = self.place_of_post(&legacy, decisions);
        if place.is_err() {
            self.tell_decided(&mut RoomEvents::default(), Act::Post, &legacy, decided);
        }
        let target = match place {
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
        self.leave_rooms(now, &rooms);
        let data = ReplyData::Part(PartReply { rooms });
        self.reply(now, &client, &Reply::success(Verb::Part, data));
    }

    /// The client has no windows of these rooms any more: nothing may tell of them, and each room of a pool is parted with the
    /// last of its names.
    pub(super) fn leave_rooms(&mut self, now: Instant, rooms: &[RoomUri]) {
        let left: HashSet<RoomUri> = rooms.iter().cloned().collect();
        self.forget_queued(&left);
        self.shadows.forget(&left);
        self.tracks.forget_names(&left);
        // Nor may the reply to an earlier command tell of the rooms.
        for command in &mut self.commands {
            let before = command.rooms.len() + command.refused.len();
            command.rooms.retain(|(room, _)| !left.contains(room));
            command.refused.retain(|room| !left.contains(room));
            if before > 0 && command.rooms.is_empty() && command.refused.is_empty() {
                command.disown();
            }
        }
        self.forget_in_gathers(now, &left);
        let parted = rooms.iter().filter_map(|legacy| self.rooms.part(legacy));
        let parted = parted.collect();
        self.leave(now, parted);
        self.forget_strays();
        let mut told = RoomEvents::default();
        for legacy in rooms {
            let legacy = legacy.clone();
            self.room_event(&mut told, Event::Parted { legacy });
        }
        self.sum_up(Verb::Part, told);
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
        let mut rooms = bjoin.rooms;
        let per_command = self.settings.rooms_per_command.min(rooms.len());
        // Each room is answered: those that are too many, or refused, by a failure of their own.
        let mut too_many = rooms.split_off(per_command);
        let mut pools: Vec<(PoolId, Vec<Pair>)> = Vec::new();
        let mut refused = Vec::new();
        let mut told = RoomEvents::default();
        for legacy in rooms {
            if !self.rooms.knows(&legacy) && self.rooms.len() >= self.settings.rooms_per_session {
                too_many.push(legacy);
                continue;
            }
            let Placed { decided, place } = self.place(Act::Read, &legacy, decisions);
            self.tell_decided(&mut told, Act::Read, &legacy, decided);
            match place {
                Ok(target) => {
                    self.rooms.joining(&legacy, &target);
                    match pools.iter_mut().find(|(pool, _)| *pool == target.pool) {
                        Some((_, rooms)) => rooms.push((legacy, target)),
                        None => pools.push((target.pool, vec![(legacy, target)])),
                    }
                }
                Err(refusal) => {
                    let reason = refusal.reason;
                    let room = legacy.clone();
                    refused.push(legacy);
                    let legacy = room;
                    self.room_event(&mut told, Event::Refused { legacy, reason });
                }
            }
        }
        self.sum_up(Verb::BatchJoin, told);
        if !too_many.is_empty() {
            self.tell_too_many(Verb::BatchJoin, too_many.len());
            refused.append(&mut too_many);
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
        let mut seen = HashSet::new();
        let migrated = request.rooms.iter().map(|(_, target)| &target.migrated);
        let migrated: Vec<RoomUri> = migrated
            .filter(|room| seen.insert(*room))
            .cloned()
            .collect();
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
        let named = translate::rooms_named(document);
        let is_new = |room: &&RoomUri| verb == Verb::Join && !self.rooms.knows(room);
        let new: HashSet<&RoomUri> = named.iter().filter(is_new).collect();
        let has_space = self.rooms.len() + new.len() <= self.settings.rooms_per_session;
        if named.len() > self.settings.rooms_per_command || !(new.is_empty() || has_space) {
            self.tell_too_many(verb.clone(), named.len());
            let outcome = Outcome::new(ResultCode::LimitExceeded, TOO_MANY_ROOMS);
            return self.reply(now, &client, &Reply::failure(verb, outcome));
        }
        let mut rooms = Vec::with_capacity(named.len());
        let mut told = RoomEvents::default();
        for legacy in named {
            let Placed { decided, place } = self.place(act, &legacy, decisions);
            if verb == Verb::Join || place.is_err() {
                self.tell_decided(&mut told, act, &legacy, decided);
            }
            match place {
                Ok(target) => rooms.push((legacy, target)),
                Err(refusal) => {
                    let reason = refusal.reason;
                    self.room_event(&mut told, Event::Refused { legacy, reason });
                    self.sum_up(verb.clone(), told);
                    return self.refuse_command(now, &client, verb, refusal);
                }
            }
        }
        self.sum_up(verb.clone(), told);
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
    fn place_of_post(&mut self, legacy: &RoomUri, decisions: &dyn Decisions) -> Placed {
        let moment = decisions.moment();
        if moment.is_none() || moment != self.posting_since {
            self.posting_since = moment;
            self.rooms.forbid_posts();
        }
        if let Some(target) = self.rooms.target_of_post(legacy) {
            return Placed {
                decided: Ok(target.clone()).into(),
                place: Ok(target.clone()),
            };
        }
        let placed = self.place(Act::Post, legacy, decisions);
        if moment.is_some() && placed.place.is_ok() {
            self.rooms.allow_posts(legacy);
        }
        placed
    }

    /// Where a room lives: for an open room where it was joined, else where it is decided to be.
    fn place(&self, act: Act, legacy: &RoomUri, decisions: &dyn Decisions) -> Placed {
        let mut decided = decisions.resolve(act, legacy);
        let place = match self.rooms.target(legacy) {
            Some(joined) if !decided.is_forbidden() => Ok(joined.clone()),
            _ => decided.outcome.clone(),
        };
        // The directory says no to a room that is being joined: it is left once it is open, and until then no rule has it.
        if let (Err(_), Ok(_)) = (&decided.outcome, &place) {
            decided.outcome = place.clone();
            decided.rule = None;
        }
        Placed { decided, place }
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
                decided: Lookup::by_legacy(decided),
            },
            &ids,
        )
    }

    /// Tells of a decision about a room.
    fn tell_decided(
        &mut self,
        told: &mut RoomEvents,
        act: Act,
        legacy: &RoomUri,
        decided: Decided,
    ) {
        let decided = Decided {
            outcome: decided.outcome.map(Some),
            rule: decided.rule,
            generation: decided.generation,
        };
        let decided = Event::Decided {
            act,
            legacy: Some(legacy.clone()),
            decided: Box::new(decided),
        };
        self.room_event(told, decided);
    }

    fn tell_too_many(&mut self, verb: Verb, refused: usize) {
        let (per_command, per_session) = (
            self.settings.rooms_per_command,
            self.settings.rooms_per_session,
        );
        self.event(Event::TooManyRooms {
            verb,
            refused,
            per_command,
            per_session,
        });
    }
}

/// What was decided about a room, and where what concerns it goes. The two differ while a room is on its way from one pool to
/// another: it is asked where it is, and the record names the rule and the pool of that rule.
struct Placed {
    decided: Decided,
    place: Result<Target, Refusal>,
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
