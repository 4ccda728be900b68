//! One connection of a front end: a task that moves octets between the socket, the server and the sessions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use holdover_protocol::sip::{Decoded, Fault, Message};
use holdover_protocol::xccos;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::group::{Groups, Seat};
use super::lookups::Lookups;
use super::server::{FrontEndServer, FrontEndSettings, METHODS, Output};
use crate::answer;
use crate::listener::pump::{MessageLimits, Pump, Woken, too_late, too_much};
use crate::listener::tell::Teller;
use crate::peer::{ConnectionNumber, SentBy, Way};
use crate::queue;
use crate::session::task::{Attach, ConnectionHandle, SessionContext, SessionInput, attach};
use crate::telemetry::events::connection::ConnectionEnd;
use crate::transport::occupancy::Permit;
use crate::transport::{Incoming, Stream};

/// Messages of one session that may wait to be written: its answers, and what it sends by itself.
const OUTBOUND_OF_SESSION: usize = 16;

/// How often a connection is given a sign of life. Proxies close what is silent; most wait two minutes.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// What all connections of a listener for front ends share.
pub struct FrontEndContext {
    settings: ArcSwap<FrontEndSettings>,
    lookups: Arc<Lookups>,
    groups: Groups,
    /// Where front ends reach the listener; `None`: where they connected to.
    contact: Option<Box<str>>,
    limits: ArcSwap<MessageLimits>,
    sessions: Arc<SessionContext>,
    shutdown: CancellationToken,
}

impl FrontEndContext {
    /// `contact` says where front ends reach the listener, unless it is where they connected to. `shutdown` is cancelled when
    /// Holdover shuts down.
    #[must_use]
    pub fn new(
        settings: FrontEndSettings,
        contact: Option<Box<str>>,
        limits: MessageLimits,
        sessions: Arc<SessionContext>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            settings: ArcSwap::from_pointee(settings),
            lookups: Arc::default(),
            groups: Groups::default(),
            contact,
            limits: ArcSwap::from_pointee(limits),
            sessions,
            shutdown,
        }
    }

    /// Sets the bounds for connections to come.
    pub fn limit(&self, limits: MessageLimits, xccos: xccos::Limits) {
        self.limits.store(Arc::new(limits));
        self.settings.rcu(|settings| {
            let mut settings = (**settings).clone();
            settings.service.xccos = xccos;
            settings
        });
    }

    pub(in crate::listener) fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }
}

/// Serves a connection of the front end `name` until it ends. `number` is unique, `seed` random.
#[expect(clippy::too_many_arguments, reason = "called once")]
pub(in crate::listener) async fn serve(
    stream: Stream,
    context: Arc<FrontEndContext>,
    name: &str,
    number: ConnectionNumber,
    seed: u64,
    local: Box<str>,
    mut teller: Teller,
    mut permit: Permit,
) {
    let sent_by = SentBy {
        transport: stream.via_transport(),
        address: context.contact.clone().unwrap_or(local),
    };
    let settings = context.settings.load_full();
    let waiting =
        settings.most_sessions * OUTBOUND_OF_SESSION + context.sessions.settings.load().mailbox();
    let (outbound, inbound) = queue::bounded(waiting);
    let handle = ConnectionHandle {
        outbound,
        close: None,
        peer: teller.peer(),
    };
    let lookups = Arc::clone(&context.lookups);
    let server = FrontEndServer::new(settings, lookups, teller.peer(), sent_by.clone(), seed);
    let seat = Arc::new(Seat::new(number, sent_by, handle));
    let brought = context.groups.join(name, Arc::clone(&seat));
    teller.front_end_connected(name, brought);
    let mut connection = Connection {
        pump: Pump::new(stream, inbound, &context.limits.load()),
        server,
        context: &context,
        seat: &seat,
        teller: &mut teller,
        permit: &mut permit,
    };
    connection.pump.skip_bodies();
    let end = connection.run().await;
    let lost = context.groups.leave(name, &seat);
    Box::pin(connection.pump.finish()).await;
    teller.front_end_lost(name, lost);
    teller.closed(end);
}

struct Connection<'a> {
    pump: Pump,
    server: FrontEndServer,
    context: &'a FrontEndContext,
    seat: &'a Seat,
    teller: &'a mut Teller,
    permit: &'a mut Permit,
}

impl Connection<'_> {
    async fn run(&mut self) -> ConnectionEnd {
        let shutdown = self.context.shutdown.clone();
        let mut keep_alive_at = Instant::now() + KEEP_ALIVE;
        loop {
            let end = match self.pump.next(&shutdown, keep_alive_at).await {
                Woken::Close => Some(ConnectionEnd::Draining),
                Woken::Read => self.decode(),
                Woken::Timeout => None,
                Woken::Unfinished => {
                    self.give_up(too_late());
                    Some(ConnectionEnd::Unfinished)
                }
                Woken::Ended(end) => Some(end),
            };
            let now = Instant::now();
            if keep_alive_at <= now {
                // An empty line before a message is skipped (RFC 3261 §7.5), and nobody answers a single one.
                self.pump.ping();
                keep_alive_at = now + KEEP_ALIVE;
                self.seat.sweep();
            }
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Takes what was read apart.
    fn decode(&mut self) -> Option<ConnectionEnd> {
        while let Some(incoming) = self.pump.decode() {
            match incoming {
                Incoming::Message(message) => {
                    let (table, here) = (&self.context.sessions.table, self.seat.count());
                    let now = (Instant::now(), Timestamp::now());
                    self.server.handle(now, message, table, here);
                    self.carry_out();
                }
                Incoming::Fault {
                    message,
                    fault,
                    is_fatal,
                } => {
                    self.answer_fault(message, &fault, is_fatal);
                    if is_fatal {
                        return Some(ConnectionEnd::Fault);
                    }
                }
            }
        }
        let end = self.permit.hold(self.pump.unfinished(), true).err()?;
        self.give_up(too_much());
        Some(end)
    }

    /// Refuses a message that has come in part.
    fn give_up(&mut self, fault: Fault) {
        if let Decoded::Fatal { message, fault } = self.pump.give_up(fault) {
            self.answer_fault(message, &fault, true);
        }
    }

    fn answer_fault(&mut self, message: Option<Message>, fault: &Fault, fatal: bool) {
        let tag = self.server.tag();
        if let Some(mut message) = message {
            message.came_from(self.teller.peer());
            if let Some(answer) = fault.answer(&message, &tag, METHODS) {
                self.pump.send(answer);
            }
        }
        self.teller.fault(None, fault, fatal);
    }

    /// Carries out what the server wants.
    fn carry_out(&mut self) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Send(message) => self.pump.send(message),
                Output::Open {
                    endpoint,
                    dialog,
                    branch,
                    caller,
                    client,
                } => {
                    let key = dialog.key();
                    let with = Box::new(Attach {
                        dialog,
                        attachment: self.seat.attachment(Way::FrontEnd { client }),
                        branch,
                        connection: self.seat.handle.clone(),
                        caller,
                    });
                    let session = attach(&self.context.sessions, endpoint, with);
                    self.context.sessions.table.bind(&session, key);
                    self.seat.opened(session);
                }
                Output::Request(session, request) => {
                    // Where a client's request comes from is where its session answers, if it takes the request.
                    if session.has_room() {
                        self.seat.bring(&session);
                    }
                    if let Err((request, status)) = session.offer(request) {
                        self.pump.send(answer::refuse(&request, status, None, None));
                    }
                }
                Output::Response(session, response) => {
                    // A session that is over, or drowned, misses nothing by missing this.
                    let response = SessionInput::Response(response);
                    let _full = session.mailbox().try_send(response);
                }
                Output::Event(event) => self.teller.front_end(event),
            }
        }
    }
}
