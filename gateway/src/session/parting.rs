//! Rooms that are left at their pools. Nobody waits for the answer.

use std::collections::HashSet;
use std::time::Instant;

use holdover_protocol::xccos::{Command, Verb};

use super::core::SessionCore;
use super::pending::{PendingCommand, Purpose};
use crate::decide::Target;

/// Rooms that are parted at once, of each pool.
const PARTS_AT_ONCE: usize = 16;

/// Rooms that may wait to be parted.
const MAX_LEAVING: usize = 512;

impl SessionCore {
    /// Parts rooms at their pools. Nobody waits for the answers.
    pub(super) fn leave(&mut self, now: Instant, rooms: Vec<Target>) {
        if rooms.is_empty() {
            return;
        }
        let mut leaving: HashSet<Target> = self.leaving.iter().cloned().collect();
        for target in rooms {
            if self.rooms.is_shut(target.pool, &target.migrated) {
                self.leave_gap(target.pool, &target.migrated);
            } else {
                self.forget_track(target.pool, &target.migrated);
            }
            if leaving.insert(target.clone()) {
                self.leaving.push(target);
            }
        }
        self.send_parts(now);
    }

    /// Parts the rooms that were left, a few at a time: a leg lets only so many documents wait. A leg that is gone has
    /// parted them.
    pub(super) fn send_parts(&mut self, now: Instant) {
        let mut rest = Vec::new();
        for target in std::mem::take(&mut self.leaving) {
            if !self.is_up(target.pool) || self.rooms.is_in(&target) {
                continue;
            }
            let Target { pool, migrated } = target;
            let is_part =
                |command: &&PendingCommand| command.pool == pool && command.verb == Verb::Part;
            if self.commands.iter().filter(is_part).count() >= PARTS_AT_ONCE {
                rest.push(Target { pool, migrated });
                continue;
            }
            let rooms = vec![migrated];
            let part = Command::Part(holdover_protocol::xccos::verb::Part { rooms });
            self.send_own(now, pool, &part, Purpose::Nobody);
        }
        self.leaving = rest;
        if self.leaving.len() > MAX_LEAVING {
            // Closing the leg parts them all.
            for target in std::mem::take(&mut self.leaving) {
                self.give_up_leg(now, target.pool);
            }
        }
    }
}
