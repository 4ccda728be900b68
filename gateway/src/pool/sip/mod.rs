//! Pools over SIP: Persistent Chat pools, old Group Chat servers, and `holdover pool serve`.
//!
//! - `leg` is one user's dialog with the pool, a state machine without sockets or clock.
//! - `link` is one connection to one server, a task that carries many legs and is kept up for as long as the pool runs.
//! - `health` judges a server, `servers` chooses among them, `dial` makes connections.
//!
//! A leg lives and dies with its connection; it is never moved. The session opens another one, which goes to a server that
//! works, joins the rooms again and fetches what it missed.

mod dial;
mod health;
mod leg;
mod link;
mod servers;
#[cfg(feature = "dns-srv")]
mod srv;
mod understood;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use holdover_config::settings::{Dialect, Security, Servers as Known, Sip};
use holdover_config::{PoolName, ServerAddress};
use holdover_protocol::sip::Limits;
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos;
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use dial::connector as check_tls;
pub use servers::ServerState;

use self::dial::Network;
use self::leg::LegSettings;
use self::link::{Common, Gate, Link, LinkHandle};
use self::servers::{Server, Servers};
use super::{LegClosed, LegSink, Opening, SendId};
use crate::random::Random;
use crate::telemetry::Telemetry;
use crate::transport::tls::TlsError;

/// What a pool over SIP is made from.
#[derive(Clone, Debug)]
pub struct SipOptions {
    /// Its name.
    pub name: PoolName,
    /// Its table of the configuration.
    pub pool: Sip,
    /// A SIP URI of the gateway itself, from which servers are asked for signs of life.
    pub own_uri: Box<str>,
    /// Bounds of a SIP message.
    pub limits: Limits,
    /// Bounds of an XCCOS document.
    pub xccos: xccos::Limits,
}

/// A pool over SIP as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SipPoolState {
    /// What is dialled.
    pub uri: String,
    /// Its servers, in the order of the configuration.
    pub servers: Vec<ServerState>,
}

/// A running pool. Dropping it shuts it down.
pub struct SipPool {
    uri: Box<str>,
    dialect: Dialect,
    servers: Arc<Servers>,
    common: Arc<Common>,
    next_leg: AtomicU64,
    shutdown: CancellationToken,
    links: TaskTracker,
}

impl SipPool {
    /// Starts to connect to the servers. That they cannot be reached is no error: they are tried until they can.
    /// Needs a tokio runtime to be entered.
    ///
    /// # Errors
    ///
    /// A certificate or key that cannot be used.
    pub fn start(options: SipOptions, telemetry: Telemetry) -> Result<Self, TlsError> {
        let SipOptions {
            name,
            pool,
            own_uri,
            limits,
            xccos,
        } = options;
        if let Security::Tls(tls) = &pool.security {
            // What is broken now is told now. Each connection reads the files again.
            dial::connector(tls)?;
        }
        let shutdown = CancellationToken::new();
        let common = Arc::new(Common {
            pool: name,
            legs: ArcSwap::from_pointee(LegSettings {
                uri: pool.uri.as_str().into(),
                lookup: pool.lookup,
                limit: pool.receipt_timeout,
                outstanding: pool.outstanding_infos,
                xccos,
            }),
            own_uri,
            ping: pool.ping,
            limits: ArcSwap::from_pointee(limits),
            telemetry,
            shutdown: shutdown.clone(),
            lost: Notify::new(),
        });
        let links = TaskTracker::new();
        let starter = Starter {
            common: Arc::clone(&common),
            security: pool.security,
            connections: pool.connections_per_server.max(1),
            links: links.clone(),
            random: Random::new(rand::random()),
        };
        let servers = starter.all(pool.servers);
        links.close();
        Ok(Self {
            uri: pool.uri.as_str().into(),
            dialect: pool.dialect,
            servers,
            common,
            next_leg: AtomicU64::new(1),
            shutdown,
            links,
        })
    }

    /// Opens a leg for one endpoint of `user`. What the pool has to say goes to `sink`, and so does the end, if the pool
    /// does not answer or refuses. Never blocks.
    ///
    /// # Errors
    ///
    /// [`LegClosed::Unreachable`] when no server can be reached now, [`LegClosed::Pool`] after a shutdown,
    /// [`LegClosed::Unopened`] when too many open legs [again](Opening::Again). Nothing is told to `sink` then.
    pub fn open_leg(
        &self,
        user: UserUri,
        sink: Arc<dyn LegSink>,
        why: Opening,
    ) -> Result<SipLeg, LegClosed> {
        if self.shutdown.is_cancelled() {
            return Err(LegClosed::Pool);
        }
        let link = self.servers.choose().ok_or(LegClosed::Unreachable)?;
        let number = self.next_leg.fetch_add(1, Ordering::Relaxed);
        let gate = link.open(number, user, sink, why)?;
        Ok(SipLeg { number, link, gate })
    }

    /// Sets the bounds for connections to come.
    pub fn limit(&self, limits: Limits, xccos: xccos::Limits) {
        self.common.limits.store(Arc::new(limits));
        self.common.legs.rcu(|legs| LegSettings {
            xccos,
            ..(**legs).clone()
        });
    }

    /// The bounds for connections to come.
    #[cfg(test)]
    pub(crate) fn limits(&self) -> (Limits, xccos::Limits) {
        (**self.common.limits.load(), self.common.legs.load().xccos)
    }

    /// How the pool speaks.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// How its servers are.
    pub fn state(&self) -> SipPoolState {
        SipPoolState {
            uri: self.uri.to_string(),
            servers: self.servers.states(),
        }
    }

    /// Ends every leg with [`LegClosed::Pool`] and every dialog with BYE. Returns at once; [`closed`](Self::closed) waits.
    pub fn shutdown(&self) {
        self.shutdown.cancel();
    }

    /// Waits until all connections are closed after a [`shutdown`](Self::shutdown): about a second at most.
    pub async fn closed(&self) {
        self.links.wait().await;
    }
}

/// Starts what keeps servers connected.
struct Starter {
    common: Arc<Common>,
    security: Security,
    /// To each server.
    connections: usize,
    links: TaskTracker,
    random: Random,
}

impl Starter {
    /// Connects to servers that are listed; those that are looked up are connected to when they are known.
    fn all(mut self, known: Known) -> Arc<Servers> {
        match known {
            Known::Listed(addresses) => {
                let servers = addresses.into_iter().map(|address| self.start(address));
                Arc::new(Servers::new(servers.collect()))
            }
            #[cfg(feature = "dns-srv")]
            Known::Srv { name, resolver } => srv::watch(self, name, resolver),
            // The check of the configuration refuses it.
            #[cfg(not(feature = "dns-srv"))]
            Known::Srv { .. } => Arc::new(Servers::new(Vec::new())),
        }
    }

    /// Begins to connect to a server.
    fn start(&mut self, address: ServerAddress) -> Arc<Server> {
        let (handles, inboxes): (Vec<_>, Vec<_>) =
            (0..self.connections).map(|_| LinkHandle::new()).unzip();
        let server = Server::new(address.clone(), handles.clone(), self.random.draw());
        let server = Arc::new(server);
        for (handle, inbox) in handles.into_iter().zip(inboxes) {
            let link = Link {
                dial: Network::new(address.clone(), self.security.clone()),
                inbox,
                handle,
                server: Arc::clone(&server),
                common: Arc::clone(&self.common),
                random: Random::new(self.random.draw()),
            };
            self.links.spawn(link.run());
        }
        server
    }
}

impl fmt::Debug for SipPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SipPool")
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}

impl Drop for SipPool {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A session's end of a leg. Dropping it ends the dialog.
#[derive(Debug)]
pub struct SipLeg {
    number: u64,
    link: Arc<LinkHandle>,
    gate: Arc<Gate>,
}

impl SipLeg {
    /// Sends one document. Never blocks. On a leg whose end was told the document vanishes.
    ///
    /// # Errors
    ///
    /// [`LegClosed`]: the document was not taken, and the leg is of no more use. [`LegClosed::Overflow`] when too much
    /// waits already, or when the sink refused an event before.
    pub fn send(&self, id: SendId, document: Bytes) -> Result<(), LegClosed> {
        self.link.send(self.number, &self.gate, id, document)
    }
}

impl Drop for SipLeg {
    fn drop(&mut self) {
        self.link.close(self.number);
    }
}
