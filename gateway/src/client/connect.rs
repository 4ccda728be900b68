//! Getting a connection to a server.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpStream;

use super::profile::Local;
use crate::telemetry::events::connection::TlsFailure;
use crate::transport::tls::{Connector, TlsError, failure_of};
use crate::transport::{Stream, tune};

/// Where to connect.
#[derive(Clone)]
pub struct Server {
    address: String,
    tls: Option<Tls>,
}

#[derive(Clone)]
struct Tls {
    connector: Connector,
    authorities: PathBuf,
    name: String,
}

/// Why there is no connection, in words for people.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address has no port.
    #[error("`{0}` is not HOST:PORT")]
    NoPort(String),
    /// The certificates to trust cannot be used.
    #[error("the file of trusted certificates cannot be used")]
    Authorities(#[from] TlsError),
    /// The name has no address.
    #[error("the name in `{address}` has no address")]
    Name {
        /// As it was given.
        address: String,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// Nobody answers.
    #[error("cannot connect to {address}")]
    Tcp {
        /// The address that was tried last.
        address: SocketAddr,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// The handshake failed.
    #[error("no TLS with {address}")]
    Handshake {
        /// As it was given.
        address: String,
        /// The name the certificate must be for.
        name: String,
        /// The certificates that are trusted.
        authorities: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// It takes too long.
    #[error("no connection to {0} in time: a firewall may drop what is sent there")]
    Timeout(String),
}

impl ConnectError {
    /// What to try.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Tcp { source, .. } => Some(what_to_check(source).into()),
            Self::Handshake {
                source,
                name,
                authorities,
                ..
            } => Some(what_to_mend(source, name, authorities)),
            Self::Name { .. } => Some("check the spelling, and the name server".into()),
            Self::NoPort(_) | Self::Authorities(_) | Self::Timeout(_) => None,
        }
    }
}

impl Server {
    /// A server without TLS. `address` is `HOST:PORT`.
    ///
    /// # Errors
    ///
    /// There is no port.
    pub fn tcp(address: &str) -> Result<Self, ConnectError> {
        host_of(address)?;
        Ok(Self {
            address: address.into(),
            tls: None,
        })
    }

    /// A server with TLS, whose certificate must be for `name` (else for the host of `address`) and issued by one of
    /// those in the PEM file `authorities`.
    ///
    /// # Errors
    ///
    /// There is no port, or the file cannot be used.
    pub fn tls(
        address: &str,
        name: Option<&str>,
        authorities: &Path,
    ) -> Result<Self, ConnectError> {
        let host = host_of(address)?;
        let tls = Tls {
            connector: Connector::trusting(authorities)?,
            authorities: authorities.into(),
            name: name.unwrap_or(host).into(),
        };
        Ok(Self {
            address: address.into(),
            tls: Some(tls),
        })
    }

    /// Connects, within `limit`.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]
    pub(super) async fn connect(&self, limit: Duration) -> Result<(Stream, Local), ConnectError> {
        tokio::time::timeout(limit, self.connect_at_leisure())
            .await
            .unwrap_or_else(|_| Err(ConnectError::Timeout(self.address.clone())))
    }

    async fn connect_at_leisure(&self) -> Result<(Stream, Local), ConnectError> {
        let unnamed = |source| ConnectError::Name {
            address: self.address.clone(),
            source,
        };
        let mut last = None;
        for address in tokio::net::lookup_host(&self.address)
            .await
            .map_err(unnamed)?
        {
            let connected = async {
                let stream = TcpStream::connect(address).await?;
                tune(&stream)?;
                let local = Local::new(self.tls.is_some(), stream.local_addr()?);
                Ok((stream, local))
            };
            match connected.await {
                Ok((stream, local)) => return Ok((self.secure(stream).await?, local)),
                Err(source) => last = Some(ConnectError::Tcp { address, source }),
            }
        }
        Err(last.unwrap_or_else(|| unnamed(io::ErrorKind::NotFound.into())))
    }

    async fn secure(&self, stream: TcpStream) -> Result<Stream, ConnectError> {
        let Some(Tls {
            connector,
            authorities,
            name,
        }) = &self.tls
        else {
            return Ok(Stream::Tcp(stream));
        };
        let secured =
            connector
                .connect(name, stream)
                .await
                .map_err(|source| ConnectError::Handshake {
                    address: self.address.clone(),
                    name: name.clone(),
                    authorities: authorities.clone(),
                    source,
                })?;
        Ok(Stream::Tls(Box::new(secured)))
    }
}

/// The host in `HOST:PORT`, an IPv6 address without its brackets.
fn host_of(address: &str) -> Result<&str, ConnectError> {
    let parts = address.rsplit_once(':').filter(|(host, port)| {
        let is_host = !host.is_empty() && (!host.contains(':') || host.starts_with('['));
        is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    match parts {
        Some((host, _)) => Ok(host.trim_matches(['[', ']'])),
        None => Err(ConnectError::NoPort(address.into())),
    }
}

fn what_to_check(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::ConnectionRefused => {
            "nothing listens there: is the server running, and is this the port of one of its listeners?"
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "there is no way to that machine: check the address and the network"
        }
        io::ErrorKind::TimedOut => "the machine is off, or a firewall drops what is sent there",
        _ => "check the address",
    }
}

fn what_to_mend(source: &io::Error, name: &str, authorities: &Path) -> String {
    match failure_of(source) {
        TlsFailure::NotTls => {
            "this port does not speak TLS: leave out --tls, or use another port".into()
        }
        TlsFailure::Closed => {
            "the server hung up during the handshake: is this a port for TLS?".into()
        }
        TlsFailure::Timeout => "the server does not answer the handshake".into(),
        _ => format!(
            "the server's certificate must be valid now, be for the name `{name}` (--server-name), and be issued by a \
             certificate in {} (--ca)",
            authorities.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_stands_before_the_last_colon() {
        assert_eq!(
            host_of("chat.contoso.com:5061").unwrap(),
            "chat.contoso.com"
        );
        assert_eq!(host_of("[::1]:5060").unwrap(), "::1");
        for bad in [
            "chat.contoso.com",
            "::1:5060",
            ":5060",
            "chat:0",
            "chat:99999",
            "chat:",
        ] {
            assert!(host_of(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_refused_connection_says_what_to_check() {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        drop(socket);
        let server = Server::tcp(&address.to_string()).unwrap();
        let error = server.connect(Duration::from_secs(5)).await.unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        assert!(
            error
                .advice()
                .is_some_and(|advice| advice.contains("nothing listens"))
        );
    }
}
