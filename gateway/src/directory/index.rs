//! Finding an entry by either of its identifiers.
//!
//! Both sets hold pointers to the entries and nothing else; what is hashed and compared is read from the entry. A lookup
//! hashes the identifier it was given without building an entry: that is what the trait object between them is for.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use holdover_config::PoolName;
use holdover_protocol::room::RoomUri;

use super::entry::{Entry, State};
use super::further::{Further, Row};
use super::value::ValueRef;

/// An identifier as the index compares it: GUIDs by their number, other values exactly, domains without regard to ASCII
/// case (as [`RoomUri::is_same_room`] does), and migrated ids only within their pool.
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
        self.value.is_same(other.value)
            && self.domain.eq_ignore_ascii_case(other.domain)
            && self.pool == other.pool
    }
}

impl Eq for Id<'_> {}

impl Hash for Id<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash_key(state);
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

/// A further pool of a room found by the identifier there.
#[derive(Debug)]
struct ByFurther(Arc<Further>);

impl Identified for ByFurther {
    fn id(&self) -> Id<'_> {
        self.0.id()
    }
}

impl Identified for Claim {
    fn id(&self) -> Id<'_> {
        match self {
            Self::Main(entry) => entry.migrated_id().unwrap_or_else(|| entry.legacy_id()),
            Self::Further(further) => further.id(),
        }
    }
}

key!(ByLegacy, ByMigrated, ByFurther, Claim);

/// A line by which a migrated id belongs to a room.
#[derive(Clone, Debug)]
pub(super) enum Claim {
    /// The room's own line.
    Main(Arc<Entry>),
    /// One that names a further pool.
    Further(Arc<Further>),
}

impl Claim {
    /// The room.
    pub(super) fn entry(&self) -> &Arc<Entry> {
        match self {
            Self::Main(entry) => entry,
            Self::Further(further) => further.entry(),
        }
    }

    /// Whether users can be in the room under the migrated id.
    pub(super) fn is_open(&self) -> bool {
        self.rank() != Rank::Closed
    }

    pub(super) fn migrated(&self) -> Option<RoomUri> {
        match self {
            Self::Main(entry) => entry.migrated(),
            Self::Further(further) => Some(further.migrated()),
        }
    }

    pub(super) fn place(&self) -> (&str, u32) {
        match self {
            Self::Main(entry) => (entry.file(), entry.line()),
            Self::Further(further) => (further.file(), further.line()),
        }
    }

    fn rank(&self) -> Rank {
        match (self, self.entry().state()) {
            (_, State::Merged) => Rank::Merged,
            (_, State::Migrated | State::Renamed) => Rank::Owner,
            // A room that is still to be moved to one pool may be on another one.
            (Self::Further(_), State::Pending) => Rank::Owner,
            (Self::Main(_), State::Pending) | (_, State::Retired) => Rank::Closed,
        }
    }
}

/// A line that cannot stand as it is.
#[derive(Debug)]
pub(super) enum Clash {
    /// Both have this legacy id.
    Legacy {
        first: Arc<Entry>,
        second: Arc<Entry>,
    },
    /// Both claim this migrated id, and neither says that it was merged into the other.
    Migrated { first: Claim, second: Claim },
    /// A further pool of a room that no line lists.
    Alone(Row),
    /// A further pool of a room that is gone.
    Retired { entry: Arc<Entry>, row: Row },
    /// A pool that the room has already.
    Twice { first: Claim, row: Row },
}

/// All entries of one version of the directory, by either identifier.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_legacy: HashSet<ByLegacy>,
    /// The first entry of each migrated id.
    by_migrated: HashSet<ByMigrated>,
    /// The further pools of each room that has any, as they stand in the files.
    further: HashMap<ByLegacy, Vec<Arc<Further>>>,
    /// The further pools whose migrated id belongs to no entry by its own line.
    by_further: HashSet<ByFurther>,
    /// All claims of a migrated id that has several. Sorted: the room that goes on first, then what was merged into it,
    /// then what is closed; as they stand in the files among themselves.
    shared: HashMap<Claim, Vec<Claim>>,
}

impl Index {
    /// Indexes `entries` and their further pools. Of two that clash the first is kept.
    pub(super) fn new(entries: Vec<Arc<Entry>>, rows: Vec<Row>) -> (Self, Vec<Clash>) {
        let mut clashes = Vec::new();
        let mut index = Self {
            by_legacy: HashSet::with_capacity(entries.len()),
            by_migrated: HashSet::with_capacity(entries.len()),
            ..Self::default()
        };
        for entry in entries {
            if let Some(first) = index.insert(&entry) {
                clashes.push(Clash::Legacy {
                    first,
                    second: entry,
                });
            }
        }
        let mut domains: HashSet<Arc<str>> = HashSet::new();
        for row in rows {
            let domain = match domains.get(row.migrated.domain()) {
                Some(domain) => Arc::clone(domain),
                None => Arc::from(row.migrated.domain()),
            };
            domains.insert(Arc::clone(&domain));
            clashes.extend(index.insert_further(row, domain));
        }
        for claims in index.shared.values_mut() {
            claims.sort_by_key(Claim::rank);
            let mut owners = claims.iter().filter(|claim| claim.rank() == Rank::Owner);
            if let Some(first) = owners.next() {
                clashes.extend(owners.map(|second| Clash::Migrated {
                    first: first.clone(),
                    second: second.clone(),
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
            let first = self.first(migrated)?;
            self.share(first, Claim::Main(Arc::clone(entry)));
        }
        None
    }

    fn insert_further(&mut self, row: Row, domain: Arc<str>) -> Option<Clash> {
        let Some(entry) = self.by_legacy(&row.legacy).cloned() else {
            return Some(Clash::Alone(row));
        };
        if entry.state() == State::Retired {
            return Some(Clash::Retired { entry, row });
        }
        let same = self
            .further(&entry)
            .iter()
            .find(|further| *further.pool() == row.pool);
        let same = same.cloned().map(Claim::Further);
        let main = (*entry.pool() == row.pool).then(|| Claim::Main(Arc::clone(&entry)));
        if let Some(first) = main.or(same) {
            return Some(Clash::Twice { first, row });
        }
        let further = Arc::new(Further::new(Arc::clone(&entry), &row, domain));
        match self.first(further.id()) {
            Some(first) => self.share(first, Claim::Further(Arc::clone(&further))),
            None => {
                self.by_further.insert(ByFurther(Arc::clone(&further)));
            }
        }
        let of_entry = self.further.entry(ByLegacy(entry));
        of_entry.or_default().push(further);
        None
    }

    /// Two claims of one migrated id, the first of which is indexed by it.
    fn share(&mut self, first: Claim, second: Claim) {
        let claims = self.shared.entry(first.clone());
        claims.or_insert_with(|| vec![first]).push(second);
    }

    pub(super) fn len(&self) -> usize {
        self.by_legacy.len()
    }

    /// The entries, in no order.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.by_legacy.iter().map(|found| &found.0)
    }

    /// The entry of a legacy id.
    pub(super) fn by_legacy(&self, room: &RoomUri) -> Option<&Arc<Entry>> {
        self.find(Id::new(None, room))
    }

    /// The entry of the same legacy id as `entry`, which is another index's.
    pub(super) fn same(&self, entry: &Entry) -> Option<&Arc<Entry>> {
        self.find(entry.legacy_id())
    }

    /// The further pools of a room, as they stand in the files.
    pub(super) fn further(&self, entry: &Entry) -> &[Arc<Further>] {
        if self.further.is_empty() {
            return &[];
        }
        let found = self.further.get::<dyn Identified>(&entry.legacy_id());
        found.map_or(&[], Vec::as_slice)
    }

    /// The claims of a migrated id on `pool`, that of the room that goes on first, closed ones last.
    pub(super) fn claims(&self, pool: &PoolName, room: &RoomUri) -> Vec<Claim> {
        let id = Id::new(Some(pool), room);
        match self.shared.get::<dyn Identified>(&id) {
            Some(claims) => claims.clone(),
            None => self.first(id).into_iter().collect(),
        }
    }

    /// The first of [`Index::claims`].
    pub(super) fn owner(&self, pool: &PoolName, room: &RoomUri) -> Option<Claim> {
        let id = Id::new(Some(pool), room);
        match self.shared.get::<dyn Identified>(&id) {
            Some(claims) => claims.first().cloned(),
            None => self.first(id),
        }
    }

    fn find(&self, id: Id<'_>) -> Option<&Arc<Entry>> {
        let found = self.by_legacy.get::<dyn Identified>(&id)?;
        Some(&found.0)
    }

    fn first(&self, id: Id<'_>) -> Option<Claim> {
        if let Some(found) = self.by_migrated.get::<dyn Identified>(&id) {
            return Some(Claim::Main(Arc::clone(&found.0)));
        }
        if self.by_further.is_empty() {
            return None;
        }
        let found = self.by_further.get::<dyn Identified>(&id)?;
        Some(Claim::Further(Arc::clone(&found.0)))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Owner,
    Merged,
    Closed,
}
