//! A connection that is up: octets to legs and back.
//!
//! Legs are found by the tag they have in all their dialogs, which says their number. What is to be written is bounded:
//! beyond a little the link takes no more documents, beyond much it stops reading, and a server that takes nothing for long
//! loses the connection.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use holdover_protocol::sip::{Fault, Message, Method, Request, Response, Status};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::ping::{Due, Ping, Verdict};
use super::{Command, Common, Gate, LinkHandle, LinkState, Rejoining, lost, refuse};
use crate::answer;
use crate::pool::sip::dial::{DialError, Dialled, host};
use crate::pool::sip::leg::{Context, LegCore, Output};
use crate::pool::sip::servers::Server;
use crate::pool::sip::understood;
use crate::pool::{LegClosed, LegEvent, LegSink};
use crate::random::Random;
use crate::telemetry::events::pool::{LegRefused, PoolFault, ServerLoss};
use crate::telemetry::{Detail, Emit as _};
use crate::transport::tls::in_words;
use crate::transport::tls::upstream::pool_failure_of;
use crate::transport::{Driver, Incoming, Progress, now};

/// Octets waiting to be written beyond which no more documents are taken from sessions.
const FULL: usize = 1 << 20;

/// Octets waiting to be written beyond which nothing is read either.
const CHOKED: usize = 4 << 20;

/// How long a server may take nothing of what is written.
const STALL: Duration = Duration::from_secs(10);

/// Commands taken before the network has its turn again.
const BATCH: usize = 64;

/// How a connection ended.
pub(super) enum Ended {
    Shutdown,
    /// The server is retired, and no leg is left.
    Retired,
    Lost(DialError),
}

struct Leg {
    core: LegCore,
    sink: Arc<dyn LegSink>,
    gate: Arc<Gate>,
    user: holdover_protocol::user::UserUri,
    /// Given back by the first that is delivered.
    rejoining: Option<Rejoining>,
    /// When it stands in `timers`. It may be earlier than needed: then it is woken once for nothing, which is cheaper than
    /// to move it with each message.
    armed: Option<Instant>,
}

/// See the module's text.
pub(super) struct Connection<S> {
    context: Arc<Context>,
    common: Arc<Common>,
    handle: Arc<LinkHandle>,
    server: Arc<Server>,
    random: Random,
    octets: Driver<S>,
    /// Boxed: the map has room for more than there are.
    legs: HashMap<u64, Box<Leg>>,
    timers: BTreeSet<(Instant, u64)>,
    ping: Ping,
    proved: bool,
}

enum Step {
    Shutdown,
    Retired,
    Octets(Progress),
    Command(Option<Command>),
    Timeout,
}

impl<S: AsyncRead + AsyncWrite> Connection<S> {
    pub(super) fn new(
        now: Instant,
        dialled: Dialled<S>,
        handle: Arc<LinkHandle>,
        server: Arc<Server>,
        common: Arc<Common>,
        seed: u64,
    ) -> Self {
        let mut random = Random::new(seed);
        let address = host(dialled.local.ip());
        let context = Context {
            settings: common.legs.load_full(),
            transport: dialled.transport,
            sent_by: format!("{address}:{}", dialled.local.port()).into(),
            address: address.trim_matches(['[', ']']).into(),
        };
        Self {
            ping: Ping::new(
                now,
                common.ping,
                &common.own_uri,
                &common.legs.load().uri,
                random.draw(),
            ),
            context: Arc::new(context),
            octets: Driver::busy(dialled.stream, **common.limits.load()),
            common,
            handle,
            server,
            random,
            legs: HashMap::new(),
            timers: BTreeSet::new(),
            proved: false,
        }
    }

    /// Whether what sessions want is looked at: not while the first proof is waited for, nor while much is to be written.
    fn takes_commands(&self) -> bool {
        match self.handle.stage() {
            LinkState::Connecting => false,
            LinkState::Ready => self.octets.unsent() < FULL,
            LinkState::Down => true,
        }
    }

    /// Whether the server gave a sign of life on it.
    pub(super) fn is_proved(&self) -> bool {
        self.proved
    }

    /// Carries legs until the connection is lost or the pool shuts down. Every leg's end is told then.
    pub(super) async fn run(&mut self, inbox: &mut mpsc::UnboundedReceiver<Command>) -> Ended {
        let shutdown = self.common.shutdown.clone();
        let retired = self.server.retired().clone();
        if self.ping.is_wanted() {
            self.ask(now());
        } else {
            self.prove();
        }
        let ended = loop {
            let deadline = self.poll_timeout();
            let reads = self.octets.unsent() < CHOKED;
            let step = tokio::select! {
                () = shutdown.cancelled() => Step::Shutdown,
                () = retired.cancelled(), if self.legs.is_empty() => Step::Retired,
                progress = self.octets.next(reads) => Step::Octets(progress),
                command = inbox.recv(), if self.takes_commands() => {
                    Step::Command(command)
                }
                () = tokio::time::sleep_until(deadline.into()) => Step::Timeout,
            };
            let now = now();
            let ended = match step {
                // No handle is left: nobody can want anything of this pool any more.
                Step::Shutdown | Step::Command(None) => Some(Ended::Shutdown),
                Step::Retired => Some(Ended::Retired),
                Step::Octets(Progress::Written) => None,
                Step::Octets(Progress::Read) => {
                    self.ping.heard(now);
                    self.decode(now)
                }
                Step::Octets(Progress::Closed) => {
                    Some(lost(ServerLoss::Closed, "the server closed the connection"))
                }
                Step::Octets(Progress::Failed(error)) => Some(network(error)),
                Step::Command(Some(command)) => {
                    self.command(now, command);
                    for _ in 1..BATCH {
                        let Ok(command) = inbox.try_recv() else { break };
                        self.command(now, command);
                    }
                    None
                }
                Step::Timeout => self.handle_timeout(now),
            };
            if let Some(ended) = ended {
                break ended;
            }
        };
        self.handle.set_stage(LinkState::Down);
        let now = now();
        let orderly = !matches!(ended, Ended::Lost(_));
        let mut numbers: Vec<u64> = self.legs.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            if let Some(leg) = self.legs.get_mut(&number) {
                if orderly {
                    leg.core.give_up(now, LegClosed::Pool);
                } else {
                    leg.core.lost(now);
                }
            }
            self.carry_out(now, number);
        }
        self.handle
            .legs
            .fetch_sub(self.legs.len(), Ordering::Relaxed);
        self.legs.clear();
        if orderly {
            self.octets.finish().await;
        }
        ended
    }

    fn poll_timeout(&self) -> Instant {
        let mut deadline = self.ping.poll_timeout();
        let others = [
            self.timers.first().map(|&(due, _)| due),
            self.octets.stalls_at(STALL),
            // A question that is open answers for the ejection as well.
            self.server
                .ejected_until()
                .filter(|_| self.proved && !self.ping.is_open()),
        ];
        for other in others.into_iter().flatten() {
            deadline = deadline.min(other);
        }
        deadline
    }

    fn handle_timeout(&mut self, now: Instant) -> Option<Ended> {
        if self.octets.stalls_at(STALL).is_some_and(|at| at <= now) {
            return Some(lost(
                ServerLoss::Stalled,
                "the server takes nothing of what is sent to it",
            ));
        }
        match self.ping.due(now) {
            Some(Due::Silent) => {
                return Some(lost(
                    ServerLoss::Silent,
                    "the server did not answer a sign of life",
                ));
            }
            Some(Due::Ask) => self.ask(now),
            Some(Due::KeepAlive) => {
                self.octets.ping(b"\r\n\r\n");
                self.ping.kept_alive(now);
            }
            None => {}
        }
        let half_open = self
            .server
            .ejected_until()
            .is_some_and(|until| until <= now);
        if half_open && self.proved && !self.ping.is_open() {
            if self.ping.is_wanted() {
                self.ask(now);
            } else {
                self.server.proved(&self.common);
            }
        }
        while let Some(&(due, number)) = self.timers.first()
            && due <= now
        {
            self.timers.remove(&(due, number));
            if let Some(leg) = self.legs.get_mut(&number) {
                leg.armed = None;
                leg.core.handle_timeout(now);
            }
            self.carry_out(now, number);
        }
        None
    }

    fn ask(&mut self, now: Instant) {
        let unique = self.random.draw();
        let question = self.ping.ask(now, &self.context, unique);
        self.octets.send(question);
    }

    fn prove(&mut self) {
        self.proved = true;
        self.handle.set_stage(LinkState::Ready);
        self.server.connected(&self.common);
    }

    fn command(&mut self, now: Instant, command: Command) {
        if !self.proved {
            return refuse(command, &self.handle);
        }
        match command {
            Command::Open {
                leg: number,
                user,
                sink,
                gate,
                rejoining,
            } => {
                let context = Arc::clone(&self.context);
                let seed = self.random.draw();
                let core = LegCore::new(now, context, user.clone(), number, seed);
                let leg = Leg {
                    core,
                    sink,
                    gate,
                    user,
                    rejoining,
                    armed: None,
                };
                self.legs.insert(number, Box::new(leg));
                self.handle.legs.fetch_add(1, Ordering::Relaxed);
                self.carry_out(now, number);
            }
            Command::Send {
                leg: number,
                id,
                document,
                gate,
            } => {
                self.handle.taken(&document, &gate);
                let Some(leg) = self.legs.get_mut(&number) else {
                    return;
                };
                if let Err(reason) = leg.core.send(now, id, document) {
                    leg.core.give_up(now, reason);
                }
                self.carry_out(now, number);
            }
            Command::Close { leg: number } => {
                if let Some(leg) = self.legs.get_mut(&number) {
                    leg.rejoining = None;
                    leg.core.close(now);
                }
                self.carry_out(now, number);
            }
        }
    }

    /// Takes what was read apart.
    fn decode(&mut self, now: Instant) -> Option<Ended> {
        while let Some(incoming) = self.octets.decode() {
            match incoming {
                Incoming::Message(Message::Request(request)) => self.request(now, &request),
                Incoming::Message(Message::Response(response)) => {
                    if let Some(ended) = self.response(now, &response) {
                        return Some(ended);
                    }
                }
                Incoming::Fault {
                    message,
                    fault,
                    is_fatal,
                } => {
                    self.fault(message.as_ref(), &fault);
                    if is_fatal {
                        return Some(lost(ServerLoss::Fault, fault));
                    }
                }
            }
        }
        None
    }

    fn fault(&mut self, message: Option<&Message>, fault: &Fault) {
        let tag = self.own_tag();
        if let Some(answer) =
            message.and_then(|message| fault.answer(message, &tag, understood::UAS.methods))
        {
            self.octets.send(answer);
        }
        PoolFault {
            pool: self.common.pool.clone(),
            server: self.server.detail(),
            error: Detail::new(fault),
        }
        .emit(&self.common.telemetry);
    }

    fn request(&mut self, now: Instant, request: &Request) {
        let to_tag = request.headers().to().ok().and_then(|to| to.tag());
        let number = to_tag.and_then(LegCore::number_in);
        if let Some(number) = number
            && let Some(leg) = self.legs.get_mut(&number)
        {
            leg.core.handle_request(now, request);
            return self.carry_out(now, number);
        }
        let tag = self.own_tag();
        let answer = match request.method() {
            Method::Ack => return,
            _ if to_tag.is_some() => answer::plain(request, Status::NO_SUCH_DIALOG, None),
            Method::Options => understood::options(request, Some(&tag)),
            // RFC 3261 §8.2.1 for what is unknown; nothing but OPTIONS makes sense outside of a dialog.
            _ => match understood::OUTSIDE.check(request) {
                Err(fault) => answer::fault(request, &fault, Some(&tag)),
                Ok(()) => answer::plain(request, Status::NO_SUCH_DIALOG, Some(&tag)),
            },
        };
        self.octets.send(answer);
    }

    fn response(&mut self, now: Instant, response: &Response) -> Option<Ended> {
        let from = response.headers().from();
        let tag = from.ok().and_then(|from| from.tag())?;
        match LegCore::number_in(tag)? {
            0 => match self.ping.answered(response)? {
                Verdict::Alive if self.proved => self.server.proved(&self.common),
                Verdict::Alive => self.prove(),
                Verdict::Failing(_) if self.proved => self.server.disproved(&self.common),
                Verdict::Failing(status) => {
                    let said = format!("the server answers {status} {}", status.phrase());
                    return Some(lost(ServerLoss::Refused, said));
                }
            },
            number => {
                if let Some(leg) = self.legs.get_mut(&number) {
                    leg.core.handle_response(now, response);
                }
                self.carry_out(now, number);
            }
        }
        None
    }

    /// Carries out what a leg wants.
    fn carry_out(&mut self, now: Instant, number: u64) {
        let Some(leg) = self.legs.get_mut(&number) else {
            return;
        };
        while let Some(output) = leg.core.poll_output() {
            match output {
                Output::Send(message) => {
                    // Neither a response nor an ACK is answered.
                    if !message.starts_with(b"SIP/2.0") && !message.starts_with(b"ACK ") {
                        self.ping.sent(now);
                    }
                    self.octets.send(message);
                }
                Output::Deliver(event) => {
                    leg.rejoining = None;
                    let is_last = matches!(event, LegEvent::Closed(_));
                    if leg.sink.deliver(event).is_err() && !is_last {
                        leg.gate.overflowed.store(true, Ordering::Relaxed);
                        leg.core.close(now);
                    }
                }
                Output::Saw(sign) => self.server.saw(&self.common, sign),
                Output::Refused(status) => LegRefused {
                    user: leg.user.clone(),
                    pool: self.common.pool.clone(),
                    server: self.server.detail(),
                    status: status.code(),
                }
                .emit(&self.common.telemetry),
            }
        }
        if leg.core.is_over() {
            if let Some(armed) = leg.armed {
                self.timers.remove(&(armed, number));
            }
            self.legs.remove(&number);
            self.handle.legs.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        if let Some(due) = leg.core.poll_timeout()
            && leg.armed.is_none_or(|armed| due < armed)
        {
            if let Some(armed) = leg.armed.replace(due) {
                self.timers.remove(&(armed, number));
            }
            self.timers.insert((due, number));
        }
    }

    /// A tag for answers outside of all legs' dialogs.
    fn own_tag(&mut self) -> String {
        format!("{:016x}", self.random.draw())
    }
}

fn network(error: io::Error) -> Ended {
    let tls = pool_failure_of(&error);
    Ended::Lost(DialError {
        reason: match (&tls, error.kind()) {
            (Some(_), _) => ServerLoss::Tls,
            (None, io::ErrorKind::UnexpectedEof) => ServerLoss::Closed,
            _ => ServerLoss::Network,
        },
        tls,
        error: in_words(error),
    })
}
