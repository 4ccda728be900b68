//! The one way in: binding an address, taking connections, who may connect, and the TLS handshake. Clients, front ends, the
//! peers of `holdover pool serve` and, as far as it takes connections, the admin server arrive here.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdover_config::ListenerName;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::occupancy::{Occupancy, Permit};
use super::tls::{Acceptor, Unmet};
use super::{Stream, now, pace, tune};
use crate::address;
use crate::telemetry::events::connection::{
    AcceptFailed, ConnectionEnd, ConnectionOpened, ConnectionRefused, ListenerOpened,
};
use crate::telemetry::{Detail, Emit as _, Telemetry};

/// First pause; each further failure in a row doubles it.
const FIRST: Duration = Duration::from_millis(50);

/// Longest pause.
const LONGEST: Duration = Duration::from_secs(1);

/// Least time between two log lines of one listener.
const QUIET: Duration = Duration::from_secs(60);

/// A listener that is bound.
pub struct Bound {
    /// Its name.
    pub name: ListenerName,
    /// The address it is bound to.
    pub address: SocketAddr,
    /// The socket.
    pub socket: TcpListener,
    /// For TLS.
    pub acceptor: Option<Acceptor>,
}

impl Bound {
    /// Binds an address. The port 0 becomes one that the system chooses.
    ///
    /// # Errors
    ///
    /// Whatever the operating system says, most often that the address is in use.
    pub async fn bind(
        name: ListenerName,
        address: SocketAddr,
        acceptor: Option<Acceptor>,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        Ok(Self {
            name,
            address: socket.local_addr()?,
            socket,
            acceptor,
        })
    }

    /// Takes connections until `stop` is cancelled, and hands each that there is room for to `arrived`, which must not wait.
    pub(crate) async fn accept(
        self,
        occupancy: Arc<Occupancy>,
        telemetry: Telemetry,
        stop: CancellationToken,
        mut arrived: impl FnMut(Arrival),
    ) {
        let Self {
            name: listener,
            address,
            socket,
            acceptor,
        } = self;
        ListenerOpened {
            listener: listener.clone(),
            address,
            tls: acceptor.is_some(),
        }
        .emit(&telemetry);
        let mut socket = Accepting::new(socket, &listener, telemetry.clone());
        while let Some((stream, peer)) = socket.next(&stop).await {
            let listener = listener.clone();
            let permit = match occupancy.admit(peer.ip()) {
                Ok(permit) => permit,
                Err(reason) => {
                    ConnectionRefused {
                        listener,
                        peer,
                        reason,
                    }
                    .emit(&telemetry);
                    continue;
                }
            };
            ConnectionOpened {
                listener: listener.clone(),
                peer,
            }
            .emit(&telemetry);
            arrived(Arrival {
                listener,
                peer,
                permit,
                stream,
                acceptor: acceptor.clone(),
            });
        }
    }
}

/// A peer that was let in, and whose TLS handshake is still to come. Its `connection.opened` is logged.
pub(crate) struct Arrival {
    pub(crate) listener: ListenerName,
    pub(crate) peer: SocketAddr,
    pub(crate) permit: Permit,
    stream: TcpStream,
    acceptor: Option<Acceptor>,
}

/// A peer that can be talked with.
pub(crate) struct Met {
    pub(crate) stream: Stream,
    /// Our own address.
    pub(crate) local: SocketAddr,
    /// Which of the names that are let in its certificate is for, where certificates are asked for.
    pub(crate) name: Option<Box<str>>,
    pub(crate) permit: Permit,
}

impl Arrival {
    /// Waits until its address may connect again, prepares the socket and does the TLS handshake, which `stop` breaks off.
    ///
    /// # Errors
    ///
    /// There is nothing to go on with; the connection is closed.
    pub(crate) async fn meet(
        self,
        stop: &CancellationToken,
        telemetry: &Telemetry,
    ) -> Result<Met, ConnectionEnd> {
        let Self {
            peer,
            permit,
            stream,
            acceptor,
            ..
        } = self;
        if let Some(at) = permit.pace(now(), pace::CONNECTION) {
            tokio::select! {
                () = stop.cancelled() => return Err(ConnectionEnd::Draining),
                () = tokio::time::sleep_until(at.into()) => {}
            }
        }
        let local = tune(&stream).and_then(|()| stream.local_addr());
        let local = address::canonical(local.map_err(|_| ConnectionEnd::Network)?);
        let (stream, name) = match acceptor {
            None => (Stream::Tcp(stream), None),
            // Boxed: the handshake's state is large and gone once it is done.
            Some(acceptor) => match Box::pin(acceptor.meet(stream, peer, stop, telemetry)).await {
                Ok(stream) => {
                    let name = acceptor.name_of(&stream);
                    (Stream::Tls(Box::new(stream)), name)
                }
                Err(Unmet::Stopped) => return Err(ConnectionEnd::Draining),
                Err(Unmet::Failed) => return Err(ConnectionEnd::Tls),
            },
        };
        Ok(Met {
            stream,
            local,
            name,
            permit,
        })
    }
}

/// A socket that connections are taken from.
pub(crate) struct Accepting {
    socket: TcpListener,
    /// The listener, for the log.
    name: Detail,
    telemetry: Telemetry,
    failures: Failures,
    /// Descriptors that are kept open to be given up when the system has no more.
    spare: Vec<File>,
    spares: usize,
}

impl Accepting {
    pub(crate) fn new(
        socket: TcpListener,
        name: impl std::fmt::Display,
        telemetry: Telemetry,
    ) -> Self {
        Self {
            socket,
            name: Detail::new(name),
            telemetry,
            failures: Failures::default(),
            spare: Vec::new(),
            spares: 0,
        }
    }

    /// Keeps so many descriptors back: so many connections are taken even when the system has no more.
    pub(crate) fn with_spares(self, spares: usize) -> Self {
        Self { spares, ..self }
    }

    /// Returns the next connection and the peer's address. `None`: `stop` is cancelled.
    ///
    /// Where the system hands over none it says so in the log, pauses and tries again.
    pub(crate) async fn next(
        &mut self,
        stop: &CancellationToken,
    ) -> Option<(TcpStream, SocketAddr)> {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return None,
                accepted = self.accept() => accepted,
            };
            let error = match accepted {
                Ok((stream, peer)) => {
                    self.failures.accepted();
                    return Some((stream, address::canonical(peer)));
                }
                Err(error) => error,
            };
            let consequence = self.failures.failed(now(), &error);
            if let Some(times) = consequence.tell {
                AcceptFailed {
                    listener: self.name.clone(),
                    error: Detail::new(error),
                    times,
                }
                .emit(&self.telemetry);
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(consequence.pause) => {}
            }
        }
    }

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        while self.spare.len() < self.spares
            && let Ok(spare) = File::open("/dev/null")
        {
            self.spare.push(spare);
        }
        match self.socket.accept().await {
            // Without descriptors: those that are kept for this, for one connection each.
            Err(_) if self.spare.pop().is_some() => self.socket.accept().await,
            accepted => accepted,
        }
    }
}

/// The failures of one listener: how long to pause after each, and when to say so.
///
/// A failure that goes on, most often for want of file descriptors, is said once a minute, however often it is tried again.
#[derive(Debug, Default)]
struct Failures {
    in_a_row: u32,
    untold: u64,
    told: Option<Instant>,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Consequence {
    /// How long to wait before the next try.
    pause: Duration,
    /// The number of failures to tell about now, if any.
    tell: Option<u64>,
}

impl Failures {
    /// A connection was taken.
    fn accepted(&mut self) {
        self.in_a_row = 0;
    }

    /// A connection could not be taken.
    fn failed(&mut self, now: Instant, error: &io::Error) -> Consequence {
        if is_of_the_peer(error) {
            return Consequence {
                pause: Duration::ZERO,
                tell: None,
            };
        }
        let pause = FIRST
            .saturating_mul(1 << self.in_a_row.min(10))
            .min(LONGEST);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.untold += 1;
        let is_quiet = self
            .told
            .is_some_and(|told| now.saturating_duration_since(told) < QUIET);
        let tell = (!is_quiet).then(|| {
            self.told = Some(now);
            std::mem::take(&mut self.untold)
        });
        Consequence { pause, tell }
    }
}

/// Whether only the connection that was to be taken is lost, so that the next one can be taken at once.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::sync::mpsc;

    use super::*;
    use crate::descriptors::Descriptors;
    use crate::transport::{Most, UnfinishedBytes};

    #[tokio::test]
    async fn a_connection_too_many_is_closed_and_the_loop_ends_when_told() {
        let most = Most {
            connections: 1,
            per_address: 1,
            bytes_per_address: 0,
            unfinished_bytes: 0,
            requests_per_address: 100,
        };
        let descriptors = Arc::new(Descriptors::new(None, 0));
        let unfinished = Arc::new(UnfinishedBytes::new(0));
        let occupancy = Arc::new(Occupancy::new(most, unfinished, descriptors));
        let any = "127.0.0.1:0".parse().unwrap();
        let name = "clients".parse().unwrap();
        let bound = Bound::bind(name, any, None).await.unwrap();
        let (address, telemetry, stop) =
            (bound.address, Telemetry::new(), CancellationToken::new());
        let (sender, mut arrivals) = mpsc::unbounded_channel();
        let accepting = tokio::spawn(bound.accept(
            occupancy,
            telemetry.clone(),
            stop.clone(),
            move |arrival| {
                let _received = sender.send(arrival);
            },
        ));
        let first = TcpStream::connect(address).await.unwrap();
        let arrival = arrivals.recv().await.unwrap();
        assert_eq!(arrival.peer, first.local_addr().unwrap());
        let mut second = TcpStream::connect(address).await.unwrap();
        assert_eq!(second.read(&mut [0]).await.unwrap(), 0, "it is closed");
        let met = arrival.meet(&stop, &telemetry).await.unwrap();
        assert_eq!(met.local, address);
        // There is room again.
        drop(met);
        let third = TcpStream::connect(address).await.unwrap();
        let arrival = arrivals.recv().await.unwrap();
        assert_eq!(arrival.peer, third.local_addr().unwrap());
        stop.cancel();
        accepting.await.unwrap();
        assert!(arrivals.recv().await.is_none());
        let counted = telemetry.exposition();
        let refused = "holdover_connections_refused_total{reason=\"limit\"} 1\n";
        assert!(counted.contains(refused), "{counted}");
        assert!(counted.contains("\nholdover_connections 2\n"), "{counted}");
    }

    #[test]
    fn a_failure_that_goes_on_is_told_once_a_minute() {
        let no_descriptors = io::Error::from_raw_os_error(24);
        let mut failures = Failures::default();
        let begun = Instant::now();
        let mut now = begun;
        let mut told = Vec::new();
        while now < begun + Duration::from_secs(125) {
            // A peer that leaves now and then frees a descriptor, which does not begin it anew.
            let consequence = failures.failed(now, &no_descriptors);
            if consequence.tell.is_some() {
                told.push((now - begun).as_secs());
            }
            if told.len() == 1 {
                failures.accepted();
            }
            assert!(consequence.pause >= FIRST && consequence.pause <= LONGEST);
            now += consequence.pause;
        }
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[1] >= 60 && told[2] >= 120, "{told:?}");
    }

    #[test]
    fn a_peer_that_left_costs_nothing() {
        let mut failures = Failures::default();
        let gone = io::Error::from(ErrorKind::ConnectionAborted);
        let consequence = failures.failed(Instant::now(), &gone);
        assert_eq!(
            (consequence.pause, consequence.tell),
            (Duration::ZERO, None)
        );
    }
}
