//! One connection: a task that moves octets between the socket, the user agent server and the sessions.
//!
//! What is to be written is bounded: beyond the bound nothing more is taken from the sessions, nor read from the client,
//! whose requests make answers. A client that does not read is cut off, and only it. While nothing happens the task
//! holds no buffer.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::{Buf as _, Bytes, BytesMut};
use holdover_protocol::sip::{
    Decoded, Decoder, Fault, KeepAlive, Limits, Message, Request, Status,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::tell::Teller;
use super::uas::{ChannelId, CloseReason, UasOutput, UasSettings, UserAgentServer};
use crate::session::answer;
use crate::session::table::SessionHandle;
use crate::session::task::{Attach, ConnectionHandle, SessionContext, SessionInput, attach};
use crate::session::{Attachment, SentBy};
use crate::telemetry::events::connection::ConnectionEnd;
use crate::transport::Stream;

/// Octets read at once.
const READ_SIZE: usize = 16 * 1024;

/// Messages of sessions that may wait to be written, beyond one for each request that can wait for a session: a client
/// that pipelines and reads its answers is not slow.
const OUTBOUND_MESSAGES: usize = 256;

/// Octets waiting in this task beyond which it takes no more from the sessions and reads no more requests.
const PENDING_BYTES: usize = 64 * 1024;

/// How long a client may leave what is written to it unread.
const WRITE_STALL: Duration = Duration::from_secs(20);

/// How long the last words may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

thread_local! {
    /// Where octets are read to. One per worker thread: a connection that is only waiting needs no buffer of its own.
    static READ_BUFFER: RefCell<Box<[u8; READ_SIZE]>> = RefCell::new(Box::new([0; READ_SIZE]));
}

/// What all connections of a listener share.
pub struct ConnectionContext {
    /// For the user agent server.
    pub uas: Arc<UasSettings>,
    /// Bounds of a SIP message.
    pub limits: Limits,
    /// The sessions.
    pub sessions: Arc<SessionContext>,
    /// Cancelled when Holdover shuts down.
    pub shutdown: CancellationToken,
}

/// Serves a connection until it ends. `number` is unique, `seed` random.
pub(super) async fn serve(
    stream: Stream,
    context: Arc<ConnectionContext>,
    number: u64,
    seed: u64,
    local: Box<str>,
    mut teller: Teller,
) {
    let sent_by = SentBy {
        transport: stream.via_transport(),
        address: local,
    };
    let attachment = Attachment {
        connection: number,
        sent_by,
    };
    let (read, write) = tokio::io::split(stream);
    let waiting = context.sessions.settings.mailbox() + OUTBOUND_MESSAGES;
    let (outbound, inbound) = mpsc::channel(waiting);
    let handle = ConnectionHandle {
        outbound,
        close: context.shutdown.child_token(),
        peer: teller.peer(),
    };
    let uas = UserAgentServer::new(
        Instant::now(),
        Arc::clone(&context.uas),
        attachment.clone(),
        handle.peer.ip(),
        seed,
    );
    let mut connection = Connection {
        decoder: Decoder::new(context.limits),
        context,
        uas,
        attachment,
        handle,
        channels: Vec::new(),
        pending: BytesMut::new(),
        stalled_since: None,
        teller: &mut teller,
    };
    let end = connection.run(read, write, inbound).await;
    connection.part(end);
    teller.closed(end);
}

struct Connection<'a> {
    decoder: Decoder,
    context: Arc<ConnectionContext>,
    uas: UserAgentServer,
    attachment: Attachment,
    handle: ConnectionHandle,
    /// The sessions whose channel dialogs are on this connection.
    channels: Vec<(ChannelId, Arc<SessionHandle>)>,
    /// Octets to write.
    pending: BytesMut,
    /// Since when the client has not taken anything.
    stalled_since: Option<Instant>,
    teller: &'a mut Teller,
}

impl Connection<'_> {
    async fn run(
        &mut self,
        mut read: ReadHalf<Stream>,
        mut write: WriteHalf<Stream>,
        mut inbound: mpsc::Receiver<Bytes>,
    ) -> ConnectionEnd {
        let close = self.handle.close.clone();
        // Whether the transport may still hold octets that were written to it.
        let mut unflushed = false;
        loop {
            let deadline = match self.stalled_since {
                Some(since) => self.uas.poll_timeout().min(since + WRITE_STALL),
                None => self.uas.poll_timeout(),
            };
            let step = tokio::select! {
                biased;
                () = close.cancelled() => Step::Close,
                written = write_some(&mut write, &mut self.pending, &mut unflushed),
                    if unflushed || !self.pending.is_empty() =>
                {
                    Step::Written(written)
                }
                // Before anything new is read: answers make room for questions.
                message = inbound.recv(), if self.pending.len() < PENDING_BYTES => {
                    Step::Outbound(message)
                }
                received = read_some(&mut read, &mut self.decoder),
                    if self.pending.len() < PENDING_BYTES =>
                {
                    Step::Read(received)
                }
                () = tokio::time::sleep_until(deadline.into()) => Step::Timeout,
            };
            let end = match step {
                Step::Close if self.context.shutdown.is_cancelled() => {
                    Some(ConnectionEnd::Draining)
                }
                Step::Close => Some(ConnectionEnd::Session),
                Step::Written(Ok(())) => {
                    let is_done = self.pending.is_empty() && !unflushed;
                    self.stalled_since = (!is_done).then(Instant::now);
                    if self.pending.is_empty() {
                        self.pending = BytesMut::new();
                    }
                    None
                }
                Step::Read(Ok(0)) => Some(ConnectionEnd::Client),
                Step::Read(Ok(_)) => self.decode(),
                Step::Read(Err(_)) | Step::Written(Err(_)) => Some(ConnectionEnd::Network),
                Step::Outbound(message) => {
                    self.queue(&message.unwrap_or_default());
                    while self.pending.len() < PENDING_BYTES
                        && let Ok(message) = inbound.try_recv()
                    {
                        self.queue(&message);
                    }
                    None
                }
                Step::Timeout => self.handle_timeout(),
            };
            if let Some(end) = end {
                // What was promised is written, if the client takes it: the refusal that explains the end.
                while let Ok(message) = inbound.try_recv() {
                    self.queue(&message);
                }
                let last_words = async {
                    let _unread = write.write_all_buf(&mut self.pending).await;
                    let _closed = write.shutdown().await;
                };
                let _in_time = tokio::time::timeout(LAST_WORDS, last_words).await;
                return end;
            }
        }
    }

    fn queue(&mut self, message: &[u8]) {
        if self.pending.is_empty() {
            self.stalled_since = Some(Instant::now());
        }
        self.pending.extend_from_slice(message);
    }

    fn handle_timeout(&mut self) -> Option<ConnectionEnd> {
        let now = Instant::now();
        if self
            .stalled_since
            .is_some_and(|since| since + WRITE_STALL <= now)
        {
            return Some(ConnectionEnd::Slow);
        }
        self.uas.handle_timeout(now);
        self.carry_out()
    }

    /// Takes what was read apart.
    fn decode(&mut self) -> Option<ConnectionEnd> {
        loop {
            let end = match self.decoder.decode() {
                Decoded::NeedMore { .. } => return None,
                // RFC 5626 §4.4.1: a ping is answered with one CRLF.
                Decoded::KeepAlive(KeepAlive::Ping) => {
                    self.queue(b"\r\n");
                    None
                }
                Decoded::KeepAlive(KeepAlive::Pong) => None,
                Decoded::Message(message) => {
                    self.uas.handle(Instant::now(), wall_clock(), message);
                    self.carry_out()
                }
                Decoded::Malformed { message, fault } => {
                    self.answer_fault(message.as_ref(), &fault, false);
                    None
                }
                Decoded::Fatal { message, fault } => {
                    self.answer_fault(message.as_ref(), &fault, true);
                    Some(ConnectionEnd::Fault)
                }
            };
            if end.is_some() {
                return end;
            }
        }
    }

    fn answer_fault(&mut self, message: Option<&Message>, fault: &Fault, fatal: bool) {
        let tag = self.uas.tag();
        if let Some(answer) = message.and_then(|message| fault.answer(message, &tag)) {
            self.queue(&answer.finish());
        }
        self.teller.fault(self.uas.user(), fault, fatal);
    }

    /// Carries out what the user agent server wants. Answers why the connection ends, if it does.
    fn carry_out(&mut self) -> Option<ConnectionEnd> {
        while let Some(output) = self.uas.poll_output() {
            match output {
                UasOutput::Send(message) => self.queue(&message),
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
        let sent = match self.session(channel).map(SessionHandle::mailbox) {
            // Half of it is for what the pools say: where that does not fit, the leg is lost.
            Some(mailbox) if mailbox.capacity() <= mailbox.max_capacity() / 2 => Err(
                mpsc::error::TrySendError::Full(SessionInput::Request(request)),
            ),
            Some(mailbox) => mailbox.try_send(SessionInput::Request(request)),
            None => Err(mpsc::error::TrySendError::Closed(SessionInput::Request(
                request,
            ))),
        };
        let (request, status) = match sent {
            Err(mpsc::error::TrySendError::Full(SessionInput::Request(request))) => {
                (request, Status::SERVICE_UNAVAILABLE)
            }
            // The session is over: the client starts again from the lookup.
            Err(mpsc::error::TrySendError::Closed(SessionInput::Request(request))) => {
                (request, Status::NO_SUCH_DIALOG)
            }
            _ => return,
        };
        self.queue(&answer::refuse(&request, status, None, None));
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
        if let Err(mpsc::error::TrySendError::Full(input)) = session.mailbox().try_send(input) {
            let mailbox = session.mailbox().clone();
            tokio::spawn(async move {
                let _over = mailbox.send(input).await;
            });
        }
    }

    /// The connection is over: its sessions wait for the client to come back.
    fn part(&mut self, end: ConnectionEnd) {
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

/// What woke the task.
enum Step {
    Close,
    Read(io::Result<usize>),
    Written(io::Result<()>),
    Outbound(Option<Bytes>),
    Timeout,
}

/// Hands over what the transport takes, and sees to it that it leaves: TLS encrypts more than the socket takes, and sends
/// the rest only when it is told to. Ready whenever something moved.
pub(crate) async fn write_some(
    to: &mut (impl AsyncWrite + Unpin),
    pending: &mut BytesMut,
    unflushed: &mut bool,
) -> io::Result<()> {
    poll_fn(|cx| {
        let mut moved = false;
        while !pending.is_empty() {
            match Pin::new(&mut *to).poll_write(cx, pending) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => pending.advance(written),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if moved => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
            (moved, *unflushed) = (true, true);
        }
        match Pin::new(&mut *to).poll_flush(cx) {
            Poll::Ready(Ok(())) => *unflushed = false,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending if !moved => return Poll::Pending,
            Poll::Pending => {}
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// Reads what is there into the decoder. Needs no memory while it waits.
pub(crate) async fn read_some(
    from: &mut ReadHalf<Stream>,
    decoder: &mut Decoder,
) -> io::Result<usize> {
    poll_fn(|cx| {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer.as_mut_slice());
            match Pin::new(&mut *from).poll_read(cx, &mut buffer) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {
                    decoder.push(buffer.filled());
                    Poll::Ready(Ok(buffer.filled().len()))
                }
            }
        })
    })
    .await
}

/// Time since the Unix epoch, for the nonces of Digest.
fn wall_clock() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    /// As TLS does it: takes everything at once and lets some of it go with each flush.
    #[derive(Default)]
    struct Hoarder {
        held: Vec<u8>,
        sent: Vec<u8>,
    }

    impl AsyncWrite for Hoarder {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            octets: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.held.extend_from_slice(octets);
            Poll::Ready(Ok(octets.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            let count = self.held.len().min(2);
            let rest = self.held.split_off(count);
            let gone = std::mem::replace(&mut self.held, rest);
            self.sent.extend(gone);
            if self.held.is_empty() {
                return Poll::Ready(Ok(()));
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_the_transport_holds_back_is_sent_without_another_message() {
        let mut to = Hoarder::default();
        let (mut pending, mut unflushed) = (BytesMut::from(&b"INFO sip"[..]), false);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..8 {
            if pending.is_empty() && !unflushed && !to.sent.is_empty() {
                break;
            }
            let write = std::pin::pin!(write_some(&mut to, &mut pending, &mut unflushed));
            let _woken = write.poll(&mut cx);
        }
        assert_eq!(to.sent, b"INFO sip");
        assert!(!unflushed);
    }
}
