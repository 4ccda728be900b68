//! Making a connection to a server.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use holdover_config::settings::{PoolTls, Security};
use holdover_config::{ServerAddress, file};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::telemetry::events::pool::{PoolTlsFailure, ServerLoss};
use crate::transport::tls::upstream::{Pair, pool_failure_of};
use crate::transport::tls::{Connector, TlsError};
use crate::transport::{self, Stream};

/// How long the name, the connection and TLS may take, each.
const DIAL_TIMEOUT: Duration = Duration::from_secs(4);

/// How long certificates are waited for that somebody writes.
const UNSETTLED: Duration = Duration::from_secs(2);

/// A connection and our end of it.
#[derive(Debug)]
pub(super) struct Dialled<S> {
    pub(super) stream: S,
    pub(super) local: SocketAddr,
    /// `TCP` or `TLS`.
    pub(super) transport: &'static str,
}

/// Why there is none.
#[derive(Debug)]
pub(super) struct DialError {
    pub(super) reason: ServerLoss,
    pub(super) tls: Option<PoolTlsFailure>,
    pub(super) error: io::Error,
}

impl DialError {
    fn new(reason: ServerLoss, error: io::Error) -> Self {
        Self {
            reason,
            tls: None,
            error,
        }
    }

    fn tls(failure: PoolTlsFailure, error: io::Error) -> Self {
        Self {
            reason: ServerLoss::Tls,
            tls: Some(failure),
            error,
        }
    }
}

/// Makes connections to one server. Replaced in tests.
pub(super) trait Dial: Send + 'static {
    /// What they are.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Makes one.
    fn dial(&mut self) -> impl Future<Output = Result<Dialled<Self::Stream>, DialError>> + Send;
}

/// Looks host names up. Replaced in tests.
pub(super) trait Names: Send + 'static {
    /// The addresses of a host, with this port.
    fn find(
        &mut self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// As the system does.
#[derive(Debug)]
pub(super) struct System;

impl Names for System {
    async fn find(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// Over the network. Names are looked up and certificates are read at each try, so both can be mended while we run.
#[derive(Debug)]
pub(super) struct Network<N = System> {
    names: N,
    server: ServerAddress,
    security: Security,
    /// Which of the name's addresses comes first.
    turn: usize,
}

impl Network {
    pub(super) fn new(server: ServerAddress, security: Security) -> Self {
        Self {
            names: System,
            server,
            security,
            turn: 0,
        }
    }
}

impl<N: Names> Network<N> {
    async fn addresses(&mut self) -> Result<Vec<SocketAddr>, DialError> {
        let (host, port) = (self.server.host(), self.server.port());
        let mut addresses = within(self.names.find(host, port))
            .await
            .map_err(|error| DialError::new(ServerLoss::Name, error))?;
        if addresses.is_empty() {
            let error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            return Err(DialError::new(ServerLoss::Name, error));
        }
        let first = self.turn % addresses.len();
        addresses.rotate_left(first);
        self.turn = self.turn.wrapping_add(1);
        Ok(addresses)
    }

    async fn connect(&mut self) -> Result<TcpStream, DialError> {
        let mut last = None;
        for address in self.addresses().await? {
            match within(TcpStream::connect(address)).await {
                Ok(stream) => {
                    transport::tune(&stream)
                        .map_err(|error| DialError::new(ServerLoss::Network, error))?;
                    return Ok(stream);
                }
                Err(error) => last = Some(error),
            }
        }
        let error = last.unwrap_or_else(|| io::ErrorKind::NotFound.into());
        Err(DialError::new(ServerLoss::Connect, error))
    }
}

impl<N: Names> Dial for Network<N> {
    type Stream = Stream;

    async fn dial(&mut self) -> Result<Dialled<Stream>, DialError> {
        // Broken files are told before anything is sent.
        let connector = match &self.security {
            Security::Tcp => None,
            Security::Tls(tls) => Some(load(tls.clone()).await?),
        };
        let tcp = self.connect().await?;
        let local = tcp
            .local_addr()
            .map_err(|error| DialError::new(ServerLoss::Network, error))?;
        let stream = match connector {
            None => Stream::Tcp(tcp),
            Some(connector) => {
                let secured = within(connector.connect(self.server.host(), tcp)).await;
                Stream::Tls(Box::new(secured.map_err(|error| {
                    let failure = pool_failure_of(&error).unwrap_or_else(|| match error.kind() {
                        io::ErrorKind::TimedOut => PoolTlsFailure::Timeout,
                        io::ErrorKind::UnexpectedEof
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::BrokenPipe => PoolTlsFailure::Closed,
                        _ => PoolTlsFailure::Other,
                    });
                    DialError::tls(failure, error)
                })?))
            }
        };
        Ok(Dialled {
            transport: stream.via_transport(),
            stream,
            local,
        })
    }
}

/// Reads the files that TLS needs.
///
/// # Errors
///
/// What is wrong with them.
pub fn connector(tls: &PoolTls) -> Result<Connector, TlsError> {
    let own = tls.own.as_ref().map(|own| Pair {
        certificate: &own.certificate,
        private_key: &own.private_key,
    });
    let names: Vec<&str> = tls.names.iter().map(|name| name.as_str()).collect();
    Connector::to_pool(&tls.authorities, own, &names)
}

async fn load(tls: PoolTls) -> Result<Connector, DialError> {
    let own_files = |error| DialError::tls(PoolTlsFailure::OwnFiles, error);
    let settled = move || {
        let own = tls.own.iter();
        let own = own.flat_map(|own| [&own.certificate, &own.private_key]);
        let files: Vec<_> = own.chain([&tls.authorities]).collect();
        let until = Instant::now() + UNSETTLED;
        // Whoever writes them may be in the middle of it.
        while files
            .iter()
            .any(|path| file::changed_within(path, file::SETTLE))
            && Instant::now() < until
        {
            thread::sleep(file::SETTLE / 10);
        }
        connector(&tls)
    };
    match tokio::task::spawn_blocking(settled).await {
        Ok(Ok(connector)) => Ok(connector),
        Ok(Err(error)) => Err(own_files(io::Error::other(error))),
        Err(stopped) => Err(own_files(io::Error::other(stopped))),
    }
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(DIAL_TIMEOUT, work).await {
        Ok(done) => done,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// An address as a URI or a Via has it.
pub(super) fn host(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::net::TcpListener;

    use super::*;

    /// What each lookup finds.
    struct Told(VecDeque<Vec<SocketAddr>>);

    impl Names for Told {
        async fn find(&mut self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            assert_eq!((host, port), ("pc1.contoso.com", 5041));
            Ok(self.0.pop_front().unwrap())
        }
    }

    #[tokio::test]
    async fn a_name_is_looked_up_anew_each_time_and_all_its_addresses_are_tried() {
        let mut listeners = Vec::new();
        for _ in 0..3 {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let at: Vec<SocketAddr> = listeners
            .iter()
            .map(|it| it.local_addr().unwrap())
            .collect();
        // Nobody listens there any more.
        let gone = listeners.remove(0).local_addr().unwrap();
        let told = [
            vec![at[1]],
            vec![at[2]],
            vec![gone, at[2]],
            vec![at[2], gone],
            vec![],
        ];
        let mut network = Network {
            names: Told(told.into()),
            server: "pc1.contoso.com:5041".parse().unwrap(),
            security: Security::Tcp,
            turn: 0,
        };
        // The name moves, then has a dead address beside the good one, in either order.
        for expected in [at[1], at[2], at[2], at[2]] {
            let dialled = network.dial().await.unwrap();
            let Stream::Tcp(stream) = dialled.stream else {
                panic!("not TCP");
            };
            assert_eq!(stream.peer_addr().unwrap(), expected);
        }
        let none = network.dial().await.unwrap_err();
        assert_eq!(none.reason, ServerLoss::Name);
    }
}
