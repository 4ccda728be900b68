//! What was delivered of each room, so that what a lost leg missed can be found; and what is held back meanwhile.
//!
//! A message that comes before a gap is closed is held: first what was missed goes to the client, then what came since, and
//! no faster than the client reads. What is held is bounded: beyond that messages are dropped, for they are in the history,
//! which is looked at once more.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_protocol::room::RoomUri;
use holdover_protocol::xccos::{GroupChat, GroupChatView};

use super::downstream::QueueLimits;
use super::slots::{Key, Keyed, Slots};
use crate::pool::PoolId;

/// Delay before the first, and bound of the delay before every further, attempt to reach a pool again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Messages of a room that are remembered. A gap is found by any of them.
const REMEMBERED: usize = 32;

/// Messages that the client saw itself while a gap was being closed, of which this many are remembered: two histories of the
/// largest size.
const SHOWN: usize = 1_000;

/// Histories that are asked for at once: a leg lets only so many documents wait, and each reply may be large.
const GAPS_AT_ONCE: usize = 4;

/// How often a history is asked for before what it has is given up, and the pause before it is asked for again.
const TRIES: (u8, Duration) = (3, Duration::from_millis(500));

/// What was delivered of one room of a pool.
#[derive(Debug)]
struct Track {
    pool: PoolId,
    migrated: RoomUri,
    /// Fingerprints of the last messages, the latest last.
    seen: VecDeque<Fingerprint>,
    /// What the client has seen in histories it asked for itself while messages were missing, and under which name.
    shown: Vec<(RoomUri, Fingerprint)>,
    /// While a gap is being closed.
    hold: Option<Box<Hold>>,
}

/// What is held back of a room.
#[derive(Debug)]
struct Hold {
    stage: Closing,
    held: VecDeque<Held>,
    /// More came than may be held.
    is_full: bool,
    failures: u8,
}

/// A message for one of the names of its room.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) legacy: RoomUri,
    pub(super) fingerprint: Fingerprint,
    /// As the client takes it.
    pub(super) body: Bytes,
}

/// How far the closing of a gap is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// The room is being joined again. → `Waiting` when it is.
    Joining,
    /// The history is to be asked for, not before the instant. → `Asked`
    Waiting(Option<Instant>),
    /// It is asked for. → `Releasing` when it came, `Waiting` when it failed.
    Asked,
    /// It came; what is held goes to the client. → `Waiting` if more came than could be held, or done.
    Releasing,
}

/// What a history tells of a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// The messages from this one on.
    From(usize),
    /// All of them, and perhaps more before.
    All,
    /// Nothing of the room was ever seen: perhaps all of them.
    Unknown,
}

/// What was delivered of all rooms, and how often each pool could not be reached.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    rooms: Slots<Track>,
    attempts: Vec<(PoolId, u32)>,
}

impl Tracks {
    /// Remembers a message.
    pub(super) fn saw(&mut self, pool: PoolId, room: &RoomUri, fingerprint: Fingerprint) {
        self.track(pool, room).saw(fingerprint);
    }

    /// The client saw a history of the room under these names: what is new in it is not missing any more. A look at what
    /// was long ago changes nothing. While messages are missing, because a gap is being closed or the room is shut, it is
    /// remembered what was seen under which name.
    pub(super) fn looked_back(
        &mut self,
        pool: PoolId,
        room: &RoomUri,
        names: &[RoomUri],
        messages: &[Fingerprint],
        is_shut: bool,
    ) {
        let track = self.track(pool, room);
        if let Some(hold) = &mut track.hold {
            let messages: HashSet<&Fingerprint> = messages.iter().collect();
            hold.held.retain(|held| {
                !messages.contains(&held.fingerprint) || !names.contains(&held.legacy)
            });
        }
        if is_shut || track.hold.is_some() {
            return track.showed(names, messages);
        }
        let known = messages.iter().rposition(|one| track.seen.contains(one));
        let new = match known {
            Some(at) => messages.get(at + 1..).unwrap_or_default(),
            None if track.seen.is_empty() => messages,
            None => &[],
        };
        for fingerprint in new {
            track.saw(*fingerprint);
        }
    }

    /// Forgets a room.
    pub(super) fn forget(&mut self, pool: PoolId, room: &RoomUri) {
        if let Some(at) = self.at(pool, room) {
            self.rooms.remove(at);
        }
    }

    /// Forgets all rooms but these.
    pub(super) fn keep(&mut self, is_kept: impl Fn(PoolId, &RoomUri) -> bool) {
        self.rooms
            .retain(|track| is_kept(track.pool, &track.migrated));
    }

    /// Forgets what is held of rooms under these names.
    pub(super) fn forget_names(&mut self, left: &HashSet<RoomUri>) {
        for track in self.rooms.iter_mut() {
            track.shown.retain(|(shown, _)| !left.contains(shown));
            if let Some(hold) = &mut track.hold {
                hold.held.retain(|held| !left.contains(&held.legacy));
            }
        }
    }

    // === Holding back ===

    /// A room is joined again: what comes of it is held back from now on.
    pub(super) fn begin_hold(&mut self, pool: PoolId, room: &RoomUri) {
        self.track(pool, room).hold = Some(Box::new(Hold {
            stage: Closing::Joining,
            held: VecDeque::new(),
            is_full: false,
            failures: 0,
        }));
    }

    /// Keeps messages of a room back until its gap is closed, if anything is known of what came before.
    pub(super) fn hold_known(&mut self, pool: PoolId, room: &RoomUri) {
        if self.at(pool, room).is_some() {
            self.begin_hold(pool, room);
        }
    }

    /// The room is joined: its history can be asked for.
    pub(super) fn joined(&mut self, pool: PoolId, room: &RoomUri) {
        if let Some(hold) = self.hold_mut(pool, room)
            && hold.stage == Closing::Joining
        {
            hold.stage = Closing::Waiting(None);
        }
    }

    /// Closes no gap of a room any more: what it was to bring is looked for when the room is joined again.
    pub(super) fn end_hold(&mut self, pool: PoolId, room: &RoomUri) {
        if let Some(track) = self.get_mut(pool, room) {
            track.hold = None;
        }
        self.back_if_whole(pool);
    }

    /// Whether messages of a room are held back.
    pub(super) fn holds(&self, pool: PoolId, room: &RoomUri) -> bool {
        self.get(pool, room)
            .is_some_and(|track| track.hold.is_some())
    }

    /// Whether a message may be held back, or there are too many. One that may not is in the history, which is looked at once
    /// more.
    pub(super) fn may_hold(&mut self, pool: PoolId, room: &RoomUri, limits: &QueueLimits) -> bool {
        let has_space = self.has_space(limits, |_| true);
        let Some(hold) = self.hold_mut(pool, room) else {
            return false;
        };
        hold.is_full |= !has_space;
        !hold.is_full
    }

    /// Holds a message back, as the client takes it.
    pub(super) fn hold(&mut self, pool: PoolId, room: &RoomUri, held: Vec<Held>) {
        if let Some(hold) = self.hold_mut(pool, room) {
            hold.held.extend(held);
        }
    }

    /// Whether more may be held than what is held in these stages.
    fn has_space(&self, limits: &QueueLimits, counts: impl Fn(Closing) -> bool) -> bool {
        let (mut messages, mut bytes) = (0, 0);
        let holds = self.rooms.iter().filter_map(|track| track.hold.as_ref());
        for hold in holds.filter(|hold| counts(hold.stage)) {
            messages += hold.held.len();
            bytes += hold.held.iter().map(|held| held.body.len()).sum::<usize>();
        }
        messages < limits.messages && bytes < limits.bytes
    }

    /// The next room whose history is to be asked for now. It counts as asked for.
    pub(super) fn next_gap(
        &mut self,
        now: Instant,
        limits: &QueueLimits,
    ) -> Option<(PoolId, RoomUri)> {
        let asked = self.in_stage(|stage| stage == Closing::Asked);
        // The next waits until most of what came for the last went to the client; what is held for others waits for this.
        let is_released = |stage| stage == Closing::Releasing;
        if asked >= GAPS_AT_ONCE || !self.has_space(limits, is_released) {
            return None;
        }
        let is_due = |stage| matches!(stage, Closing::Waiting(at) if at.is_none_or(|at| at <= now));
        self.rooms.iter_mut().find_map(|track| {
            let hold = track.hold.as_mut().filter(|hold| is_due(hold.stage))?;
            hold.stage = Closing::Asked;
            Some((track.pool, track.migrated.clone()))
        })
    }

    /// Whether a room's history is awaited.
    pub(super) fn is_asked(&self, pool: PoolId, room: &RoomUri) -> bool {
        let hold = self.get(pool, room).and_then(|track| track.hold.as_ref());
        hold.is_some_and(|hold| hold.stage == Closing::Asked)
    }

    /// What of a history was missed.
    pub(super) fn missed(
        &mut self,
        pool: PoolId,
        room: &RoomUri,
        messages: &[Fingerprint],
    ) -> Missed {
        let track = self.track(pool, room);
        match messages.iter().rposition(|one| track.seen.contains(one)) {
            Some(at) => Missed::From(at + 1),
            None if track.seen.is_empty() => Missed::Unknown,
            None => Missed::All,
        }
    }

    /// The names under which the client has seen a history while the gap was being closed.
    pub(super) fn shown_under(&mut self, pool: PoolId, room: &RoomUri) -> Vec<RoomUri> {
        let mut names: Vec<RoomUri> = Vec::new();
        for (legacy, _) in &self.track(pool, room).shown {
            if !names.contains(legacy) {
                names.push(legacy.clone());
            }
        }
        names
    }

    /// Forgets, of each of these names, what stands before the first message that the client has seen or is about to see.
    pub(super) fn forget_before_shown(
        &mut self,
        pool: PoolId,
        room: &RoomUri,
        names: &[RoomUri],
        missed: &mut Vec<Held>,
    ) {
        let track = self.track(pool, room);
        let waiting = track.hold.iter().flat_map(|hold| &hold.held);
        let waiting = waiting.map(|held| (&held.legacy, held.fingerprint));
        let shown = track.shown.iter().map(|(legacy, shown)| (legacy, *shown));
        let known: HashSet<(&RoomUri, Fingerprint)> = shown.chain(waiting).collect();
        // From the last one on: what stands behind the first of a name that is known, and that one.
        let mut first: HashMap<&RoomUri, usize> = HashMap::new();
        for (at, held) in missed.iter().enumerate().rev() {
            if known.contains(&(&held.legacy, held.fingerprint)) {
                let name = names.iter().find(|name| **name == held.legacy);
                first.extend(name.map(|name| (name, at)));
            }
        }
        let mut at = 0;
        missed.retain(|held| {
            at += 1;
            first.get(&held.legacy).is_none_or(|first| at > *first)
        });
    }

    /// The gap is closed by these messages of the history: they go to the client, and what was held back among and behind
    /// them.
    pub(super) fn release(
        &mut self,
        pool: PoolId,
        room: &RoomUri,
        history: &[Fingerprint],
        mut missed: Vec<Held>,
    ) {
        let track = self.track(pool, room);
        let Some(hold) = &mut track.hold else {
            return;
        };
        let shown = track.shown.iter().map(|(legacy, shown)| (legacy, *shown));
        let shown: HashSet<(&RoomUri, Fingerprint)> = shown.collect();
        missed.retain(|one| !shown.contains(&(&one.legacy, one.fingerprint)));
        // What was held before the first message that is in the history too is older than the history.
        let told_of: HashSet<&Fingerprint> = history.iter().collect();
        let in_history = |held: &Held| told_of.contains(&held.fingerprint);
        let all = if hold.is_full { hold.held.len() } else { 0 };
        let first = hold.held.iter().position(in_history).unwrap_or(all);
        let newer = hold.held.split_off(first);
        let (among, behind): (Vec<Held>, Vec<Held>) = newer.into_iter().partition(in_history);
        let mut missed = by_fingerprint(missed);
        let mut among = by_fingerprint(among);
        for fingerprint in history {
            let mut told = missed.remove(fingerprint).unwrap_or_default();
            for held in among.remove(fingerprint).unwrap_or_default() {
                if !told.iter().any(|one| one.legacy == held.legacy) {
                    told.push(held);
                }
            }
            hold.held.extend(told);
        }
        hold.held.extend(behind);
        (hold.stage, hold.failures) = (Closing::Releasing, 0);
        self.back_if_whole(pool);
    }

    /// The history did not come. Returns whether it is given up: what it has will be missing.
    pub(super) fn gap_failed(&mut self, now: Instant, pool: PoolId, room: &RoomUri) -> bool {
        let Some(hold) = self.hold_mut(pool, room) else {
            return false;
        };
        let (tries, pause) = TRIES;
        hold.failures += 1;
        if hold.failures < tries {
            hold.stage = Closing::Waiting(Some(now + pause * u32::from(hold.failures)));
            return false;
        }
        self.release(pool, room, &[], Vec::new());
        true
    }

    /// The next document that is not held back any more, if it is one that `fits`.
    pub(super) fn released(&mut self, fits: impl Fn(usize) -> bool) -> Option<Bytes> {
        for track in self.rooms.iter_mut() {
            let Some(hold) = &mut track.hold else {
                continue;
            };
            if hold.stage != Closing::Releasing {
                continue;
            }
            let is_next = hold.held.front().is_some_and(|held| fits(held.body.len()));
            let next = if is_next { hold.held.pop_front() } else { None };
            let is_empty = hold.held.is_empty();
            if is_empty && hold.is_full {
                // What came meanwhile and was dropped is in the history.
                (hold.stage, hold.is_full) = (Closing::Waiting(None), false);
            } else if is_empty {
                track.saw_shown();
                track.hold = None;
            }
            if let Some(held) = next {
                // It is seen once it went out under all names of the room.
                let hold = track.hold.as_ref();
                let behind = hold.and_then(|hold| hold.held.front());
                if behind.is_some_and(|behind| behind.fingerprint == held.fingerprint) {
                    track.shown.push((held.legacy, held.fingerprint));
                } else {
                    track.saw(held.fingerprint);
                }
                return Some(held.body);
            }
        }
        None
    }

    /// Nobody is there to deliver to: who comes back asks for the history.
    pub(super) fn let_go(&mut self) {
        for track in self.rooms.iter_mut() {
            track.hold = None;
            track.shown = Vec::new();
        }
    }

    /// When the next history is to be asked for again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let holds = self.rooms.iter().filter_map(|track| track.hold.as_ref());
        holds
            .filter_map(|hold| match hold.stage {
                Closing::Waiting(at) => at,
                Closing::Joining | Closing::Asked | Closing::Releasing => None,
            })
            .min()
    }

    /// Time has passed: histories that were to be asked for later are to be asked for now.
    pub(super) fn wake(&mut self, now: Instant) {
        for hold in self
            .rooms
            .iter_mut()
            .filter_map(|track| track.hold.as_mut())
        {
            if matches!(hold.stage, Closing::Waiting(Some(at)) if at <= now) {
                hold.stage = Closing::Waiting(None);
            }
        }
    }

    fn in_stage(&self, is_it: impl Fn(Closing) -> bool) -> usize {
        let holds = self.rooms.iter().filter_map(|track| track.hold.as_ref());
        holds.filter(|hold| is_it(hold.stage)).count()
    }

    /// A pool whose gaps are all closed can be reached again.
    pub(super) fn back_if_whole(&mut self, pool: PoolId) {
        let is_open = |track: &Track| {
            let stage = track.hold.as_ref().map(|hold| hold.stage);
            track.pool == pool && stage.is_some_and(|stage| stage != Closing::Releasing)
        };
        if !self.rooms.iter().any(is_open) {
            self.leg_back(pool);
        }
    }

    // === Reaching a pool again ===

    /// How long to wait before a pool is tried again: longer each time, and not the same for every session, so that a
    /// pool that comes back is not met by all at once.
    pub(super) fn backoff(&self, pool: PoolId, salt: u64) -> Duration {
        let attempts = self
            .attempts
            .iter()
            .find(|(of, _)| *of == pool)
            .map_or(0, |(_, n)| *n);
        let (first, most) = BACKOFF;
        let full = first.saturating_mul(1 << attempts.min(10)).min(most);
        let mut hasher = DefaultHasher::new();
        (salt, attempts).hash(&mut hasher);
        let share = u32::try_from(hasher.finish() % 1000).unwrap_or_default();
        full / 2 + full.saturating_mul(share) / 2000
    }

    /// A leg is lost. What was held back is in the history.
    pub(super) fn leg_lost(&mut self, pool: PoolId) {
        match self.attempts.iter_mut().find(|(of, _)| *of == pool) {
            Some((_, attempts)) => *attempts = attempts.saturating_add(1),
            None => self.attempts.push((pool, 1)),
        }
        for track in self.rooms.iter_mut().filter(|track| track.pool == pool) {
            track.hold = None;
        }
    }

    /// The pool can be reached again, or need not be.
    pub(super) fn leg_back(&mut self, pool: PoolId) {
        self.attempts.retain(|(of, _)| *of != pool);
    }

    fn hold_mut(&mut self, pool: PoolId, room: &RoomUri) -> Option<&mut Hold> {
        self.get_mut(pool, room)?.hold.as_deref_mut()
    }

    fn at(&self, pool: PoolId, room: &RoomUri) -> Option<usize> {
        let mut places = self.rooms.places(|| key(pool, room));
        places.find(|at| {
            self.rooms
                .get(*at)
                .is_some_and(|track| track.is(pool, room))
        })
    }

    fn get(&self, pool: PoolId, room: &RoomUri) -> Option<&Track> {
        self.rooms.get(self.at(pool, room)?)
    }

    fn get_mut(&mut self, pool: PoolId, room: &RoomUri) -> Option<&mut Track> {
        let at = self.at(pool, room)?;
        self.rooms.get_mut(at)
    }

    fn track(&mut self, pool: PoolId, room: &RoomUri) -> &mut Track {
        let at = self.at(pool, room).unwrap_or_else(|| {
            self.rooms.push(Track {
                pool,
                migrated: room.clone(),
                seen: VecDeque::new(),
                shown: Vec::new(),
                hold: None,
            })
        });
        // The place was just found or made.
        #[expect(clippy::expect_used)]
        self.rooms.get_mut(at).expect("a track")
    }

    /// Rooms, and documents that are held back.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        let holds = self.rooms.iter().filter_map(|track| track.hold.as_ref());
        (self.rooms.len(), holds.map(|hold| hold.held.len()).sum())
    }
}

impl Keyed for Track {
    fn keys(&self) -> [Key; 2] {
        let key = key(self.pool, &self.migrated);
        [key, key]
    }
}

/// The messages of each fingerprint, in order.
fn by_fingerprint(held: Vec<Held>) -> HashMap<Fingerprint, Vec<Held>> {
    let mut all: HashMap<Fingerprint, Vec<Held>> = HashMap::new();
    for held in held {
        all.entry(held.fingerprint).or_default().push(held);
    }
    all
}

fn key(pool: PoolId, migrated: &RoomUri) -> Key {
    Key::of((pool, migrated.as_str()))
}

impl Track {
    fn is(&self, pool: PoolId, room: &RoomUri) -> bool {
        self.pool == pool && self.migrated == *room
    }

    /// The client saw these messages itself. It may have looked before and seen what is not among the last any more.
    fn showed(&mut self, names: &[RoomUri], messages: &[Fingerprint]) {
        // What stands before as many as are remembered would be forgotten again.
        let before = messages.len().saturating_sub(SHOWN);
        let messages = messages.get(before..).unwrap_or_default();
        let mut known: HashSet<(RoomUri, Fingerprint)> = self.shown.iter().cloned().collect();
        for legacy in names {
            let shown = messages.iter().map(|one| (legacy.clone(), *one));
            let new = shown.filter(|shown| known.insert(shown.clone()));
            self.shown.extend(new);
            let many = self.shown.len().saturating_sub(SHOWN);
            self.shown.drain(..many);
        }
    }

    /// What the client saw itself it has seen. Which of both is later is not known: some of either are remembered.
    fn saw_shown(&mut self) {
        let shown = std::mem::take(&mut self.shown);
        if !shown.is_empty() {
            let half = REMEMBERED / 2;
            self.seen.drain(..self.seen.len().saturating_sub(half));
            let last = shown.len().saturating_sub(half);
            self.seen
                .extend(shown.iter().skip(last).map(|(_, one)| *one));
        }
    }

    fn saw(&mut self, fingerprint: Fingerprint) {
        if self.seen.back() == Some(&fingerprint) {
            return;
        }
        if self.seen.len() >= REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(fingerprint);
    }
}

/// Tells two messages of a room apart. Pools stamp the messages of a room with different times; author and text are for
/// those that do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    /// Of a message as it came.
    pub(super) fn of(view: GroupChatView<'_>) -> Self {
        Self::new(view.ts().as_deref(), view.author().as_deref(), &view.chat())
    }

    /// Of a message that was read.
    pub(super) fn of_message(message: &GroupChat) -> Self {
        Self::new(
            message.ts.as_deref(),
            message.author.as_deref(),
            &message.chat,
        )
    }

    fn new(ts: Option<&str>, author: Option<&str>, chat: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (ts, author, chat).hash(&mut hasher);
        Self(hasher.finish())
    }
}
