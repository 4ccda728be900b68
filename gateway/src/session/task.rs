//! Drives a session core: one task per session owns both sides, carries out what the core wants, and keeps its clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use holdover_config::rules::Act;
use holdover_protocol::room::RoomUri;
use holdover_protocol::sip::dialog::Dialog;
use holdover_protocol::sip::{Method, Request, Response, Status};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::core::{SessionCore, SessionSettings};
use super::large::Large;
use super::output::{CloseReason, Event, FinishReason, Output};
use super::table::{Claim, SessionHandle, SessionTable};
use super::tell::Teller;
use crate::answer;
use crate::decide::{Decided, Target};
use crate::decision_log::{DecisionLog, Record, Verdict};
use crate::peer::{Attachment, Caller, ConnectionNumber, Endpoint, Way};
use crate::pool::{Leg, LegClosed, LegEvent, LegSink, Opening, PoolId, Pools};
use crate::queue::{self, TrySendError};
use crate::routing::Router;
use crate::shadow::{Differed, ShadowReport};
use crate::telemetry::{SessionId, Telemetry};
use crate::transport::Outgoing;

/// What can happen to a session.
#[derive(Debug)]
pub enum SessionInput {
    /// The client has a channel dialog on this connection.
    Attach(Box<Attach>),
    /// A request of the client inside the dialog.
    Request(Box<Request>),
    /// A response of the client inside the dialog.
    Response(Box<Response>),
    /// A leg has something to say. Boxed, as all inputs of any size are: a mailbox keeps room for 32 of them at the least,
    /// and most mailboxes are empty.
    Leg(Box<LegInput>),
    /// The client comes through this connection of its front end now.
    Moved(Box<Moved>),
    /// The connection with this number is gone.
    ConnectionLost(ConnectionNumber),
    /// The user signed out on the connection with this number.
    SignedOut(ConnectionNumber),
    /// Rules or directory changed.
    DecisionsChanged,
    /// The user has too many sessions without a client; whoever sends this has claimed it.
    Displaced,
    /// Holdover shuts down: nothing new, and what is under way is finished.
    Drain,
    /// Holdover is down: what is under way is finished now.
    Cut,
}

/// What a leg has to say.
#[derive(Debug)]
pub struct LegInput {
    /// Its pool.
    pub pool: PoolId,
    /// Which of the legs to this pool: events of one that was closed are late.
    pub epoch: u32,
    /// What.
    pub event: LegEvent,
}

/// A client's channel dialog and the way to its connection.
#[derive(Debug)]
pub struct Attach {
    /// The dialog; its INVITE is answered.
    pub dialog: Box<Dialog>,
    /// The connection as the core needs to know it.
    pub attachment: Attachment,
    /// Makes branches unique.
    pub branch: u64,
    /// The way to it.
    pub connection: ConnectionHandle,
    /// What rules may ask of it.
    pub caller: Caller,
}

/// Another connection of a client's front end.
#[derive(Debug)]
pub struct Moved {
    /// The connection as the core needs to know it.
    pub attachment: Attachment,
    /// The way to it.
    pub connection: ConnectionHandle,
}

/// The way to a connection's writer.
#[derive(Clone, Debug)]
pub struct ConnectionHandle {
    /// Messages to write, bounded.
    pub(crate) outbound: queue::Sender<Outgoing>,
    /// Cancelled to close the connection. `None`: it is a front end's, and others are on it.
    pub close: Option<CancellationToken>,
    /// The client's address.
    pub peer: SocketAddr,
}

/// What all session tasks share.
pub struct SessionContext {
    /// Settings of the core, for new sessions.
    pub settings: ArcSwap<SessionSettings>,
    /// Where rooms are.
    pub router: Arc<Router>,
    /// What was decided last.
    pub decided: Arc<DecisionLog>,
    /// What came of asking second pools.
    pub shadow: Arc<ShadowReport>,
    /// The pools.
    pub pools: Arc<Pools>,
    /// All sessions.
    pub table: SessionTable,
    /// Where sessions tell what they do.
    pub telemetry: Telemetry,
    /// How many large inputs may be worked on at a time.
    pub large: Large,
}

/// Gives a client's channel dialog to the session that waits for it, or to a new one.
///
/// Returns the session's handle; the connection keeps it as long as the dialog lives.
pub fn attach(
    context: &Arc<SessionContext>,
    endpoint: Endpoint,
    attach: Box<Attach>,
) -> Arc<SessionHandle> {
    let mut attach = attach;
    let waiting = match attach.attachment.way {
        Way::Own => context.table.claim(&endpoint),
        Way::FrontEnd { .. } => context.table.take(&endpoint),
    };
    if let Some(claim) = waiting {
        match claim.attach(attach) {
            Ok(session) => return session,
            // The client gets a fresh one.
            Err(unsent) => attach = unsent,
        }
    }
    let settings = context.settings.load_full();
    let (mailbox, inbox) = queue::bounded(settings.mailbox());
    let core = SessionCore::new(Instant::now(), endpoint.user.clone(), settings);
    let handle = context.table.insert(endpoint, mailbox);
    let teller = Teller::open(
        context.telemetry.clone(),
        SessionId(handle.id),
        core.user().clone(),
        attach.connection.peer,
        attach.dialog.call_id(),
    );
    let task = Task {
        core,
        teller,
        caller: attach.caller.clone(),
        context: Arc::clone(context),
        handle: Arc::clone(&handle),
        connection: None,
        legs: Vec::new(),
        epoch: 0,
        finished: None,
    };
    tokio::spawn(task.run(inbox, attach));
    if context.table.is_draining() {
        handle.tell(SessionInput::Drain);
    }
    handle
}

/// A leg that is open.
struct OpenLeg {
    pool: PoolId,
    epoch: u32,
    leg: Leg,
    overflowed: Arc<AtomicBool>,
}

struct Task {
    core: SessionCore,
    teller: Teller,
    caller: Caller,
    context: Arc<SessionContext>,
    handle: Arc<SessionHandle>,
    connection: Option<ConnectionHandle>,
    legs: Vec<OpenLeg>,
    epoch: u32,
    /// Why it is over, once it is.
    finished: Option<FinishReason>,
}

impl Drop for Task {
    /// Leaves nothing behind that says there is a session, also after a panic.
    fn drop(&mut self) {
        self.context.table.remove(&self.handle);
        let panicked = std::thread::panicking();
        if panicked && let Some(close) = self.connection.as_ref().and_then(|it| it.close.as_ref()) {
            close.cancel();
        }
        self.teller.close(match self.finished {
            Some(reason) => reason,
            None if panicked => FinishReason::Panicked,
            None => FinishReason::Drain,
        });
    }
}

impl Task {
    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` holds its arguments a second time, and there is one for each session"
    )]
    fn run(
        mut self,
        mut inbox: queue::Receiver<SessionInput>,
        first: Box<Attach>,
    ) -> impl Future<Output = ()> + Send {
        async move {
            self.handle_input(SessionInput::Attach(first));
            self.finished = self.carry_out();
            while self.finished.is_none() {
                match self.core.poll_timeout() {
                    Some(deadline) if deadline <= Instant::now() => {
                        self.handle_timeout(&mut inbox).await;
                    }
                    Some(deadline) => {
                        // A busy session never asks the timer: its wheel has a lock that all sessions share.
                        tokio::select! {
                            biased;
                            input = inbox.recv() => {
                                let Some(input) = input else { break };
                                self.take_input(input).await;
                            }
                            () = tokio::time::sleep_until(deadline.into()) => {
                                self.handle_timeout(&mut inbox).await;
                            }
                        }
                    }
                    None => {
                        let Some(input) = inbox.recv().await else {
                            break;
                        };
                        self.take_input(input).await;
                    }
                }
                self.finished = self.carry_out();
            }
            self.context.table.remove(&self.handle);
            self.refuse_the_rest(&mut inbox);
        }
    }

    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` holds its arguments a second time, and there is one for each session"
    )]
    fn take_input(&mut self, input: SessionInput) -> impl Future<Output = ()> + Send {
        async move {
            if Large::is(&input) {
                let context = Arc::clone(&self.context);
                // Boxed: most inputs are small.
                Box::pin(context.large.run(|| self.handle_input(input))).await;
            } else {
                self.handle_input(input);
            }
        }
    }

    /// Answers what came while the session ended: its client may still be on the connection.
    fn refuse_the_rest(&self, inbox: &mut queue::Receiver<SessionInput>) {
        inbox.close();
        while let Some(input) = inbox.try_recv() {
            if let SessionInput::Request(request) = input
                && *request.method() != Method::Ack
                && let Some(connection) = &self.connection
            {
                let refused = answer::refuse(&request, Status::NO_SUCH_DIALOG, None, None);
                let _gone = connection.outbound.try_send(refused.into());
            }
        }
    }

    /// Tells the core that time has passed. That can end a session without a client, so it is claimed first: where a
    /// client was faster, its dialog is in the mailbox or about to be, and comes first.
    async fn handle_timeout(&mut self, inbox: &mut queue::Receiver<SessionInput>) {
        let mut claim = None;
        if !self.core.is_reachable() {
            claim = Claim::waiting(&self.handle);
            if claim.is_none() {
                if let Some(input) = inbox.recv().await {
                    self.handle_input(input);
                }
                return;
            }
        }
        self.core.handle_timeout(Instant::now());
        if self.core.is_finished() {
            claim.map(Claim::keep);
        }
    }

    fn handle_input(&mut self, input: SessionInput) {
        let now = Instant::now();
        let decisions = self
            .context
            .router
            .decisions(&self.caller, Timestamp::now());
        match input {
            SessionInput::Attach(attach) => {
                // It may have been given back since this was sent.
                self.handle.set_attached(true);
                let Attach {
                    dialog,
                    attachment,
                    branch,
                    connection,
                    caller,
                } = *attach;
                drop(decisions);
                if self.caller != caller {
                    self.caller = caller;
                    self.core.handle_other_caller();
                }
                self.teller.moved(connection.peer);
                self.connection = Some(connection);
                self.core.attach(now, *dialog, &attachment, branch);
            }
            SessionInput::Moved(moved) => {
                self.teller.moved(moved.connection.peer);
                self.connection = Some(moved.connection);
                self.core.handle_moved(now, &moved.attachment);
                if self.core.is_reachable() {
                    self.handle.set_attached(true);
                }
            }
            SessionInput::Request(request) => {
                self.core.handle_downstream(now, request, &decisions);
            }
            SessionInput::Response(response) => self.core.handle_response(now, &response),
            SessionInput::Leg(input) => {
                let LegInput { pool, epoch, event } = *input;
                let closed = match event {
                    LegEvent::Closed(reason) => Some(reason),
                    LegEvent::Receipt { .. } | LegEvent::Document(_) => None,
                };
                if self
                    .legs
                    .iter()
                    .any(|leg| leg.pool == pool && leg.epoch == epoch)
                {
                    self.core.handle_leg(now, pool, event, &decisions);
                    drop(decisions);
                    if let Some(reason) = closed {
                        self.drop_leg(pool, Some(reason));
                    }
                }
            }
            SessionInput::ConnectionLost(number) => {
                if self.core.is_on(number) {
                    self.connection = None;
                }
                self.core.handle_connection_lost(now, number);
            }
            // The session may have gone over to another connection of the same endpoint since.
            SessionInput::SignedOut(number) => {
                if self.core.is_on(number) {
                    self.core.handle_signed_out();
                }
            }
            SessionInput::DecisionsChanged => {
                self.core.handle_decisions_changed(now, &decisions);
            }
            SessionInput::Displaced => self.core.handle_displaced(),
            SessionInput::Drain => self.core.handle_drain(),
            SessionInput::Cut => self.core.handle_cut(),
        }
    }

    /// Ends the legs whose events did not fit. The mailbox was full then, so there is an input after which this is
    /// called.
    fn end_overflowed(&mut self) {
        let overflowed = |leg: &&OpenLeg| leg.overflowed.load(Ordering::Acquire);
        while let Some(pool) = self.legs.iter().find(overflowed).map(|leg| leg.pool) {
            self.end_leg(pool, LegClosed::Overflow);
        }
    }

    fn end_leg(&mut self, pool: PoolId, reason: LegClosed) {
        self.drop_leg(pool, Some(reason));
        let decisions = self
            .context
            .router
            .decisions(&self.caller, Timestamp::now());
        let closed = LegEvent::Closed(reason);
        self.core
            .handle_leg(Instant::now(), pool, closed, &decisions);
    }

    /// Carries out what the core wants. Returns why the session is over, once it is.
    fn carry_out(&mut self) -> Option<FinishReason> {
        self.end_overflowed();
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Downstream(message) => {
                    let connection = self.connection.as_ref();
                    match connection.map(|to| to.outbound.try_send(message.into())) {
                        None | Some(Ok(())) => {}
                        Some(Err(TrySendError::Full(_))) => {
                            let queued = self.core.queued();
                            self.close_connection(CloseReason::Slow { queued });
                        }
                        // The connection is gone, and what says so is in the mailbox.
                        Some(Err(TrySendError::Closed(_))) => self.connection = None,
                    }
                }
                Output::CloseConnection(reason) => self.close_connection(reason),
                Output::OpenLeg(pool, why) => self.open_leg(pool, why),
                Output::Send { pool, id, body } => {
                    let leg = self.legs.iter().find(|leg| leg.pool == pool);
                    let sent =
                        leg.map_or(Err(LegClosed::Unreachable), |leg| leg.leg.send(id, body));
                    if let Err(reason) = sent {
                        self.end_leg(pool, reason);
                    }
                }
                Output::CloseLeg(pool) => self.drop_leg(pool, None),
                Output::Event(Event::Decided {
                    act,
                    legacy,
                    decided,
                }) => self.record(act, legacy, *decided),
                Output::Event(Event::Compared {
                    verb,
                    legacy,
                    pool,
                    rule,
                    difference,
                }) => {
                    let user = self.core.user().clone();
                    let Some(pool) = self.context.pools.name(pool).cloned() else {
                        continue;
                    };
                    self.teller
                        .compared(&verb, &legacy, &pool, &rule, difference);
                    match difference {
                        None => self.context.shadow.agreed(&rule),
                        Some(difference) => self.context.shadow.differed(Differed {
                            at: Timestamp::now(),
                            user,
                            command: verb.token().into(),
                            room: legacy,
                            pool,
                            rule,
                            difference,
                        }),
                    }
                }
                Output::Event(event) => {
                    // The connection may live on: what is sent in the dialog that is gone must be answered 481.
                    if event == Event::Detached {
                        self.handle.set_attached(false);
                        // One that has nothing to keep ends by itself at once.
                        if !self.core.has_nothing_to_keep() {
                            self.context.table.displace(&self.handle.endpoint.user);
                        }
                    }
                    let grace = self.context.settings.load().grace;
                    self.teller.event(event, &self.context.pools, grace);
                }
                Output::Finished(reason) => return Some(reason),
            }
        }
        None
    }

    /// Puts a decision on the record.
    fn record(&self, act: Act, legacy: Option<RoomUri>, decided: Decided<Option<Target>>) {
        let outcome = match decided.outcome {
            Ok(target) => {
                let (pool, migrated) = target.map(|target| (target.pool, target.migrated)).unzip();
                Verdict::Allowed {
                    pool: pool.and_then(|pool| self.context.pools.name(pool).cloned()),
                    migrated,
                }
            }
            Err(refusal) => Verdict::Refused {
                reason: refusal.reason,
                text: refusal.text,
            },
        };
        let caller = self.caller.clone();
        let record = Record {
            at: Timestamp::now(),
            user: caller.user,
            network: caller.network,
            listener: caller.listener,
            client: caller.client,
            act,
            room: legacy,
            outcome,
            rule: decided.rule.as_deref().map(Into::into),
            generation: decided.generation,
        };
        self.context.decided.record(&self.context.telemetry, record);
    }

    fn open_leg(&mut self, pool: PoolId, why: Opening) {
        self.epoch = self.epoch.wrapping_add(1);
        let epoch = self.epoch;
        let overflowed = Arc::new(AtomicBool::new(false));
        let sink = MailboxSink {
            pool,
            epoch,
            mailbox: self.handle.mailbox().downgrade(),
            overflowed: Arc::clone(&overflowed),
        };
        let user = self.core.user().clone();
        let opened = self.context.pools.open_leg(pool, user, Arc::new(sink), why);
        match opened {
            Ok(leg) => {
                self.teller.leg_opened(pool, &self.context.pools);
                self.legs.push(OpenLeg {
                    pool,
                    epoch,
                    leg,
                    overflowed,
                });
            }
            Err(_) => self.end_leg(pool, LegClosed::Unopened),
        }
    }

    fn drop_leg(&mut self, pool: PoolId, reason: Option<LegClosed>) {
        let before = self.legs.len();
        self.legs.retain(|leg| leg.pool != pool);
        if self.legs.len() < before {
            self.teller.leg_closed(pool, &self.context.pools, reason);
        }
    }

    /// Makes the client start over. Behind a front end it does when its next request finds no dialog.
    fn close_connection(&mut self, reason: CloseReason) {
        let Some(connection) = &self.connection else {
            return;
        };
        self.teller.closing_connection(reason);
        match &connection.close {
            Some(close) => {
                close.cancel();
                self.connection = None;
            }
            None => self.core.handle_overflow(Instant::now()),
        }
    }
}

/// Where a leg's events go: the session's mailbox. Weak, so that a pool keeps no session alive.
#[derive(Debug)]
struct MailboxSink {
    pool: PoolId,
    epoch: u32,
    mailbox: queue::WeakSender<SessionInput>,
    /// Set when an event did not fit: a full mailbox cannot be told so by another event.
    overflowed: Arc<AtomicBool>,
}

impl LegSink for MailboxSink {
    fn deliver(&self, event: LegEvent) -> Result<(), LegClosed> {
        let Some(mailbox) = self.mailbox.upgrade() else {
            return Err(LegClosed::Overflow);
        };
        let Self { pool, epoch, .. } = *self;
        let send = |event| {
            let input = Box::new(LegInput { pool, epoch, event });
            mailbox.try_send(SessionInput::Leg(input))
        };
        if send(event).is_ok() {
            return Ok(());
        }
        self.overflowed.store(true, Ordering::Release);
        // The session may have emptied its mailbox before the mark was set; then this wakes it. Where it does not fit
        // either, something is before it that will.
        let _full = send(LegEvent::Closed(LegClosed::Overflow));
        Err(LegClosed::Overflow)
    }
}

#[cfg(test)]
impl SessionContext {
    /// Without pools, for tests: sessions that decide by this router.
    pub(crate) fn of(router: Router) -> Arc<Self> {
        use std::time::Duration;

        use crate::session::QueueLimits;

        Arc::new(Self {
            settings: ArcSwap::from_pointee(SessionSettings {
                channel_uri: "sip:channel@contoso.com".into(),
                session_expires: 1800,
                queue: QueueLimits {
                    messages: 16,
                    bytes: 10_000,
                    outstanding: 1,
                },
                info_timeout: Duration::from_secs(32),
                pool_timeout: Duration::from_secs(32),
                split_timeout: Duration::from_millis(800),
                rooms_per_command: 1_000,
                rooms_per_session: 1_000,
                grace: Duration::from_secs(60),
                xccos: holdover_protocol::xccos::Limits::default(),
            }),
            router: Arc::new(router),
            decided: Arc::default(),
            shadow: Arc::default(),
            pools: Arc::new(Pools::new(Vec::new())),
            table: SessionTable::default(),
            telemetry: Telemetry::new(),
            large: Large::default(),
        })
    }
}

#[cfg(test)]
mod tests;
