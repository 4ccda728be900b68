//! Moves octets between a socket and whoever decodes them: what the connections of clients and front ends have in common.
//!
//! What is to be written is bounded: beyond the bound nothing more is taken from the sessions, nor read from the peer,
//! whose requests make answers. While nothing happens a pump holds no buffer.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use holdover_protocol::sip::{Decoded, Decoder, Limits};
use tokio::io::{AsyncRead, ReadBuf, ReadHalf, WriteHalf};
use tokio_util::sync::CancellationToken;

use crate::queue;
use crate::telemetry::events::connection::ConnectionEnd;
use crate::transport::{Outbox, STALL, Stream, now};

/// Octets read at once.
const READ_SIZE: usize = 16 * 1024;

/// Octets waiting in a pump beyond which it takes no more from the sessions and reads no more requests.
const PENDING_BYTES: usize = 64 * 1024;

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
    outbox: Outbox,
}

impl Pump {
    pub(super) fn new(stream: Stream, inbound: queue::Receiver<Bytes>, limits: Limits) -> Self {
        let (read, write) = tokio::io::split(stream);
        Self {
            read,
            write,
            inbound,
            decoder: Decoder::new(limits),
            outbox: Outbox::default(),
        }
    }

    /// Moves octets until there is something to do.
    pub(super) async fn next(&mut self, close: &CancellationToken, until: Instant) -> Woken {
        loop {
            let stalled = self.outbox.stalls_at(STALL);
            let deadline = stalled.map_or(until, |stalled| stalled.min(until));
            let has_room = self.outbox.len() < PENDING_BYTES;
            tokio::select! {
                biased;
                () = close.cancelled() => return Woken::Close,
                written = self.outbox.write(&mut self.write), if self.outbox.is_waiting() => {
                    if written.is_err() {
                        return Woken::Ended(ConnectionEnd::Network);
                    }
                }
                // Before anything new is read: answers make room for questions.
                message = self.inbound.recv(), if has_room => {
                    self.queue(&message.unwrap_or_default());
                    while self.outbox.len() < PENDING_BYTES
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
                    if stalled.is_some_and(|stalled| stalled <= now()) {
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
        self.outbox.queue(message);
    }

    /// Writes what was promised, if the peer takes it: the refusal that explains the end. And closes.
    pub(super) async fn finish(&mut self) {
        while let Some(message) = self.inbound.try_recv() {
            self.queue(&message);
        }
        self.outbox.finish(&mut self.write).await;
    }
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
