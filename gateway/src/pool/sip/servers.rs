//! The servers of a pool: their state, as links tell it and operators see it, and the choice among them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use holdover_config::ServerAddress;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::dial::DialError;
use super::health::{Change, Health};
use super::leg::Sign;
use super::link::{Common, LinkHandle, LinkState};
use crate::random::Random;
use crate::telemetry::events::pool::{
    PoolServerDown, PoolServerEjected, PoolServerRemoved, PoolServerRestored, PoolServerUp,
    PoolTlsFailed, ServerFailure,
};
use crate::telemetry::{Detail, Emit as _};
use crate::transport::now;

/// One server and the links to it.
#[derive(Debug)]
pub(super) struct Server {
    address: ServerAddress,
    links: Vec<Arc<LinkHandle>>,
    /// Whose turn it is.
    turn: AtomicUsize,
    noted: Mutex<Noted>,
    /// Nothing names it any more: it is not connected to again, and its connections end with their last leg.
    retired: CancellationToken,
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
            retired: CancellationToken::new(),
        }
    }

    /// Tells when it is retired.
    pub(super) fn retired(&self) -> &CancellationToken {
        &self.retired
    }

    /// Gives it no more legs and no more connections.
    #[cfg(feature = "dns-srv")]
    pub(super) fn retire(&self, common: &Common) {
        self.retired.cancel();
        if self.noted().health.connections() == 0 {
            self.tell_removed(common, false);
        }
    }

    fn tell_removed(&self, common: &Common, was_up: bool) {
        PoolServerRemoved {
            pool: common.pool.clone(),
            server: self.detail(),
            was_up,
        }
        .emit(&common.telemetry);
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        // Nothing that can panic runs under this lock, and what is noted is valid between any two statements.
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(feature = "dns-srv")]
    pub(super) fn address(&self) -> &ServerAddress {
        &self.address
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
        common.lost.notify_one();
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
            if self.retired.is_cancelled() {
                return self.tell_removed(common, was_up);
            }
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

    /// A link closed its connection because the server is retired and had no leg left.
    pub(super) fn left(&self, common: &Common, proved: bool) {
        let change = self.noted().health.disconnected(proved);
        if let Some(Change::Down { was_up: true }) = change {
            self.tell_removed(common, true);
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

    /// Whether a link is at this stage.
    fn has_link(&self, stage: LinkState) -> bool {
        self.links.iter().any(|link| link.stage() == stage)
    }

    /// The next link at this stage.
    fn link(&self, stage: LinkState) -> Option<&Arc<LinkHandle>> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        in_turn(&self.links, first).find(|link| link.stage() == stage)
    }

    fn state(&self, place: Option<Place>) -> ServerState {
        let noted = self.noted();
        ServerState {
            address: self.address.to_string(),
            priority: place.map(|place| place.priority),
            weight: place.map(|place| place.weight),
            state: noted.health.name(now()),
            connections: noted.health.connections(),
            legs: self.links.iter().map(|link| link.legs()).sum(),
            failures: noted.health.failures(),
            last_error: noted.last_error.as_ref().map(ToString::to_string),
        }
    }
}

/// What DNS says of a server (RFC 2782): the lowest priority that can be reached is used, and among its servers each as
/// often as its weight says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) priority: u16,
    pub(super) weight: u16,
}

/// A server in its place.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) place: Place,
    pub(super) server: Arc<Server>,
}

/// All servers of a pool.
#[derive(Debug)]
pub(super) struct Servers {
    /// By priority, and those without weight first.
    list: ArcSwap<Vec<Placed>>,
    turn: AtomicUsize,
    /// Whether they have places that mean something.
    is_placed: bool,
}

impl Servers {
    /// Servers that are all alike.
    pub(super) fn new(servers: Vec<Arc<Server>>) -> Self {
        let alike = |server| Placed {
            place: Place::default(),
            server,
        };
        Self {
            list: ArcSwap::from_pointee(servers.into_iter().map(alike).collect()),
            turn: AtomicUsize::new(0),
            is_placed: false,
        }
    }

    /// None yet.
    #[cfg(feature = "dns-srv")]
    pub(super) fn unknown() -> Self {
        Self {
            is_placed: true,
            ..Self::new(Vec::new())
        }
    }

    /// Puts these servers in place of those there were. Legs stay where they are.
    #[cfg(feature = "dns-srv")]
    pub(super) fn replace(&self, mut servers: Vec<Placed>) {
        servers.sort_by_key(|placed| (placed.place.priority, placed.place.weight));
        self.list.store(Arc::new(servers));
    }

    #[cfg(feature = "dns-srv")]
    pub(super) fn all(&self) -> Arc<Vec<Placed>> {
        self.list.load_full()
    }

    /// The link for a new leg. Of the lowest priority that has one: of a server that works. Else one that is ejected, because
    /// an outlier needs others to be one; else one that is being connected, whose outcome the leg waits for.
    pub(super) fn choose(&self) -> Option<Arc<LinkHandle>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let list = self.list.load();
        let mut classes = list
            .chunk_by(|one, other| one.place.priority == other.place.priority)
            .peekable();
        let all = classes.clone();
        while let Some(class) = classes.next() {
            let working = |server: &Server| server.noted().health.is_working();
            let mut found = pick(class, turn, LinkState::Ready, working);
            if found.is_none() && classes.peek().is_some() {
                // What was never tried is not known to be out of reach: at the start nobody goes to a server that stands by
                // only because it was faster.
                let untried = |server: &Server| server.noted().health.is_untried();
                found = pick(class, turn, LinkState::Connecting, untried);
            }
            if found.is_some() {
                return found;
            }
        }
        let of_any = |stage| {
            let mut classes = all.clone();
            classes.find_map(|class| pick(class, turn, stage, |_| true))
        };
        of_any(LinkState::Ready).or_else(|| of_any(LinkState::Connecting))
    }

    pub(super) fn states(&self) -> Vec<ServerState> {
        let list = self.list.load();
        let place = |placed: &Placed| self.is_placed.then_some(placed.place);
        list.iter()
            .map(|placed| placed.server.state(place(placed)))
            .collect()
    }
}

/// A link at this stage, of one of the servers of one priority that will do.
fn pick(
    class: &[Placed],
    turn: usize,
    stage: LinkState,
    will_do: impl Fn(&Server) -> bool,
) -> Option<Arc<LinkHandle>> {
    let will_do = |placed: &&Placed| will_do(&placed.server) && placed.server.has_link(stage);
    let link = |placed: &Placed| placed.server.link(stage).map(Arc::clone);
    let weight = |placed: &Placed| u64::from(placed.place.weight);
    let total: u64 = class.iter().filter(will_do).map(weight).sum();
    if total == 0 {
        return in_turn(class, turn).filter(will_do).find_map(link);
    }
    // RFC 2782: a number from 0 to the sum of the weights, and the first server whose running sum reaches it. Those without
    // weight stand first, and are chosen by 0 alone.
    let drawn = Random::new(turn as u64).draw() % (total + 1);
    let mut sum = 0;
    class
        .iter()
        .filter(will_do)
        .find(|placed| {
            sum += weight(placed);
            sum >= drawn
        })
        .and_then(link)
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
    /// As configured, or as DNS says.
    pub address: String,
    /// Its priority, if DNS gives it one; the lowest comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u16>,
    /// Its weight among those of its priority, if DNS gives it one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// `connecting`, `up`, `ejected`, `half-open` (ejected, and now asked for a sign of life) or `down`.
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
