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
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::Context;
use self::core::CoreSettings;
use crate::descriptors::{self, Descriptors};
use crate::pool::embedded::{EmbeddedOptions, EmbeddedPool, Variants};
use crate::run::BuildError;
use crate::telemetry::events::connection::ConnectionClosed;
use crate::telemetry::events::process::{ProcessDraining, ProcessReady, ProcessStopped};
use crate::telemetry::{Emit as _, Telemetry};
use crate::transport::tls::{Acceptor, ClientCertificates, TlsError};
use crate::transport::{Arrival, Bound, Most, Occupancy, UnfinishedBytes};

/// How long connections may take to end when the server stops: longer than the core waits for what is in flight.
const DRAIN: Duration = Duration::from_secs(8);

/// Connections at a time.
const CONNECTIONS: usize = 100_000;

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
        let occupancy = Arc::new(occupancy());
        for bound in self.listeners {
            let (occupancy, context) = (Arc::clone(&occupancy), Arc::clone(&context));
            tracker.spawn(accept(bound, occupancy, context, tracker.clone()));
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
    let (name, address) = (listener.name.clone(), listener.address);
    let bound = Bound::bind(name, address, acceptor).await;
    bound.map_err(|source| BuildError::Bind { address, source })
}

fn acceptor(tls: &MutualTls) -> Result<Acceptor, TlsError> {
    let names = tls.client_names.iter().map(|name| name.as_str());
    let clients = ClientCertificates::of(&tls.client_authorities, names)?;
    Acceptor::mutual(&tls.own.certificate, &tls.own.private_key, clients)
}

/// Takes peers until the server stops. The connections run on in `tracker`.
async fn accept(
    bound: Bound,
    occupancy: Arc<Occupancy>,
    context: Arc<Context>,
    tracker: TaskTracker,
) {
    let (telemetry, stop) = (context.telemetry.clone(), context.stop.clone());
    let arrived = |arrival| {
        tracker.spawn(serve(arrival, Arc::clone(&context)));
    };
    bound.accept(occupancy, telemetry, stop, arrived).await;
}

async fn serve(arrival: Arrival, context: Arc<Context>) {
    let (listener, peer) = (arrival.listener.clone(), arrival.peer);
    let reason = match arrival.meet(&context.stop, &context.telemetry).await {
        Ok(met) => connection::serve(met, Arc::clone(&context), peer, rand::random()).await,
        Err(end) => end,
    };
    ConnectionClosed {
        listener,
        peer,
        reason,
    }
    .emit(&context.telemetry);
}

/// So many connections as the system has descriptors for: peers are trusted, and whether they are few is their business.
fn occupancy() -> Occupancy {
    let most = Most {
        connections: CONNECTIONS,
        per_address: CONNECTIONS,
        bytes_per_address: usize::MAX,
        unfinished_bytes: usize::MAX,
        requests_per_address: u32::MAX,
    };
    let unfinished = UnfinishedBytes::new(most.unfinished_bytes);
    let descriptors = Descriptors::raised(descriptors::OWN);
    Occupancy::new(most, Arc::new(unfinished), Arc::new(descriptors))
}

#[cfg(test)]
mod tests;
