//! What is to be written to a peer, and whether the peer takes it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::now;

/// How long the last words may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The octets that wait to be written on one connection. Empty, it holds no buffer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pending: BytesMut,
    /// Whether the transport may still hold octets that were written to it.
    unflushed: bool,
    /// Since when the peer has not taken anything.
    stalled_since: Option<Instant>,
}

impl Outbox {
    /// Puts octets behind those that are to be written.
    pub(crate) fn queue(&mut self, octets: &[u8]) {
        if self.pending.is_empty() {
            self.stalled_since.get_or_insert_with(now);
        }
        self.pending.extend_from_slice(octets);
    }

    /// How many octets wait.
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether there is something to [write](Self::poll_write).
    pub(crate) fn is_waiting(&self) -> bool {
        self.unflushed || !self.pending.is_empty()
    }

    /// When the peer has taken nothing for so long, if it takes nothing until then.
    pub(crate) fn stalls_at(&self, limit: Duration) -> Option<Instant> {
        self.stalled_since.map(|since| since + limit)
    }

    /// Hands over what the transport takes, and sees to it that it leaves: TLS encrypts more than the socket takes, and
    /// sends the rest only when it is told to. Ready whenever something moved.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        let mut moved = false;
        while !self.pending.is_empty() {
            match Pin::new(&mut *to).poll_write(cx, &self.pending) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => self.pending.advance(written),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if moved => return self.moved(),
                Poll::Pending => return Poll::Pending,
            }
            (moved, self.unflushed) = (true, true);
        }
        match Pin::new(&mut *to).poll_flush(cx) {
            Poll::Ready(Ok(())) => self.unflushed = false,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending if !moved => return Poll::Pending,
            Poll::Pending => {}
        }
        self.moved()
    }

    /// The peer took something.
    fn moved(&mut self) -> Poll<io::Result<()>> {
        self.stalled_since = self.is_waiting().then(now);
        if self.pending.is_empty() {
            self.pending = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what was promised, if the peer takes it, and closes.
    pub(crate) async fn finish(&mut self, to: &mut (impl AsyncWrite + Unpin)) {
        let last_words = async {
            let _unread = to.write_all_buf(&mut self.pending).await;
            let _closed = to.shutdown().await;
        };
        let _in_time = tokio::time::timeout(LAST_WORDS, last_words).await;
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

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
        let (mut to, mut outbox) = (Hoarder::default(), Outbox::default());
        outbox.queue(b"INFO sip");
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..8 {
            if !outbox.is_waiting() {
                break;
            }
            let _woken = outbox.poll_write(&mut cx, &mut to);
        }
        assert_eq!(to.sent, b"INFO sip");
        assert!(!outbox.is_waiting());
        assert_eq!(outbox.stalls_at(Duration::ZERO), None);
    }
}
