//! The servers of a pool: their state, as links tell it and operators see it, and the choice among them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use holdover_config::ServerAddress;
use serde::Serialize;

use super::dial::DialError;
use super::health::{Change, Health};
use super::leg::Sign;
use super::link::{Common, LinkHandle, Stage, now};
use super::random::Random;
use crate::telemetry::events::pool::{
    PoolServerDown, PoolServerEjected, PoolServerRestored, PoolServerUp, PoolTlsFailed,
    ServerFailure,
};
use crate::telemetry::{Detail, Emit as _};

/// One server and the links to it.
#[derive(Debug)]
pub(super) struct Server {
    address: ServerAddress,
    links: Vec<Arc<LinkHandle>>,
    /// Whose turn it is.
    turn: AtomicUsize,
    noted: Mutex<Noted>,
}

#[derive(Debug)]
struct Noted {
    health: Health,
    random: Random,
    last_error: Option<Detail>,
}

impl Server {
    pub(super) fn new(address: ServerAddress, links: Vec<Arc<LinkHandle>>, seed: u64) -> Self {
        Self {
            address,
            links,
            turn: AtomicUsize::new(0),
            noted: Mutex::new(Noted {
                health: Health::new(),
                random: Random::new(seed),
                last_error: None,
            }),
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        // Nothing that can panic runs under this lock, and what is noted is valid between any two statements.
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its name in events.
    pub(super) fn detail(&self) -> Detail {
        Detail::new(&self.address)
    }

    /// A link proved its connection.
    pub(super) fn connected(&self, common: &Common) {
        let change = self.noted().health.connected();
        self.tell(common, change);
    }

    /// A link lost its connection (`proved`: one that was told to be [`connected`](Self::connected)), or got none.
    pub(super) fn lost(&self, common: &Common, proved: bool, why: &DialError) {
        let error = Detail::new(chain(&why.error));
        if let Some(reason) = why.tls {
            PoolTlsFailed {
                pool: common.pool.clone(),
                server: self.detail(),
                reason,
                error: error.clone(),
            }
            .emit(&common.telemetry);
        }
        let change = {
            let mut noted = self.noted();
            noted.last_error = Some(error.clone());
            noted.health.disconnected(proved)
        };
        if let Some(Change::Down { was_up }) = change {
            PoolServerDown {
                pool: common.pool.clone(),
                server: self.detail(),
                was_up,
                reason: why.reason,
                error,
            }
            .emit(&common.telemetry);
        }
    }

    /// A leg saw something of its health.
    pub(super) fn saw(&self, common: &Common, sign: Sign) {
        let change = {
            let mut noted = self.noted();
            let Noted { health, random, .. } = &mut *noted;
            health.saw(now(), sign, random)
        };
        let reason = match sign {
            Sign::Silent => ServerFailure::Silent,
            Sign::Good | Sign::Failing => ServerFailure::Failing,
        };
        self.tell_ejection(common, change, reason);
        self.tell(common, change);
    }

    /// It gave a sign of life.
    pub(super) fn proved(&self, common: &Common) {
        let change = self.noted().health.proved(now());
        self.tell(common, change);
    }

    /// Its sign of life says that it cannot serve.
    pub(super) fn disproved(&self, common: &Common) {
        let change = {
            let mut noted = self.noted();
            let Noted { health, random, .. } = &mut *noted;
            health.disproved(now(), random)
        };
        self.tell_ejection(common, change, ServerFailure::Failing);
    }

    /// Until when it is left alone.
    pub(super) fn ejected_until(&self) -> Option<Instant> {
        self.noted().health.ejected_until()
    }

    fn tell(&self, common: &Common, change: Option<Change>) {
        let (pool, server) = (common.pool.clone(), self.detail());
        match change {
            Some(Change::Up) => PoolServerUp { pool, server }.emit(&common.telemetry),
            Some(Change::Restored) => PoolServerRestored { pool, server }.emit(&common.telemetry),
            Some(Change::Down { .. } | Change::Ejected(_)) | None => {}
        }
    }

    fn tell_ejection(&self, common: &Common, change: Option<Change>, reason: ServerFailure) {
        if let Some(Change::Ejected(wait)) = change {
            PoolServerEjected {
                pool: common.pool.clone(),
                server: self.detail(),
                reason,
                wait,
            }
            .emit(&common.telemetry);
        }
    }

    /// The next link at this stage.
    fn link(&self, stage: Stage) -> Option<&Arc<LinkHandle>> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        in_turn(&self.links, first).find(|link| link.stage() == stage)
    }

    fn state(&self) -> ServerState {
        let noted = self.noted();
        ServerState {
            address: self.address.to_string(),
            state: noted.health.name(),
            connections: noted.health.connections(),
            legs: self.links.iter().map(|link| link.legs()).sum(),
            failures: noted.health.failures(),
            last_error: noted.last_error.as_ref().map(ToString::to_string),
        }
    }
}

/// All servers of a pool.
#[derive(Debug)]
pub(super) struct Servers {
    servers: Vec<Arc<Server>>,
    turn: AtomicUsize,
}

impl Servers {
    pub(super) fn new(servers: Vec<Arc<Server>>) -> Self {
        Self {
            servers,
            turn: AtomicUsize::new(0),
        }
    }

    /// The link for a new leg: of the next server that works; else of one that is ejected, because an outlier needs
    /// others to be one; else one that is being connected, whose outcome the leg waits for.
    pub(super) fn choose(&self) -> Option<Arc<LinkHandle>> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let servers = || in_turn(&self.servers, first);
        servers()
            .filter(|server| server.noted().health.is_working())
            .find_map(|server| server.link(Stage::Ready))
            .or_else(|| servers().find_map(|server| server.link(Stage::Ready)))
            .or_else(|| servers().find_map(|server| server.link(Stage::Connecting)))
            .map(Arc::clone)
    }

    pub(super) fn states(&self) -> Vec<ServerState> {
        self.servers.iter().map(|server| server.state()).collect()
    }
}

/// All of `things`, beginning with the one whose turn it is.
fn in_turn<T>(things: &[T], turn: usize) -> impl Iterator<Item = &T> {
    let first = turn.checked_rem(things.len()).unwrap_or_default();
    let (before, after) = things.split_at(first.min(things.len()));
    after.iter().chain(before)
}

/// An error with its causes.
fn chain(error: &std::io::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors print their cause themselves.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// A server as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerState {
    /// As configured.
    pub address: String,
    /// `connecting`, `up`, `ejected` or `down`.
    pub state: &'static str,
    /// Connections that are up.
    pub connections: usize,
    /// Legs on them.
    pub legs: usize,
    /// Calls that failed in a row.
    pub failures: u32,
    /// Why a connection was last lost, or could not be made.
    pub last_error: Option<String>,
}
