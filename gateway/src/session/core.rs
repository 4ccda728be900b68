//! The session core: one signed-in user endpoint, its channel dialog downstream and its legs upstream.
//!
//! Sans-IO. Feed it with [`SessionCore::attach`], [`SessionCore::handle_downstream`], [`SessionCore::handle_response`],
//! [`SessionCore::handle_leg`], [`SessionCore::handle_connection_lost`], [`SessionCore::handle_signed_out`] and
//! [`SessionCore::handle_timeout`]; after each, drain [`SessionCore::poll_output`] and ask
//! [`SessionCore::poll_timeout`] when to come back. Time is an argument, decisions are asked of a
//! [`Decisions`] that answers at once, and every effect is an [`Output`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_config::RuleName;
use holdover_config::settings::{Gateway as GatewaySettings, Limits};
use holdover_protocol::sip::dialog::{Dialog, Incoming};
use holdover_protocol::sip::{Method, Request, Response, Status};
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos;

use super::downstream::{Channel, ClientVerdict, Queue, QueueLimits, ServerTransaction};
use super::gather::Gathers;
use super::legs::{Leg, LegState};
use super::output::{CloseReason, Event, FinishReason, Output};
use super::pending::{PendingCommand, PendingPost};
use super::rooms::Rooms;
use super::shadow::Shadows;
use super::tracks::Tracks;
use crate::answer;
use crate::decide::{Decisions, Moment, Target};
use crate::peer::{Attachment, ClientNumber, ConnectionNumber, Way};
use crate::pool::{LegClosed, LegEvent, PoolId};

/// What all sessions have in common.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// The URI of the channel dialog, for clients that ask for it again.
    pub channel_uri: Box<str>,
    /// `Session-Expires` toward the client, seconds.
    pub session_expires: u32,
    /// Bounds of what waits for a client.
    pub queue: QueueLimits,
    /// How long a client may take to answer an INFO.
    pub info_timeout: Duration,
    /// How long a pool may take for a receipt or a reply.
    pub pool_timeout: Duration,
    /// How long a pool may keep the rooms of other pools waiting, when a client asks for rooms of several at once.
    pub split_timeout: Duration,
    /// How long the rooms of a lost client are kept.
    pub grace: Duration,
    /// Number of rooms that one command of the client may name.
    pub rooms_per_command: usize,
    /// Number of rooms that the client may have at one time.
    pub rooms_per_session: usize,
    /// Bounds of an XCCOS document that is received.
    pub xccos: xccos::Limits,
}

impl SessionSettings {
    /// As the configuration says: what holds from start to stop, and what a reload replaces.
    #[must_use]
    pub fn new(gateway: &GatewaySettings, limits: &Limits) -> Self {
        Self {
            channel_uri: gateway.channel_uri.as_str().into(),
            session_expires: u32::try_from(gateway.session_expires.as_secs()).unwrap_or(u32::MAX),
            queue: QueueLimits {
                messages: limits.queue_messages,
                bytes: limits.queue_bytes,
                outstanding: limits.outstanding_infos,
            },
            info_timeout: limits.info_timeout,
            pool_timeout: limits.pool_timeout,
            split_timeout: limits.split_timeout,
            rooms_per_command: limits.rooms_per_command,
            rooms_per_session: limits.rooms_per_session,
            grace: gateway.grace,
            xccos: xccos::Limits {
                bytes: limits.body_bytes,
                ..xccos::Limits::default()
            },
        }
    }

    /// Bytes of the longest document that a client is given. What a pool says becomes longer by the identifiers that the
    /// client knows, and by those that were merged; a document of a pool that has nothing of this fits always.
    #[must_use]
    pub fn longest_document(&self) -> usize {
        self.queue.bytes.max(self.xccos.bytes.saturating_mul(2))
    }

    /// How many inputs may wait for a session's task. What a pool says at once must fit, or the leg is lost.
    #[must_use]
    pub fn mailbox(&self) -> usize {
        self.queue.messages.max(SMALLEST_MAILBOX)
    }
}

/// Inputs that may wait for a session however short the client's queue is configured.
const SMALLEST_MAILBOX: usize = 256;

/// The downstream side.
#[derive(Debug)]
pub(super) enum Downstream {
    /// The client is there. → `Detached` when its dialog or its own connection ends, `Finished` when it signs out.
    ///
    /// While the front end that it comes through has no connection, what is for it waits in the channel; → `Finished` when
    /// that lasts too long.
    Attached(Box<Channel>),
    /// The client is gone, its rooms are kept. → `Attached` when it comes back, `Finished` at `until`, or at once when it
    /// has no rooms to come back to.
    Detached {
        since: Instant,
        until: Instant,
        /// What waits for the client, while its connection is there: on it, it comes back to windows that are still open,
        /// and asks for no history.
        kept: Option<Queue>,
    },
    /// Over. No way back.
    Finished,
}

/// One session. See the module's documentation for how to drive it.
#[derive(Debug)]
pub struct SessionCore {
    pub(super) settings: Arc<SessionSettings>,
    pub(super) user: UserUri,
    pub(super) downstream: Downstream,
    /// The connection the client is on, or was on last.
    pub(super) connection: Option<ConnectionNumber>,
    /// The client's own connection: `connection`, or the one that it has to its front end.
    pub(super) client: ClientNumber,
    /// Whether `connection` is still there: it may outlive the dialog.
    pub(super) is_connected: bool,
    /// Until when a front end whose connection broke is waited for.
    pub(super) stranded_until: Option<Instant>,
    pub(super) rooms: Rooms,
    pub(super) legs: Vec<Leg>,
    /// Number of the next document to a pool, which is its envelope id too. Never used twice, so that what a pool says
    /// late, and perhaps on another leg, is not taken for the answer to something else.
    pub(super) next: u64,
    pub(super) commands: Vec<PendingCommand>,
    pub(super) posts: Vec<PendingPost>,
    /// Commands that were split over several pools.
    pub(super) gathers: Gathers,
    /// What was delivered last of each room, to find what a lost leg missed.
    pub(super) tracks: Tracks,
    /// Numbers of the histories that were asked for last, and answered or given up.
    pub(super) looked_back: VecDeque<u64>,
    /// Rooms that wait to be parted at their pools.
    pub(super) leaving: Vec<Target>,
    /// When rooms that a returned client has not asked for again are given up.
    pub(super) claim_by: Option<Instant>,
    /// What a second pool was asked too.
    pub(super) shadows: Shadows,
    /// Rules whose notice the user was shown in this sign-in.
    pub(super) noticed: Vec<RuleName>,
    /// By which version of rules and directory the open rooms are where they are.
    pub(super) version: u64,
    /// When it was decided that the user may post in some of them.
    pub(super) posting_since: Option<Moment>,
    /// Holdover shuts down: the session ends with its last post that waits for a receipt.
    is_draining: bool,
    pub(super) outputs: VecDeque<Output>,
}

impl SessionCore {
    /// A session that waits for its client to [attach](Self::attach).
    #[must_use]
    pub fn new(now: Instant, user: UserUri, settings: Arc<SessionSettings>) -> Self {
        let until = now + settings.grace;
        Self {
            settings,
            user,
            downstream: Downstream::Detached {
                since: until,
                until,
                kept: None,
            },
            connection: None,
            client: ClientNumber(0),
            is_connected: false,
            stranded_until: None,
            rooms: Rooms::default(),
            legs: Vec::new(),
            next: 1,
            commands: Vec::new(),
            posts: Vec::new(),
            gathers: Gathers::default(),
            tracks: Tracks::default(),
            looked_back: VecDeque::new(),
            leaving: Vec::new(),
            claim_by: None,
            shadows: Shadows::default(),
            noticed: Vec::new(),
            version: 0,
            posting_since: None,
            is_draining: false,
            outputs: VecDeque::new(),
        }
    }

    /// The client is not what it was: rules may say something else of its network, listener or build. Where its rooms are is
    /// decided anew, by the next input that has [`Decisions`].
    pub fn handle_other_caller(&mut self) {
        self.version = 0;
        self.posting_since = None;
    }

    /// The client has a channel dialog; its INVITE is answered. A second dialog takes the place of the first. Before it comes
    /// [`Self::handle_other_caller`], if the client is not what it was.
    ///
    /// `branch` makes the branches of the session's requests unique.
    pub fn attach(&mut self, now: Instant, dialog: Dialog, attachment: &Attachment, branch: u64) {
        if self.is_finished() {
            return;
        }
        let resumed = self.connection.is_some();
        // On the connection it had, the client keeps its windows and asks for nothing (481 recovery); on a new one it
        // asks for the rooms it still shows with one bjoin (facts/sipe-client.md, Failures).
        let mut kept = match &mut self.downstream {
            Downstream::Attached(_) => self.end_dialog(),
            Downstream::Detached { kept, .. } => kept.take(),
            Downstream::Finished => None,
        };
        if resumed && self.client != attachment.client() {
            self.noticed = Vec::new();
            self.rooms.unclaim();
            self.forget_strays();
            self.tracks.let_go();
            kept = None;
        }
        self.claim_by = self
            .rooms
            .has_unclaimed()
            .then(|| now + self.settings.grace);
        // Rules may ask of the connection.
        self.posting_since = None;
        self.connection = Some(attachment.connection);
        self.client = attachment.client();
        self.is_connected = true;
        self.stranded_until = None;
        let heard_at = (attachment.way != Way::Own).then_some(now);
        let unread = kept.unwrap_or_default();
        let sent_by = attachment.sent_by.clone();
        let channel = Channel::new(dialog, sent_by, branch, heard_at, unread);
        self.downstream = Downstream::Attached(Box::new(channel));
        self.event(Event::Attached { resumed });
        self.flush(now);
    }

    /// A request inside the channel dialog.
    pub fn handle_downstream(
        &mut self,
        now: Instant,
        request: Box<Request>,
        decisions: &dyn Decisions,
    ) {
        if self.is_finished() {
            return;
        }
        self.follow(now, decisions);
        let channel = match &mut self.downstream {
            Downstream::Attached(channel) if channel.owns(request.headers()) => channel,
            _ => {
                let refused = answer::refuse(&request, Status::NO_SUCH_DIALOG, None, None);
                return self.respond(refused);
            }
        };
        channel.heard(now);
        match channel.accept_request(&request) {
            Ok(Incoming::New) => {}
            // A repetition: its answer is under way or was sent, and connections lose nothing. Or an ACK: there is
            // nothing to answer.
            Ok(Incoming::Retransmission | Incoming::Uncounted) => return,
            Err(fault) => return self.respond(answer::fault(&request, &fault, None)),
        }
        match request.method() {
            Method::Info if self.is_draining => {
                let (status, text) = (
                    Status::SERVICE_UNAVAILABLE,
                    "The service is being restarted.",
                );
                self.respond(answer::refuse(&request, status, Some(text), None));
            }
            Method::Info => self.handle_info(now, request, decisions),
            Method::Bye => {
                self.respond(answer::ok(&request));
                self.detach(now);
            }
            Method::Update => {
                let refreshed = answer::refreshed(&request, self.settings.session_expires);
                self.respond(refreshed);
            }
            _ => self.respond(answer::not_allowed(&request)),
        }
        self.flush(now);
    }

    /// A response of the client. Only responses to INFO are expected.
    pub fn handle_response(&mut self, now: Instant, response: &Response) {
        let Downstream::Attached(channel) = &mut self.downstream else {
            return;
        };
        if response.status().is_provisional() || !channel.owns(response.headers()) {
            return;
        }
        channel.heard(now);
        match channel.answered(now, response, self.settings.info_timeout) {
            ClientVerdict::Next => self.flush(now),
            ClientVerdict::Refused(waiting) => {
                self.not_delivered(now, waiting, response.status());
                self.flush(now);
            }
            ClientVerdict::DialogGone => self.detach(now),
            ClientVerdict::Stray => {}
        }
    }

    /// The pool has something to say.
    pub fn handle_leg(
        &mut self,
        now: Instant,
        pool: PoolId,
        event: LegEvent,
        decisions: &dyn Decisions,
    ) {
        if !self.is_up(pool) {
            return;
        }
        match event {
            LegEvent::Receipt { id, receipt } => self.handle_receipt(now, pool, id, &receipt),
            LegEvent::Document(body) => self.handle_document(now, pool, body, decisions),
            LegEvent::Closed(reason) => {
                if reason == LegClosed::Unopened {
                    self.refuse_posts(pool);
                }
                self.handle_leg_closed(now, pool);
            }
        }
        self.follow(now, decisions);
        self.finish_input(now);
    }

    /// The client's connection is gone. Behind a front end the client may not know of it: its dialog waits for another.
    pub fn handle_connection_lost(&mut self, now: Instant, connection: ConnectionNumber) {
        if !self.is_on(connection) {
            return;
        }
        self.is_connected = false;
        match &mut self.downstream {
            Downstream::Attached(channel) if channel.is_behind_front_end() => {
                self.stranded_until = Some(now + self.settings.grace);
                self.event(Event::Detached);
            }
            // Behind a front end the client may come back on the connection that it has.
            Downstream::Detached { .. } if self.client != ClientNumber::of(connection) => {}
            Downstream::Detached { kept, .. } => {
                *kept = None;
                self.tracks.let_go();
            }
            Downstream::Attached(_) | Downstream::Finished => {
                self.tracks.let_go();
                self.detach(now);
            }
        }
    }

    /// The client comes through this connection of a front end now.
    pub fn handle_moved(&mut self, now: Instant, attachment: &Attachment) {
        if self.is_finished() {
            return;
        }
        self.connection = Some(attachment.connection);
        let was_connected = std::mem::replace(&mut self.is_connected, true);
        if let Downstream::Attached(channel) = &mut self.downstream {
            channel.move_to(attachment.sent_by.clone());
            if !was_connected {
                // Nobody knows what became of these. Whoever has one already knows it by its number and branch.
                let again = channel.unanswered(now).into_iter();
                self.outputs.extend(again.map(Output::Downstream));
                self.stranded_until = None;
                self.event(Event::Attached { resumed: true });
            }
        }
        self.flush(now);
    }

    /// What is for the client does not fit its front end's connection any more.
    pub fn handle_overflow(&mut self, now: Instant) {
        self.detach(now);
    }

    /// The user signed out: the rooms are parted at once.
    pub fn handle_signed_out(&mut self) {
        self.finish(FinishReason::SignedOut);
    }

    /// Too many sessions of the user wait for a client.
    pub fn handle_displaced(&mut self) {
        self.finish(FinishReason::Displaced);
    }

    /// Holdover shuts down: posts under way are waited for, nothing new is taken.
    pub fn handle_drain(&mut self) {
        self.is_draining = true;
        self.finish_drain();
    }

    /// Holdover is down: posts under way are reported unknown.
    pub fn handle_cut(&mut self) {
        self.finish(FinishReason::Drain);
    }

    /// Time has passed. Harmless when nothing is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &self.downstream {
            Downstream::Attached(_) if self.stranded_until.is_some() => {
                if self.stranded_until.is_some_and(|until| until <= now) {
                    return self.finish(FinishReason::GraceOver);
                }
            }
            Downstream::Attached(channel)
                if channel
                    .probe_at(self.longest_silence())
                    .is_some_and(|at| at <= now) =>
            {
                if let Downstream::Attached(channel) = &mut self.downstream {
                    let probe = channel.probe(now);
                    self.respond(probe);
                }
            }
            Downstream::Attached(channel) => {
                let silent = channel.deadline(self.settings.info_timeout);
                if silent.is_some_and(|deadline| deadline <= now) {
                    self.close_connection(now, CloseReason::Silent);
                }
            }
            Downstream::Detached { until, .. } if *until <= now => {
                return self.finish(FinishReason::GraceOver);
            }
            Downstream::Detached { .. } | Downstream::Finished => {}
        }
        let is_detached = !self.is_attached();
        if self.claim_by.is_some_and(|deadline| deadline <= now) {
            self.claim_by = None;
            let left = self.rooms.part_unclaimed();
            self.leave(now, left);
        }
        self.expire_posts(now);
        self.expire_gathers(now);
        self.expire_commands(now);
        self.retry_legs(now);
        self.tracks.wake(now);
        self.flush(now);
        // Only a session that had no client before may end: the task has claimed it.
        if is_detached && self.has_nothing_to_keep() {
            self.finish(FinishReason::NothingOpen);
        }
        self.finish_drain();
    }

    /// The next effect, in order; `None` when all are carried out.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.check_invariants();
        let output = self.outputs.pop_front();
        if output.is_none() {
            self.release();
        }
        output
    }

    /// When [`Self::handle_timeout`] has something to do, if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let downstream = match &self.downstream {
            Downstream::Attached(_) if self.stranded_until.is_some() => self.stranded_until,
            Downstream::Attached(channel) => [
                channel.deadline(self.settings.info_timeout),
                channel.probe_at(self.longest_silence()),
                channel.again_at(),
            ]
            .into_iter()
            .flatten()
            .min(),
            Downstream::Detached { since, .. } if self.has_nothing_to_keep() => Some(*since),
            Downstream::Detached { until, .. } => Some(*until),
            Downstream::Finished => return None,
        };
        [
            downstream,
            self.claim_by,
            self.legs_deadline(),
            self.gathers.deadline(),
            self.tracks.deadline(),
            self.posts.iter().map(|post| post.deadline).min(),
            self.commands.iter().map(|command| command.deadline).min(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The user.
    #[must_use]
    pub fn user(&self) -> &UserUri {
        &self.user
    }

    /// How many rooms the client has open.
    #[must_use]
    pub fn open_rooms(&self) -> usize {
        self.rooms.open()
    }

    /// Documents that wait for the client.
    #[must_use]
    pub fn queued(&self) -> usize {
        match &self.downstream {
            Downstream::Attached(channel) => channel.queue.len(),
            Downstream::Detached { kept, .. } => kept.as_ref().map_or(0, Queue::len),
            Downstream::Finished => 0,
        }
    }

    /// Whether a client is connected.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        matches!(self.downstream, Downstream::Attached(_))
    }

    /// Whether there is a connection to a client that has a dialog.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.is_attached() && self.is_connected
    }

    /// Whether the client is on this connection, or was on it last.
    #[must_use]
    pub fn is_on(&self, connection: ConnectionNumber) -> bool {
        self.connection == Some(connection)
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.downstream, Downstream::Finished)
    }

    /// How long a client behind a front end may say nothing: it is to refresh its session before.
    fn longest_silence(&self) -> Duration {
        Duration::from_secs(self.settings.session_expires.into())
    }

    // === Used by the handlers in the sibling modules ===

    /// Octets for the client, now: responses do not wait behind what is queued.
    pub(super) fn respond(&mut self, message: Bytes) {
        self.outputs.push_back(Output::Downstream(message));
    }

    /// Answers a request that had to wait, if the client still has the connection that it sent it on.
    pub(super) fn respond_late(&mut self, transaction: &ServerTransaction, message: Bytes) {
        if self.client != transaction.client {
            return;
        }
        if self.is_connected {
            self.respond(message);
        } else if let (Some(_), Downstream::Attached(channel)) =
            (self.stranded_until, &mut self.downstream)
        {
            channel.answer_later(message);
        }
    }

    /// The client's request, to be answered later.
    pub(super) fn transaction(&self, request: Box<Request>) -> ServerTransaction {
        ServerTransaction {
            client: self.client,
            request,
        }
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// What is done after every input that may have made outputs.
    pub(super) fn finish_input(&mut self, now: Instant) {
        self.flush(now);
        self.finish_drain();
    }

    // === Private ===

    /// Gives back what the last burst needed and nothing needs now: there are many sessions, and most of them are idle.
    fn release(&mut self) {
        self.outputs = VecDeque::new();
        if self.posts.is_empty() {
            self.posts = Vec::new();
        }
        if self.commands.is_empty() {
            self.commands = Vec::new();
        }
        if let Downstream::Attached(channel) = &mut self.downstream {
            channel.release();
        }
    }

    fn finish_drain(&mut self) {
        if self.is_draining && self.posts.is_empty() {
            self.finish(FinishReason::Drain);
        }
    }

    fn finish(&mut self, reason: FinishReason) {
        if self.is_finished() {
            return;
        }
        for post in std::mem::take(&mut self.posts) {
            self.report_unknown(post);
        }
        for leg in std::mem::take(&mut self.legs) {
            if matches!(leg.state, LegState::Up) {
                self.outputs.push_back(Output::CloseLeg(leg.pool));
            }
        }
        self.commands.clear();
        self.leaving.clear();
        self.gathers = Gathers::default();
        self.tracks = Tracks::default();
        self.rooms = Rooms::default();
        self.downstream = Downstream::Finished;
        self.outputs.push_back(Output::Finished(reason));
    }

    /// What a session holds is bounded, whatever its peers do.
    #[cfg(test)]
    pub(super) fn check_bounds(&self) {
        let rooms = self.rooms.len();
        let pools = self.legs.len();
        assert!(self.posts.len() <= 64, "{} posts", self.posts.len());
        // What the client asked, each for all pools at the most, and what a pool is asked on its own account.
        let bound = 64 + (pools + 1 + 4 + 16) * pools;
        assert!(
            self.leaving.len() <= 512,
            "{} rooms to part",
            self.leaving.len()
        );
        let commands = self.commands.len();
        assert!(commands <= bound, "{commands} commands");
        let gathers = self.gathers.len();
        assert!(gathers <= 64, "{gathers} split commands");
        let (tracks, held) = self.tracks.sizes();
        assert!(tracks <= rooms, "{tracks} tracks of {rooms} rooms");
        // A history of up to 500 messages comes on top for each that is asked for.
        let bound = self.settings.queue.messages + 5 * 500;
        assert!(held <= bound, "{held} held back");
    }

    fn check_invariants(&self) {
        if let Downstream::Attached(channel) = &self.downstream {
            channel.check_invariants(&self.settings.queue);
        }
        debug_assert!(!self.is_finished() || (self.legs.is_empty() && self.posts.is_empty()));
        debug_assert!(
            self.posts.iter().all(|post| self.is_up(post.pool)),
            "a post waits for a leg that is not there"
        );
    }
}
