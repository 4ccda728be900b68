//! The directory: the lookup service's data, legacy id to room and back.
//!
//! A [`Directory`] is one version of it, whole and immutable: a new one is read and checked aside and then published together
//! with the rules that go with it.

mod columns;
mod difference;
mod entry;
mod explain;
mod faults;
mod format;
mod further;
mod index;
mod load;
mod presence;
mod value;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use holdover_config::PoolName;
use holdover_config::settings::Unlisted;
use holdover_protocol::room::RoomUri;

pub use difference::Difference;
pub use entry::{Entry, State};
pub use explain::{Also, Answer, Explanation, Query, Room};
pub use further::Further;
pub use load::{Rooms, load};
pub use presence::missing;

/// Where a legacy id leads.
#[derive(Clone, Debug)]
pub enum Resolution {
    /// The directory lists the room. Its state says whether it is open.
    Listed(Arc<Entry>),
    /// The directory does not list the room, and it has the same identifier on this pool.
    SameId {
        /// The pool.
        pool: PoolName,
    },
    /// The directory does not list the room, and such rooms are refused.
    Unlisted,
}

/// One version of the directory.
#[derive(Debug)]
pub struct Directory {
    rooms: Rooms,
}

impl Directory {
    /// A directory of `rooms`.
    #[must_use]
    pub fn new(rooms: Rooms) -> Self {
        Self { rooms }
    }

    /// Where `room`, a legacy id, leads.
    #[must_use]
    pub fn resolve(&self, room: &RoomUri) -> Resolution {
        match self.rooms.index.by_legacy(room) {
            Some(entry) => Resolution::Listed(Arc::clone(entry)),
            None => match &self.rooms.unlisted {
                Unlisted::SameId(pool) => Resolution::SameId { pool: pool.clone() },
                Unlisted::Refuse => Resolution::Unlisted,
            },
        }
    }

    /// The identifier of `room`, a legacy id, on `pool`: by default there or by a further line. None if users cannot be in it
    /// there under any identifier that the directory knows.
    #[must_use]
    pub fn target(&self, room: &RoomUri, pool: &PoolName) -> Option<RoomUri> {
        match self.rooms.index.by_legacy(room) {
            Some(entry) => self.target_of(entry, pool),
            None => match &self.rooms.unlisted {
                Unlisted::SameId(own) => (own == pool).then(|| room.clone()),
                Unlisted::Refuse => None,
            },
        }
    }

    /// The same for a room that is found already.
    #[must_use]
    pub fn target_of(&self, entry: &Entry, pool: &PoolName) -> Option<RoomUri> {
        if entry.pool() == pool {
            return entry.migrated().filter(|_| entry.state().is_open());
        }
        let mut further = self.further(entry).iter();
        let found = further.find(|further| further.pool() == pool)?;
        Some(found.migrated())
    }

    /// The pools on which a room exists beside its own, as they stand in the files.
    #[must_use]
    pub fn further(&self, entry: &Entry) -> &[Arc<Further>] {
        self.rooms.index.further(entry)
    }

    /// The legacy id of `room`, a migrated id on `pool`: of several, the one that was not merged. None if no open room is
    /// listed under it; its legacy id then is its migrated id, or nobody's.
    #[must_use]
    pub fn legacy_of(&self, pool: &PoolName, room: &RoomUri) -> Option<RoomUri> {
        let owner = self.rooms.index.owner(pool, room)?;
        owner.is_open().then(|| owner.entry().legacy())
    }

    /// Every legacy id under which users can be in `room`, a migrated id on `pool`; [`Directory::legacy_of`] first.
    #[must_use]
    pub fn aliases(&self, pool: &PoolName, room: &RoomUri) -> Vec<RoomUri> {
        let claims = self.rooms.index.claims(pool, room);
        let open = claims.iter().filter(|claim| claim.is_open());
        open.map(|claim| claim.entry().legacy()).collect()
    }

    /// All rooms listed, in no order.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.rooms.index.entries()
    }

    /// Number of rooms listed.
    #[must_use]
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }
}
