//! One connection: a task that moves octets between the socket, the user agent server and the sessions.
//!
//! A client that does not read is cut off, and only it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use holdover_protocol::sip::{Decoded, Fault, Message, Request, Status};
use tokio_util::sync::CancellationToken;

use super::pump::{MessageLimits, Pump, Woken, too_late, too_much};
use super::tell::Teller;
use super::uas::{ChannelId, CloseReason, METHODS, UasOutput, UasSettings, UserAgentServer};
use crate::answer;
use crate::peer::{Attachment, ConnectionNumber, SentBy, Way};
use crate::queue;
use crate::session::table::SessionHandle;
use crate::session::task::{Attach, ConnectionHandle, SessionContext, SessionInput, attach};
use crate::telemetry::events::connection::{ConnectionEnd, PaceLimit};
use crate::transport::occupancy::Permit;
use crate::transport::pace::{Pace, Rate};
use crate::transport::{Incoming, Stream};

/// Messages of sessions that may wait to be written, beyond one for each request that can wait for a session: a client
/// that pipelines and reads its answers is not slow.
const OUTBOUND_MESSAGES: usize = 256;

/// Messages that are taken apart before it is others' turn on the thread.
const TURN: usize = 16;

/// What all connections of a listener share.
#[derive(Clone)]
pub struct ConnectionContext {
    /// For the user agent server.
    pub uas: Arc<UasSettings>,
    /// Bounds of a SIP message.
    pub limits: MessageLimits,
    /// The sessions.
    pub sessions: Arc<SessionContext>,
    /// Cancelled when Holdover shuts down.
    pub shutdown: CancellationToken,
}

/// Serves a connection until it ends. `number` is unique, `seed` random.
///
/// No `async fn`: such a future holds its arguments a second time, and there is one for each connection.
pub(super) fn serve(
    stream: Stream,
    context: Arc<ConnectionContext>,
    number: ConnectionNumber,
    seed: u64,
    local: Box<str>,
    teller: Teller,
    permit: Permit,
) -> impl Future<Output = ()> + Send {
    let sent_by = SentBy {
        transport: stream.via_transport(),
        address: local,
    };
    let attachment = Attachment {
        connection: number,
        sent_by,
        way: Way::Own,
    };
    let waiting = context.sessions.settings.load().mailbox() + OUTBOUND_MESSAGES;
    let (outbound, inbound) = queue::bounded(waiting);
    let close = context.shutdown.child_token();
    let handle = ConnectionHandle {
        outbound,
        close: Some(close.clone()),
        peer: teller.peer(),
    };
    let uas = UserAgentServer::new(
        Instant::now(),
        Arc::clone(&context.uas),
        attachment.clone(),
        handle.peer,
        seed,
    );
    let mut pump = Pump::new(stream, inbound, &context.limits);
    pump.limit_body(context.limits.body(false));
    let mut connection = Connection {
        pump,
        context,
        uas,
        attachment,
        handle,
        channels: Vec::new(),
        teller,
        permit,
        pace: Pace::default(),
        is_pace_told: false,
    };
    async move {
        let end = connection.run(&close).await;
        connection.closed(end);
        // Boxed: only the end needs it.
        Box::pin(connection.pump.finish()).await;
        connection.teller.closed(end);
    }
}

struct Connection {
    pump: Pump,
    context: Arc<ConnectionContext>,
    uas: UserAgentServer,
    attachment: Attachment,
    handle: ConnectionHandle,
    /// The sessions whose channel dialogs are on this connection.
    channels: Vec<(ChannelId, Arc<SessionHandle>)>,
    teller: Teller,
    /// To be here; given back at the end.
    permit: Permit,
    pace: Pace,
    /// It was told that the client asks faster than it may.
    is_pace_told: bool,
}

/// What came of taking apart what was read.
enum Turn {
    /// Nothing whole is left.
    Done,
    /// There may be more.
    More,
    /// The connection ends.
    Ended(ConnectionEnd),
}

impl Connection {
    async fn run(&mut self, close: &CancellationToken) -> ConnectionEnd {
        loop {
            let until = self.uas.poll_timeout();
            let end = match self.pump.next(close, until).await {
                Woken::Close if self.context.shutdown.is_cancelled() => {
                    Some(ConnectionEnd::Draining)
                }
                Woken::Close => Some(ConnectionEnd::Session),
                Woken::Read => loop {
                    match self.decode() {
                        Turn::Ended(end) => break Some(end),
                        Turn::Done => break None,
                        Turn::More => tokio::task::yield_now().await,
                    }
                },
                Woken::Timeout => {
                    self.uas.handle_timeout(Instant::now());
                    self.carry_out()
                }
                Woken::Unfinished => {
                    self.give_up(too_late());
                    Some(ConnectionEnd::Unfinished)
                }
                Woken::Ended(end) => Some(end),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Takes apart what was read.
    fn decode(&mut self) -> Turn {
        let mut requests = 0;
        for _ in 0..TURN {
            let Some(incoming) = self.pump.decode() else {
                self.pace(requests);
                return self.account().map_or(Turn::Done, Turn::Ended);
            };
            let is_response = matches!(&incoming, Incoming::Message(Message::Response(_)));
            requests += u32::from(!is_response);
            let end = match incoming {
                Incoming::Message(message) => {
                    self.uas.handle(Instant::now(), wall_clock(), message);
                    let end = self.carry_out();
                    let is_signed_in = self.uas.user().is_some();
                    self.pump.limit_body(self.context.limits.body(is_signed_in));
                    end
                }
                Incoming::Fault {
                    message,
                    fault,
                    is_fatal,
                } => {
                    self.answer_fault(message, &fault, is_fatal);
                    is_fatal.then_some(ConnectionEnd::Fault)
                }
            };
            if let Some(end) = end {
                return Turn::Ended(end);
            }
        }
        self.pace(requests);
        Turn::More
    }

    /// Counts requests, and reads no more for a while where they came faster than they may.
    fn pace(&mut self, requests: u32) {
        if requests == 0 {
            return;
        }
        let now = Instant::now();
        let rate = Rate::of_connection(self.context.limits.requests_per_second);
        let of_own = self.pace.count(now, requests, rate);
        let of_address = self.permit.pace(now, requests);
        self.pump.read_at(of_own.max(of_address));
        let reason = match (of_own, of_address) {
            (None, None) => return,
            (own, address) if own > address => PaceLimit::Connection,
            _ => PaceLimit::Address,
        };
        if !std::mem::replace(&mut self.is_pace_told, true) {
            self.teller.paced(self.uas.user(), reason);
        }
    }

    /// Counts the memory of what has come in part and, before sign-in, of what the peer does not read.
    fn account(&mut self) -> Option<ConnectionEnd> {
        let is_signed_in = self.uas.user().is_some();
        let mut bytes = self.pump.unfinished();
        if !is_signed_in {
            bytes += self.pump.unsent();
        }
        let end = self.permit.hold(bytes, is_signed_in).err()?;
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
        let tag = self.uas.tag();
        if let Some(mut message) = message {
            message.came_from(self.handle.peer);
            if let Some(answer) = fault.answer(&message, &tag, METHODS) {
                self.pump.send(answer);
            }
        }
        self.teller.fault(self.uas.user(), fault, fatal);
    }

    /// Carries out what the user agent server wants. Returns why the connection ends, if it does.
    fn carry_out(&mut self) -> Option<ConnectionEnd> {
        while let Some(output) = self.uas.poll_output() {
            match output {
                UasOutput::Send(message) => self.pump.send(message),
                UasOutput::Open {
                    channel,
                    endpoint,
                    dialog,
                    branch,
                    caller,
                } => {
                    let with = Box::new(Attach {
                        dialog,
                        attachment: self.attachment.clone(),
                        branch,
                        connection: self.handle.clone(),
                        caller,
                    });
                    let session = attach(&self.context.sessions, endpoint, with);
                    self.channels.push((channel, session));
                }
                UasOutput::Request(channel, request) => self.hand_over(channel, request),
                UasOutput::Response(channel, response) => {
                    // A session that is over, or drowned, misses nothing by missing this.
                    if let Some(session) = self.session(channel) {
                        let _full = session.mailbox().try_send(SessionInput::Response(response));
                    }
                }
                UasOutput::Forget(channel) => self.channels.retain(|(id, _)| *id != channel),
                UasOutput::SignedOut(channels) => {
                    let connection = self.attachment.connection;
                    for channel in channels {
                        self.tell_session(channel, SessionInput::SignedOut(connection));
                    }
                    self.channels.clear();
                }
                UasOutput::Close(reason) => {
                    return Some(match reason {
                        CloseReason::Expired => ConnectionEnd::Idle,
                        CloseReason::NoSignIn | CloseReason::SignInFailed => ConnectionEnd::SignIn,
                    });
                }
                UasOutput::Event(event) => self.teller.event(event),
            }
        }
        None
    }

    fn hand_over(&mut self, channel: ChannelId, request: Box<Request>) {
        let offered = match self.session(channel) {
            Some(session) => session.offer(request),
            None => Err((request, Status::NO_SUCH_DIALOG)),
        };
        if let Err((request, status)) = offered {
            self.pump.send(answer::refuse(&request, status, None, None));
        }
    }

    fn session(&self, channel: ChannelId) -> Option<&SessionHandle> {
        self.channels
            .iter()
            .find(|(id, _)| *id == channel)
            .map(|(_, session)| session.as_ref())
    }

    /// Tells a session something that must arrive.
    fn tell_session(&self, channel: ChannelId, input: SessionInput) {
        let Some((_, session)) = self.channels.iter().find(|(id, _)| *id == channel) else {
            return;
        };
        session.tell(input);
    }

    /// The connection is over: its sessions wait for the client to come back.
    fn closed(&mut self, end: ConnectionEnd) {
        for (channel, _) in &self.channels {
            self.tell_session(
                *channel,
                SessionInput::ConnectionLost(self.attachment.connection),
            );
        }
        if let Some(user) = self.uas.user() {
            self.teller.lost(user, end);
        }
    }
}

/// Time since the Unix epoch, for the nonces of Digest.
fn wall_clock() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_result<A, B, C, D, E, F, G, R>(_: impl FnOnce(A, B, C, D, E, F, G) -> R) -> usize {
        size_of::<R>()
    }

    #[test]
    fn a_connection_is_small() {
        let size = size_of_result(serve);
        assert!(size <= 1_400, "{size} octets for each connection");
    }
}
