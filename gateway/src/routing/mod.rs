//! Where a user's rooms are: the rules and the directory, in one published version.
//!
//! A [`Routing`] never changes. A reload builds another one aside and [`Router::publish`] puts it in place at once; what
//! asks in between sees the old one or the new one, whole. `holdover explain` and the sessions ask the same function,
//! [`Routing::decide`].

pub mod explain;
mod known;
pub mod review;
mod router;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

use std::sync::Arc;

use holdover_config::PoolName;
use holdover_config::rules::{Act, Question, RoomFacts, RuleSet, Ruling};
use holdover_config::settings::{Live, Unlisted};
use holdover_protocol::room::RoomUri;
use jiff::Timestamp;

pub use known::KnownPools;
pub use router::{CallerDecisions, Router};

use crate::decide::{Decided, Notice, Refusal, RefusalReason, Shadow, Target};
use crate::directory::{Directory, Entry, Resolution, State};
use crate::peer::Caller;
use crate::pool::PoolId;

/// One version of everything that decides where users and rooms go.
#[derive(Debug)]
pub struct Routing {
    /// Number of the configuration that it is from.
    pub generation: u64,
    /// The rules.
    pub rules: RuleSet,
    /// The directory.
    pub directory: Arc<Directory>,
    pools: Arc<KnownPools>,
    default_pool: PoolId,
    preferences_pool: PoolId,
    /// All pools, the default one first.
    order: Vec<PoolId>,
    shows_unlisted: bool,
}

impl Routing {
    /// The version that these settings make. `None`: there is no pool, which the check of a configuration refuses.
    #[must_use]
    pub fn new(
        generation: u64,
        live: &Live,
        directory: Arc<Directory>,
        pools: Arc<KnownPools>,
    ) -> Option<Self> {
        let default_pool = match &live.directory.default_pool {
            Some(name) => pools.id(name)?,
            None => pools.ids().next()?,
        };
        let preferences_pool = match &live.directory.preferences_pool {
            Some(name) => pools.id(name)?,
            None => default_pool,
        };
        let others = pools.ids().filter(|pool| *pool != default_pool);
        Some(Self {
            generation,
            rules: RuleSet::new(live.rules.clone()),
            directory,
            default_pool,
            preferences_pool,
            order: std::iter::once(default_pool).chain(others).collect(),
            shows_unlisted: matches!(live.directory.unlisted, Unlisted::SameId(_)),
            pools,
        })
    }

    /// Knows neither rules nor rooms.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        let settings = holdover_config::settings::Directory {
            rooms: Vec::new(),
            unlisted: Unlisted::Refuse,
            default_pool: None,
            preferences_pool: None,
        };
        Self::of(Directory::new(
            crate::directory::load(&settings, &[]).unwrap(),
        ))
    }

    /// Knows no rules, and of rooms what the directory says, without any pool.
    #[cfg(test)]
    pub(crate) fn of(directory: Directory) -> Self {
        Self {
            generation: 1,
            rules: RuleSet::default(),
            directory: Arc::new(directory),
            pools: Arc::default(),
            default_pool: PoolId(0),
            preferences_pool: PoolId(0),
            order: vec![PoolId(0)],
            shows_unlisted: false,
        }
    }

    /// Decides where a room that a user named is to be found, for something that the user does there.
    #[must_use]
    pub fn decide(&self, caller: &Caller, at: Timestamp, act: Act, legacy: &RoomUri) -> Decided {
        let listed = self.directory.resolve(legacy);
        let question = question(caller, at, act, Some(facts(legacy, &listed)));
        let decision = self.rules.decide(&question);
        let outcome = match decision.outcome {
            Ruling::Directory => self.listed(legacy, &listed),
            Ruling::Pool(name) => match self.pools.id(name) {
                Some(pool) => self.on_pool(legacy, &listed, pool, name),
                None => Err(no_target()),
            },
            refused => Err(refusal(refused)),
        };
        let decided = Decided {
            outcome,
            rule: decision.rule.cloned(),
            generation: self.generation,
        };
        self.fenced(decided, &question)
    }

    /// Decides about something that concerns no room. The pool, if it is to be asked of one alone.
    #[must_use]
    pub fn admit(&self, caller: &Caller, at: Timestamp, act: Act) -> Decided<Option<PoolId>> {
        let decision = self.rules.decide(&question(caller, at, act, None));
        let outcome = match decision.outcome {
            Ruling::Directory => Ok(None),
            Ruling::Pool(name) => Ok(self.pools.id(name)),
            refused => Err(refusal(refused)),
        };
        Decided {
            outcome,
            rule: decision.rule.cloned(),
            generation: self.generation,
        }
    }

    /// What is to be shown to a user who enters a room.
    #[must_use]
    pub fn notice(&self, caller: &Caller, at: Timestamp, legacy: &RoomUri) -> Option<Notice> {
        if !self.rules.may_notice() {
            return None;
        }
        let listed = self.directory.resolve(legacy);
        let facts = facts(legacy, &listed);
        let question = question(caller, at, Act::Read, Some(facts));
        let (text, every, rule) = self.rules.notice(&question)?;
        Some(Notice {
            text: text.into(),
            every,
            rule: rule.name.clone(),
        })
    }

    /// The second pool that is asked something too, to compare.
    #[must_use]
    pub fn shadow(
        &self,
        caller: &Caller,
        at: Timestamp,
        act: Act,
        legacy: Option<&RoomUri>,
    ) -> Option<Shadow> {
        if !self.rules.may_shadow() {
            return None;
        }
        let listed = legacy.map(|legacy| (legacy, self.directory.resolve(legacy)));
        let facts = listed
            .as_ref()
            .map(|(legacy, listed)| facts(legacy, listed));
        let question = question(caller, at, act, facts);
        let (name, rule) = self.rules.shadow(&question)?;
        let pool = self.pools.id(name)?;
        // A fence keeps what is asked too within its region, and not only what is answered.
        if let Some((region, _)) = self.rules.fence(&question)
            && self.pools.region(pool) != Some(region)
        {
            return None;
        }
        let target =
            listed.and_then(|(legacy, listed)| self.on_pool(legacy, &listed, pool, name).ok());
        Some(Shadow {
            pool,
            migrated: target.map(|target| target.migrated),
            rule: rule.name.clone(),
        })
    }

    /// The identifier by which legacy clients know a pool's room.
    #[must_use]
    pub fn legacy_of(&self, pool: PoolId, migrated: &RoomUri) -> Option<RoomUri> {
        if self.pools.keeps_ids(pool) {
            // An old server still lists rooms that have moved: those are shown where they are now.
            let listed = self.directory.resolve(migrated);
            let is_here = self
                .listed(migrated, &listed)
                .is_ok_and(|target| target.pool == pool);
            // A rule may send some users back to it.
            return (is_here || self.rules.may_route()).then(|| migrated.clone());
        }
        self.directory.legacy_of(self.pools.name(pool)?, migrated)
    }

    /// The pools.
    #[must_use]
    pub fn pools(&self) -> &Arc<KnownPools> {
        &self.pools
    }

    /// What the directory says.
    fn listed(&self, legacy: &RoomUri, listed: &Resolution) -> Result<Target, Refusal> {
        let entry = match listed {
            Resolution::Listed(entry) => entry,
            Resolution::SameId { pool } => {
                return Ok(Target {
                    pool: self.pool(pool),
                    migrated: legacy.clone(),
                });
            }
            Resolution::Unlisted => return Err(unlisted()),
        };
        match entry.state() {
            State::Retired => Err(retired(entry)),
            // It is still where it always was, if that is to be reached.
            State::Pending if self.pools.keeps_ids(self.pool(entry.pool())) => Ok(Target {
                pool: self.pool(entry.pool()),
                migrated: legacy.clone(),
            }),
            State::Pending => Err(pending(entry)),
            State::Migrated | State::Renamed | State::Merged => match entry.migrated() {
                Some(migrated) => Ok(Target {
                    pool: self.pool(entry.pool()),
                    migrated,
                }),
                None => Err(pending(entry)),
            },
        }
    }

    /// A room on the pool that a rule names: under the identifier that it is known to have there, never under a guess.
    fn on_pool(
        &self,
        legacy: &RoomUri,
        listed: &Resolution,
        pool: PoolId,
        name: &PoolName,
    ) -> Result<Target, Refusal> {
        let migrated = match listed {
            Resolution::Listed(entry) if entry.state() == State::Retired => {
                return Err(retired(entry));
            }
            Resolution::Unlisted => return Err(unlisted()),
            _ if self.pools.keeps_ids(pool) => Some(legacy.clone()),
            Resolution::Listed(entry) if self.pool(entry.pool()) == pool => {
                return self.listed(legacy, listed);
            }
            Resolution::Listed(entry) => self.directory.target_of(entry, name),
            Resolution::SameId { pool: own } => (self.pool(own) == pool).then(|| legacy.clone()),
        };
        migrated
            .map(|migrated| Target { pool, migrated })
            .ok_or_else(no_target)
    }

    /// Keeps a user within the region that a rule demands.
    fn fenced(&self, decided: Decided, question: &Question<'_>) -> Decided {
        let Ok(target) = &decided.outcome else {
            return decided;
        };
        match self.rules.fence(question) {
            Some((region, rule)) if self.pools.region(target.pool) != Some(region) => Decided {
                outcome: Err(Refusal {
                    reason: RefusalReason::Region,
                    text: "This room is not kept where you may use it.".into(),
                }),
                rule: Some(Arc::clone(rule)),
                ..decided
            },
            _ => decided,
        }
    }

    fn pool(&self, name: &PoolName) -> PoolId {
        // The directory was checked against these very pools.
        self.pools.id(name).unwrap_or(self.default_pool)
    }
}

/// What rules may ask of a room.
fn facts<'a>(legacy: &'a RoomUri, listed: &'a Resolution) -> RoomFacts<'a> {
    let entry = match listed {
        Resolution::Listed(entry) => Some(&**entry),
        Resolution::SameId { .. } | Resolution::Unlisted => None,
    };
    RoomFacts {
        id: legacy,
        name: entry.map_or("", Entry::name),
        category: entry.map_or("", Entry::category),
    }
}

/// What the rules are asked.
pub(crate) fn question<'a>(
    caller: &'a Caller,
    at: Timestamp,
    act: Act,
    room: Option<RoomFacts<'a>>,
) -> Question<'a> {
    Question {
        user: &caller.user,
        network: caller.network,
        listener: caller.listener.as_ref(),
        client: caller.client.as_deref(),
        act,
        room,
        at,
    }
}

/// What a user is told whom a rule refuses.
fn refusal(outcome: Ruling<'_>) -> Refusal {
    let (reason, text) = match outcome {
        Ruling::Maintenance(text) => (RefusalReason::Maintenance, text),
        Ruling::ReadOnly(text) => (RefusalReason::ReadOnly, text),
        Ruling::Refused(text) => (RefusalReason::Rule, text),
        Ruling::Directory | Ruling::Pool(_) => (RefusalReason::Rule, ""),
    };
    Refusal {
        reason,
        text: text.into(),
    }
}

fn retired(entry: &Entry) -> Refusal {
    with_note(RefusalReason::Retired, "This room was closed.", entry)
}

fn pending(entry: &Entry) -> Refusal {
    with_note(RefusalReason::Pending, "This room is being moved.", entry)
}

fn with_note(reason: RefusalReason, what: &str, entry: &Entry) -> Refusal {
    let text = match entry.note() {
        "" => what.into(),
        note => format!("{what} {note}").into(),
    };
    Refusal { reason, text }
}

fn unlisted() -> Refusal {
    Refusal {
        reason: RefusalReason::Unlisted,
        text: "This room is not known here.".into(),
    }
}

fn no_target() -> Refusal {
    Refusal {
        reason: RefusalReason::NoTarget,
        text: "This room does not exist yet where you are to use it.".into(),
    }
}
