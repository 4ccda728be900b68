//! One room in the directory.

use std::fmt;
use std::sync::Arc;

use holdover_config::PoolName;
use holdover_protocol::room::RoomUri;

use super::index::Id;
use super::value::{Value, ValueRef};

/// What became of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It was moved and is the same room.
    Migrated,
    /// It was moved and has another name.
    Renamed,
    /// It became part of another room, which several legacy ids stand for.
    Merged,
    /// It is gone for good.
    Retired,
    /// It is still to be moved.
    Pending,
}

impl State {
    /// Every state, in the order in which documents list them.
    pub const ALL: [Self; 5] = [
        Self::Migrated,
        Self::Renamed,
        Self::Merged,
        Self::Retired,
        Self::Pending,
    ];

    /// The word in the CSV file and in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Migrated => "migrated",
            Self::Renamed => "renamed",
            Self::Merged => "merged",
            Self::Retired => "retired",
            Self::Pending => "pending",
        }
    }

    /// Whether users can be in the room. It then has a migrated id.
    #[must_use]
    pub fn is_open(self) -> bool {
        match self {
            Self::Migrated | Self::Renamed | Self::Merged => true,
            Self::Retired | Self::Pending => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One room in the directory. Made by [`load`](super::load) only.
///
/// Kept small: what many rooms have in common is held once, and identifiers are put together when they are asked for.
#[derive(Debug)]
pub struct Entry {
    shared: Arc<Shared>,
    legacy: Value,
    migrated: Option<Value>,
    /// Name and note, one after the other.
    text: Box<str>,
    name_length: u32,
    line: u32,
}

/// What the rooms of one migration have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shared {
    pub(super) legacy_domain: Box<str>,
    /// Empty where no room has a migrated id.
    pub(super) migrated_domain: Box<str>,
    pub(super) pool: PoolName,
    pub(super) state: State,
    /// Empty where rooms have none.
    pub(super) category: Box<str>,
    pub(super) file: Arc<str>,
}

impl Entry {
    /// `shared` must have the domains of `legacy` and `migrated`. Name and note must be shorter than 4 GiB.
    pub(super) fn new(
        shared: Arc<Shared>,
        legacy: &RoomUri,
        migrated: Option<&RoomUri>,
        name: &str,
        note: &str,
        line: u32,
    ) -> Self {
        Self {
            shared,
            legacy: ValueRef::new(legacy.value()).to_value(),
            migrated: migrated.map(|room| ValueRef::new(room.value()).to_value()),
            text: [name, note].concat().into(),
            name_length: u32::try_from(name.len()).unwrap_or_default(),
            line,
        }
    }

    /// The room as legacy clients know it.
    #[must_use]
    pub fn legacy(&self) -> RoomUri {
        room(&self.shared.legacy_domain, &self.legacy)
    }

    /// The room as its pool knows it. Every open room has one.
    #[must_use]
    pub fn migrated(&self) -> Option<RoomUri> {
        let value = self.migrated.as_ref()?;
        Some(room(&self.shared.migrated_domain, value))
    }

    /// The pool the room lives on, or is to live on.
    #[must_use]
    pub fn pool(&self) -> &PoolName {
        &self.shared.pool
    }

    /// What became of the room.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state
    }

    /// The room's name for people. May be empty.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text
            .get(..self.name_length as usize)
            .unwrap_or_default()
    }

    /// What users of the room should know, for example why it is gone. May be empty.
    #[must_use]
    pub fn note(&self) -> &str {
        self.text
            .get(self.name_length as usize..)
            .unwrap_or_default()
    }

    /// The room's category for people and for rules. May be empty.
    #[must_use]
    pub fn category(&self) -> &str {
        &self.shared.category
    }

    /// The file the entry stands in.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.shared.file
    }

    /// The line in the file, from 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.line
    }

    /// Whether both say the same of a room, wherever they stand.
    pub(super) fn says_what(&self, other: &Self) -> bool {
        let of = |entry: &Self| (entry.state(), entry.name_length);
        of(self) == of(other)
            && self.pool() == other.pool()
            // In the very spelling: it is what the pool and clients are told.
            && self.legacy == other.legacy
            && self.migrated == other.migrated
            && self.migrated_id() == other.migrated_id()
            && self.text == other.text
            && self.category() == other.category()
    }

    pub(super) fn legacy_id(&self) -> Id<'_> {
        Id {
            pool: None,
            domain: &self.shared.legacy_domain,
            value: self.legacy.as_ref(),
        }
    }

    pub(super) fn migrated_id(&self) -> Option<Id<'_>> {
        let value = self.migrated.as_ref()?.as_ref();
        let shared = &self.shared;
        Some(Id {
            pool: Some(&shared.pool),
            domain: &shared.migrated_domain,
            value,
        })
    }
}

/// The room of these parts, which were an identifier's when they were read.
pub(super) fn room(domain: &str, value: &Value) -> RoomUri {
    let mut text = String::with_capacity(RoomUri::SCHEME.len() + domain.len() + 1 + 36);
    text.push_str(RoomUri::SCHEME);
    text.push_str(domain);
    text.push('/');
    value.write_to(&mut text);
    match text.parse() {
        Ok(room) => room,
        Err(fault) => unreachable!("an entry is made of identifiers, yet: {fault}"),
    }
}
