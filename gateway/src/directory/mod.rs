//! The directory: the lookup service's data, legacy id to room and back.
//!
//! A [`Directory`] is one version of it, whole and immutable: a new one is read and checked aside and then published together
//! with the rules that go with it.

mod entry;
mod explain;
mod faults;
mod index;
mod load;
mod value;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use holdover_config::PoolName;
use holdover_config::settings::Unlisted;
use holdover_protocol::room::RoomUri;

pub use entry::{Entry, State};
pub use explain::{Answer, Explanation, Query, Room};
pub use load::{Rooms, load};

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

    /// The legacy id of `room`, a migrated id on `pool`: of several, the one that was not merged. None if no open room is
    /// listed under it; its legacy id then is its migrated id, or nobody's.
    #[must_use]
    pub fn legacy_of(&self, pool: &PoolName, room: &RoomUri) -> Option<RoomUri> {
        let entry = self.rooms.index.owner(pool, room)?;
        entry.state().is_open().then(|| entry.legacy())
    }

    /// Every legacy id under which users can be in `room`, a migrated id on `pool`; [`Directory::legacy_of`] first.
    #[must_use]
    pub fn aliases(&self, pool: &PoolName, room: &RoomUri) -> Vec<RoomUri> {
        let entries = self.rooms.index.by_migrated(pool, room).iter();
        let open = entries.filter(|entry| entry.state().is_open());
        open.map(|entry| entry.legacy()).collect()
    }

    /// Number of rooms listed.
    #[must_use]
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }
}
