//! Commands of the client: each is answered once and in time, with every room it named.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use holdover_protocol::room::RoomUri;
use holdover_protocol::xccos::{ElementRef, ReplyView, Verb};

use super::directory::Directory;
use super::posts::InfoId;
use crate::pool::{PoolId, SendId};

#[derive(Debug)]
struct Asked {
    info: InfoId,
    verb: Verb,
    /// Without those that the client left since.
    rooms: Vec<RoomUri>,
    is_split: bool,
    deadline: Instant,
    replies: usize,
    failed: BTreeSet<RoomUri>,
    /// The client has left the rooms; a failure that was queued before may still come.
    is_left: bool,
    /// Nobody may answer any more.
    is_off: bool,
}

#[derive(Debug, Default)]
pub(super) struct Commands {
    asked: BTreeMap<u64, Asked>,
    /// The commands of the client from which what was sent to pools comes.
    sent: BTreeMap<(PoolId, SendId), u64>,
    /// Rooms that a pool let the user into for a command.
    entered: BTreeMap<(u64, PoolId, RoomUri), Entry>,
}

/// A pool let the user into a room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// How many messages were there before.
    pub(super) before: usize,
    pub(super) at: Instant,
}

/// How long commands may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) pool: Duration,
    pub(super) split: Duration,
}

/// What is known of a command before an answer to it.
#[derive(Debug)]
pub(super) struct Unanswered {
    envid: u64,
    replies: usize,
    failed: BTreeSet<RoomUri>,
    /// The answer is a failure; one that is dropped too is the last word.
    pub(super) is_failure: bool,
}

/// A bound on what the core needs beyond its limits.
const SLACK: Duration = Duration::from_millis(1);

impl Commands {
    pub(super) fn asked(
        &mut self,
        now: Instant,
        (envid, info): (u64, InfoId),
        verb: Verb,
        rooms: &[RoomUri],
        patience: Patience,
        directory: &Directory,
    ) {
        let pools: BTreeSet<PoolId> = rooms
            .iter()
            .filter_map(|room| directory.readable(room).map(|place| place.pool))
            .collect();
        let is_split = match verb {
            Verb::BatchJoin => pools.len() > 1,
            _ => rooms.is_empty(),
        };
        let limit = if is_split {
            patience.split
        } else {
            patience.pool
        };
        let asked = Asked {
            info,
            verb,
            rooms: rooms.to_vec(),
            is_split,
            deadline: now + limit + SLACK,
            replies: 0,
            failed: BTreeSet::new(),
            is_left: false,
            is_off: false,
        };
        self.asked.insert(envid, asked);
    }

    /// The INFO with the command was refused.
    pub(super) fn refused(&mut self, info: InfoId) {
        for asked in self.asked.values_mut().filter(|asked| asked.info == info) {
            asked.is_off = true;
        }
    }

    pub(super) fn sent(&mut self, pool: PoolId, id: SendId, envid: u64) {
        let before = self.sent.insert((pool, id), envid);
        assert!(before.is_none(), "a number was used twice: {id:?}");
    }

    pub(super) fn entered(&mut self, pool: PoolId, id: SendId, room: RoomUri, entry: Entry) {
        if let Some(envid) = self.sent.get(&(pool, id)) {
            self.entered.insert((*envid, pool, room), entry);
        }
    }

    pub(super) fn parted(&mut self, room: &RoomUri) {
        for asked in self.asked.values_mut() {
            let is_about = asked.rooms.contains(room);
            asked.rooms.retain(|asked| asked != room);
            asked.failed.remove(room);
            if is_about && asked.rooms.is_empty() {
                asked.is_left = true;
            }
        }
    }

    pub(super) fn dialog_gone(&mut self) {
        for asked in self.asked.values_mut() {
            asked.is_off = true;
        }
    }

    /// Whether a reply is one that the client waits for. A history may come on its own.
    pub(super) fn is_awaited(&self, reply: ReplyView<'_>) -> bool {
        let envid = reply.command_id().and_then(|id| id.envid.parse().ok());
        let asked = envid.and_then(|envid: u64| self.asked.get(&envid));
        asked.is_some_and(|asked| !asked.is_off)
    }

    /// The command that a reply answers, as it is before that.
    pub(super) fn unanswered(&self, reply: ReplyView<'_>) -> Option<Unanswered> {
        let envid: u64 = reply.command_id()?.envid.parse().ok()?;
        let asked = self.asked.get(&envid)?;
        Some(Unanswered {
            envid,
            replies: asked.replies,
            failed: asked.failed.clone(),
            is_failure: !reply.is_success(),
        })
    }

    /// The answer was not taken.
    pub(super) fn restore(&mut self, before: Unanswered) {
        if let Some(asked) = self.asked.get_mut(&before.envid) {
            asked.replies = before.replies;
            asked.failed = before.failed;
            asked.failed.retain(|room| asked.rooms.contains(room));
        }
    }

    /// The client is sent a reply. Returns the rooms it opens.
    pub(super) fn replied(
        &mut self,
        reply: ReplyView<'_>,
        body: &str,
        directory: &Directory,
    ) -> Vec<(RoomUri, Entry)> {
        let envid = reply.command_id().and_then(|id| id.envid.parse().ok());
        let envid: u64 = envid.unwrap_or_else(|| panic!("a reply to nothing: {body}"));
        let asked = self.asked.get_mut(&envid);
        let asked = asked.unwrap_or_else(|| panic!("a reply to nothing: {body}"));
        let is_told = !reply.is_success() || asked.verb == Verb::Part;
        let may_come = !asked.is_off && (!asked.is_left || is_told);
        assert!(may_come, "answered though nobody waits: {body}");
        assert_eq!(reply.verb(), asked.verb, "{body}");
        let named = rooms(reply, "chanib");
        let failed = rooms(reply, "fib");
        asked.replies += 1;
        let is_late = asked.replies == 2 && asked.verb == Verb::BatchJoin && asked.is_split;
        assert!(asked.replies == 1 || is_late, "answered twice: {body}");
        let unique: BTreeSet<&RoomUri> = named.iter().chain(&failed).collect();
        assert_eq!(
            unique.len(),
            named.len() + failed.len(),
            "told twice: {body}"
        );
        if !matches!(asked.verb, Verb::Join | Verb::BatchJoin) {
            return Vec::new();
        }
        if is_late {
            let were_failed = named.iter().all(|room| asked.failed.contains(room));
            assert!(!named.is_empty() && were_failed, "{body}");
            named.iter().for_each(|room| {
                asked.failed.remove(room);
            });
            asked.replies = 1;
        } else if reply.is_success() {
            let expected: BTreeSet<&RoomUri> = asked.rooms.iter().collect();
            assert_eq!(unique, expected, "of {:?}: {body}", asked.rooms);
            asked.failed.extend(failed);
            let at = |room: &RoomUri| asked.rooms.iter().position(|asked| asked == room);
            let is_in_order = named.iter().map(at).is_sorted();
            assert!(
                is_in_order || !asked.is_split,
                "not in the client's order: {body}"
            );
        }
        let opened = named.into_iter().map(|room| {
            let place = directory.place(&room).unwrap();
            let key = (envid, place.pool, place.migrated.clone());
            let from = self.entered.get(&key);
            let from = *from.unwrap_or_else(|| panic!("the pool let nobody into {room}: {body}"));
            (room, from)
        });
        opened.collect()
    }

    /// Nothing waits in the queue for the client: what is overdue will not come.
    pub(super) fn check(&self, now: Instant) {
        let is_late = |asked: &&Asked| {
            !asked.is_off && !asked.is_left && asked.replies == 0 && asked.deadline < now
        };
        let late = self.asked.values().find(is_late);
        assert!(late.is_none(), "not answered in time: {late:?}");
    }
}

pub(super) fn rooms(reply: ReplyView<'_>, name: &str) -> Vec<RoomUri> {
    let data = reply.data().into_iter();
    data.flat_map(|data: ElementRef<'_>| data.children_named(name))
        .map(|element| match element.attr("uri") {
            Some(uri) => uri.parse().unwrap(),
            None => {
                let half = |name| element.attr(name).unwrap();
                RoomUri::new(&half("domain"), &half("value")).unwrap()
            }
        })
        .collect()
}
