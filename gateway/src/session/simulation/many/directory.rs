//! Which room is where, and what may be done there. Every pool has a domain of its own, so that an identifier that goes
//! astray is seen.

use std::collections::BTreeSet;

use holdover_config::rules::Act;
use holdover_protocol::room::RoomUri;

use crate::decide::{Decided, Decisions, Moment, Refusal, RefusalReason, Target};
use crate::pool::PoolId;
use crate::session::simulation::random::Random;

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
    rules: Rules,
}

/// What the rules forbid at present.
#[derive(Debug, Default)]
struct Rules {
    version: u64,
    shut: BTreeSet<RoomUri>,
    read_only: BTreeSet<RoomUri>,
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
        let rules = Rules::default();
        Self {
            places,
            pools,
            rules,
        }
    }

    pub(super) fn place(&self, legacy: &RoomUri) -> Option<&Place> {
        self.places.iter().find(|place| place.legacy == *legacy)
    }

    /// Where a room may be read.
    pub(super) fn readable(&self, legacy: &RoomUri) -> Option<&Place> {
        let place = self.place(legacy)?;
        (!self.rules.shut.contains(legacy)).then_some(place)
    }

    /// Where a room may be written in.
    pub(super) fn writable(&self, legacy: &RoomUri) -> Option<&Place> {
        let place = self.readable(legacy)?;
        (!self.rules.read_only.contains(legacy)).then_some(place)
    }

    /// The rules change: some rooms may not be used, or only be read, or everything may be done again.
    pub(super) fn change_rules(&mut self, random: &mut Random) {
        self.rules.version += 1;
        for _ in 0..1 + random.below(3) {
            let place = random.pick(&self.places).clone();
            let what = random.below(4);
            // All names of a room together: of what one name missed while others went on nothing is known.
            let names = self.names(place.pool, &place.migrated);
            for legacy in names.cloned().collect::<Vec<_>>() {
                match what {
                    0 | 1 => self.rules.shut.insert(legacy),
                    2 => self.rules.read_only.insert(legacy),
                    _ => {
                        self.rules.shut.remove(&legacy);
                        self.rules.read_only.remove(&legacy)
                    }
                };
            }
        }
        if random.chance(40) {
            self.allow_all();
        }
    }

    pub(super) fn allow_all(&mut self) {
        self.rules = Rules {
            version: self.rules.version + 1,
            ..Rules::default()
        };
    }

    pub(super) fn what_is_forbidden(&self) -> String {
        let Rules {
            shut, read_only, ..
        } = &self.rules;
        format!("shut {shut:?}, only to be read {read_only:?}")
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
        self.rules.version
    }

    fn moment(&self) -> Option<Moment> {
        let version = self.rules.version;
        Some(Moment { version, passed: 0 })
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

    fn resolve(&self, act: Act, legacy: &RoomUri) -> Decided {
        let place = match act {
            Act::Post => self.writable(legacy),
            _ => self.readable(legacy),
        };
        let target = place.map(|place| Target {
            pool: place.pool,
            migrated: place.migrated.clone(),
        });
        let reason = match self.place(legacy) {
            Some(_) => RefusalReason::Maintenance,
            None => RefusalReason::Unlisted,
        };
        let refusal = Refusal {
            reason,
            text: "refused, see the note".into(),
        };
        target.ok_or(refusal).into()
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
