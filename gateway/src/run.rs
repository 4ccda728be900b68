//! The life of the program: [`Gateway::build`] opens everything or fails, [`Gateway::run`] serves until it is told to
//! stop, and then drains.

mod notify;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use holdover_config::settings::{
    Fixed, FrontEnds, Limits as LimitSettings, Listener, Peers, PoolKind, Reload as WatchSettings,
    Settings, SignIn,
};
use holdover_config::{Diagnostics, PoolName, Users};
use holdover_protocol::sip::digest::{Authenticator, NonceKey};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::admin::{AdminServer, AdminState, Condition, Hosts, Readiness};
use crate::admission::Admission;
use crate::audit::{self, Who};
use crate::decision_log::DecisionLog;
use crate::descriptors::{Descriptors, reserve};
use crate::directory::{self, Directory};
use crate::health::Health;
use crate::history::History;
use crate::listener::connection::ConnectionContext;
use crate::listener::front_end::{FrontEndContext, FrontEndSettings};
use crate::listener::uas::{Service, UasSettings};
use crate::listener::{self, Context};
use crate::pool::embedded::{EmbeddedOptions, EmbeddedPool, PoolError};
use crate::pool::sip::{SipOptions, SipPool};
use crate::pool::{Pool, Pools};
use crate::registrar::{Guesses, Policy, Proof, SharedUsers};
use crate::reload::{
    self, Engine, Live, Reader, Reloader, Reloads, Version, message_limits, occupancy_limits,
    sip_limits,
};
use crate::routing::{KnownPools, Router, Routing};
use crate::session::Large;
use crate::session::SessionSettings;
use crate::session::table::SessionTable;
use crate::session::task::SessionContext;
use crate::telemetry::events::admin::{AdminFailed, AdminOpened};
use crate::telemetry::events::config::HistoryFailed;
use crate::telemetry::events::pool::PoolStoreFailed;
use crate::telemetry::events::process::{
    ConfigLoaded, DescriptorsLacking, DirectoryLoaded, ProcessDraining, ProcessReady,
    ProcessStopped,
};
use crate::telemetry::{Detail, Emit as _, Servers, Telemetry};
use crate::transport::tls::{Acceptor, TlsError};
use crate::transport::{Bound, Occupancy, UnfinishedBytes};

/// How long a registration lasts before the client refreshes it. Lost clients are noticed by their connection; this is
/// for those whose network vanished without a word.
const REGISTRATION: Duration = Duration::from_secs(3600);

/// What is said when the task that notices changes failed.
const NOT_WATCHED: &str =
    "a fault of the program ended it: changed files are read upon SIGHUP and POST /v1/reload";

/// How long sessions may take to answer what they cannot finish.
const CUTTING: Duration = Duration::from_secs(1);

/// How long connections may take to write their last words. They bound each of these themselves.
const CLOSING: Duration = Duration::from_secs(2);

/// How long the nonce of a sign-in may be used.
const NONCE_LIFETIME: Duration = Duration::from_secs(300);

/// Why the gateway could not be built. Nothing was changed and nothing is left open.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file that the configuration names is faulty.
    #[error("a file that the configuration names is faulty")]
    Files(Diagnostics),
    /// A certificate cannot be used.
    #[error("listener `{listener}`")]
    Tls {
        /// The listener.
        listener: String,
        /// Why not.
        #[source]
        source: Box<TlsError>,
    },
    /// An address cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// A pool cannot be opened.
    #[error("pool `{pool}`")]
    Pool {
        /// The pool.
        pool: PoolName,
        /// Why not.
        #[source]
        source: Box<PoolError>,
    },
    /// The certificates for a pool cannot be used.
    #[error("pool `{pool}`")]
    PoolTls {
        /// The pool.
        pool: PoolName,
        /// Why not.
        #[source]
        source: Box<TlsError>,
    },
    /// The system has no thread for reloads.
    #[error("cannot start the thread for reloads")]
    Thread(#[source] std::io::Error),
    /// A configuration without pools, which the check refuses.
    #[error("the configuration has no pool")]
    NoPool,
}

impl From<Diagnostics> for BuildError {
    fn from(faults: Diagnostics) -> Self {
        Self::Files(faults)
    }
}

/// A gateway that holds everything it needs and has not begun to serve.
pub struct Gateway {
    listeners: Vec<Bound>,
    admin: Option<(TcpListener, Hosts)>,
    contexts: Vec<(Context, Arc<Occupancy>)>,
    sessions: Arc<SessionContext>,
    admission: Arc<Admission>,
    descriptors: Arc<Descriptors>,
    readiness: Readiness,
    serving: Condition,
    health: Health,
    reloads: Option<(Reloads, Reloader)>,
    watch: WatchSettings,
    history: Option<History>,
    telemetry: Telemetry,
    shutdown: CancellationToken,
    drain: Duration,
    started: Instant,
}

impl Gateway {
    /// Reads the files, opens the pools and binds the addresses. There is nothing to reload from.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be had; what was opened before it is closed again.
    pub async fn build(settings: Settings, telemetry: Telemetry) -> Result<Self, BuildError> {
        let begun = Instant::now();
        let pools = settings.fixed.pool_names();
        let rooms = directory::load(&settings.live.directory, &pools)?;
        let directory = Arc::new(Directory::new(rooms));
        let took = begun.elapsed();
        let (gateway, _) = Self::assemble(settings, directory, took, 1, telemetry).await?;
        Ok(gateway)
    }

    /// Opens the pools and binds the addresses that a version names. What `reader` reads later can take its place.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be had; what was opened before it is closed again.
    pub async fn open(
        reader: Reader,
        version: Version,
        telemetry: Telemetry,
    ) -> Result<Self, BuildError> {
        let history = version.settings.fixed.history.as_ref().map(History::new);
        // What cannot be read cannot be written either, which is told then.
        let generation = history
            .as_ref()
            .and_then(|history| history.number_at_start(version.hash()).ok())
            .unwrap_or(1);
        ConfigLoaded {
            file: Detail::new(reader.config().display()),
            generation,
        }
        .emit(&telemetry);
        let (settings, directory) = (version.settings.clone(), Arc::clone(&version.directory));
        let took = version.directory_took;
        let (mut gateway, live) =
            Self::assemble(settings, directory, took, generation, telemetry.clone()).await?;
        let user = audit::system_user();
        let engine = Engine::start(
            reader,
            generation,
            version,
            &Who::Start { user },
            Box::new(live),
            telemetry,
        );
        gateway.history = history;
        gateway.reloads = Some(Reloads::new(engine).map_err(BuildError::Thread)?);
        Ok(gateway)
    }

    async fn assemble(
        settings: Settings,
        directory: Arc<Directory>,
        took: Duration,
        generation: u64,
        telemetry: Telemetry,
    ) -> Result<(Self, Live), BuildError> {
        let started = Instant::now();
        let Settings { fixed, live } = settings;
        DirectoryLoaded {
            rooms: directory.rooms(),
            files: live.directory.rooms.len(),
            generation,
            took,
        }
        .emit(&telemetry);
        let mut users = HashMap::new();
        let guesses = Arc::new(Guesses::default());
        let mut acceptors = Vec::new();
        for listener in &fixed.listeners {
            acceptors.push((door(listener, &mut users, &guesses)?, acceptor(listener)?));
        }
        let pools = Arc::new(open_pools(&fixed, &live.limits, &telemetry)?);
        let servers: Arc<dyn Servers> = Arc::clone(&pools) as _;
        telemetry.watch_servers(&servers);
        let known = Arc::new(KnownPools::new(&fixed));
        let routing = Routing::new(generation, &live, directory, known);
        let router = Arc::new(Router::new(routing.ok_or(BuildError::NoPool)?));
        let decided = Arc::new(DecisionLog::default());
        let admission = Arc::new(Admission::new(
            Arc::clone(&router),
            Arc::clone(&decided),
            telemetry.clone(),
        ));
        let limits = &live.limits;
        let settings = SessionSettings::new(&fixed.gateway, limits);
        let (xccos, session_expires) = (settings.xccos, settings.session_expires);
        let sessions = Arc::new(SessionContext {
            settings: ArcSwap::from_pointee(settings),
            router,
            decided,
            shadow: Arc::default(),
            pools,
            table: SessionTable::default(),
            telemetry: telemetry.clone(),
            large: Large::default(),
        });
        let shutdown = CancellationToken::new();
        let mut contexts = Vec::new();
        let (mut of_listeners, mut front_ends_of) = (Vec::new(), Vec::new());
        let mut listeners = Vec::new();
        let service = Service {
            lookup_uri: fixed.gateway.lookup_uri.clone(),
            channel_uri: fixed.gateway.channel_uri.clone(),
            session_expires,
            xccos,
        };
        let descriptors = Arc::new(Descriptors::raised(reserve(&fixed)));
        if let Some((limit, usable)) = descriptors.lack(limits.connections) {
            DescriptorsLacking {
                limit,
                usable,
                connections: limits.connections,
            }
            .emit(&telemetry);
        }
        let most = occupancy_limits(limits);
        let unfinished = Arc::new(UnfinishedBytes::new(most.unfinished_bytes));
        let occupancy = || {
            Arc::new(Occupancy::new(
                most,
                Arc::clone(&unfinished),
                Arc::clone(&descriptors),
            ))
        };
        // Front ends are few, and never out of luck because clients are many.
        let (of_clients, of_front_ends) = (occupancy(), occupancy());
        for (listener, (door, acceptor)) in fixed.listeners.iter().zip(acceptors) {
            let messages = message_limits(limits);
            let (sessions, shutdown) = (Arc::clone(&sessions), shutdown.clone());
            let domain = fixed.gateway.domain.as_str().into();
            let service = service.clone();
            let (context, occupancy) = match door {
                Door::Clients(proof) => {
                    let uas = UasSettings {
                        service,
                        policy: Arc::new(Policy {
                            domain,
                            expires: REGISTRATION,
                            proof,
                        }),
                        gate: admission.clone(),
                        listener: listener.name.clone(),
                        sign_in_timeout: limits.sign_in_timeout,
                    };
                    let context = Arc::new(ArcSwap::from_pointee(ConnectionContext {
                        uas: Arc::new(uas),
                        limits: messages,
                        sessions,
                        shutdown,
                    }));
                    of_listeners.push(Arc::clone(&context));
                    (Context::Clients(context), &of_clients)
                }
                Door::FrontEnds(front_ends) => {
                    let settings = FrontEndSettings {
                        listener: listener.name.clone(),
                        service,
                        domain,
                        gate: admission.clone(),
                        most_sessions: front_ends.sessions_per_connection,
                    };
                    let contact = front_ends.contact.as_ref();
                    let contact = contact.map(|contact| contact.to_string().into());
                    let context =
                        FrontEndContext::new(settings, contact, messages, sessions, shutdown);
                    let context = Arc::new(context);
                    front_ends_of.push(Arc::clone(&context));
                    (Context::FrontEnds(context), &of_front_ends)
                }
            };
            contexts.push((context, Arc::clone(occupancy)));
            listeners.push(bind(listener, acceptor).await?);
        }
        let admin = match &fixed.admin {
            Some(admin) => Some((bind_tcp(admin.address).await?, Hosts::new(&admin.hosts))),
            None => None,
        };
        let readiness = Readiness::telling(telemetry.clone());
        let serving = readiness.condition("listeners");
        let health = Health::new(&fixed, &readiness);
        let live = Live {
            sessions: Arc::clone(&sessions),
            contexts: of_listeners,
            front_ends: front_ends_of,
            occupancies: vec![of_clients, of_front_ends],
            users,
            telemetry: telemetry.clone(),
        };
        let gateway = Self {
            listeners,
            admin,
            contexts,
            sessions,
            admission,
            descriptors,
            readiness,
            serving,
            health,
            reloads: None,
            watch: fixed.reload,
            history: None,
            telemetry,
            shutdown,
            drain: fixed.gateway.drain,
            started,
        };
        Ok((gateway, live))
    }

    /// Asks for reloads. None if there is nothing to reload from.
    #[must_use]
    pub fn reloader(&self) -> Option<Reloader> {
        let (_, reloader) = self.reloads.as_ref()?;
        Some(reloader.clone())
    }

    /// The listeners' names and the addresses they are bound to, in the configuration's order.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        self.listeners
            .iter()
            .map(|bound| (bound.name.as_str(), bound.address))
    }

    /// Where the admin server listens.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
            .as_ref()
            .and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// Serves until `stop` is cancelled, then drains: no new clients, what is in flight is finished, sessions end.
    pub async fn run(self, stop: CancellationToken) {
        if let Some(address) = self.admin_address() {
            AdminOpened { address }.emit(&self.telemetry);
            if let Some(Err(error)) = self
                .history
                .as_ref()
                .map(|history| history.announce(address))
            {
                HistoryFailed {
                    generation: self.sessions.router.current().generation,
                    error: Detail::new(error),
                }
                .emit(&self.telemetry);
            }
        }
        let (admission, readiness) = (self.admission, self.readiness);
        let (mut health, descriptors) = (self.health, self.descriptors);
        health.look(&self.sessions.pools, &descriptors, true).await;
        let admin = self.admin.and_then(|(listener, hosts)| {
            let state = AdminState {
                hosts,
                telemetry: self.telemetry.clone(),
                readiness: readiness.clone(),
                router: Arc::clone(&self.sessions.router),
                pools: Arc::clone(&self.sessions.pools),
                reloader: self.reloads.as_ref().map(|(_, reloader)| reloader.clone()),
                shadow: Arc::clone(&self.sessions.shadow),
                decided: Arc::clone(&self.sessions.decided),
            };
            let started = AdminServer::start(listener, state);
            if let Err(error) = &started {
                let error = Detail::new(error);
                AdminFailed { error }.emit(&self.telemetry);
            }
            started.ok()
        });
        let accepting = CancellationToken::new();
        let tracker = tokio_util::task::TaskTracker::new();
        for (bound, (context, occupancy)) in self.listeners.into_iter().zip(self.contexts) {
            tracker.spawn(listener::accept(
                bound,
                context,
                occupancy,
                self.telemetry.clone(),
                accepting.clone(),
                tracker.clone(),
            ));
        }
        let notified = tokio::spawn(notify::notify(
            Arc::clone(&self.sessions),
            Arc::clone(&admission),
            accepting.clone(),
        ));
        let reloader = self.reloads.as_ref().map(|(_, reloader)| reloader.clone());
        let reloading = self.reloads.map(|(reloads, reloader)| {
            let (telemetry, stop) = (self.telemetry.clone(), accepting.clone());
            let watching = reload::watch(reloader.clone(), self.watch, telemetry, stop.clone());
            let watching = tokio::spawn(watching);
            let watched = async move {
                if watching.await.is_err() {
                    reloader.troubles().watching(NOT_WATCHED);
                }
            };
            tokio::spawn(async { tokio::join!(reloads.serve(stop), watched) })
        });
        let sessions = Arc::clone(&self.sessions);
        let watch = health.watch(sessions, descriptors, reloader, accepting.clone());
        tokio::spawn(watch);
        self.serving.met();
        ProcessReady {
            took: self.started.elapsed(),
        }
        .emit(&self.telemetry);

        stop.cancelled().await;
        readiness.drain();
        admission.go_down();
        accepting.cancel();
        let table = &self.sessions.table;
        ProcessDraining {
            sessions: table.drain(),
        }
        .emit(&self.telemetry);
        // Connections last: the receipts of posts that are under way go out on them.
        let _in_time = tokio::time::timeout(self.drain, table.drained()).await;
        let cut = table.cut();
        let _in_time = tokio::time::timeout(CUTTING, table.drained()).await;
        self.shutdown.cancel();
        tracker.close();
        let _in_time = tokio::time::timeout(CLOSING, tracker.wait()).await;
        let pools = Arc::clone(&self.sessions.pools);
        let _closed = tokio::task::spawn_blocking(move || pools.shutdown()).await;
        self.sessions.pools.closed().await;
        let _stopped = notified.await;
        if let Some(reloading) = reloading {
            let _stopped = reloading.await;
        }
        if let Some(history) = &self.history {
            history.withdraw();
        }
        if let Some(admin) = admin {
            admin.stop().await;
        }
        ProcessStopped { cut }.emit(&self.telemetry);
    }
}

/// Who connects to a listener, and what they must show.
enum Door<'s> {
    Clients(Proof),
    FrontEnds(&'s FrontEnds),
}

fn door<'s>(
    listener: &'s Listener,
    users: &mut HashMap<PathBuf, SharedUsers>,
    guesses: &Arc<Guesses>,
) -> Result<Door<'s>, BuildError> {
    match &listener.peers {
        Peers::Clients { sign_in, .. } => proof(sign_in, users, guesses).map(Door::Clients),
        Peers::FrontEnds(front_ends) => Ok(Door::FrontEnds(front_ends)),
    }
}

fn proof(
    sign_in: &SignIn,
    known: &mut HashMap<PathBuf, SharedUsers>,
    guesses: &Arc<Guesses>,
) -> Result<Proof, BuildError> {
    match sign_in {
        SignIn::Open => Ok(Proof::None),
        SignIn::Digest { users, realm } => {
            let users = match known.get(users) {
                Some(known) => known.clone(),
                None => {
                    let read = SharedUsers::from(Users::load(users)?);
                    known.insert(users.clone(), read.clone());
                    read
                }
            };
            // A nonce outlives no restart: the client is challenged again and answers without asking its user.
            let nonces = NonceKey::new(rand::random(), NONCE_LIFETIME);
            Ok(Proof::Digest {
                authenticator: Authenticator::new(realm.as_str(), nonces),
                users,
                guesses: Arc::clone(guesses),
            })
        }
    }
}

fn acceptor(listener: &Listener) -> Result<Option<Acceptor>, BuildError> {
    Acceptor::of(&listener.peers).map_err(|source| BuildError::Tls {
        listener: listener.name.to_string(),
        source: source.into(),
    })
}

fn open_pools(
    fixed: &Fixed,
    limits: &LimitSettings,
    telemetry: &Telemetry,
) -> Result<Pools, BuildError> {
    let mut pools = Vec::new();
    for pool in &fixed.pools {
        match &pool.kind {
            PoolKind::Embedded(embedded) => {
                let (name, telemetry) = (pool.name.clone(), telemetry.clone());
                let options = EmbeddedOptions {
                    on_failure: Arc::new(move |what| {
                        let (pool, error) = (name.clone(), Detail::new(what));
                        PoolStoreFailed { pool, error }.emit(&telemetry);
                    }),
                    ..EmbeddedOptions::new(embedded.domain.as_str())
                };
                let opened = EmbeddedPool::open(&embedded.database, options).map_err(|source| {
                    BuildError::Pool {
                        pool: pool.name.clone(),
                        source: source.into(),
                    }
                })?;
                pools.push((pool.name.clone(), Pool::Embedded(opened)));
            }
            PoolKind::Sip(sip) => {
                let options = SipOptions {
                    name: pool.name.clone(),
                    pool: sip.clone(),
                    own_uri: fixed.gateway.channel_uri.as_str().into(),
                    limits: sip_limits(limits),
                    xccos: SessionSettings::new(&fixed.gateway, limits).xccos,
                };
                let started = SipPool::start(options, telemetry.clone()).map_err(|source| {
                    BuildError::PoolTls {
                        pool: pool.name.clone(),
                        source: Box::new(source),
                    }
                })?;
                pools.push((pool.name.clone(), Pool::Sip(started)));
            }
        }
    }
    Ok(Pools::new(pools))
}

async fn bind(listener: &Listener, acceptor: Option<Acceptor>) -> Result<Bound, BuildError> {
    let (name, address) = (listener.name.clone(), listener.address);
    let bound = Bound::bind(name, address, acceptor).await;
    bound.map_err(|source| BuildError::Bind { address, source })
}

async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, BuildError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| BuildError::Bind { address, source })
}

#[cfg(test)]
mod tests;
