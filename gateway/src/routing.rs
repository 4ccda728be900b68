//! Where a session's rooms are: the directory's answers in the words of a session.

use std::sync::Arc;

use holdover_protocol::room::RoomUri;

use crate::directory::{Directory, Resolution, State};
use crate::pool::{PoolId, Pools};
use crate::session::{Decisions, Refusal, RefusalReason, Target};

/// Decides by the directory.
#[derive(Debug)]
pub struct Router {
    directory: Arc<Directory>,
    pools: Arc<Pools>,
    default_pool: PoolId,
    /// All pools, the default one first.
    order: Vec<PoolId>,
    shows_unlisted: bool,
}

impl Router {
    /// `default_pool` answers what names no room; `shows_unlisted` says whether rooms without a legacy identifier may be
    /// used under the pool's own.
    #[must_use]
    pub fn new(
        directory: Arc<Directory>,
        pools: Arc<Pools>,
        default_pool: PoolId,
        shows_unlisted: bool,
    ) -> Self {
        let others = pools.ids().filter(|pool| *pool != default_pool);
        let order = std::iter::once(default_pool).chain(others).collect();
        Self {
            order,
            directory,
            pools,
            default_pool,
            shows_unlisted,
        }
    }

    fn pool(&self, name: &holdover_config::PoolName) -> PoolId {
        // The directory was checked against these very pools.
        self.pools.id(name).unwrap_or(self.default_pool)
    }
}

impl Decisions for Router {
    fn resolve(&self, legacy: &RoomUri) -> Result<Target, Refusal> {
        let entry = match self.directory.resolve(legacy) {
            Resolution::Listed(entry) => entry,
            Resolution::SameId { pool } => {
                return Ok(Target {
                    pool: self.pool(&pool),
                    migrated: legacy.clone(),
                });
            }
            Resolution::Unlisted => {
                return Err(Refusal {
                    reason: RefusalReason::Unlisted,
                    text: "This room is not known here.".into(),
                });
            }
        };
        let refused = |reason, what: &str| {
            let text = match entry.note() {
                "" => what.into(),
                note => format!("{what} {note}").into(),
            };
            Err(Refusal { reason, text })
        };
        match entry.state() {
            State::Retired => refused(RefusalReason::Retired, "This room was closed."),
            // It is still where it always was, if that is to be reached.
            State::Pending if self.pools.keeps_ids(self.pool(entry.pool())) => Ok(Target {
                pool: self.pool(entry.pool()),
                migrated: legacy.clone(),
            }),
            State::Pending => refused(RefusalReason::Pending, "This room is being moved."),
            State::Migrated | State::Renamed | State::Merged => match entry.migrated() {
                Some(migrated) => Ok(Target {
                    pool: self.pool(entry.pool()),
                    migrated,
                }),
                None => refused(RefusalReason::Pending, "This room is being moved."),
            },
        }
    }

    fn legacy_of(&self, pool: PoolId, migrated: &RoomUri) -> Option<RoomUri> {
        if self.pools.keeps_ids(pool) {
            // An old server still lists rooms that have moved: those are shown where they are now.
            let is_here = self
                .resolve(migrated)
                .is_ok_and(|target| target.pool == pool);
            return is_here.then(|| migrated.clone());
        }
        self.directory.legacy_of(self.pools.name(pool)?, migrated)
    }

    fn shows_unlisted(&self) -> bool {
        self.shows_unlisted
    }

    fn default_pool(&self) -> PoolId {
        self.default_pool
    }

    fn pools(&self) -> &[PoolId] {
        &self.order
    }
}
