//! One connection of a trusted peer: a task that moves octets between the socket, the server core and the pool's legs.
//!
//! Where the peer does not read, nothing more is taken from it or from the pool: its dialogs fall behind and are ended, one
//! by one, and after a while the connection is cut.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use holdover_protocol::sip::{Fault, Limits, Message};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::core::{CoreSettings, DialogNumber, Output, ServerCore};
use super::requests::METHODS;
use super::sink::{Heard, Sink};
use crate::peer::SentBy;
use crate::pool::LegEvent;
use crate::pool::embedded::{EmbeddedLeg, EmbeddedPool};
use crate::telemetry::events::connection::ConnectionEnd;
use crate::telemetry::events::protocol::{FaultKind, ProtocolFault};
use crate::telemetry::events::serve::{DialogClosed, DialogEnd, DialogOpened};
use crate::telemetry::{Detail, Emit as _, Telemetry};
use crate::transport::{Driver, Incoming, Met, Progress, STALL};

/// Octets waiting to be written beyond which nothing more is taken in.
const PENDING_BYTES: usize = 1 << 20;

/// What all connections share.
pub(super) struct Context {
    pub(super) settings: Arc<CoreSettings>,
    pub(super) pool: Arc<EmbeddedPool>,
    pub(super) telemetry: Telemetry,
    /// Cancelled when the server stops.
    pub(super) stop: CancellationToken,
}

/// Serves a connection until it ends. `seed` is random.
pub(super) async fn serve(
    met: Met,
    context: Arc<Context>,
    peer: SocketAddr,
    seed: u64,
) -> ConnectionEnd {
    // The permit is held until the connection ends.
    let Met {
        stream,
        local,
        permit: _permit,
        ..
    } = met;
    let sent_by = SentBy {
        transport: stream.via_transport(),
        address: local.to_string().into(),
    };
    let (heard, hearing) = mpsc::unbounded_channel();
    let mut octets = Driver::new(stream, Limits::default());
    octets.skip_bodies();
    let mut connection = Connection {
        octets,
        core: ServerCore::new(Arc::clone(&context.settings), sent_by, seed),
        context,
        peer,
        heard,
        legs: HashMap::new(),
    };
    let end = connection.run(hearing).await;
    connection.core.connection_lost(match end {
        ConnectionEnd::Draining => DialogEnd::Draining,
        _ => DialogEnd::Connection,
    });
    // Only ends of dialogs are left to be carried out.
    let _ended = connection.carry_out();
    end
}

struct Connection {
    octets: Driver,
    core: ServerCore,
    context: Arc<Context>,
    peer: SocketAddr,
    heard: mpsc::UnboundedSender<Heard>,
    legs: HashMap<DialogNumber, EmbeddedLeg>,
}

/// What woke the task.
enum Step {
    Stop,
    Octets(Progress),
    Heard(Option<Heard>),
    Timeout,
}

impl Connection {
    async fn run(&mut self, mut hearing: mpsc::UnboundedReceiver<Heard>) -> ConnectionEnd {
        let stop = self.context.stop.clone();
        loop {
            let deadline = [self.octets.stalls_at(STALL), self.core.poll_timeout()]
                .into_iter()
                .flatten()
                .min();
            let has_room = self.octets.unsent() < PENDING_BYTES;
            let step = tokio::select! {
                () = stop.cancelled(), if !self.core.is_draining() => Step::Stop,
                progress = self.octets.next(has_room) => Step::Octets(progress),
                heard = hearing.recv(), if has_room => Step::Heard(heard),
                () = sleep_until(deadline) => Step::Timeout,
            };
            let end = match step {
                Step::Stop => {
                    self.core.drain(Instant::now());
                    self.carry_out()
                }
                Step::Octets(Progress::Written) => None,
                Step::Octets(Progress::Read) => self.decode(),
                Step::Octets(Progress::Closed) => Some(ConnectionEnd::Client),
                Step::Octets(Progress::Failed(_)) => Some(ConnectionEnd::Network),
                Step::Heard(heard) => {
                    let mut next = heard;
                    let mut end = None;
                    while let Some(heard) = next.take() {
                        let now = Instant::now();
                        self.core.handle_leg(now, heard.dialog, heard.event);
                        end = self.carry_out();
                        if end.is_none() && self.octets.unsent() < PENDING_BYTES {
                            next = hearing.try_recv().ok();
                        }
                    }
                    end
                }
                Step::Timeout => self.handle_timeout(),
            };
            if let Some(end) = end {
                // What was promised is written, if the peer takes it: BYEs, and the answer that explains the end.
                self.octets.finish().await;
                return end;
            }
        }
    }

    fn handle_timeout(&mut self) -> Option<ConnectionEnd> {
        let now = Instant::now();
        if self.octets.stalls_at(STALL).is_some_and(|at| at <= now) {
            return Some(ConnectionEnd::Slow);
        }
        self.core.handle_timeout(now);
        self.carry_out()
    }

    /// Takes what was read apart.
    fn decode(&mut self) -> Option<ConnectionEnd> {
        while let Some(incoming) = self.octets.decode() {
            match incoming {
                Incoming::Message(mut message) => {
                    message.came_from(self.peer);
                    self.core.handle(Instant::now(), message);
                    let end = self.carry_out();
                    if end.is_some() {
                        return end;
                    }
                }
                Incoming::Fault {
                    message,
                    fault,
                    is_fatal: false,
                } => self.answer_fault(message, &fault, FaultKind::SipSyntax),
                Incoming::Fault { message, fault, .. } => {
                    self.answer_fault(message, &fault, FaultKind::SipFraming);
                    return Some(ConnectionEnd::Fault);
                }
            }
        }
        None
    }

    fn answer_fault(&mut self, message: Option<Message>, fault: &Fault, kind: FaultKind) {
        let tag = self.core.tag();
        if let Some(mut message) = message {
            message.came_from(self.peer);
            if let Some(answer) = fault.answer(&message, &tag, METHODS) {
                self.octets.send(answer);
            }
        }
        ProtocolFault {
            peer: self.peer,
            user: None,
            kind,
            detail: Detail::new(fault),
        }
        .emit(&self.context.telemetry);
    }

    /// Carries out what the core wants. Returns why the connection ends, if it does.
    fn carry_out(&mut self) -> Option<ConnectionEnd> {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Send(message) => self.octets.send(message),
                Output::Open {
                    dialog,
                    user,
                    call_id,
                } => {
                    let sink = Sink::new(dialog, self.heard.clone());
                    let leg = self.context.pool.open_leg(user.clone(), Arc::new(sink));
                    self.legs.insert(dialog, leg);
                    DialogOpened {
                        user,
                        peer: self.peer,
                        call_id: Detail::new(call_id),
                    }
                    .emit(&self.context.telemetry);
                }
                Output::Deliver {
                    dialog,
                    id,
                    document,
                } => {
                    let sent = self.legs.get(&dialog).map(|leg| leg.send(id, document));
                    if let Some(Err(reason)) = sent {
                        let closed = LegEvent::Closed(reason);
                        self.core.handle_leg(Instant::now(), dialog, closed);
                    }
                }
                Output::Close {
                    dialog,
                    user,
                    reason,
                } => {
                    self.legs.remove(&dialog);
                    DialogClosed {
                        user,
                        peer: self.peer,
                        reason,
                    }
                    .emit(&self.context.telemetry);
                }
                Output::Drained => return Some(ConnectionEnd::Draining),
            }
        }
        None
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
