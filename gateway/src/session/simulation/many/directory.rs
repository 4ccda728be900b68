//! Which room is where. Every pool has a domain of its own, so that an identifier that goes astray is seen.

use holdover_config::rules::Act;
use holdover_protocol::room::RoomUri;

use crate::pool::PoolId;
use crate::session::simulation::random::Random;
use crate::session::{Decided, Decisions, Refusal, RefusalReason, Target};

/// Domain of every room as legacy clients know it.
pub(super) const OLD: &str = "old.example";
/// Domain of a room of the same identifier on two pools.
const BOTH: &str = "both.example";
/// Rooms of a user who has more of them than a leg takes documents at once.
const MANY: usize = 140;

/// A room as the client knows it, and where it is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) legacy: RoomUri,
    pub(super) pool: PoolId,
    pub(super) migrated: RoomUri,
}

#[derive(Debug)]
pub(super) struct Directory {
    pub(super) places: Vec<Place>,
    pub(super) pools: Vec<PoolId>,
}

/// The domain of a pool's rooms.
pub(super) fn domain(pool: PoolId) -> String {
    format!("pool{}.example", pool.0)
}

impl Directory {
    /// Two to four pools with a few rooms each; one room has two names, and two pools have a room of one identifier.
    pub(super) fn new(random: &mut Random) -> Self {
        let pools: Vec<PoolId> = (0..2 + random.below(3) as u16).map(PoolId).collect();
        let mut places = Vec::new();
        let mut add = |legacy: String, pool: PoolId, migrated: RoomUri| {
            let legacy = RoomUri::new(OLD, &legacy).unwrap();
            places.push(Place {
                legacy,
                pool,
                migrated,
            });
        };
        for pool in &pools {
            for room in 0..2 {
                let migrated = RoomUri::new(&domain(*pool), &format!("m{room}")).unwrap();
                add(format!("r{}-{room}", pool.0), *pool, migrated);
            }
        }
        for pool in &pools[..2] {
            let migrated = RoomUri::new(BOTH, "shared").unwrap();
            add(format!("s{}", pool.0), *pool, migrated);
        }
        for name in ["east", "west"] {
            let migrated = RoomUri::new(&domain(pools[0]), "coast").unwrap();
            add(name.to_owned(), pools[0], migrated);
        }
        if random.below(100) == 0 {
            for room in 0..MANY {
                let migrated = RoomUri::new(&domain(pools[0]), &format!("n{room}")).unwrap();
                add(format!("many-{room}"), pools[0], migrated);
            }
        }
        Self { places, pools }
    }

    pub(super) fn place(&self, legacy: &RoomUri) -> Option<&Place> {
        self.places.iter().find(|place| place.legacy == *legacy)
    }

    /// The names of a pool's room.
    pub(super) fn names(&self, pool: PoolId, migrated: &RoomUri) -> impl Iterator<Item = &RoomUri> {
        let is_it = move |place: &&Place| place.pool == pool && place.migrated == *migrated;
        self.places.iter().filter(is_it).map(|place| &place.legacy)
    }

    /// The rooms of a pool, each once.
    pub(super) fn rooms(&self, pool: PoolId) -> Vec<RoomUri> {
        let mut rooms: Vec<RoomUri> = Vec::new();
        for place in self.places.iter().filter(|place| place.pool == pool) {
            if !rooms.contains(&place.migrated) {
                rooms.push(place.migrated.clone());
            }
        }
        rooms
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
        self.legacy_of(pool, migrated).is_some()
    }

    fn offers_all(&self) -> bool {
        false
    }

    fn pools(&self) -> &[PoolId] {
        &self.pools
    }

    fn resolve(&self, _: Act, legacy: &RoomUri) -> Decided {
        let outcome = match self.place(legacy) {
            Some(place) => Ok(Target {
                pool: place.pool,
                migrated: place.migrated.clone(),
            }),
            None => Err(Refusal {
                reason: RefusalReason::Unlisted,
                text: "refused, see the note".into(),
            }),
        };
        outcome.into()
    }

    fn legacy_of(&self, pool: PoolId, migrated: &RoomUri) -> Option<RoomUri> {
        self.names(pool, migrated).next().cloned()
    }

    fn shows_unlisted(&self) -> bool {
        false
    }

    fn default_pool(&self) -> PoolId {
        self.pools[0]
    }
}
