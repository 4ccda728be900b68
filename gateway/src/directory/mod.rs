//! The directory: the lookup service's data, legacy id to room and back.
//!
//! Readers see one version of it at a time, whole: a new one is read and checked aside and then takes the old one's place.

mod entry;
mod explain;
mod faults;
mod index;
mod load;
mod value;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
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

#[derive(Debug)]
struct Version {
    generation: u64,
    rooms: Rooms,
}

/// The directory in use.
#[derive(Debug)]
pub struct Directory {
    current: ArcSwap<Version>,
    publishing: Mutex<()>,
}

impl Directory {
    /// A directory of `rooms`, in generation 1.
    #[must_use]
    pub fn new(rooms: Rooms) -> Self {
        let version = Version {
            generation: 1,
            rooms,
        };
        Self {
            current: ArcSwap::from_pointee(version),
            publishing: Mutex::new(()),
        }
    }

    /// Puts another version in place at once and returns its generation. A lookup sees the old version or the new one.
    pub fn replace(&self, rooms: Rooms) -> u64 {
        // Two that publish at a time would otherwise take the same number.
        let _turn = self
            .publishing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let generation = self.generation() + 1;
        self.current.store(Arc::new(Version { generation, rooms }));
        generation
    }

    /// Where `room`, a legacy id, leads.
    #[must_use]
    pub fn resolve(&self, room: &RoomUri) -> Resolution {
        let version = self.current.load();
        match version.rooms.index.by_legacy(room) {
            Some(entry) => Resolution::Listed(entry),
            None => match &version.rooms.unlisted {
                Unlisted::SameId(pool) => Resolution::SameId { pool: pool.clone() },
                Unlisted::Refuse => Resolution::Unlisted,
            },
        }
    }

    /// The legacy id of `room`, a migrated id on `pool`: of several, the one that was not merged. None if no open room is
    /// listed under it; its legacy id then is its migrated id, or nobody's.
    #[must_use]
    pub fn legacy_of(&self, pool: &PoolName, room: &RoomUri) -> Option<RoomUri> {
        let entry = self.current.load().rooms.index.owner(pool, room)?;
        entry.state().is_open().then(|| entry.legacy())
    }

    /// Every legacy id under which users can be in `room`, a migrated id on `pool`; [`Directory::legacy_of`] first.
    #[must_use]
    pub fn aliases(&self, pool: &PoolName, room: &RoomUri) -> Vec<RoomUri> {
        let entries = self.current.load().rooms.index.by_migrated(pool, room);
        let open = entries.iter().filter(|entry| entry.state().is_open());
        open.map(|entry| entry.legacy()).collect()
    }

    /// Number of rooms listed.
    #[must_use]
    pub fn rooms(&self) -> usize {
        self.current.load().rooms.len()
    }

    /// Number of the version in use, from 1.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.current.load().generation
    }
}
