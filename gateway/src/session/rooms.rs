//! The rooms a session has open, and how their identifiers read on each side.

use holdover_protocol::room::RoomUri;

use super::decisions::Target;
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
}

#[derive(Clone, Debug)]
struct Room {
    legacy: RoomUri,
    target: Target,
    state: State,
}

/// The rooms of one session, by the legacy identifier under which the client opened each. Several may stand for one
/// room of the pool: rooms that were merged keep all their old identifiers.
#[derive(Debug, Default)]
pub(super) struct Rooms(Vec<Room>);

impl Rooms {
    /// Notes that the client asked for a room.
    pub(super) fn joining(&mut self, legacy: &RoomUri, target: &Target) {
        match self.0.iter_mut().find(|room| room.legacy == *legacy) {
            Some(room) if room.target == *target => {
                if room.state == State::Unclaimed {
                    room.state = State::Joining;
                }
            }
            Some(room) => {
                room.target = target.clone();
                room.state = State::Joining;
            }
            None => self.0.push(Room {
                legacy: legacy.clone(),
                target: target.clone(),
                state: State::Joining,
            }),
        }
    }

    /// Notes that the pool let the client in. Answers whether the room was not open before.
    pub(super) fn joined(&mut self, legacy: &RoomUri, target: &Target) -> bool {
        self.joining(legacy, target);
        match self.0.iter_mut().find(|room| room.legacy == *legacy) {
            Some(room) => std::mem::replace(&mut room.state, State::Open) != State::Open,
            None => false,
        }
    }

    /// Forgets a room that could not be joined. One that was open stays open: the refusal was of a second request.
    /// Answers the pool's room if nothing else keeps it open: the user may be in it all the same.
    pub(super) fn refused(&mut self, legacy: &RoomUri) -> Option<Target> {
        let room = self.0.iter().find(|room| room.legacy == *legacy)?;
        if room.state == State::Open {
            None
        } else {
            self.part(legacy)
        }
    }

    /// Forgets a room the client leaves. Answers the pool's room if no other identifier keeps it open.
    pub(super) fn part(&mut self, legacy: &RoomUri) -> Option<Target> {
        let at = self.0.iter().position(|room| room.legacy == *legacy)?;
        let left = self.0.remove(at).target;
        (!self.0.iter().any(|room| room.target == left)).then_some(left)
    }

    /// Where an open room lives.
    pub(super) fn target(&self, legacy: &RoomUri) -> Option<&Target> {
        self.0
            .iter()
            .find(|room| room.legacy == *legacy)
            .map(|room| &room.target)
    }

    /// The legacy identifiers under which the client has a pool's room open, in the order it opened them.
    pub(super) fn aliases<'a>(
        &'a self,
        pool: PoolId,
        domain: &'a str,
        value: &'a str,
    ) -> impl Iterator<Item = &'a RoomUri> {
        self.0
            .iter()
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
        for room in &mut self.0 {
            room.state = State::Unclaimed;
        }
    }

    /// The dialog ended: joins that the pool has not answered yet are not waited for any more.
    pub(super) fn unclaim_joining(&mut self) {
        for room in self
            .0
            .iter_mut()
            .filter(|room| room.state == State::Joining)
        {
            room.state = State::Unclaimed;
        }
    }

    /// Whether there are rooms that the client has to ask for again.
    pub(super) fn has_unclaimed(&self) -> bool {
        self.0.iter().any(|room| room.state == State::Unclaimed)
    }

    /// Forgets the rooms the client did not ask for again. Answers the pools' rooms that nothing keeps open.
    pub(super) fn part_unclaimed(&mut self) -> Vec<Target> {
        let (gone, kept): (Vec<_>, Vec<_>) = self
            .0
            .drain(..)
            .partition(|room| room.state == State::Unclaimed);
        self.0 = kept;
        let mut targets: Vec<Target> = Vec::new();
        for room in gone {
            let kept_open = self.0.iter().any(|other| other.target == room.target);
            if !kept_open && !targets.contains(&room.target) {
                targets.push(room.target);
            }
        }
        targets
    }

    /// Whether the client has, or may soon have, a room on the pool.
    pub(super) fn has_any(&self, pool: PoolId) -> bool {
        self.0
            .iter()
            .any(|room| room.target.pool == pool && room.state != State::Joining)
    }

    /// The pool's rooms that were joined, each once.
    pub(super) fn joined_on(&self, pool: PoolId) -> Vec<RoomUri> {
        let mut rooms: Vec<RoomUri> = Vec::new();
        for room in &self.0 {
            let is_there = room.target.pool == pool && room.state != State::Joining;
            if is_there && !rooms.contains(&room.target.migrated) {
                rooms.push(room.target.migrated.clone());
            }
        }
        rooms
    }

    /// Forgets a room of a pool under all its identifiers: the pool does not let the user in any more.
    pub(super) fn lose(&mut self, pool: PoolId, migrated: &RoomUri) {
        self.0
            .retain(|room| room.target.pool != pool || room.target.migrated != *migrated);
    }

    /// How many rooms the client has open.
    pub(super) fn open(&self) -> usize {
        self.0
            .iter()
            .filter(|room| room.state == State::Open)
            .count()
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
