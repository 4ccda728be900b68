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

use bytes::Bytes;
use holdover_protocol::sip::{Decoded, Decoder, Fault, Limits, Status};
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

/// What a message may cost, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct MessageLimits {
    /// Bounds of a message.
    pub sip: Limits,
    /// Bytes of a body before sign-in.
    pub sign_in_body: usize,
    /// Time from a message's first octet to its last.
    pub timeout: Duration,
}

impl MessageLimits {
    /// Bytes of a body.
    pub(super) fn body(&self, is_signed_in: bool) -> usize {
        if is_signed_in {
            self.sip.body
        } else {
            self.sip.body.min(self.sign_in_body)
        }
    }
}

/// What is answered to a message that does not end.
pub(super) fn too_late() -> Fault {
    Fault::new(
        Status::REQUEST_TIMEOUT,
        "the message did not end within the time for a message",
    )
}

/// What is answered to a message for which there is no memory.
pub(super) fn too_much() -> Fault {
    Fault::new(
        Status::SERVICE_UNAVAILABLE,
        "messages that have come in part take all the memory there is for them",
    )
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
    /// A message began long ago and has not ended: [give it up](Pump::give_up), and close.
    Unfinished,
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
    /// When the message that has come in part must be there.
    unfinished_until: Option<Instant>,
    message_timeout: Duration,
}

impl Pump {
    pub(super) fn new(
        stream: Stream,
        inbound: queue::Receiver<Bytes>,
        limits: &MessageLimits,
    ) -> Self {
        let (read, write) = tokio::io::split(stream);
        Self {
            read,
            write,
            inbound,
            decoder: Decoder::new(limits.sip),
            outbox: Outbox::default(),
            unfinished_until: None,
            message_timeout: limits.timeout,
        }
    }

    /// Moves octets until there is something to do.
    pub(super) async fn next(&mut self, close: &CancellationToken, until: Instant) -> Woken {
        loop {
            let stalled = self.outbox.stalls_at(STALL);
            let has_room = self.outbox.len() < PENDING_BYTES;
            if !has_room && let Some(until) = &mut self.unfinished_until {
                // Nothing is read: the peer cannot be late.
                *until = now() + self.message_timeout;
            }
            let others = [stalled, self.unfinished_until];
            let deadline = others.into_iter().flatten().fold(until, Instant::min);
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
                    let is_over = |at: &Instant| *at <= now();
                    if stalled.as_ref().is_some_and(is_over) {
                        return Woken::Ended(ConnectionEnd::Slow);
                    }
                    if self.unfinished_until.as_ref().is_some_and(is_over) {
                        return Woken::Unfinished;
                    }
                    return Woken::Timeout;
                }
            }
        }
    }

    /// Takes apart what was read.
    pub(super) fn decode(&mut self) -> Decoded {
        let decoded = self.decoder.decode();
        if !matches!(decoded, Decoded::NeedMore { .. }) || !self.decoder.is_mid_message() {
            self.unfinished_until = None;
        } else if self.unfinished_until.is_none() {
            self.unfinished_until = Some(now() + self.message_timeout);
        }
        decoded
    }

    /// Sets the longest body of messages to come.
    pub(super) fn limit_body(&mut self, bytes: usize) {
        self.decoder.limit_body(bytes);
    }

    /// Bytes of memory that the message takes which has come in part.
    pub(super) fn unfinished(&self) -> usize {
        self.decoder.held()
    }

    /// Bytes that wait to be written.
    pub(super) fn unsent(&self) -> usize {
        self.outbox.len()
    }

    /// Gives up the message that has come in part.
    pub(super) fn give_up(&mut self, fault: Fault) -> Decoded {
        self.decoder.give_up(fault)
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
