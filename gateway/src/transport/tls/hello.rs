//! How a client begins: kept until the handshake has ended, because TLS libraries do not say of a hello that they refuse
//! which versions it offered.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Record header, handshake header, version: what is needed of a hello.
const KEPT: usize = 11;

/// A connection of which the first octets that came are kept.
#[derive(Debug)]
pub(super) struct Overheard {
    stream: TcpStream,
    kept: [u8; KEPT],
    length: u8,
}

/// A hello that no TLS library of today goes on with, whatever else is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outdated {
    /// It offers this version at most: SSL 3.0, TLS 1.0 or TLS 1.1.
    Version(&'static str),
    /// It has the form of SSL 2.0.
    Ssl2,
}

impl Overheard {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            kept: [0; KEPT],
            length: 0,
        }
    }

    /// What is outdated about the client's hello.
    pub(super) fn outdated(&self) -> Option<Outdated> {
        Outdated::of(self.kept.get(..usize::from(self.length))?)
    }
}

impl Outdated {
    /// Reads the begin of what a client sent.
    fn of(hello: &[u8]) -> Option<Self> {
        match *hello {
            // Handshake, any version of records, length; client hello, length; version.
            [22, 3, _, _, _, 1, _, _, _, 3, minor @ 0..=2] => Some(Self::Version(match minor {
                0 => "SSL 3.0",
                1 => "TLS 1.0",
                _ => "TLS 1.1",
            })),
            // Length of two octets with its first bit set, client hello, version (RFC 5246 appendix E.2).
            // The handshake ends at the first octet; more may not have come.
            [0x80..=0xff, _, 1, 0 | 2 | 3, ..]
            | [0x80..=0xff]
            | [0x80..=0xff, _]
            | [0x80..=0xff, _, 1] => Some(Self::Ssl2),
            _ => None,
        }
    }
}

impl fmt::Display for Outdated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(
                f,
                "the client offers {version} at most, and TLS 1.2 is needed"
            ),
            Self::Ssl2 => {
                f.write_str("the client begins in the form of SSL 2.0, and TLS 1.2 is needed")
            }
        }
    }
}

impl std::error::Error for Outdated {}

impl AsyncRead for Overheard {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let length = usize::from(this.length);
        if length < KEPT {
            let room = this.kept.get_mut(length..).unwrap_or_default();
            let came = buf.filled().get(before..).unwrap_or_default();
            for (to, from) in room.iter_mut().zip(came) {
                *to = *from;
                this.length += 1;
            }
        }
        read
    }
}

impl AsyncWrite for Overheard {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outdated_is_known_by_its_first_octets() {
        let hello = |record: u8, minor: u8| [22, 3, record, 0, 99, 1, 0, 0, 95, 3, minor];
        for (octets, expected) in [
            (hello(0, 0).to_vec(), Some(Outdated::Version("SSL 3.0"))),
            (hello(1, 1).to_vec(), Some(Outdated::Version("TLS 1.0"))),
            (hello(1, 2).to_vec(), Some(Outdated::Version("TLS 1.1"))),
            // Those of TLS 1.2 and 1.3 have old versions on their records.
            (hello(1, 3).to_vec(), None),
            (hello(3, 3).to_vec(), None),
            (vec![0x80, 46, 1, 3, 1, 0, 21], Some(Outdated::Ssl2)),
            (vec![0x80, 46, 1, 0, 2, 0, 21], Some(Outdated::Ssl2)),
            (b"REGISTER sip:contoso.com SIP/2.0".to_vec(), None),
            (b"\x80\x01\x02".to_vec(), None),
            (vec![22, 3, 1], None),
            (Vec::new(), None),
        ] {
            let kept = octets.get(..KEPT).unwrap_or(&octets);
            assert_eq!(Outdated::of(kept), expected, "{octets:?}");
        }
    }
}
