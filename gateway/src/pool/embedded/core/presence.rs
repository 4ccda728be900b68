//! Who is in which room, by user and by leg.
//!
//! A user is in a room while at least one of the user's legs is. Others are told about users, never about legs.

use std::collections::{BTreeMap, BTreeSet};

use holdover_protocol::user::UserUri;

use crate::pool::embedded::LegId;
use crate::pool::embedded::model::RoomKey;

/// The people of one room.
#[derive(Debug, Default)]
struct Attendance {
    users: BTreeMap<UserUri, BTreeSet<LegId>>,
    /// The room is too full for notices and rosters.
    crowded: bool,
}

/// All legs and what they have joined.
#[derive(Debug)]
pub(super) struct Presence {
    legs: BTreeMap<LegId, Leg>,
    rooms: BTreeMap<RoomKey, Attendance>,
    /// Users in a room above which it is crowded.
    limit: usize,
}

#[derive(Debug)]
struct Leg {
    user: UserUri,
    rooms: BTreeSet<RoomKey>,
}

impl Presence {
    /// Nobody is anywhere. Rooms with more than `limit` users are crowded until they have fewer than 80 % of it.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            legs: BTreeMap::new(),
            rooms: BTreeMap::new(),
            limit,
        }
    }

    /// Adds a leg that has joined nothing.
    pub(super) fn open(&mut self, leg: LegId, user: UserUri) {
        let rooms = BTreeSet::new();
        self.legs.insert(leg, Leg { user, rooms });
    }

    /// Removes a leg. Its rooms must have been left.
    pub(super) fn close(&mut self, leg: LegId) {
        self.legs.remove(&leg);
    }

    /// Whose leg it is; `None` once it is closed.
    pub(super) fn user(&self, leg: LegId) -> Option<&UserUri> {
        self.legs.get(&leg).map(|leg| &leg.user)
    }

    /// The rooms a leg is in.
    pub(super) fn rooms_of(&self, leg: LegId) -> Vec<RoomKey> {
        self.legs
            .get(&leg)
            .map(|leg| leg.rooms.iter().copied().collect())
            .unwrap_or_default()
    }

    /// Whether this leg is in the room.
    pub(super) fn has_joined(&self, leg: LegId, room: RoomKey) -> bool {
        self.legs
            .get(&leg)
            .is_some_and(|leg| leg.rooms.contains(&room))
    }

    /// Puts a leg into a room. `true` if that brought its user into the room.
    pub(super) fn join(&mut self, leg: LegId, room: RoomKey) -> bool {
        let Some(entry) = self.legs.get_mut(&leg) else {
            return false;
        };
        entry.rooms.insert(room);
        let attendance = self.rooms.entry(room).or_default();
        let legs = attendance.users.entry(entry.user.clone()).or_default();
        let first = legs.is_empty();
        legs.insert(leg);
        if attendance.users.len() > self.limit {
            attendance.crowded = true;
        }
        first
    }

    /// Takes a leg out of a room. `true` if that took its user out of the room.
    pub(super) fn part(&mut self, leg: LegId, room: RoomKey) -> bool {
        let (Some(entry), Some(attendance)) = (self.legs.get_mut(&leg), self.rooms.get_mut(&room))
        else {
            return false;
        };
        if !entry.rooms.remove(&room) {
            return false;
        }
        let Some(legs) = attendance.users.get_mut(&entry.user) else {
            return false;
        };
        legs.remove(&leg);
        if !legs.is_empty() {
            return false;
        }
        attendance.users.remove(&entry.user);
        // Below 80 % of the limit, in whole numbers.
        if attendance.users.len() * 5 < self.limit * 4 {
            attendance.crowded = false;
        }
        if attendance.users.is_empty() {
            self.rooms.remove(&room);
        }
        true
    }

    /// Whether the room is too full for notices and rosters.
    pub(super) fn is_crowded(&self, room: RoomKey) -> bool {
        self.rooms
            .get(&room)
            .is_some_and(|attendance| attendance.crowded)
    }

    /// Number of users in the room.
    pub(super) fn count(&self, room: RoomKey) -> usize {
        self.rooms
            .get(&room)
            .map_or(0, |attendance| attendance.users.len())
    }

    /// The users in the room.
    pub(super) fn users(&self, room: RoomKey) -> impl Iterator<Item = &UserUri> {
        self.rooms
            .get(&room)
            .into_iter()
            .flat_map(|attendance| attendance.users.keys())
    }

    /// Every leg in every room, and whose it is.
    pub(super) fn everyone(&self) -> impl Iterator<Item = (&UserUri, LegId, RoomKey)> {
        self.legs
            .iter()
            .flat_map(|(id, leg)| leg.rooms.iter().map(|room| (&leg.user, *id, *room)))
    }

    /// Every leg in the room.
    pub(super) fn legs(&self, room: RoomKey) -> Vec<LegId> {
        self.select(room, |_| true)
    }

    /// Every leg in the room that is not `user`'s.
    pub(super) fn legs_of_others(&self, room: RoomKey, user: &UserUri) -> Vec<LegId> {
        self.select(room, |other| other != user)
    }

    fn select(&self, room: RoomKey, wanted: impl Fn(&UserUri) -> bool) -> Vec<LegId> {
        self.rooms
            .get(&room)
            .into_iter()
            .flat_map(|attendance| &attendance.users)
            .filter(|(user, _)| wanted(user))
            .flat_map(|(_, legs)| legs.iter().copied())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: RoomKey = RoomKey(7);

    fn user(number: u64) -> UserUri {
        UserUri::parse(&format!("sip:user{number}@contoso.com")).unwrap()
    }

    #[test]
    fn a_user_comes_with_the_first_leg_and_goes_with_the_last() {
        let mut presence = Presence::new(75);
        presence.open(LegId(1), user(1));
        presence.open(LegId(2), user(1));
        assert!(presence.join(LegId(1), ROOM));
        assert!(!presence.join(LegId(1), ROOM));
        assert!(!presence.join(LegId(2), ROOM));
        assert_eq!(presence.count(ROOM), 1);
        assert_eq!(presence.legs(ROOM), [LegId(1), LegId(2)]);
        assert!(presence.legs_of_others(ROOM, &user(1)).is_empty());
        assert!(!presence.part(LegId(1), ROOM));
        assert!(!presence.part(LegId(1), ROOM));
        assert!(presence.part(LegId(2), ROOM));
        assert_eq!(presence.count(ROOM), 0);
        assert!(presence.rooms.is_empty());
    }

    #[test]
    fn a_room_is_crowded_above_75_and_not_below_60() {
        let mut presence = Presence::new(75);
        for number in 1..=75 {
            presence.open(LegId(number), user(number));
            presence.join(LegId(number), ROOM);
        }
        assert!(!presence.is_crowded(ROOM));
        presence.open(LegId(76), user(76));
        presence.join(LegId(76), ROOM);
        assert!(presence.is_crowded(ROOM));
        for number in (61..=76).rev() {
            presence.part(LegId(number), ROOM);
        }
        assert_eq!(presence.count(ROOM), 60);
        assert!(presence.is_crowded(ROOM));
        presence.part(LegId(60), ROOM);
        assert!(!presence.is_crowded(ROOM));
    }
}
