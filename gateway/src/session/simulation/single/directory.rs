//! A directory that changes while sessions run.

use std::collections::{BTreeMap, BTreeSet};

use holdover_config::rules::Act;
use holdover_protocol::room::RoomUri;

use crate::decide::{Decided, Decisions, Refusal, RefusalReason, Target};
use crate::pool::PoolId;
use crate::session::simulation::random::Random;

/// Domain of every room as legacy clients know it. No pool may ever see it.
pub(super) const OLD: &str = "old.example";
/// Domain of every room as the pool knows it. A client may see it only of rooms that have no legacy identifier.
pub(super) const NEW: &str = "new.example";

pub(super) const POOL: PoolId = PoolId(0);

/// What clients name: two plain rooms, two that were merged into one, one that kept its identifier, and three that are
/// refused. Links in message text name `LINKED`, which never moves.
pub(super) const LEGACY: [&str; 8] = [
    "deals", "linked", "east", "west", "kept", "retired", "pending", "unlisted",
];
pub(super) const LINKED: &str = "linked";

/// Rooms of the pool that a search finds. One of them never has a legacy identifier.
pub(super) const ROOMS: [&str; 7] = ["d-1", "d-2", "l-1", "coast", "west", "kept", "unlisted"];

#[derive(Debug)]
pub(super) struct Directory {
    rooms: BTreeMap<RoomUri, Result<RoomUri, RefusalReason>>,
    shows_unlisted: bool,
    /// Rooms of the pool that had no legacy identifier at some time.
    unlisted: BTreeSet<RoomUri>,
}

pub(super) fn legacy(value: &str) -> RoomUri {
    RoomUri::new(if value == "kept" { "kept.example" } else { OLD }, value).unwrap()
}

pub(super) fn migrated(value: &str) -> RoomUri {
    RoomUri::new(if value == "kept" { "kept.example" } else { NEW }, value).unwrap()
}

impl Directory {
    pub(super) fn new(shows_unlisted: bool) -> Self {
        let rooms = [
            ("deals", Ok("d-1")),
            ("linked", Ok("l-1")),
            ("east", Ok("coast")),
            ("west", Ok("coast")),
            ("kept", Ok("kept")),
            ("retired", Err(RefusalReason::Retired)),
            ("pending", Err(RefusalReason::Pending)),
        ];
        let rooms = rooms.map(|(room, to)| (legacy(room), to.map(migrated)));
        let mut directory = Self {
            rooms: rooms.into(),
            shows_unlisted,
            unlisted: BTreeSet::new(),
        };
        directory.note_unlisted();
        directory
    }

    fn note_unlisted(&mut self) {
        let rooms = ROOMS.map(migrated).into_iter();
        let unlisted = rooms.filter(|room| self.legacy_of(POOL, room).is_none());
        let unlisted: Vec<RoomUri> = unlisted.collect();
        self.unlisted.extend(unlisted);
    }

    /// Whether a client may be shown the pool's own identifier of this room.
    pub(super) fn may_show(&self, migrated: &RoomUri) -> bool {
        self.shows_unlisted && self.unlisted.contains(migrated)
    }

    /// The admin publishes another version.
    pub(super) fn change(&mut self, random: &mut Random) {
        let deals = match random.below(3) {
            0 => Err(RefusalReason::Retired),
            1 => Ok(migrated("d-1")),
            _ => Ok(migrated("d-2")),
        };
        self.rooms.insert(legacy("deals"), deals);
        let west = if random.chance(50) { "coast" } else { "west" };
        self.rooms.insert(legacy("west"), Ok(migrated(west)));
        self.note_unlisted();
    }
}

impl Decisions for Directory {
    fn version(&self) -> u64 {
        1
    }

    fn admit(&self, _: Act) -> Decided<Option<PoolId>> {
        Ok(None).into()
    }

    fn offers(&self, pool: PoolId, migrated: &RoomUri) -> bool {
        self.shows_unlisted() || self.legacy_of(pool, migrated).is_some()
    }

    fn offers_all(&self) -> bool {
        self.shows_unlisted()
    }

    fn pools(&self) -> &[PoolId] {
        &[PoolId(0)]
    }

    fn resolve(&self, _: Act, legacy: &RoomUri) -> Decided {
        let to = self.rooms.get(legacy).cloned();
        let outcome = match to.unwrap_or(Err(RefusalReason::Unlisted)) {
            Ok(migrated) => Ok(Target {
                pool: POOL,
                migrated,
            }),
            Err(reason) => Err(Refusal {
                reason,
                text: "refused, see the note".into(),
            }),
        };
        outcome.into()
    }

    fn legacy_of(&self, _: PoolId, migrated: &RoomUri) -> Option<RoomUri> {
        let mut rooms = self.rooms.iter();
        rooms
            .find(|(_, to)| to.as_ref() == Ok(migrated))
            .map(|(legacy, _)| legacy.clone())
    }

    fn shows_unlisted(&self) -> bool {
        self.shows_unlisted
    }

    fn default_pool(&self) -> PoolId {
        POOL
    }
}
