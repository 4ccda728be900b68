//! Rooms of one command, found by either of their names.

use std::collections::HashMap;

use holdover_protocol::room::RoomUri;

use crate::decide::Target;

/// Up to so many rooms are searched one after the other: nearly all commands name one.
const FEW: usize = 16;

/// A room as the client and as the pool knows it.
pub(super) type Pair = (RoomUri, Target);

/// The rooms of one command, by one of their two names.
pub(super) struct Lookup<'a> {
    pairs: &'a [Pair],
    name: fn(&Pair) -> &RoomUri,
    /// Domain and value, and where the rooms of that name stand.
    index: Option<HashMap<(&'a str, &'a str), Vec<usize>>>,
}

impl<'a> Lookup<'a> {
    /// By the names that the client has for them.
    pub(super) fn by_legacy(pairs: &'a [Pair]) -> Self {
        Self::new(pairs, |(legacy, _)| legacy)
    }

    /// By the names that the pool has for them, of which several may be one.
    pub(super) fn by_migrated(pairs: &'a [Pair]) -> Self {
        Self::new(pairs, |(_, target)| &target.migrated)
    }

    fn new(pairs: &'a [Pair], name: fn(&Pair) -> &RoomUri) -> Self {
        let index = (pairs.len() > FEW).then(|| {
            let mut index: HashMap<_, Vec<usize>> = HashMap::with_capacity(pairs.len());
            for (at, pair) in pairs.iter().enumerate() {
                let room = name(pair);
                let places = index.entry((room.domain(), room.value())).or_default();
                places.push(at);
            }
            index
        });
        Self { pairs, name, index }
    }

    /// The rooms of a name, in order.
    pub(super) fn find<'b>(
        &'b self,
        domain: &'b str,
        value: &'b str,
    ) -> impl Iterator<Item = &'b Pair> {
        let (few, found) = match &self.index {
            None => (self.pairs, &[][..]),
            Some(index) => {
                let places = index.get(&(domain, value));
                (&[][..], places.map_or(&[][..], Vec::as_slice))
            }
        };
        let is_it = move |pair: &&Pair| {
            let room = (self.name)(pair);
            room.domain() == domain && room.value() == value
        };
        let found = found.iter().filter_map(|at| self.pairs.get(*at));
        few.iter().filter(is_it).chain(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::PoolId;

    #[test]
    fn many_rooms_are_found_as_few_are() {
        let pair = |number: usize| {
            let legacy = RoomUri::new("old.example", &number.to_string()).unwrap();
            let migrated = RoomUri::new("new.example", &(number % 7).to_string()).unwrap();
            let pool = PoolId(0);
            (legacy, Target { pool, migrated })
        };
        for count in [0, 1, FEW, FEW + 1, 100] {
            let pairs: Vec<Pair> = (0..count).map(pair).collect();
            let by_legacy = Lookup::by_legacy(&pairs);
            let by_migrated = Lookup::by_migrated(&pairs);
            assert_eq!(by_legacy.index.is_some(), count > FEW);
            for pair in &pairs {
                let found: Vec<_> = by_legacy.find("old.example", pair.0.value()).collect();
                assert_eq!(found, [pair]);
            }
            let listed: Vec<_> = pairs.iter().skip(3).step_by(7).collect();
            let found: Vec<_> = by_migrated.find("new.example", "3").collect();
            assert_eq!(found, listed);
            assert_eq!(by_migrated.find("old.example", "3").count(), 0);
        }
    }
}
