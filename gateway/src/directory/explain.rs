//! What the directory says about a room, for people: the same answer on the command line and over HTTP.

use std::fmt;
use std::sync::Arc;

use holdover_config::PoolName;
use holdover_config::settings::Unlisted;
use holdover_protocol::room::RoomUri;
use serde::Serialize;

use super::Directory;
use super::entry::Entry;
use super::further::Further;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// The room that legacy clients know by this identifier.
    Legacy(RoomUri),
    /// The rooms that have this identifier on a pool, whichever pool that is.
    Migrated(RoomUri),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The directory lists the room.
    Listed,
    /// The directory does not list the room; it has the same identifier on the default pool.
    SameId,
    /// The directory does not list the room; it is refused.
    Unlisted,
}

/// What the directory says about a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The legacy id that was asked about, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legacy: Option<String>,
    /// The migrated id that was asked about, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrated: Option<String>,
    /// What came of it.
    pub answer: Answer,
    /// The rooms found: one for a legacy id, all that share it for a migrated id.
    pub rooms: Vec<Room>,
    /// The generation of the configuration that answered.
    pub generation: u64,
}

/// One room of an [`Explanation`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Room {
    /// The room as legacy clients know it.
    pub legacy: String,
    /// The room as its pool knows it.
    pub migrated: Option<String>,
    /// The pool.
    pub pool: String,
    /// The other pools on which it exists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Also>,
    /// What became of it; none if the directory does not list it.
    pub state: Option<&'static str>,
    /// Whether users can be in it.
    pub open: bool,
    /// Its name for people. May be empty.
    pub name: String,
    /// Its category. May be empty.
    pub category: String,
    /// What its users should know. May be empty.
    pub note: String,
    /// `file:line` of the entry; none if the directory does not list it.
    pub source: Option<String>,
}

/// A pool on which a room exists beside its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Also {
    /// The pool.
    pub pool: String,
    /// The room as this pool knows it.
    pub migrated: String,
    /// `file:line` of the line that says so.
    pub source: String,
}

impl From<&Further> for Also {
    fn from(further: &Further) -> Self {
        Self {
            pool: further.pool().to_string(),
            migrated: further.migrated().to_string(),
            source: format!("{}:{}", further.file(), further.line()),
        }
    }
}

impl Room {
    /// What the directory says of a room that it lists.
    #[must_use]
    pub fn listed(directory: &Directory, entry: &Entry) -> Self {
        let further = directory.further(entry).iter();
        Self {
            legacy: entry.legacy().to_string(),
            migrated: entry.migrated().map(|room| room.to_string()),
            pool: entry.pool().to_string(),
            also: further.map(|further| Also::from(&**further)).collect(),
            state: Some(entry.state().as_str()),
            open: entry.state().is_open(),
            name: entry.name().to_owned(),
            category: entry.category().to_owned(),
            note: entry.note().to_owned(),
            source: Some(format!("{}:{}", entry.file(), entry.line())),
        }
    }

    fn same_id(room: &RoomUri, pool: &PoolName) -> Self {
        Self {
            legacy: room.to_string(),
            migrated: Some(room.to_string()),
            pool: pool.to_string(),
            also: Vec::new(),
            state: None,
            open: true,
            name: String::new(),
            category: String::new(),
            note: String::new(),
            source: None,
        }
    }
}

impl Directory {
    /// Answers `query`. `generation` is what is in use, or would be.
    #[must_use]
    pub fn explain(&self, query: &Query, generation: u64) -> Explanation {
        let index = &self.rooms.index;
        let (room, found): (_, Vec<Arc<Entry>>) = match query {
            Query::Legacy(room) => (room, index.by_legacy(room).cloned().into_iter().collect()),
            Query::Migrated(room) => {
                let mut found: Vec<Arc<Entry>> = Vec::new();
                for pool in &self.rooms.pools {
                    for claim in index.claims(pool, room) {
                        let entry = claim.entry();
                        // A room may have the same identifier on several pools.
                        if !found.iter().any(|other| Arc::ptr_eq(other, entry)) {
                            found.push(Arc::clone(entry));
                        }
                    }
                }
                (room, found)
            }
        };
        let rooms: Vec<_> = found
            .iter()
            .map(|entry| Room::listed(self, entry))
            .collect();
        let (answer, rooms) = match &self.rooms.unlisted {
            _ if !rooms.is_empty() => (Answer::Listed, rooms),
            // A listed legacy id leads where its entry says and cannot stand for itself.
            Unlisted::SameId(pool) if index.by_legacy(room).is_none() => {
                (Answer::SameId, vec![Room::same_id(room, pool)])
            }
            _ => (Answer::Unlisted, rooms),
        };
        let (legacy, migrated) = match query {
            Query::Legacy(room) => (Some(room.to_string()), None),
            Query::Migrated(room) => (None, Some(room.to_string())),
        };
        Explanation {
            legacy,
            migrated,
            answer,
            rooms,
            generation,
        }
    }
}

impl fmt::Display for Explanation {
    /// For people, in a few lines without a line break at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = self.legacy.as_ref().or(self.migrated.as_ref());
        f.write_str(asked.map_or("", String::as_str))?;
        let kind = if self.legacy.is_some() {
            "legacy"
        } else {
            "migrated"
        };
        match self.answer {
            Answer::Listed => write!(f, " is listed as a {kind} id")?,
            Answer::SameId => write!(f, " is not listed and keeps its identifier")?,
            Answer::Unlisted => write!(f, " is not listed as a {kind} id")?,
        }
        for room in &self.rooms {
            f.write_str("\n")?;
            let mut line = |name: &str, value: &str| match value {
                "" => Ok(()),
                _ => write!(f, "\n  {name:<9} {value}"),
            };
            line("legacy", &room.legacy)?;
            line("migrated", room.migrated.as_deref().unwrap_or("none"))?;
            line("pool", &room.pool)?;
            line("state", room.state.unwrap_or_default())?;
            for also in &room.also {
                let Also {
                    pool,
                    migrated,
                    source,
                } = also;
                line("also", &format!("{migrated} on {pool} ({source})"))?;
            }
            line("name", &room.name)?;
            line("category", &room.category)?;
            line("note", &room.note)?;
            line("source", room.source.as_deref().unwrap_or_default())?;
        }
        write!(f, "\n\ngeneration {}", self.generation)
    }
}
