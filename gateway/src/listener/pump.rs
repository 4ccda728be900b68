//! Moves octets between a socket and whoever decodes them: what the connections of clients and front ends have in common.
//!
//! What is to be written is bounded: beyond the bound nothing more is taken from the sessions, nor read from the peer,
//! whose requests make answers. While nothing happens a pump holds no buffer.

use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_protocol::sip::{Decoded, Fault, Limits, Status};
use tokio_util::sync::CancellationToken;

use crate::queue;
use crate::telemetry::events::connection::ConnectionEnd;
use crate::transport::{Driver, Incoming, Progress, STALL, Stream, now};

/// Octets waiting in a pump beyond which it takes no more from the sessions and reads no more requests.
const PENDING_BYTES: usize = 64 * 1024;

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
    octets: Driver,
    /// Messages of the sessions.
    inbound: queue::Receiver<Bytes>,
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
        Self {
            octets: Driver::new(stream, limits.sip),
            inbound,
            unfinished_until: None,
            message_timeout: limits.timeout,
        }
    }

    /// Moves octets until there is something to do.
    pub(super) async fn next(&mut self, close: &CancellationToken, until: Instant) -> Woken {
        loop {
            let stalled = self.octets.stalls_at(STALL);
            let has_room = self.octets.unsent() < PENDING_BYTES;
            if !has_room && let Some(until) = &mut self.unfinished_until {
                // Nothing is read: the peer cannot be late.
                *until = now() + self.message_timeout;
            }
            let others = [stalled, self.unfinished_until];
            let deadline = others.into_iter().flatten().fold(until, Instant::min);
            tokio::select! {
                biased;
                () = close.cancelled() => return Woken::Close,
                // Before anything new is read: answers make room for questions.
                message = self.inbound.recv(), if has_room => {
                    self.queue(&message.unwrap_or_default());
                    while self.octets.unsent() < PENDING_BYTES
                        && let Some(message) = self.inbound.try_recv()
                    {
                        self.queue(&message);
                    }
                }
                progress = self.octets.next(has_room) => match progress {
                    Progress::Written => {}
                    Progress::Read => return Woken::Read,
                    Progress::Closed => return Woken::Ended(ConnectionEnd::Client),
                    Progress::Failed(_) => return Woken::Ended(ConnectionEnd::Network),
                },
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
    pub(super) fn decode(&mut self) -> Option<Incoming> {
        let incoming = self.octets.decode();
        if incoming.is_some() || !self.octets.decoder().is_mid_message() {
            self.unfinished_until = None;
        } else if self.unfinished_until.is_none() {
            self.unfinished_until = Some(now() + self.message_timeout);
        }
        incoming
    }

    /// Sets the longest body of messages to come.
    pub(super) fn limit_body(&mut self, bytes: usize) {
        self.octets.decoder().limit_body(bytes);
    }

    /// Bytes of memory that the message takes which has come in part.
    pub(super) fn unfinished(&mut self) -> usize {
        self.octets.decoder().held()
    }

    /// Bytes that wait to be written.
    pub(super) fn unsent(&self) -> usize {
        self.octets.unsent()
    }

    /// Gives up the message that has come in part.
    pub(super) fn give_up(&mut self, fault: Fault) -> Decoded {
        self.octets.decoder().give_up(fault)
    }

    /// Puts octets behind those that are to be written.
    pub(super) fn queue(&mut self, message: &[u8]) {
        self.octets.queue(message);
    }

    /// Writes what was promised, if the peer takes it: the refusal that explains the end. And closes.
    pub(super) async fn finish(&mut self) {
        while let Some(message) = self.inbound.try_recv() {
            self.queue(&message);
        }
        self.octets.finish().await;
    }
}
