//! Further pools on which a room exists, beside the one where it is by default.
//!
//! Few rooms have any: they are kept beside the entries, so that the others cost nothing.

use std::sync::Arc;

use holdover_config::PoolName;
use holdover_protocol::room::RoomUri;

use super::entry::{Entry, room};
use super::index::Id;
use super::value::{Value, ValueRef};

/// A row that names one more pool of a room, before it is known whether there is such a room.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) legacy: RoomUri,
    pub(super) pool: PoolName,
    pub(super) migrated: RoomUri,
    pub(super) file: Arc<str>,
    pub(super) line: u32,
}

/// One more pool on which a room exists, and the room's identifier there.
#[derive(Debug)]
pub struct Further {
    entry: Arc<Entry>,
    pool: PoolName,
    domain: Arc<str>,
    migrated: Value,
    file: Arc<str>,
    line: u32,
}

impl Further {
    /// `domain` must be that of the row's migrated id.
    pub(super) fn new(entry: Arc<Entry>, row: &Row, domain: Arc<str>) -> Self {
        Self {
            entry,
            pool: row.pool.clone(),
            domain,
            migrated: ValueRef::new(row.migrated.value()).to_value(),
            file: Arc::clone(&row.file),
            line: row.line,
        }
    }

    /// The room.
    #[must_use]
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &PoolName {
        &self.pool
    }

    /// The room as this pool knows it.
    #[must_use]
    pub fn migrated(&self) -> RoomUri {
        room(&self.domain, &self.migrated)
    }

    /// The file in which the pool is named.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line in the file, from 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.line
    }

    pub(super) fn id(&self) -> Id<'_> {
        Id {
            pool: Some(&self.pool),
            domain: &self.domain,
            value: self.migrated.as_ref(),
        }
    }
}
