//! Finding an entry by either of its identifiers.
//!
//! Both sets hold pointers to the entries and nothing else; what is hashed and compared is read from the entry. A lookup
//! hashes the identifier it was given without building an entry: that is what the trait object between them is for.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::slice;
use std::sync::Arc;

use holdover_config::PoolName;
use holdover_protocol::room::RoomUri;

use super::entry::{Entry, State};
use super::value::ValueRef;

/// An identifier as the index compares it: values exactly, domains without regard to ASCII case, and migrated ids only
/// within their pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id<'a> {
    /// The pool of a migrated id; legacy ids have none.
    pub(super) pool: Option<&'a PoolName>,
    pub(super) domain: &'a str,
    pub(super) value: ValueRef<'a>,
}

impl<'a> Id<'a> {
    fn new(pool: Option<&'a PoolName>, room: &'a RoomUri) -> Self {
        Self {
            pool,
            domain: room.domain(),
            value: ValueRef::new(room.value()),
        }
    }
}

impl PartialEq for Id<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
            && self.domain.eq_ignore_ascii_case(other.domain)
            && self.pool == other.pool
    }
}

impl Eq for Id<'_> {}

impl Hash for Id<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
        self.pool.hash(state);
        let mut folded = [0; 32];
        for part in self.domain.as_bytes().chunks(folded.len()) {
            for (to, from) in folded.iter_mut().zip(part) {
                *to = from.to_ascii_lowercase();
            }
            state.write(folded.get(..part.len()).unwrap_or_default());
        }
    }
}

/// Whatever has an identifier.
trait Identified {
    fn id(&self) -> Id<'_>;
}

impl Identified for Id<'_> {
    fn id(&self) -> Id<'_> {
        *self
    }
}

impl Hash for dyn Identified + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl PartialEq for dyn Identified + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for dyn Identified + '_ {}

/// An entry found by its legacy id.
#[derive(Debug)]
struct ByLegacy(Arc<Entry>);

impl Identified for ByLegacy {
    fn id(&self) -> Id<'_> {
        self.0.legacy_id()
    }
}

/// An entry found by its migrated id.
#[derive(Debug)]
struct ByMigrated(Arc<Entry>);

impl Identified for ByMigrated {
    /// Only entries with a migrated id are indexed by it; the legacy id of another would be found by nobody, as it has no
    /// pool.
    fn id(&self) -> Id<'_> {
        self.0.migrated_id().unwrap_or_else(|| self.0.legacy_id())
    }
}

macro_rules! key {
    ($($key:ident),+) => {$(
        impl<'a> Borrow<dyn Identified + 'a> for $key {
            fn borrow(&self) -> &(dyn Identified + 'a) {
                self
            }
        }

        impl Hash for $key {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.id().hash(state);
            }
        }

        impl PartialEq for $key {
            fn eq(&self, other: &Self) -> bool {
                self.id() == other.id()
            }
        }

        impl Eq for $key {}
    )+};
}

key!(ByLegacy, ByMigrated);

/// Two entries that cannot both stand.
#[derive(Debug)]
pub(super) enum Clash {
    /// Both have this legacy id.
    Legacy {
        first: Arc<Entry>,
        second: Arc<Entry>,
    },
    /// Both claim this migrated id, and neither says that it was merged into the other.
    Migrated {
        first: Arc<Entry>,
        second: Arc<Entry>,
    },
}

/// All entries of one version of the directory, by either identifier.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_legacy: HashSet<ByLegacy>,
    /// The first entry of each migrated id.
    by_migrated: HashSet<ByMigrated>,
    /// All entries of a migrated id that has several. Sorted: the room that goes on first, then what was merged into it,
    /// then what is closed; as they stand in the files among themselves.
    shared: HashMap<ByMigrated, Vec<Arc<Entry>>>,
}

impl Index {
    /// Indexes `entries`. Of two that clash the first is kept.
    pub(super) fn new(entries: Vec<Arc<Entry>>) -> (Self, Vec<Clash>) {
        let mut clashes = Vec::new();
        let mut index = Self {
            by_legacy: HashSet::with_capacity(entries.len()),
            by_migrated: HashSet::with_capacity(entries.len()),
            shared: HashMap::new(),
        };
        for entry in entries {
            if let Some(first) = index.insert(&entry) {
                clashes.push(Clash::Legacy {
                    first,
                    second: entry,
                });
            }
        }
        for rooms in index.shared.values_mut() {
            rooms.sort_by_key(|entry| rank(entry));
            let mut owners = rooms.iter().filter(|entry| rank(entry) == Rank::Owner);
            if let Some(first) = owners.next() {
                clashes.extend(owners.map(|second| Clash::Migrated {
                    first: Arc::clone(first),
                    second: Arc::clone(second),
                }));
            }
        }
        (index, clashes)
    }

    /// Returns the entry that has the same legacy id already, if there is one.
    fn insert(&mut self, entry: &Arc<Entry>) -> Option<Arc<Entry>> {
        if !self.by_legacy.insert(ByLegacy(Arc::clone(entry))) {
            return self.find(entry.legacy_id()).cloned();
        }
        let migrated = entry.migrated_id()?;
        if !self.by_migrated.insert(ByMigrated(Arc::clone(entry))) {
            let first = Arc::clone(self.first(migrated)?);
            let rooms = self.shared.entry(ByMigrated(Arc::clone(&first)));
            rooms.or_insert_with(|| vec![first]).push(Arc::clone(entry));
        }
        None
    }

    pub(super) fn len(&self) -> usize {
        self.by_legacy.len()
    }

    /// The entry of a legacy id.
    pub(super) fn by_legacy(&self, room: &RoomUri) -> Option<&Arc<Entry>> {
        self.find(Id::new(None, room))
    }

    /// The entries of a migrated id on `pool`, the one that goes on first, closed ones last.
    pub(super) fn by_migrated(&self, pool: &PoolName, room: &RoomUri) -> &[Arc<Entry>] {
        let id = Id::new(Some(pool), room);
        match self.shared.get::<dyn Identified>(&id) {
            Some(rooms) => rooms,
            None => self.first(id).map_or(&[], slice::from_ref),
        }
    }

    /// The first of [`Index::by_migrated`].
    pub(super) fn owner(&self, pool: &PoolName, room: &RoomUri) -> Option<&Arc<Entry>> {
        self.by_migrated(pool, room).first()
    }

    fn find(&self, id: Id<'_>) -> Option<&Arc<Entry>> {
        let found = self.by_legacy.get::<dyn Identified>(&id)?;
        Some(&found.0)
    }

    fn first(&self, id: Id<'_>) -> Option<&Arc<Entry>> {
        let found = self.by_migrated.get::<dyn Identified>(&id)?;
        Some(&found.0)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Owner,
    Merged,
    Closed,
}

fn rank(entry: &Entry) -> Rank {
    match entry.state() {
        State::Migrated | State::Renamed => Rank::Owner,
        State::Merged => Rank::Merged,
        State::Retired | State::Pending => Rank::Closed,
    }
}
