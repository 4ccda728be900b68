//! The rooms a session has open, and how their identifiers read on each side.

use std::collections::HashSet;

use holdover_protocol::room::RoomUri;

use super::slots::{Key, Keyed, Slots};
use crate::decide::Target;
use crate::pool::PoolId;

/// How far a room is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Asked for; the pool has not answered.
    Joining,
    /// The client has it open.
    Open,
    /// The client had it open before its connection was lost and has not asked for it again.
    Unclaimed,
    /// The client has its window, and it may not be used for now: the pool was told that the user left.
    Shut,
}

impl State {
    /// Whether the pool let the user in, so that a lost leg is to bring the user back.
    fn is_joined(self) -> bool {
        match self {
            Self::Open | Self::Unclaimed => true,
            Self::Joining | Self::Shut => false,
        }
    }
}

#[derive(Clone, Debug)]
struct Room {
    legacy: RoomUri,
    target: Target,
    state: State,
    /// The answer that opens the room is queued for the client, or was read.
    is_told: bool,
    /// It was decided that the user may post in it.
    may_post: bool,
}

impl Keyed for Room {
    fn keys(&self) -> [Key; 2] {
        let Target { pool, migrated } = &self.target;
        [
            by_legacy(&self.legacy),
            by_target(*pool, migrated.domain(), migrated.value()),
        ]
    }
}

fn by_legacy(legacy: &RoomUri) -> Key {
    Key::of(legacy.as_str())
}

fn by_target(pool: PoolId, domain: &str, value: &str) -> Key {
    Key::of((pool, domain, value))
}

/// The rooms of one session, by the legacy identifier under which the client opened each. Several may stand for one
/// room of the pool: rooms that were merged keep all their old identifiers.
#[derive(Debug, Default)]
pub(super) struct Rooms(Slots<Room>);

impl Rooms {
    fn at(&self, legacy: &RoomUri) -> Option<usize> {
        let mut places = self.0.places(|| by_legacy(legacy));
        places.find(|at| self.0.get(*at).is_some_and(|room| room.legacy == *legacy))
    }

    fn get(&self, legacy: &RoomUri) -> Option<&Room> {
        self.0.get(self.at(legacy)?)
    }

    /// The client's rooms that are, or were, this room of a pool.
    fn of_target(&self, pool: PoolId, migrated: &RoomUri) -> impl Iterator<Item = &Room> {
        let key = move || by_target(pool, migrated.domain(), migrated.value());
        let is_it =
            move |room: &&Room| room.target.pool == pool && room.target.migrated == *migrated;
        self.0.with_key(key).filter(is_it)
    }

    /// Notes that the client asked for a room.
    pub(super) fn joining(&mut self, legacy: &RoomUri, target: &Target) {
        let Some(at) = self.at(legacy) else {
            self.0.push(Room {
                legacy: legacy.clone(),
                target: target.clone(),
                state: State::Joining,
                is_told: false,
                may_post: false,
            });
            return;
        };
        if self.0.get(at).is_some_and(|room| room.target != *target) {
            self.0.change(at, |room| {
                room.target = target.clone();
                room.state = State::Joining;
            });
        } else if let Some(room) = self.0.get_mut(at)
            && matches!(room.state, State::Unclaimed | State::Shut)
        {
            room.state = State::Joining;
        }
    }

    /// Notes that the pool let the client in. Returns whether the room was not open before. One that was shut since stays
    /// shut: the pool was told so after it was asked to let the client in.
    pub(super) fn joined(&mut self, legacy: &RoomUri, target: &Target) -> bool {
        let is_shut = |room: &Room| room.state == State::Shut;
        if self.get(legacy).is_some_and(is_shut) {
            return false;
        }
        self.joining(legacy, target);
        let Some(room) = self.at(legacy).and_then(|at| self.0.get_mut(at)) else {
            return false;
        };
        let was = std::mem::replace(&mut room.state, State::Open);
        room.is_told &= was == State::Open;
        was != State::Open
    }

    /// Forgets a room that could not be joined. One that has a window keeps it: the refusal was of a second request.
    /// Returns the pool's room if nothing else keeps it open: the user may be in it all the same.
    pub(super) fn refused(&mut self, legacy: &RoomUri) -> Option<Target> {
        match self.get(legacy)?.state {
            State::Open | State::Shut => None,
            State::Joining | State::Unclaimed => self.part(legacy),
        }
    }

    /// Forgets a room the client leaves. Returns the pool's room if no other identifier keeps it open.
    pub(super) fn part(&mut self, legacy: &RoomUri) -> Option<Target> {
        let left = self.0.remove(self.at(legacy)?)?;
        (left.state != State::Shut && !self.is_in(&left.target)).then_some(left.target)
    }

    /// Where an open room lives.
    pub(super) fn target(&self, legacy: &RoomUri) -> Option<&Target> {
        let room = self.get(legacy)?;
        (room.state != State::Shut).then_some(&room.target)
    }

    /// Where posts to a room go, if it is open and it was decided that the user may post in it.
    pub(super) fn target_of_post(&self, legacy: &RoomUri) -> Option<&Target> {
        let room = self.get(legacy).filter(|room| room.may_post)?;
        (room.state != State::Shut).then_some(&room.target)
    }

    /// Notes that the user may post in a room, if that is open.
    pub(super) fn allow_posts(&mut self, legacy: &RoomUri) {
        if let Some(room) = self.at(legacy).and_then(|at| self.0.get_mut(at)) {
            room.may_post = true;
        }
    }

    /// Whether the user may post is to be decided again.
    pub(super) fn forbid_posts(&mut self) {
        for room in self.0.iter_mut() {
            room.may_post = false;
        }
    }

    /// Whether the pool has, or may have, the user in a room.
    pub(super) fn is_in(&self, target: &Target) -> bool {
        let mut rooms = self.of_target(target.pool, &target.migrated);
        rooms.any(|room| room.state != State::Shut)
    }

    /// Whether a join is under way.
    pub(super) fn has_joining(&self) -> bool {
        self.0.iter().any(|room| room.state == State::Joining)
    }

    /// The rooms that have a window, and where each was joined; not, if it is shut.
    pub(super) fn windows(&self) -> Vec<(RoomUri, Option<Target>)> {
        let window = |room: &Room| match room.state {
            State::Open => Some((room.legacy.clone(), Some(room.target.clone()))),
            State::Shut => Some((room.legacy.clone(), None)),
            State::Joining | State::Unclaimed => None,
        };
        self.0.iter().filter_map(window).collect()
    }

    /// Gives a window another room of a pool, or its own again after it was shut; it is to be joined. Returns the one before,
    /// if nothing else keeps it open.
    pub(super) fn enter(&mut self, legacy: &RoomUri, target: &Target) -> Option<Target> {
        let (was_shut, left) = self.0.change(self.at(legacy)?, |room| {
            let was_shut = std::mem::replace(&mut room.state, State::Open) == State::Shut;
            (
                was_shut,
                std::mem::replace(&mut room.target, target.clone()),
            )
        })?;
        (!was_shut && !self.is_in(&left)).then_some(left)
    }

    /// Whether a room of a pool is that of a window that is shut.
    pub(super) fn is_shut(&self, pool: PoolId, migrated: &RoomUri) -> bool {
        let mut rooms = self.of_target(pool, migrated);
        rooms.any(|room| room.state == State::Shut)
    }

    /// Whether a room of a pool is that of any window, or may become it.
    pub(super) fn have(&self, pool: PoolId, migrated: &RoomUri) -> bool {
        self.of_target(pool, migrated).next().is_some()
    }

    /// Keeps the window of a room that is left for now. Returns the pool's room if nothing else keeps it open.
    pub(super) fn shut(&mut self, legacy: &RoomUri) -> Option<Target> {
        let room = self.0.get_mut(self.at(legacy)?)?;
        room.state = State::Shut;
        let left = room.target.clone();
        (!self.is_in(&left)).then_some(left)
    }

    /// Forgets the rooms whose client is away and which are not to be where they were. Returns the pools' rooms that
    /// nothing keeps open.
    pub(super) fn reconsider(&mut self, stays: impl Fn(&RoomUri, &Target) -> bool) -> Vec<Target> {
        let gone = self
            .0
            .retain(|room| room.state != State::Unclaimed || stays(&room.legacy, &room.target));
        self.left_by(gone)
    }

    /// The pools' rooms that nothing keeps open when these are gone, each once.
    fn left_by(&self, gone: Vec<Room>) -> Vec<Target> {
        let mut seen = HashSet::new();
        let targets = gone.into_iter().map(|room| room.target);
        let left = targets.filter(|target| {
            let Target { pool, migrated } = target;
            !self.is_in(target) && seen.insert((*pool, migrated.clone()))
        });
        left.collect()
    }

    /// The answer that opens these rooms is on its way to the client. Returns those that it opens.
    pub(super) fn told<'a>(&mut self, rooms: impl Iterator<Item = &'a RoomUri>) -> Box<[RoomUri]> {
        let mut opens = Vec::new();
        for legacy in rooms {
            if let Some(room) = self.at(legacy).and_then(|at| self.0.get_mut(at))
                && matches!(room.state, State::Open | State::Shut)
                && !room.is_told
            {
                room.is_told = true;
                opens.push(legacy.clone());
            }
        }
        opens.into_boxed_slice()
    }

    /// The client did not read that a room is open.
    pub(super) fn untell(&mut self, legacy: &RoomUri) {
        if let Some(room) = self.at(legacy).and_then(|at| self.0.get_mut(at)) {
            room.is_told = false;
        }
    }

    /// Whether the client has a room's window, be it shut: it was told that the room is open.
    pub(super) fn has_window(&self, legacy: &RoomUri) -> bool {
        let has_window =
            |room: &Room| room.is_told && matches!(room.state, State::Open | State::Shut);
        self.get(legacy).is_some_and(has_window)
    }

    /// Whether a room was opened for the client, be it shut since, and the client was not told of it.
    pub(super) fn is_untold(&self, legacy: &RoomUri) -> bool {
        let is_untold =
            |room: &Room| !room.is_told && matches!(room.state, State::Open | State::Shut);
        self.get(legacy).is_some_and(is_untold)
    }

    /// Whether the client has a room open.
    pub(super) fn is_open(&self, legacy: &RoomUri) -> bool {
        let is_open = |room: &Room| room.state == State::Open;
        self.get(legacy).is_some_and(is_open)
    }

    /// Whether a room is known in any state.
    pub(super) fn knows(&self, legacy: &RoomUri) -> bool {
        self.at(legacy).is_some()
    }

    /// The legacy identifiers under which the client has a pool's room open, in the order it opened them.
    pub(super) fn aliases<'a>(
        &'a self,
        pool: PoolId,
        domain: &'a str,
        value: &'a str,
    ) -> impl Iterator<Item = &'a RoomUri> {
        self.0
            .with_key(move || by_target(pool, domain, value))
            .filter(move |room| {
                room.state == State::Open
                    && room.target.pool == pool
                    && room.target.migrated.domain() == domain
                    && room.target.migrated.value() == value
            })
            .map(|room| &room.legacy)
    }

    /// The client came back on a new connection: it has to ask for its rooms again.
    pub(super) fn unclaim(&mut self) {
        // The window of a shut room is the client's alone: it is asked for anew.
        self.0.retain(|room| room.state != State::Shut);
        for room in self.0.iter_mut() {
            room.state = State::Unclaimed;
        }
    }

    /// The dialog ended: joins that the pool has not answered yet are not waited for any more.
    pub(super) fn unclaim_joining(&mut self) {
        for room in self.0.iter_mut() {
            if room.state == State::Joining {
                room.state = State::Unclaimed;
            }
        }
    }

    /// The client will not read that it is in these rooms, nor in those it was not told of: it has to ask for them again.
    /// Returns all of them.
    pub(super) fn unclaim_unread(&mut self, unread: &HashSet<RoomUri>) -> Vec<RoomUri> {
        let mut unclaimed = Vec::new();
        self.0.retain(|room| {
            let is_unread = !room.is_told || unread.contains(&room.legacy);
            if !is_unread || !matches!(room.state, State::Open | State::Shut) {
                return true;
            }
            unclaimed.push(room.legacy.clone());
            // The pool was told that the user left a room that is shut: without a window nothing is left of it.
            std::mem::replace(&mut room.state, State::Unclaimed) == State::Open
        });
        unclaimed
    }

    /// Whether there are rooms that the client has to ask for again.
    pub(super) fn has_unclaimed(&self) -> bool {
        self.0.iter().any(|room| room.state == State::Unclaimed)
    }

    /// Forgets the rooms the client did not ask for again. Returns the pools' rooms that nothing keeps open.
    pub(super) fn part_unclaimed(&mut self) -> Vec<Target> {
        let gone = self.0.retain(|room| room.state != State::Unclaimed);
        self.left_by(gone)
    }

    /// Whether the client has, or may soon have, a room on the pool.
    pub(super) fn has_any(&self, pool: PoolId) -> bool {
        self.0
            .iter()
            .any(|room| room.target.pool == pool && room.state.is_joined())
    }

    /// The pool's rooms that were joined, each once.
    pub(super) fn joined_on(&self, pool: PoolId) -> Vec<RoomUri> {
        let mut seen = HashSet::new();
        let there = |room: &&Room| room.target.pool == pool && room.state.is_joined();
        let rooms = self
            .0
            .iter()
            .filter(there)
            .map(|room| &room.target.migrated);
        rooms.filter(|room| seen.insert(*room)).cloned().collect()
    }

    /// Forgets a room of a pool under all its identifiers, and answers these: the pool does not let the user in any more.
    pub(super) fn lose(&mut self, pool: PoolId, migrated: &RoomUri) -> Vec<RoomUri> {
        let names = self
            .of_target(pool, migrated)
            .map(|room| room.legacy.clone());
        let names: Vec<RoomUri> = names.collect();
        for legacy in &names {
            if let Some(at) = self.at(legacy) {
                self.0.remove(at);
            }
        }
        names
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many rooms there are in any state.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many rooms the client has open.
    pub(super) fn open(&self) -> usize {
        let is_open = |room: &&Room| room.state == State::Open;
        self.0.iter().filter(is_open).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(value: &str) -> RoomUri {
        RoomUri::new("contoso.com", value).unwrap()
    }

    fn target(value: &str) -> Target {
        Target {
            pool: PoolId(0),
            migrated: uri(value),
        }
    }

    fn open(rooms: &mut Rooms, legacy: &str, migrated: &str) {
        rooms.joining(&uri(legacy), &target(migrated));
        assert!(rooms.joined(&uri(legacy), &target(migrated)));
    }

    fn aliases(rooms: &Rooms, value: &str) -> Vec<String> {
        rooms
            .aliases(PoolId(0), "contoso.com", value)
            .map(|uri| uri.value().to_owned())
            .collect()
    }

    #[test]
    fn merged_rooms_are_left_upstream_only_with_their_last_identifier() {
        let mut rooms = Rooms::default();
        open(&mut rooms, "a", "m");
        open(&mut rooms, "b", "m");
        assert_eq!(aliases(&rooms, "m"), ["a", "b"]);
        assert_eq!(rooms.part(&uri("a")), None);
        assert_eq!(aliases(&rooms, "m"), ["b"]);
        assert_eq!(rooms.part(&uri("b")), Some(target("m")));
        assert_eq!(rooms.part(&uri("b")), None);
    }

    #[test]
    fn a_room_is_delivered_to_only_after_the_pool_let_the_client_in() {
        let mut rooms = Rooms::default();
        rooms.joining(&uri("a"), &target("m"));
        assert!(aliases(&rooms, "m").is_empty());
        rooms.joined(&uri("a"), &target("m"));
        assert_eq!(aliases(&rooms, "m"), ["a"]);
        assert!(
            !rooms.joined(&uri("a"), &target("m")),
            "it was open already"
        );
    }

    #[test]
    fn a_refused_second_join_keeps_the_open_room() {
        let mut rooms = Rooms::default();
        open(&mut rooms, "a", "m");
        rooms.joining(&uri("a"), &target("m"));
        assert_eq!(rooms.refused(&uri("a")), None);
        assert_eq!(aliases(&rooms, "m"), ["a"]);
    }

    #[test]
    fn a_room_that_is_shut_before_the_client_was_told_is_still_to_be_told() {
        let mut rooms = Rooms::default();
        open(&mut rooms, "a", "m");
        rooms.shut(&uri("a"));
        assert!(rooms.is_untold(&uri("a")) && !rooms.has_window(&uri("a")));
        assert_eq!(*rooms.told([uri("a")].iter()), [uri("a")]);
        assert!(!rooms.is_untold(&uri("a")) && rooms.has_window(&uri("a")));
    }

    #[test]
    fn rooms_not_asked_for_again_after_a_reconnect_are_given_up() {
        let mut rooms = Rooms::default();
        open(&mut rooms, "a", "m");
        open(&mut rooms, "b", "n");
        rooms.unclaim();
        assert!(aliases(&rooms, "m").is_empty());
        rooms.joining(&uri("a"), &target("m"));
        rooms.joined(&uri("a"), &target("m"));
        assert_eq!(rooms.part_unclaimed(), [target("n")]);
        assert_eq!(rooms.open(), 1);
    }
}
