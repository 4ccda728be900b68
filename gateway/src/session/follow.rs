//! When rules or the directory change: a room that is to be elsewhere now is parted there and joined here, and the user keeps
//! the window. A room that may not be used for now is parted, keeps its window, and is joined again once it may.
//!
//! Each input has it looked whether there is another version, a request of the client first of all, so that the first thing
//! a user does after a change is decided by it. Posts that are under way keep their leg and get its receipt.

use std::collections::HashSet;
use std::time::Instant;

use holdover_config::rules::Act;
use holdover_protocol::room::RoomUri;
use holdover_protocol::xccos::verb::{BatchJoin, Part};
use holdover_protocol::xccos::{Command, Outcome, Reply, ReplyData, ReplyView, Verb};

use super::core::SessionCore;
use super::output::Event;
use super::pending::Purpose;
use super::room_events::RoomEvents;
use crate::decide::Decisions;
use crate::pool::PoolId;

/// A room that is joined for a window that is there already.
struct Entry {
    migrated: RoomUri,
    /// It was its room before it was shut: what was missed meanwhile is wanted.
    is_back: bool,
}

impl SessionCore {
    /// Rules or directory may have changed. Harmless when they have not.
    pub fn handle_decisions_changed(&mut self, now: Instant, decisions: &dyn Decisions) {
        self.follow(now, decisions);
        self.finish_input(now);
    }

    /// Brings the open rooms to where they are to be now.
    pub(super) fn follow(&mut self, now: Instant, decisions: &dyn Decisions) {
        if self.version == decisions.version() || self.is_finished() {
            return;
        }
        // A room that is being joined at present is looked at once it is open.
        if !self.rooms.has_joining() {
            self.version = decisions.version();
        }
        let mut entered: Vec<(PoolId, Vec<Entry>)> = Vec::new();
        let mut paused: Vec<(PoolId, Vec<RoomUri>)> = Vec::new();
        let mut told = RoomEvents::default();
        for (legacy, joined) in self.rooms.windows() {
            let decided = decisions.resolve(Act::Read, &legacy);
            match decided.outcome {
                Ok(target) if joined.as_ref() == Some(&target) => {}
                Ok(target) => {
                    let is_back = self.rooms.is_shut(target.pool, &target.migrated);
                    let left = self.rooms.enter(&legacy, &target);
                    if let Some(left) = left.filter(|left| *left != target) {
                        self.leave(now, vec![left]);
                    }
                    let moved = Event::Moved {
                        legacy,
                        from: joined.map(|joined| joined.pool),
                        to: target.pool,
                        rule: decided.rule,
                    };
                    self.room_event(&mut told, moved);
                    let migrated = target.migrated;
                    add(&mut entered, target.pool, Entry { migrated, is_back });
                }
                Err(refusal) => {
                    let Some(joined) = joined else {
                        continue;
                    };
                    if let Some(left) = self.rooms.shut(&legacy) {
                        self.leave_gap(left.pool, &left.migrated);
                        add(&mut paused, left.pool, left.migrated);
                    }
                    let shut = Event::Shut {
                        legacy,
                        pool: joined.pool,
                        reason: refusal.reason,
                        rule: decided.rule,
                    };
                    self.room_event(&mut told, shut);
                }
            }
        }
        self.sum_up(Verb::BatchJoin, told);
        // What was delivered of these is remembered, so that what comes meanwhile can be told later.
        for (pool, rooms) in paused {
            let part = Command::Part(Part { rooms });
            self.send_own(now, pool, &part, Purpose::Nobody);
        }
        let left = self.rooms.reconsider(|legacy, target| {
            let decided = decisions.resolve(Act::Read, legacy);
            decided.outcome.is_ok_and(|now| now == *target)
        });
        self.leave(now, left);
        for (pool, entries) in entered {
            self.move_in(now, pool, entries);
        }
        self.forget_strays();
    }

    /// Joins rooms that have their windows already.
    fn move_in(&mut self, now: Instant, pool: PoolId, entries: Vec<Entry>) {
        let mut rooms: Vec<RoomUri> = Vec::with_capacity(entries.len());
        let mut seen = HashSet::new();
        for Entry { migrated, is_back } in entries {
            if is_back && self.has_reader() {
                self.tracks.begin_hold(pool, &migrated);
            } else {
                self.tracks.hold_known(pool, &migrated);
            }
            if seen.insert(migrated.clone()) {
                rooms.push(migrated);
            }
        }
        let bjoin = Command::BatchJoin(BatchJoin {
            rooms: rooms.clone(),
        });
        self.send_own(now, pool, &bjoin, Purpose::MoveIn { rooms });
    }

    /// The pool answered, or did not answer, that rooms were joined which have their windows already.
    pub(super) fn moved_in(
        &mut self,
        now: Instant,
        pool: PoolId,
        rooms: Vec<RoomUri>,
        reply: Result<ReplyView<'_>, Outcome>,
    ) {
        let Ok(reply) = reply else {
            // With the leg the rooms are joined again, once there is one.
            return self.give_up_leg(now, pool);
        };
        let joined: HashSet<RoomUri> = match Reply::read(reply) {
            Ok(Reply {
                data: ReplyData::Join(joined),
                ..
            }) => joined.rooms.into_iter().map(|room| room.uri).collect(),
            _ => HashSet::new(),
        };
        let (kept, lost): (Vec<&RoomUri>, Vec<&RoomUri>) =
            rooms.iter().partition(|room| joined.contains(*room));
        for room in kept {
            self.tracks.joined(pool, room);
        }
        self.lose_rooms(pool, lost.into_iter());
    }
}

/// Adds something to what concerns a pool.
fn add<T>(all: &mut Vec<(PoolId, Vec<T>)>, pool: PoolId, one: T) {
    match all.iter_mut().find(|(of, _)| *of == pool) {
        Some((_, of_pool)) => of_pool.push(one),
        None => all.push((pool, vec![one])),
    }
}
