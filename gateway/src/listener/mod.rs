//! Where legacy clients and front ends arrive: accept, TLS, who may connect, and the user agent server of each connection.

pub mod connection;
pub mod front_end;
mod lookup;
mod occupancy;
pub(crate) mod pump;
mod tell;
pub mod uas;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use holdover_config::ListenerName;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use connection::ConnectionContext;
use front_end::FrontEndContext;
use occupancy::Permit;
pub use occupancy::{Most, Occupancy, UnfinishedBytes};
pub use pump::MessageLimits;
use tell::Teller;

use crate::address;
use crate::peer::ConnectionNumber;
use crate::telemetry::events::connection::{
    AcceptFailed, ConnectionEnd, ConnectionRefused, ListenerOpened,
};
use crate::telemetry::{Detail, Emit as _, Telemetry};
use crate::transport::tls::{Acceptor, Unmet};
use crate::transport::{self, AcceptFailures, Stream};

/// Numbers the connections of this process, so that an answer goes to the connection its request came on.
static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

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

/// Who connects to a listener, and what all their connections share.
#[derive(Clone)]
pub enum Context {
    /// Legacy clients.
    Clients(Arc<ArcSwap<ConnectionContext>>),
    /// Front-end servers. The listener's acceptor asks for their certificates.
    FrontEnds(Arc<FrontEndContext>),
}

impl Context {
    fn shutdown(&self) -> CancellationToken {
        match self {
            Self::Clients(context) => context.load().shutdown.clone(),
            Self::FrontEnds(context) => context.shutdown().clone(),
        }
    }
}

/// Takes connections until `stop` is cancelled. They run on in `tracker`.
pub async fn accept(
    bound: Bound,
    context: Context,
    occupancy: Arc<Occupancy>,
    telemetry: Telemetry,
    stop: CancellationToken,
    tracker: TaskTracker,
) {
    let Bound {
        name: listener,
        address,
        socket,
        acceptor,
    } = bound;
    ListenerOpened {
        listener: listener.clone(),
        address,
        tls: acceptor.is_some(),
    }
    .emit(&telemetry);
    let mut failures = AcceptFailures::default();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok((stream, peer)) => {
                failures.accepted();
                (stream, address::canonical(peer))
            }
            Err(error) => {
                let consequence = failures.failed(Instant::now(), &error);
                if let Some(times) = consequence.tell {
                    AcceptFailed {
                        listener: Detail::new(&listener),
                        error: Detail::new(error),
                        times,
                    }
                    .emit(&telemetry);
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(consequence.pause) => continue,
                }
            }
        };
        let permit = match occupancy.admit(peer.ip()) {
            Ok(permit) => permit,
            Err(reason) => {
                let listener = listener.clone();
                ConnectionRefused {
                    listener,
                    peer,
                    reason,
                }
                .emit(&telemetry);
                continue;
            }
        };
        let teller = Teller::open(telemetry.clone(), listener.clone(), peer);
        let arrival = Arrival {
            acceptor: acceptor.clone(),
            context: context.clone(),
            telemetry: telemetry.clone(),
            permit,
            tracker: tracker.clone(),
        };
        tracker.spawn(arrival.serve(stream, peer, teller));
    }
}

/// A peer that was let in.
struct Arrival {
    acceptor: Option<Acceptor>,
    context: Context,
    telemetry: Telemetry,
    permit: Permit,
    tracker: TaskTracker,
}

impl Arrival {
    async fn serve(self, stream: TcpStream, peer: SocketAddr, teller: Teller) {
        let Ok(local) = stream.local_addr() else {
            return teller.closed(ConnectionEnd::Network);
        };
        if transport::tune(&stream).is_err() {
            return teller.closed(ConnectionEnd::Network);
        }
        let stream = match &self.acceptor {
            None => Stream::Tcp(stream),
            // Boxed: the handshake's state is large and gone once it is done.
            Some(acceptor) => {
                let stop = self.context.shutdown();
                let met = Box::pin(acceptor.meet(stream, peer, &stop, &self.telemetry)).await;
                match met {
                    Ok(stream) => Stream::Tls(Box::new(stream)),
                    Err(Unmet::Stopped) => return teller.closed(ConnectionEnd::Draining),
                    Err(Unmet::Failed) => return teller.closed(ConnectionEnd::Tls),
                }
            }
        };
        let number = ConnectionNumber(NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed));
        let local = address::canonical(local).to_string().into_boxed_str();
        let name = match (&self.acceptor, &stream) {
            (Some(acceptor), Stream::Tls(stream)) => acceptor.name_of(stream),
            _ => None,
        };
        let Self {
            context,
            mut permit,
            tracker,
            ..
        } = self;
        // A task of its own: what was needed until here makes room.
        match context {
            Context::Clients(context) => {
                let context = context.load_full();
                let seed = rand::random();
                tracker.spawn(connection::serve(
                    stream, context, number, seed, local, teller, permit,
                ));
            }
            Context::FrontEnds(context) => {
                permit.trust();
                let (name, seed) = (name.unwrap_or_default(), rand::random());
                tracker.spawn(async move {
                    let serve = front_end::connection::serve(
                        stream, context, &name, number, seed, local, teller, permit,
                    );
                    serve.await;
                });
            }
        }
    }
}
