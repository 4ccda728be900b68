//! One connection of a front end: a task that moves octets between the socket, the server and the sessions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdover_protocol::sip::{Decoded, Fault, KeepAlive, Limits, Message};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::lookups::Lookups;
use super::server::{FrontEndServer, FrontEndSettings, Output};
use crate::listener::pump::{Pump, Woken};
use crate::listener::tell::Teller;
use crate::queue;
use crate::session::table::SessionHandle;
use crate::session::task::{Attach, ConnectionHandle, Moved, SessionContext, SessionInput, attach};
use crate::session::{Attachment, SentBy, Way, answer};
use crate::telemetry::events::connection::ConnectionEnd;
use crate::transport::Stream;

/// Messages of one session that may wait to be written: its answers, and what it sends by itself.
const OUTBOUND_OF_SESSION: usize = 16;

/// How often a connection is given a sign of life. Proxies close what is silent; most wait two minutes.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Sessions after which those that are gone are looked for, at the least.
const FIRST_SWEEP: usize = 64;

/// What all connections of a listener for front ends share.
pub struct FrontEndContext {
    settings: Arc<FrontEndSettings>,
    lookups: Arc<Lookups>,
    /// Where front ends reach the listener; `None`: where they connected to.
    contact: Option<Box<str>>,
    limits: Limits,
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
        limits: Limits,
        sessions: Arc<SessionContext>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            settings: Arc::new(settings),
            lookups: Arc::default(),
            contact,
            limits,
            sessions,
            shutdown,
        }
    }

    pub(in crate::listener) fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }
}

/// Serves a connection until it ends. `number` is unique, `seed` random.
pub(in crate::listener) async fn serve(
    stream: Stream,
    context: Arc<FrontEndContext>,
    number: u64,
    seed: u64,
    local: Box<str>,
    mut teller: Teller,
) {
    let sent_by = SentBy {
        transport: stream.via_transport(),
        address: context.contact.clone().unwrap_or(local),
    };
    let waiting = context.settings.most_sessions * OUTBOUND_OF_SESSION
        + context.sessions.settings.load().mailbox();
    let (outbound, inbound) = queue::bounded(waiting);
    let handle = ConnectionHandle {
        outbound,
        close: None,
        peer: teller.peer(),
    };
    let (settings, lookups) = (Arc::clone(&context.settings), Arc::clone(&context.lookups));
    let mut connection = Connection {
        pump: Pump::new(stream, inbound, context.limits),
        server: FrontEndServer::new(settings, lookups, sent_by.clone(), seed),
        context,
        number,
        sent_by,
        handle,
        sessions: HashMap::new(),
        sweep_at: FIRST_SWEEP,
        teller: &mut teller,
    };
    let end = connection.run().await;
    connection.part();
    Box::pin(connection.pump.finish()).await;
    teller.closed(end);
}

struct Connection<'a> {
    pump: Pump,
    server: FrontEndServer,
    context: Arc<FrontEndContext>,
    number: u64,
    sent_by: SentBy,
    handle: ConnectionHandle,
    /// The sessions that came over this connection, by their number. Some may be gone.
    sessions: HashMap<u64, Arc<SessionHandle>>,
    sweep_at: usize,
    teller: &'a mut Teller,
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
                Woken::Ended(end) => Some(end),
            };
            let now = Instant::now();
            if keep_alive_at <= now {
                // An empty line before a message is skipped (RFC 3261 §7.5), and nobody answers a single one.
                self.pump.queue(b"\r\n");
                keep_alive_at = now + KEEP_ALIVE;
                self.sweep();
            }
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Takes what was read apart.
    fn decode(&mut self) -> Option<ConnectionEnd> {
        loop {
            match self.pump.decode() {
                Decoded::NeedMore { .. } => return None,
                // RFC 5626 §4.4.1: a ping is answered with one CRLF.
                Decoded::KeepAlive(KeepAlive::Ping) => self.pump.queue(b"\r\n"),
                Decoded::KeepAlive(KeepAlive::Pong) => {}
                Decoded::Message(message) => {
                    if self.sessions.len() >= self.sweep_at {
                        self.sweep();
                    }
                    let table = &self.context.sessions.table;
                    let here = self.sessions.len();
                    let now = (Instant::now(), Timestamp::now());
                    self.server.handle(now, message, table, here);
                    self.carry_out();
                }
                Decoded::Malformed { message, fault } => {
                    self.answer_fault(message.as_ref(), &fault, false);
                }
                Decoded::Fatal { message, fault } => {
                    self.answer_fault(message.as_ref(), &fault, true);
                    return Some(ConnectionEnd::Fault);
                }
            }
        }
    }

    fn answer_fault(&mut self, message: Option<&Message>, fault: &Fault, fatal: bool) {
        let tag = self.server.tag();
        if let Some(answer) = message.and_then(|message| fault.answer(message, &tag)) {
            self.pump.queue(&answer.finish());
        }
        self.teller.fault(None, fault, fatal);
    }

    /// Carries out what the server wants.
    fn carry_out(&mut self) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Send(message) => self.pump.queue(&message),
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
                        attachment: self.attachment(Way::FrontEnd { client }),
                        branch,
                        connection: self.handle.clone(),
                        caller,
                    });
                    let session = attach(&self.context.sessions, endpoint, with);
                    let _news = session.moves_to(self.number);
                    self.context.sessions.table.bind(&session, key);
                    self.sessions.insert(session.id, session);
                }
                Output::Request(session, request) => {
                    self.bring_here(&session);
                    if let Err((request, status)) = session.offer(request) {
                        self.pump
                            .queue(&answer::refuse(&request, status, None, None));
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

    /// Where a client's request comes from is where its session answers.
    fn bring_here(&mut self, session: &Arc<SessionHandle>) {
        if session.moves_to(self.number) {
            session.tell(SessionInput::Moved(Box::new(Moved {
                attachment: self.attachment(Way::FrontEnd { client: 0 }),
                connection: self.handle.clone(),
            })));
            self.sessions.insert(session.id, Arc::clone(session));
        }
    }

    fn attachment(&self, way: Way) -> Attachment {
        Attachment {
            connection: self.number,
            sent_by: self.sent_by.clone(),
            way,
        }
    }

    /// Lets go of sessions that are over or went elsewhere.
    fn sweep(&mut self) {
        let number = self.number;
        self.sessions
            .retain(|_, it| it.is_on(number) && !it.mailbox().is_closed());
        // Twice as many as are left, so that a session costs no more than a step.
        self.sweep_at = (self.sessions.len() * 2).max(FIRST_SWEEP);
    }

    /// The connection is over: its sessions wait for another.
    fn part(&mut self) {
        for session in self.sessions.values() {
            session.tell(SessionInput::ConnectionLost(self.number));
        }
    }
}
