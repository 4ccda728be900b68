//! Byte streams to peers: plain TCP, or TLS over it.
//!
//! Everything above works on [`Stream`]; rustls is named in [`tls`] alone, so a library that breaks its interface costs
//! one file.

mod accept;
mod driver;
pub(crate) mod occupancy;
mod outbox;
mod outgoing;
pub(crate) mod pace;
pub mod tls;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub use accept::Bound;
pub(crate) use accept::{Accepting, Arrival, Met};
pub(crate) use driver::{Driver, Incoming, Progress};
pub use occupancy::{Most, Occupancy, UnfinishedBytes};
use outbox::Outbox;
pub(crate) use outgoing::Outgoing;
#[cfg(test)]
pub(crate) use outgoing::testing;

/// Silence after which the kernel probes a peer, so that a machine that was switched off is noticed.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// How long a client, a front end or a gateway may leave what is written to it unread.
pub(crate) const STALL: Duration = Duration::from_secs(20);

/// The time, by the clock that the timers go by.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A connection to a peer.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// TLS over TCP. Boxed: its buffers are several KiB and a plain connection should not pay for them.
    Tls(Box<tls::Stream>),
}

impl Stream {
    /// The transport parameter of a Via or Contact (RFC 3261 §18.1.1).
    #[must_use]
    pub fn via_transport(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "TCP",
            Self::Tls(_) => "TLS",
        }
    }
}

/// Sets what every SIP connection wants: no delay for small messages, and probes for dead peers.
///
/// # Errors
///
/// Whatever the operating system says of the socket options.
pub fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keep_alive = socket2::TcpKeepalive::new()
        .with_time(KEEP_ALIVE_IDLE)
        .with_interval(KEEP_ALIVE_INTERVAL);
    socket2::SockRef::from(stream).set_tcp_keepalive(&keep_alive)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
