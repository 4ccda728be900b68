//! The version in use, and how a session asks it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use dashmap::DashSet;
use holdover_config::RuleName;
use holdover_config::rules::{Act, Every};
use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos::Verb;
use jiff::Timestamp;
use tokio::sync::watch;

use super::Routing;
use crate::decide::{Decided, Decisions, Moment, Notice, Shadow, act_of};
use crate::peer::Caller;
use crate::pool::PoolId;

/// The version in use.
#[derive(Debug)]
pub struct Router {
    current: ArcSwap<Routing>,
    /// Counts what may change decisions: published versions, and times at which rules begin or end.
    version: AtomicU64,
    changed: watch::Sender<u64>,
    /// Who was shown which notice on the day of `shown_on`.
    shown: DashSet<(UserUri, RuleName)>,
    /// Days since 1970.
    shown_on: AtomicI64,
}

impl Router {
    /// Begins with this version.
    #[must_use]
    pub fn new(routing: Routing) -> Self {
        Self {
            current: ArcSwap::from_pointee(routing),
            version: AtomicU64::new(1),
            changed: watch::Sender::new(1),
            shown: DashSet::new(),
            shown_on: AtomicI64::new(0),
        }
    }

    /// Knows neither rules nor rooms.
    #[cfg(test)]
    pub(crate) fn empty() -> Self {
        Self::new(Routing::nowhere())
    }

    /// The version in use.
    #[must_use]
    pub fn current(&self) -> Arc<Routing> {
        self.current.load_full()
    }

    /// Puts another version in place at once. A decision is by the old version or by the new one, whole.
    pub fn publish(&self, routing: Routing) {
        self.current.store(Arc::new(routing));
        self.touch();
    }

    /// Time has made rules begin or end.
    pub fn touch(&self) {
        let version = self.version.fetch_add(1, Ordering::AcqRel) + 1;
        self.changed.send_replace(version);
    }

    /// Tells the number of each version that comes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Whether a user was not shown a notice yet on this day, and notes that now it is.
    fn first_today(&self, user: &UserUri, rule: &RuleName, at: Timestamp) -> bool {
        /// More than there are users. Beyond it some are shown a notice twice, rather than that memory grows.
        const MOST: usize = 1_000_000;
        let today = at.as_second().div_euclid(86_400);
        // What was shown before today is of no interest.
        if self.shown_on.swap(today, Ordering::AcqRel) != today || self.shown.len() >= MOST {
            self.shown.clear();
        }
        self.shown.insert((user.clone(), rule.clone()))
    }

    /// What is decided for a user, from now on until it is dropped by one version.
    #[must_use]
    pub fn decisions<'a>(&'a self, caller: &'a Caller, at: Timestamp) -> CallerDecisions<'a> {
        // The number first: if another version comes in between, what is asked is newer than its number, and is asked again.
        let version = self.version.load(Ordering::Acquire);
        CallerDecisions {
            router: self,
            version,
            routing: self.current.load(),
            caller,
            at,
        }
    }
}

/// What one version decides for one user at one time.
pub struct CallerDecisions<'a> {
    router: &'a Router,
    version: u64,
    routing: Guard<Arc<Routing>>,
    caller: &'a Caller,
    at: Timestamp,
}

impl CallerDecisions<'_> {
    /// The version by which is decided.
    #[must_use]
    pub fn routing(&self) -> &Routing {
        &self.routing
    }
}

impl Decisions for CallerDecisions<'_> {
    fn version(&self) -> u64 {
        self.version
    }

    fn moment(&self) -> Option<Moment> {
        Some(Moment {
            version: self.version,
            passed: self.routing.rules.boundaries_passed(self.at),
        })
    }

    fn resolve(&self, act: Act, legacy: &RoomUri) -> Decided {
        self.routing.decide(self.caller, self.at, act, legacy)
    }

    fn admit(&self, act: Act) -> Decided<Option<PoolId>> {
        self.routing.admit(self.caller, self.at, act)
    }

    fn legacy_of(&self, pool: PoolId, migrated: &RoomUri) -> Option<RoomUri> {
        self.routing.legacy_of(pool, migrated)
    }

    fn shows_unlisted(&self) -> bool {
        self.routing.shows_unlisted
    }

    fn offers(&self, pool: PoolId, migrated: &RoomUri) -> bool {
        let legacy = if self.routing.pools.keeps_ids(pool) {
            Some(migrated.clone())
        } else {
            self.routing.legacy_of(pool, migrated)
        };
        // One that is not listed keeps its identifier, and may be another pool's under it.
        let asked = legacy.as_ref().unwrap_or(migrated);
        let decided = self.resolve(Act::Read, asked);
        decided.outcome.is_ok_and(|target| {
            target.pool == pool && (legacy.is_some() || target.migrated == *migrated)
        })
    }

    fn offers_all(&self) -> bool {
        self.routing.shows_unlisted
            && self.routing.order.len() == 1
            && !self.routing.rules.may_route()
            && !self.routing.pools.any_keeps_ids()
    }

    fn take_notice(&self, legacy: &RoomUri) -> Option<Notice> {
        let notice = self.routing.notice(self.caller, self.at, legacy)?;
        let is_due = match notice.every {
            Every::SignIn => true,
            Every::Day => {
                let user = &self.caller.user;
                self.router.first_today(user, &notice.rule, self.at)
            }
        };
        is_due.then_some(notice)
    }

    fn shadow(&self, verb: &Verb, legacy: Option<&RoomUri>) -> Option<Shadow> {
        self.routing
            .shadow(self.caller, self.at, act_of(verb), legacy)
    }

    fn default_pool(&self) -> PoolId {
        self.routing.default_pool
    }

    fn domains(&self, pool: PoolId) -> Option<(&str, &str)> {
        self.routing.pools.domains(pool)
    }

    fn preferences_pool(&self) -> PoolId {
        self.routing.preferences_pool
    }

    fn pools(&self) -> &[PoolId] {
        &self.routing.order
    }
}
