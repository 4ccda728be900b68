//! `holdover pool serve`: the embedded pool as a Persistent Chat server of its own, over SIP.
//!
//! It stands where a real pool stands: whoever connects is a front end or a gateway, is believed, and speaks for many
//! users over one connection. There is no REGISTER. `core` is a state machine without sockets and clock; `requests` and
//! `dialog` are parts of it; `connection` drives one of them per connection. What the pool answers, and the readings of
//! the protocol that it can be switched to, are the embedded pool's (`Variants`); how it can misbehave in SIP is the core's.

mod connection;
mod core;
mod dialog;
mod merge;
mod requests;
mod sink;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdover_config::serve::{self, Masks, MutualTls, ServerInfoName};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::Context;
use self::core::CoreSettings;
use crate::address;
use crate::listener::Bound;
use crate::pool::embedded::{EmbeddedOptions, EmbeddedPool, Variants};
use crate::run::BuildError;
use crate::telemetry::events::connection::{
    AcceptFailed, ConnectionClosed, ConnectionEnd, ConnectionOpened, ListenerOpened,
};
use crate::telemetry::events::process::{ProcessDraining, ProcessReady, ProcessStopped};
use crate::telemetry::{Detail, Emit as _, Telemetry};
use crate::transport::tls::{Acceptor, ClientCertificates, TlsError, Unmet};
use crate::transport::{self, AcceptFailures, Stream};

/// How long connections may take to end when the server stops: longer than the core waits for what is in flight.
const DRAIN: Duration = Duration::from_secs(8);

/// A server that holds everything it needs and has not begun to serve.
pub struct PoolServer {
    listeners: Vec<Bound>,
    context: Arc<Context>,
    started: Instant,
}

impl PoolServer {
    /// Opens the pool, reads the certificates and binds the addresses.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be had; what was opened before it is closed again.
    pub async fn build(
        settings: serve::PoolServer,
        telemetry: Telemetry,
    ) -> Result<Self, BuildError> {
        let started = Instant::now();
        let mut listeners = Vec::new();
        for listener in &settings.listeners {
            listeners.push(bind(listener).await?);
        }
        let pool = EmbeddedPool::open(&settings.pool.database, options(&settings));
        let pool = pool.map_err(|source| BuildError::Pool {
            pool: settings.pool.name.clone(),
            source: Box::new(source),
        })?;
        Ok(Self {
            listeners,
            context: Arc::new(Context {
                settings: Arc::new(core_settings(&settings)),
                pool: Arc::new(pool),
                telemetry,
                stop: CancellationToken::new(),
            }),
            started,
        })
    }

    /// The listeners' names, the addresses they are bound to and whether they speak TLS, in the configuration's order.
    pub fn listeners(&self) -> impl Iterator<Item = (&str, SocketAddr, bool)> {
        self.listeners.iter().map(|bound| {
            let tls = bound.acceptor.is_some();
            (bound.name.as_str(), bound.address, tls)
        })
    }

    /// Serves until `stop` is cancelled, then drains: nothing new is taken, what is in flight is finished, and every dialog
    /// ends with BYE.
    pub async fn run(self, stop: CancellationToken) {
        let context = self.context;
        let telemetry = &context.telemetry;
        let tracker = TaskTracker::new();
        for bound in self.listeners {
            tracker.spawn(accept(bound, Arc::clone(&context), tracker.clone()));
        }
        ProcessReady {
            took: self.started.elapsed(),
        }
        .emit(telemetry);
        stop.cancelled().await;
        ProcessDraining {
            // The accept loops are tasks too, but no connections; they end at once.
            sessions: tracker.len(),
        }
        .emit(telemetry);
        context.stop.cancel();
        tracker.close();
        let _in_time = tokio::time::timeout(DRAIN, tracker.wait()).await;
        let cut = tracker.len();
        let pool = Arc::clone(&context.pool);
        let _closed = tokio::task::spawn_blocking(move || pool.shutdown()).await;
        ProcessStopped { cut }.emit(telemetry);
    }
}

fn options(settings: &serve::PoolServer) -> EmbeddedOptions {
    let serve::PoolServer { pool, switches, .. } = settings;
    EmbeddedOptions {
        uri: pool.server_uri.as_str().into(),
        roster_limit: switches.roster_limit,
        variants: Variants {
            push_history: switches.push_history_after_bjoin,
            short_server_info: switches.getservinfo_spelling == ServerInfoName::GetServInfo,
            legacy_masks: switches.masks == Masks::Legacy,
            failing_rooms: switches.fib_rooms.iter().cloned().collect(),
        },
        ..EmbeddedOptions::new(pool.domain.as_str())
    }
}

fn core_settings(settings: &serve::PoolServer) -> CoreSettings {
    let serve::PoolServer { pool, switches, .. } = settings;
    CoreSettings {
        uri: pool.uri.clone(),
        server_uri: pool.server_uri.clone(),
        window: pool.outstanding_infos,
        session_expires: u32::try_from(switches.session_expires.as_secs()).unwrap_or(u32::MAX),
        busy_every: switches.busy_every,
        mute_every: switches.mute_receipts_every,
        bye_on_first_command: switches.bye_on_first_command,
        delay: switches.delay,
        merge_replies: switches.merge_replies,
    }
}

async fn bind(listener: &serve::Listener) -> Result<Bound, BuildError> {
    let acceptor = listener.tls.as_ref().map(acceptor).transpose();
    let acceptor = acceptor.map_err(|source| BuildError::Tls {
        listener: listener.name.to_string(),
        source: Box::new(source),
    })?;
    let failed = |source| BuildError::Bind {
        address: listener.address,
        source,
    };
    let socket = TcpListener::bind(listener.address).await.map_err(failed)?;
    Ok(Bound {
        name: listener.name.clone(),
        address: socket.local_addr().map_err(failed)?,
        socket,
        acceptor,
    })
}

fn acceptor(tls: &MutualTls) -> Result<Acceptor, TlsError> {
    let names = tls.client_names.iter().map(|name| name.as_str());
    let clients = ClientCertificates::of(&tls.client_authorities, names)?;
    Acceptor::mutual(&tls.own.certificate, &tls.own.private_key, clients)
}

/// Takes peers until the server stops. The connections run on in `tracker`.
async fn accept(bound: Bound, context: Arc<Context>, tracker: TaskTracker) {
    let telemetry = &context.telemetry;
    ListenerOpened {
        listener: bound.name.clone(),
        address: bound.address,
        tls: bound.acceptor.is_some(),
    }
    .emit(telemetry);
    let mut failures = AcceptFailures::default();
    loop {
        let accepted = tokio::select! {
            () = context.stop.cancelled() => return,
            accepted = bound.socket.accept() => accepted,
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
                        listener: Detail::new(&bound.name),
                        error: Detail::new(error),
                        times,
                    }
                    .emit(telemetry);
                }
                tokio::time::sleep(consequence.pause).await;
                continue;
            }
        };
        let listener = bound.name.clone();
        ConnectionOpened { listener, peer }.emit(telemetry);
        let arrival = Arrival {
            listener: bound.name.clone(),
            peer,
            acceptor: bound.acceptor.clone(),
            context: Arc::clone(&context),
        };
        tracker.spawn(arrival.serve(stream));
    }
}

/// A peer that connected.
struct Arrival {
    listener: holdover_config::ListenerName,
    peer: SocketAddr,
    acceptor: Option<Acceptor>,
    context: Arc<Context>,
}

impl Arrival {
    async fn serve(self, stream: TcpStream) {
        let Self {
            listener,
            peer,
            acceptor,
            context,
        } = self;
        let closed = |reason| {
            let listener = listener.clone();
            ConnectionClosed {
                listener,
                peer,
                reason,
            }
            .emit(&context.telemetry);
        };
        let local = transport::tune(&stream).and_then(|()| stream.local_addr());
        let Ok(local) = local else {
            return closed(ConnectionEnd::Network);
        };
        let stream = match &acceptor {
            None => Stream::Tcp(stream),
            // Boxed: the handshake's state is large and gone once it is done.
            Some(acceptor) => {
                let (stop, telemetry) = (&context.stop, &context.telemetry);
                match Box::pin(acceptor.meet(stream, peer, stop, telemetry)).await {
                    Ok(stream) => Stream::Tls(Box::new(stream)),
                    Err(Unmet::Stopped) => return closed(ConnectionEnd::Draining),
                    Err(Unmet::Failed) => return closed(ConnectionEnd::Fault),
                }
            }
        };
        let seed = rand::random();
        connection::serve(stream, Arc::clone(&context), local, peer, listener, seed).await;
    }
}

#[cfg(test)]
mod tests;
