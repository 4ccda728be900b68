//! When a pool's leg is lost: the rooms are joined again as soon as the pool can be reached, and what was missed is
//! fetched from the history and delivered once, in order. The client notices a pause, nothing else.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_protocol::room::RoomUri;
use holdover_protocol::xccos::verb::{BackChat, BatchJoin};
use holdover_protocol::xccos::{
    Command, Document, Envelope, GroupChat, GroupChatView, Item, Reply, ReplyData, ReplyView,
};

use super::core::SessionCore;
use super::decisions::Decisions;
use super::output::Event;
use super::pending::Purpose;
use crate::pool::PoolId;

/// Delay before the first, and bound of the delay before every further, attempt to reach a pool again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Messages fetched to close a gap; the second number when the first did not reach back to what is known. A pool's own
/// limit is 500 (`facts/xccos.md` §6).
const GAP: [u32; 2] = [50, 500];

/// Messages of a room that are remembered. A gap is found by any of them.
const REMEMBERED: usize = 32;

/// What was delivered of one room of a pool.
#[derive(Debug)]
struct Track {
    pool: PoolId,
    migrated: RoomUri,
    /// Fingerprints of the last messages, the latest last.
    seen: VecDeque<Fingerprint>,
    /// Whether the history was looked at, so that an empty `seen` means that there was no message.
    is_known: bool,
    /// While a gap is being closed: what came in the meantime.
    held: Option<Vec<(Fingerprint, Bytes)>>,
}

/// What was delivered of all rooms, and how often each pool could not be reached.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    rooms: Vec<Track>,
    attempts: Vec<(PoolId, u32)>,
}

impl Tracks {
    /// Remembers a message.
    pub(super) fn saw(&mut self, pool: PoolId, room: &RoomUri, fingerprint: Fingerprint) {
        let track = self.track(pool, room);
        if track.seen.back() == Some(&fingerprint) {
            return;
        }
        if track.seen.len() >= REMEMBERED {
            track.seen.pop_front();
        }
        track.seen.push_back(fingerprint);
    }

    /// The client looked at a room's history.
    pub(super) fn looked_back(&mut self, pool: PoolId, room: &RoomUri) {
        self.track(pool, room).is_known = true;
    }

    /// Forgets a room.
    pub(super) fn forget(&mut self, pool: PoolId, room: &RoomUri) {
        self.rooms
            .retain(|track| track.pool != pool || track.migrated != *room);
    }

    /// Keeps messages of a room back until its gap is closed, if anything is known of what came before.
    pub(super) fn hold_known(&mut self, pool: PoolId, room: &RoomUri) {
        let known = |track: &&mut Track| track.pool == pool && track.migrated == *room;
        if let Some(track) = self.rooms.iter_mut().find(known) {
            track.held = Some(Vec::new());
        }
    }

    /// Whether messages of a room are kept back.
    pub(super) fn is_held(&self, pool: PoolId, room: &RoomUri) -> bool {
        self.rooms
            .iter()
            .any(|track| track.pool == pool && track.migrated == *room && track.held.is_some())
    }

    /// Keeps a message back, if a gap before it is being closed. Answers whether it did.
    pub(super) fn hold(
        &mut self,
        pool: PoolId,
        room: &RoomUri,
        fingerprint: Fingerprint,
        body: &Bytes,
    ) -> bool {
        let track = self
            .rooms
            .iter_mut()
            .find(|track| track.pool == pool && track.migrated == *room);
        let held = track.and_then(|track| track.held.as_mut());
        held.is_some_and(|held| {
            held.push((fingerprint, body.clone()));
            true
        })
    }

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
            track.held = None;
        }
    }

    fn leg_back(&mut self, pool: PoolId) {
        self.attempts.retain(|(of, _)| *of != pool);
    }

    fn track(&mut self, pool: PoolId, room: &RoomUri) -> &mut Track {
        let known = |track: &Track| track.pool == pool && track.migrated == *room;
        let at = self.rooms.iter().position(known).unwrap_or_else(|| {
            self.rooms.push(Track {
                pool,
                migrated: room.clone(),
                seen: VecDeque::new(),
                is_known: false,
                held: None,
            });
            self.rooms.len() - 1
        });
        // The position was just found or made.
        #[expect(clippy::indexing_slicing)]
        &mut self.rooms[at]
    }
}

/// Tells two messages of a room apart. Pools stamp the messages of a room with different times; author and text are for
/// those that do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl SessionCore {
    /// Joins the client's rooms on a pool again. What the pool says of them is held back until the gap is closed.
    pub(super) fn rejoin(&mut self, now: Instant, pool: PoolId) {
        let rooms = self.rooms.joined_on(pool);
        if rooms.is_empty() {
            return;
        }
        for room in &rooms {
            self.tracks.track(pool, room).held = Some(Vec::new());
        }
        let bjoin = Command::BatchJoin(BatchJoin { rooms });
        self.send_own(now, pool, &bjoin, Purpose::Rejoin);
    }

    /// The pool answered, or did not answer, that the rooms are joined again.
    pub(super) fn rejoined(&mut self, now: Instant, pool: PoolId, reply: Option<ReplyView<'_>>) {
        let joined = reply.filter(|reply| reply.is_success()).and_then(|reply| {
            let Ok(Reply {
                data: ReplyData::Join(joined),
                ..
            }) = Reply::read(reply)
            else {
                return None;
            };
            Some(
                joined
                    .rooms
                    .into_iter()
                    .map(|room| room.uri)
                    .collect::<Vec<_>>(),
            )
        });
        let Some(joined) = joined else {
            // A leg on which nothing can be joined is as good as none.
            return self.give_up_leg(now, pool);
        };
        self.tracks.leg_back(pool);
        self.event(Event::Rejoined {
            pool,
            rooms: joined.len(),
        });
        for room in self.rooms.joined_on(pool) {
            if joined.contains(&room) {
                self.fetch_gap(now, pool, room, 0);
            } else {
                self.tracks.forget(pool, &room);
                self.rooms.lose(pool, &room);
                self.event(Event::RoomLost {
                    migrated: room,
                    pool,
                });
            }
        }
    }

    pub(super) fn fetch_gap(&mut self, now: Instant, pool: PoolId, room: RoomUri, attempt: usize) {
        let last = GAP.get(attempt).copied();
        let back_chat = Command::BackChat(BackChat {
            room: room.clone(),
            last,
        });
        self.send_own(now, pool, &back_chat, Purpose::Gap { room, attempt });
    }

    /// The history of a room whose gap is to be closed came.
    pub(super) fn gap_fetched(
        &mut self,
        now: Instant,
        pool: PoolId,
        room: &RoomUri,
        attempt: usize,
        reply: ReplyView<'_>,
        decisions: &dyn Decisions,
    ) {
        let messages = match Reply::read(reply) {
            Ok(Reply {
                data: ReplyData::BackChat(history),
                ..
            }) => {
                let mut of_room = history
                    .rooms
                    .into_iter()
                    .filter(|history| history.room == *room);
                of_room
                    .next()
                    .map(|history| history.messages)
                    .unwrap_or_default()
            }
            // The user may be in the room and not read its history.
            _ => Vec::new(),
        };
        let track = self.tracks.track(pool, room);
        let is_seen = |message: &GroupChat| track.seen.contains(&Fingerprint::of_message(message));
        let (missed, is_complete) = match messages.iter().rposition(is_seen) {
            Some(at) => (messages.get(at + 1..).unwrap_or_default(), true),
            // Nothing was ever said in the room when it was last looked at: all of this is new.
            None if track.seen.is_empty() && track.is_known => (messages.as_slice(), true),
            // Nothing is known of the room: whoever wants its history asks for it.
            None if track.seen.is_empty() => (&[][..], true),
            None => (messages.as_slice(), false),
        };
        let asked = GAP.get(attempt).map_or(0, |asked| *asked as usize);
        if !is_complete && messages.len() >= asked && attempt + 1 < GAP.len() {
            return self.fetch_gap(now, pool, room.clone(), attempt + 1);
        }
        let held = track.held.take().unwrap_or_default();
        let fingerprints: Vec<Fingerprint> = missed.iter().map(Fingerprint::of_message).collect();
        for message in missed {
            let body = Envelope::new(0).group_chat(1, message).finish();
            self.deliver_post(now, pool, body, decisions);
        }
        for (fingerprint, body) in held {
            if !fingerprints.contains(&fingerprint) {
                self.deliver_post(now, pool, body, decisions);
            }
        }
        let count = missed.len();
        if count > 0 || !is_complete {
            let (migrated, complete) = (room.clone(), is_complete);
            self.event(Event::GapClosed {
                migrated,
                pool,
                messages: count,
                complete,
            });
        }
    }

    /// Delivers a message that is not held back any more.
    fn deliver_post(&mut self, now: Instant, pool: PoolId, body: Bytes, decisions: &dyn Decisions) {
        if let Ok(document) = Document::parse(body, &self.settings.xccos)
            && let Some(item @ Item::GroupChat(_)) = document.items().next()
        {
            self.handle_item(now, pool, &document, item, decisions);
        }
    }
}
