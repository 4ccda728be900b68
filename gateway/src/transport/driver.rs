//! The octets of one connection, whoever is at its other end: what came is cut into messages, what waits is written and
//! flushed, pings are answered, and a peer that takes nothing is noticed. What a message means is the caller's business.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use holdover_protocol::sip::{Decoded, Decoder, Fault, KeepAlive, Limits, Message};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};

use super::outgoing::{Finish, print};
use super::{Outbox, Outgoing, Stream};

/// Octets read at once on a connection that is mostly idle.
const READ_SIZE: usize = 16 * 1024;

/// Longest body over the limit that does not end a connection that many users share.
const SKIPPED_BODY: usize = 64 * 1024 * 1024;

/// Octets read at once on one that many users share.
const BUSY_READ_SIZE: usize = 64 * 1024;

thread_local! {
    /// Where octets are read to. One per worker thread: a connection that is only waiting needs no buffer of its own.
    static READ_BUFFER: RefCell<Box<[u8; READ_SIZE]>> = RefCell::new(Box::new([0; READ_SIZE]));
}

/// What came of waiting.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Something was written: there may be room for more.
    Written,
    /// Octets came: [decode](Driver::decode) them.
    Read,
    /// The peer closed the connection.
    Closed,
    /// The network failed.
    Failed(io::Error),
}

/// Something that came.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A sound message.
    Message(Message),
    /// A faulty one: `fault` is to be answered to `message`, if there is one.
    Fault {
        /// The message, as far as it could be read.
        message: Option<Message>,
        /// What is wrong.
        fault: Fault,
        /// Whether nothing that follows can be read: the connection is to be closed.
        is_fatal: bool,
    },
}

/// One connection. While nothing happens it holds no buffer.
#[derive(Debug)]
pub(crate) struct Driver<S = Stream> {
    read: ReadHalf<S>,
    write: WriteHalf<S>,
    decoder: Decoder,
    outbox: Outbox,
    /// What completes messages. `None`: they are complete as they come.
    finish: Option<Box<dyn Finish>>,
    is_busy: bool,
}

impl<S: AsyncRead + AsyncWrite> Driver<S> {
    /// For a connection of which there are many, most of them idle.
    pub(crate) fn new(stream: S, limits: Limits) -> Self {
        Self::over(stream, limits, false)
    }

    /// For one of the few that many users share: it reads more at once, and straight into its own buffer.
    pub(crate) fn busy(stream: S, limits: Limits) -> Self {
        let mut driver = Self::over(stream, limits, true);
        driver.skip_bodies();
        driver
    }

    /// Has bodies over the limit refused without an end of the connection, which others share.
    pub(crate) fn skip_bodies(&mut self) {
        self.decoder.skip_bodies(SKIPPED_BODY);
    }

    fn over(stream: S, limits: Limits, is_busy: bool) -> Self {
        let (read, write) = tokio::io::split(stream);
        Self {
            read,
            write,
            decoder: Decoder::new(limits),
            outbox: Outbox::default(),
            finish: None,
            is_busy,
        }
    }

    /// Writes what waits, and reads if `reads`. Cancel safe: nothing is lost when the future is dropped.
    ///
    /// No `async fn`: such a future holds its arguments a second time, and there is one for each connection.
    pub(crate) fn next(&mut self, reads: bool) -> impl Future<Output = Progress> {
        poll_fn(move |cx| self.poll_next(cx, reads))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, reads: bool) -> Poll<Progress> {
        let mut written = false;
        if self.outbox.is_waiting() {
            match self.outbox.poll_write(cx, &mut self.write) {
                Poll::Ready(Ok(())) => written = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Progress::Failed(error)),
                Poll::Pending => {}
            }
        }
        if reads {
            match self.poll_read(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Progress::Closed),
                Poll::Ready(Ok(_)) => return Poll::Ready(Progress::Read),
                Poll::Ready(Err(error)) => return Poll::Ready(Progress::Failed(error)),
                Poll::Pending => {}
            }
        }
        if written {
            return Poll::Ready(Progress::Written);
        }
        Poll::Pending
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.is_busy {
            let buffer = self.decoder.buffer();
            buffer.reserve(BUSY_READ_SIZE);
            return pin!(self.read.read_buf(buffer)).poll(cx);
        }
        READ_BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer.as_mut_slice());
            match Pin::new(&mut self.read).poll_read(cx, &mut buffer) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => {
                    self.decoder.push(buffer.filled());
                    Poll::Ready(Ok(buffer.filled().len()))
                }
            }
        })
    }

    /// The next of what was read; `None` when nothing whole is left.
    pub(crate) fn decode(&mut self) -> Option<Incoming> {
        loop {
            return match self.decoder.decode() {
                Decoded::NeedMore { .. } => None,
                // RFC 5626 §4.4.1: a ping is answered with one CRLF.
                Decoded::KeepAlive(KeepAlive::Ping) => {
                    self.outbox.queue(b"\r\n");
                    continue;
                }
                Decoded::KeepAlive(KeepAlive::Pong) => continue,
                Decoded::Message(message) => Some(Incoming::Message(message)),
                Decoded::Malformed { message, fault } => Some(Incoming::Fault {
                    message,
                    fault,
                    is_fatal: false,
                }),
                Decoded::Fatal { message, fault } => Some(Incoming::Fault {
                    message,
                    fault,
                    is_fatal: true,
                }),
            };
        }
    }

    /// What was decoded, to be asked how far it is, and to be given other limits.
    pub(crate) fn decoder(&mut self) -> &mut Decoder {
        &mut self.decoder
    }

    /// Has each message completed by this when it is printed.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "no connection signs its messages yet")
    )]
    pub(crate) fn finish_by(&mut self, finish: Box<dyn Finish>) {
        self.finish = Some(finish);
    }

    /// Prints a message and puts it behind what is to be written: from here on nothing overtakes it.
    pub(crate) fn send(&mut self, message: impl Into<Outgoing>) {
        let message = print(message.into(), self.finish.as_deref_mut());
        self.outbox.queue(&message);
    }

    /// Puts a ping behind what is to be written: line ends, which are no message.
    pub(crate) fn ping(&mut self, line_ends: &'static [u8]) {
        self.outbox.queue(line_ends);
    }

    /// How many octets wait to be written.
    pub(crate) fn unsent(&self) -> usize {
        self.outbox.len()
    }

    /// When the peer has taken nothing for so long, if it takes nothing until then.
    pub(crate) fn stalls_at(&self, limit: Duration) -> Option<Instant> {
        self.outbox.stalls_at(limit)
    }

    /// Writes what was promised, if the peer takes it, and closes.
    pub(crate) async fn finish(&mut self) {
        self.outbox.finish(&mut self.write).await;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::AsyncWriteExt as _;
    use tokio::time::{Instant as Clock, advance};

    use super::*;
    use crate::transport::STALL;
    use crate::transport::tls::testing::pair;

    #[tokio::test(start_paused = true)]
    async fn what_tls_holds_back_leaves_without_another_message() {
        let (ours, mut theirs) = pair(4096).await;
        let mut driver = Driver::new(ours, Limits::default());
        driver.send(Bytes::from(vec![b'x'; 30_000]));
        let reading = tokio::spawn(async move {
            // The window is closed for a while.
            tokio::time::sleep(Duration::from_secs(3)).await;
            let mut all = vec![0; 30_000];
            theirs.read_exact(&mut all).await.unwrap();
            theirs
        });
        let begun = Clock::now();
        while driver.outbox.is_waiting() {
            assert!(matches!(driver.next(true).await, Progress::Written));
        }
        let _theirs = reading.await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(4));
        assert_eq!(driver.stalls_at(STALL), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_of_what_tls_holds_stalls() {
        let (ours, _theirs) = pair(4096).await;
        let mut driver = Driver::new(ours, Limits::default());
        driver.send(Bytes::from(vec![b'x'; 30_000]));
        let _written = driver.next(true).await;
        assert_eq!(driver.unsent(), 0, "TLS has it all");
        let stalls_at = driver.stalls_at(STALL).unwrap();
        // What comes later does not begin the time anew.
        advance(Duration::from_secs(5)).await;
        driver.send(Bytes::from_static(b"more"));
        assert_eq!(driver.stalls_at(STALL), Some(stalls_at));
    }

    #[tokio::test]
    async fn a_body_over_the_limit_ends_no_connection_that_many_share() {
        let limits = Limits {
            body: 5,
            ..Limits::default()
        };
        for is_shared in [false, true] {
            let (ours, mut theirs) = tokio::io::duplex(4096);
            let mut driver = match is_shared {
                true => Driver::busy(ours, limits),
                false => Driver::new(ours, limits),
            };
            let message = b"INFO sip:a@h SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nFrom: <sip:a@h>;tag=1\r\n\
                            To: <sip:a@h>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INFO\r\nContent-Length: 9\r\n\r\nhello you";
            theirs.write_all(message).await.unwrap();
            assert!(matches!(driver.next(true).await, Progress::Read));
            let Some(Incoming::Fault { is_fatal, .. }) = driver.decode() else {
                panic!("a body of nine bytes was taken");
            };
            assert_eq!(is_fatal, !is_shared);
        }
    }

    #[tokio::test]
    async fn pings_are_answered_between_messages_however_it_reads() {
        for is_busy in [false, true] {
            let (ours, mut theirs) = tokio::io::duplex(4096);
            let mut driver = Driver::over(ours, Limits::default(), is_busy);
            let message = b"OPTIONS sip:a@h SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nFrom: <sip:a@h>;tag=1\r\n\
                            To: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
            theirs.write_all(b"\r\n\r\n").await.unwrap();
            theirs.write_all(message).await.unwrap();
            assert!(matches!(driver.next(true).await, Progress::Read));
            assert!(matches!(driver.decode(), Some(Incoming::Message(_))));
            assert!(driver.decode().is_none());
            assert!(matches!(driver.next(true).await, Progress::Written));
            let mut answer = [0; 2];
            theirs.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"\r\n");
            drop(theirs);
            assert!(matches!(driver.next(true).await, Progress::Closed));
        }
    }
}
