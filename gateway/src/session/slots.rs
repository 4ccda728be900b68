//! A list that keeps its order and finds by key without a search through all of it.
//!
//! Most sessions have a handful of rooms, for which a search is fastest and an index would be most of their memory. So the
//! index is made only once the list is long.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// Up to so many items are searched one after the other.
const FEW: usize = 32;

/// What an item is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(u64);

impl Key {
    /// The key of a value. Different values may have the same.
    pub(super) fn of(value: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// What can be found by its keys.
pub(super) trait Keyed {
    /// Its keys.
    fn keys(&self) -> [Key; 2];
}

/// The list. Places are stable until something is removed.
#[derive(Debug)]
pub(super) enum Slots<T> {
    /// → `Many` with one more than [`FEW`].
    Few(Vec<T>),
    /// → `Few` once half of them are removed and what is left is not many.
    Many(Box<Many<T>>),
}

/// A list with an index.
#[derive(Debug)]
pub(super) struct Many<T> {
    /// `None`: it was removed.
    slots: Vec<Option<T>>,
    removed: usize,
    /// The places of the items of each key, in order.
    places: HashMap<Key, Vec<usize>>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<T: Keyed> Slots<T> {
    /// How many items there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(items) => items.len(),
            Self::Many(many) => many.slots.len() - many.removed,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items, in the order in which they were added.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let (few, many) = match self {
            Self::Few(items) => (items.as_slice(), &[][..]),
            Self::Many(many) => (&[][..], many.slots.as_slice()),
        };
        few.iter().chain(many.iter().flatten())
    }

    /// [`Self::iter`] for changes that leave the keys as they are.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let (few, many) = match self {
            Self::Few(items) => (items.as_mut_slice(), &mut [][..]),
            Self::Many(many) => (&mut [][..], many.slots.as_mut_slice()),
        };
        few.iter_mut().chain(many.iter_mut().flatten())
    }

    /// The places of the items that may have a key, in order: all, while they are few. Whoever asks has to compare. The key
    /// is not asked for if it is not needed.
    pub(super) fn places(&self, key: impl FnOnce() -> Key) -> impl Iterator<Item = usize> {
        let (all, found) = match self {
            Self::Few(items) => (0..items.len(), &[][..]),
            Self::Many(many) => {
                let places = many.places.get(&key());
                (0..0, places.map_or(&[][..], Vec::as_slice))
            }
        };
        all.chain(found.iter().copied())
    }

    /// [`Self::places`], and what is there.
    pub(super) fn with_key(&self, key: impl FnOnce() -> Key) -> impl Iterator<Item = &T> {
        self.places(key).filter_map(|at| self.get(at))
    }

    /// What is in a place.
    pub(super) fn get(&self, at: usize) -> Option<&T> {
        match self {
            Self::Few(items) => items.get(at),
            Self::Many(many) => many.slots.get(at)?.as_ref(),
        }
    }

    /// [`Self::get`] for a change that leaves the keys as they are.
    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        match self {
            Self::Few(items) => items.get_mut(at),
            Self::Many(many) => many.slots.get_mut(at)?.as_mut(),
        }
    }

    /// Adds an item behind the others. Returns its place.
    pub(super) fn push(&mut self, item: T) -> usize {
        match self {
            Self::Few(items) if items.len() < FEW => {
                items.push(item);
                items.len() - 1
            }
            Self::Few(items) => {
                let mut many = Many::of(std::mem::take(items).into_iter());
                let at = many.push(item);
                *self = Self::Many(Box::new(many));
                at
            }
            Self::Many(many) => many.push(item),
        }
    }

    /// Changes an item, its keys too.
    pub(super) fn change<R>(&mut self, at: usize, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        match self {
            Self::Few(items) => items.get_mut(at).map(change),
            Self::Many(many) => {
                let mut item = many.take(at)?;
                let changed = change(&mut item);
                many.put(at, item);
                Some(changed)
            }
        }
    }

    /// Removes an item.
    pub(super) fn remove(&mut self, at: usize) -> Option<T> {
        match self {
            Self::Few(items) => (at < items.len()).then(|| items.remove(at)),
            Self::Many(many) => {
                let item = many.take(at)?;
                many.removed += 1;
                if many.removed > many.slots.len() / 2 {
                    self.close_gaps();
                }
                Some(item)
            }
        }
    }

    /// Keeps what `keep` says, which leaves the keys as they are. Returns the others.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut T) -> bool) -> Vec<T> {
        match self {
            Self::Few(items) => items.extract_if(.., |item| !keep(item)).collect(),
            Self::Many(many) => {
                let is_gone = |slot: &mut Option<T>| !slot.as_mut().is_some_and(&mut keep);
                let gone = many.slots.extract_if(.., is_gone).flatten().collect();
                self.close_gaps();
                gone
            }
        }
    }

    fn close_gaps(&mut self) {
        if let Self::Many(many) = self {
            let items: Vec<T> = std::mem::take(&mut many.slots)
                .into_iter()
                .flatten()
                .collect();
            *self = if items.len() > FEW {
                Self::Many(Box::new(Many::of(items.into_iter())))
            } else {
                Self::Few(items)
            };
        }
    }
}

impl<T: Keyed> Many<T> {
    fn of(items: impl Iterator<Item = T>) -> Self {
        let mut many = Self {
            slots: Vec::with_capacity(items.size_hint().0 + 1),
            removed: 0,
            places: HashMap::new(),
        };
        items.for_each(|item| {
            many.push(item);
        });
        many
    }

    fn push(&mut self, item: T) -> usize {
        let at = self.slots.len();
        self.slots.push(None);
        self.put(at, item);
        at
    }

    /// Puts an item into an empty slot.
    fn put(&mut self, at: usize, item: T) {
        for key in item.keys() {
            let places = self.places.entry(key).or_default();
            if let Err(place) = places.binary_search(&at) {
                places.insert(place, at);
            }
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Some(item);
        }
    }

    /// Empties a slot.
    fn take(&mut self, at: usize) -> Option<T> {
        let item = self.slots.get_mut(at)?.take()?;
        for key in item.keys() {
            if let Some(places) = self.places.get_mut(&key) {
                places.retain(|place| *place != at);
                if places.is_empty() {
                    self.places.remove(&key);
                }
            }
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Pair(u8, u8);

    impl Keyed for Pair {
        fn keys(&self) -> [Key; 2] {
            [Key::of(("left", self.0)), Key::of(("right", self.1))]
        }
    }

    #[derive(Clone, Debug)]
    enum Act {
        Push(u8, u8),
        Change(u8, u8),
        Remove(u8),
        Retain(u8),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let push = || (any::<u8>(), 0..20_u8).prop_map(|(left, right)| Act::Push(left, right));
        let act = prop_oneof![
            push(),
            push(),
            push(),
            (any::<u8>(), 0..20_u8).prop_map(|(left, right)| Act::Change(left, right)),
            any::<u8>().prop_map(Act::Remove),
            (0..40_u8).prop_map(Act::Retain),
        ];
        prop::collection::vec(act, 0..400)
    }

    proptest! {
        #[test]
        fn it_is_what_a_list_would_be(acts in acts()) {
            let (mut slots, mut list) = (Slots::default(), Vec::<Pair>::new());
            let place = |slots: &Slots<Pair>, left: u8| {
                let mut places = slots.places(|| Key::of(("left", left)));
                places.find(|at| slots.get(*at).is_some_and(|pair| pair.0 == left))
            };
            for act in acts {
                match act {
                    Act::Push(left, right) => {
                        slots.push(Pair(left, right));
                        list.push(Pair(left, right));
                    }
                    Act::Change(left, right) => {
                        if let Some(at) = place(&slots, left) {
                            slots.change(at, |pair| pair.1 = right);
                        }
                        if let Some(pair) = list.iter_mut().find(|pair| pair.0 == left) {
                            pair.1 = right;
                        }
                    }
                    Act::Remove(left) => {
                        let removed = place(&slots, left).and_then(|at| slots.remove(at));
                        let at = list.iter().position(|pair| pair.0 == left);
                        prop_assert_eq!(removed, at.map(|at| list.remove(at)));
                    }
                    Act::Retain(one) => {
                        let gone = slots.retain(|pair| pair.0 % 40 != one);
                        let of_list: Vec<Pair> = list.extract_if(.., |pair| pair.0 % 40 == one).collect();
                        prop_assert_eq!(gone, of_list);
                    }
                }
                prop_assert_eq!(slots.len(), list.len());
                prop_assert!(slots.iter().eq(&list));
                for right in 0..20 {
                    let found = slots.with_key(|| Key::of(("right", right)));
                    let found: Vec<&Pair> = found.filter(|pair| pair.1 == right).collect();
                    let listed: Vec<&Pair> = list.iter().filter(|pair| pair.1 == right).collect();
                    prop_assert_eq!(found, listed);
                }
            }
        }
    }

    #[test]
    fn of_many_only_those_with_the_key_are_looked_at() {
        let mut slots = Slots::default();
        for left in 0..=u8::MAX {
            slots.push(Pair(left, left));
        }
        assert_eq!(slots.with_key(|| Key::of(("left", 7_u8))).count(), 1);
        // What was removed and is not swept yet is not found either.
        slots.remove(7);
        assert_eq!(slots.with_key(|| Key::of(("left", 7_u8))).count(), 0);
    }
}
