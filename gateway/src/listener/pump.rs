//! Moves octets between a socket and whoever decodes them: what the connections of clients and front ends have in common.
//!
//! What is to be written is bounded: beyond the bound nothing more is taken from the sessions, nor read from the peer,
//! whose requests make answers. While nothing happens a pump holds no buffer.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use holdover_protocol::sip::{Decoded, Decoder, Limits};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, ReadHalf, WriteHalf};
use tokio_util::sync::CancellationToken;

use crate::queue;
use crate::telemetry::events::connection::ConnectionEnd;
use crate::transport::Stream;

/// Octets read at once.
const READ_SIZE: usize = 16 * 1024;

/// Octets waiting in a pump beyond which it takes no more from the sessions and reads no more requests.
const PENDING_BYTES: usize = 64 * 1024;

/// How long a peer may leave what is written to it unread.
const WRITE_STALL: Duration = Duration::from_secs(20);

/// How long the last words may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

thread_local! {
    /// Where octets are read to. One per worker thread: a connection that is only waiting needs no buffer of its own.
    static READ_BUFFER: RefCell<Box<[u8; READ_SIZE]>> = RefCell::new(Box::new([0; READ_SIZE]));
}

/// What woke a pump.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// The connection is to be closed.
    Close,
    /// There are octets to [decode](Pump::decode).
    Read,
    /// The deadline has passed.
    Timeout,
    /// The connection ended.
    Ended(ConnectionEnd),
}

/// The octets of one connection.
pub(super) struct Pump {
    read: ReadHalf<Stream>,
    write: WriteHalf<Stream>,
    /// Messages of the sessions.
    inbound: queue::Receiver<Bytes>,
    decoder: Decoder,
    /// Octets to write.
    pending: BytesMut,
    /// Whether the transport may still hold octets that were written to it.
    unflushed: bool,
    /// Since when the peer has not taken anything.
    stalled_since: Option<Instant>,
}

impl Pump {
    pub(super) fn new(stream: Stream, inbound: queue::Receiver<Bytes>, limits: Limits) -> Self {
        let (read, write) = tokio::io::split(stream);
        Self {
            read,
            write,
            inbound,
            decoder: Decoder::new(limits),
            pending: BytesMut::new(),
            unflushed: false,
            stalled_since: None,
        }
    }

    /// Moves octets until there is something to do.
    pub(super) async fn next(&mut self, close: &CancellationToken, until: Instant) -> Woken {
        loop {
            let stalled = self.stalled_since.map(|since| since + WRITE_STALL);
            let deadline = stalled.map_or(until, |stalled| stalled.min(until));
            let has_room = self.pending.len() < PENDING_BYTES;
            tokio::select! {
                biased;
                () = close.cancelled() => return Woken::Close,
                written = write_some(&mut self.write, &mut self.pending, &mut self.unflushed),
                    if self.unflushed || !self.pending.is_empty() =>
                {
                    if written.is_err() {
                        return Woken::Ended(ConnectionEnd::Network);
                    }
                    let is_done = self.pending.is_empty() && !self.unflushed;
                    self.stalled_since = (!is_done).then(Instant::now);
                    if self.pending.is_empty() {
                        self.pending = BytesMut::new();
                    }
                }
                // Before anything new is read: answers make room for questions.
                message = self.inbound.recv(), if has_room => {
                    self.queue(&message.unwrap_or_default());
                    while self.pending.len() < PENDING_BYTES
                        && let Some(message) = self.inbound.try_recv()
                    {
                        self.queue(&message);
                    }
                }
                received = read_some(&mut self.read, &mut self.decoder), if has_room => {
                    return match received {
                        Ok(0) => Woken::Ended(ConnectionEnd::Client),
                        Ok(_) => Woken::Read,
                        Err(_) => Woken::Ended(ConnectionEnd::Network),
                    };
                }
                () = tokio::time::sleep_until(deadline.into()) => {
                    let now = Instant::now();
                    if stalled.is_some_and(|stalled| stalled <= now) {
                        return Woken::Ended(ConnectionEnd::Slow);
                    }
                    return Woken::Timeout;
                }
            }
        }
    }

    /// Takes apart what was read.
    pub(super) fn decode(&mut self) -> Decoded {
        self.decoder.decode()
    }

    /// Puts octets behind those that are to be written.
    pub(super) fn queue(&mut self, message: &[u8]) {
        if self.pending.is_empty() {
            self.stalled_since = Some(Instant::now());
        }
        self.pending.extend_from_slice(message);
    }

    /// Writes what was promised, if the peer takes it: the refusal that explains the end. And closes.
    pub(super) async fn finish(&mut self) {
        while let Some(message) = self.inbound.try_recv() {
            self.queue(&message);
        }
        let last_words = async {
            let _unread = self.write.write_all_buf(&mut self.pending).await;
            let _closed = self.write.shutdown().await;
        };
        let _in_time = tokio::time::timeout(LAST_WORDS, last_words).await;
    }
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
