//! Moves octets between a socket and whoever decodes them: what the connections of clients and front ends have in common.
//!
//! What is to be written is bounded: beyond the bound nothing more is taken from the sessions, nor read from the peer,
//! whose requests make answers. While nothing happens a pump holds no buffer.

use std::time::{Duration, Instant};

use holdover_protocol::sip::{Decoded, Fault, Limits, Status};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::queue;
use crate::telemetry::events::connection::ConnectionEnd;
use crate::transport::{Driver, Incoming, Outgoing, Progress, STALL, Stream, now};

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
    /// Requests of one client that are read in a second.
    pub requests_per_second: u32,
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
pub(super) struct Pump<S = Stream> {
    octets: Driver<S>,
    /// Messages of the sessions.
    inbound: queue::Receiver<Outgoing>,
    /// When the message that has come in part must be there.
    unfinished_until: Option<Instant>,
    message_timeout: Duration,
    /// When the peer is read again: it asked faster than it may.
    reads_at: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite> Pump<S> {
    pub(super) fn new(
        stream: S,
        inbound: queue::Receiver<Outgoing>,
        limits: &MessageLimits,
    ) -> Self {
        Self {
            octets: Driver::new(stream, limits.sip),
            inbound,
            unfinished_until: None,
            message_timeout: limits.timeout,
            reads_at: None,
        }
    }

    /// Reads nothing more before `at`.
    pub(super) fn read_at(&mut self, at: Option<Instant>) {
        self.reads_at = at;
    }

    /// Moves octets until there is something to do.
    pub(super) async fn next(&mut self, close: &CancellationToken, until: Instant) -> Woken {
        loop {
            let stalled = self.octets.stalls_at(STALL);
            let has_room = self.octets.unsent() < PENDING_BYTES;
            self.reads_at = self.reads_at.filter(|at| *at > now());
            let reads = has_room && self.reads_at.is_none();
            if !reads && let Some(until) = &mut self.unfinished_until {
                // Nothing is read: the peer cannot be late.
                *until = now() + self.message_timeout;
            }
            let others = [stalled, self.unfinished_until, self.reads_at];
            let deadline = others.into_iter().flatten().fold(until, Instant::min);
            tokio::select! {
                biased;
                () = close.cancelled() => return Woken::Close,
                // Before anything new is read: answers make room for questions.
                message = self.inbound.recv(), if has_room => {
                    if let Some(message) = message {
                        self.send(message);
                    }
                    while self.octets.unsent() < PENDING_BYTES
                        && let Some(message) = self.inbound.try_recv()
                    {
                        self.send(message);
                    }
                }
                progress = self.octets.next(reads) => match progress {
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
                    if until <= now() {
                        return Woken::Timeout;
                    }
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

    /// Has bodies over the limit refused without an end of the connection, which others share.
    pub(super) fn skip_bodies(&mut self) {
        self.octets.skip_bodies();
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

    /// Puts a message behind what is to be written.
    pub(super) fn send(&mut self, message: impl Into<Outgoing>) {
        self.octets.send(message);
    }

    /// Puts a ping behind what is to be written.
    pub(super) fn ping(&mut self) {
        self.octets.ping(b"\r\n");
    }

    /// Writes what was promised, if the peer takes it: the refusal that explains the end. And closes.
    pub(super) async fn finish(&mut self) {
        while let Some(message) = self.inbound.try_recv() {
            self.send(message);
        }
        self.octets.finish().await;
    }
}

#[cfg(test)]
mod tests {
    use holdover_protocol::sip::{Decoder, Message, MessageBuilder, Method, Name, respond};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::transport::testing::Numbers;

    const BODY: usize = 8_000;
    const WAITING: usize = 32;

    fn info() -> MessageBuilder {
        MessageBuilder::request(&Method::Info, "sip:a@contoso.com")
            .header(Name::CSeq, "1 INFO")
            .body("text/plain", &[b'x'; BODY])
    }

    /// All that the peer was sent until the connection was closed.
    fn messages(octets: &[u8]) -> Vec<(Message, u32)> {
        let mut decoder = Decoder::new(Limits::default());
        decoder.push(octets);
        let mut all = Vec::new();
        loop {
            let message = match decoder.decode() {
                Decoded::Message(message) => message,
                Decoded::Malformed {
                    message: Some(message),
                    ..
                } => message,
                Decoded::KeepAlive(_) => continue,
                _ => return all,
            };
            let numbers: Vec<&str> = message
                .headers()
                .iter()
                .filter(|(_, value)| value.contains(";by="))
                .map(|(_, value)| value.split(';').next().unwrap())
                .collect();
            let [number] = numbers[..] else {
                panic!("signed {} times", numbers.len());
            };
            all.push((message.clone(), number.parse().unwrap()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn messages_are_numbered_in_the_order_in_which_they_are_written_and_bounded_as_they_are()
    {
        let (ours, theirs) = tokio::io::duplex(1_000);
        let (sender, inbound) = queue::bounded(WAITING);
        let limits = MessageLimits {
            sip: Limits::default(),
            sign_in_body: 1_000,
            timeout: Duration::from_secs(10),
            requests_per_second: 200,
        };
        let mut pump = Pump::new(ours, inbound, &limits);
        pump.octets.finish_by(Box::<Numbers>::default());
        let close = CancellationToken::new();
        // More than fits: what is dropped must not leave a hole in the numbers.
        let taken = (0..WAITING + 8).filter(|number| {
            let message = match number % 2 {
                0 => info().into(),
                _ => Outgoing::from(info().finish()),
            };
            sender.try_send(message).is_ok()
        });
        assert_eq!(taken.count(), WAITING);
        // The peer asks, and reads nothing.
        let (mut reads, mut writes) = tokio::io::split(theirs);
        let question = b"OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nFrom: <sip:a@h>;tag=1\r\n\
            To: <sip:h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
        writes.write_all(question).await.unwrap();
        pump.ping();
        assert_eq!(
            pump.next(&close, now() + Duration::from_secs(1)).await,
            Woken::Timeout
        );
        let bound = PENDING_BYTES..PENDING_BYTES + BODY + 1_000;
        assert!(bound.contains(&pump.unsent()), "{}", pump.unsent());
        let waiting = WAITING - sender.capacity();
        assert!(waiting > WAITING / 2, "{waiting} are left in the queue");
        // Now it reads, and what it asked is answered before what waits then.
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            reads.read_to_end(&mut all).await.unwrap();
            all
        });
        let mut answers = 0;
        loop {
            let until = now() + Duration::from_secs(1);
            match pump.next(&close, until).await {
                // Before the answer is made, a session has something more to say.
                Woken::Read => sender.try_send(info().into()).unwrap(),
                Woken::Timeout => break,
                other => panic!("{other:?}"),
            }
            assert!(pump.unsent() < bound.end);
            while let Some(Incoming::Message(Message::Request(request))) = pump.decode() {
                pump.send(respond(&request, Status::OK, Some("t")));
                answers += 1;
            }
        }
        pump.finish().await;
        drop((pump, writes));
        let sent = messages(&reading.await.unwrap());
        assert_eq!(answers, 1);
        assert_eq!(sent.len(), WAITING + 1 + answers);
        let numbers: Vec<u32> = sent.iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers, (1..=34).collect::<Vec<_>>());
        let answer = sent
            .iter()
            .position(|(message, _)| matches!(message, Message::Response(_)));
        assert_eq!(answer, Some(WAITING), "the answer overtook nothing");
    }
}
