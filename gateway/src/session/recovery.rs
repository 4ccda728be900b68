//! When a pool's leg is lost: the rooms are joined again as soon as the pool can be reached, and what was missed is
//! fetched from the history and delivered once, in order. The client notices a pause, nothing else.

use std::collections::HashSet;
use std::time::Instant;

use holdover_protocol::room::RoomUri;
use holdover_protocol::xccos::verb::{BackChat, BatchJoin};
use holdover_protocol::xccos::{
    Command, Document, Edits, Envelope, Item, Limits, Reply, ReplyData, ReplyView, Verb,
};

use super::core::SessionCore;
use super::output::Event;
use super::pending::Purpose;
use super::room_events::RoomEvents;
use super::tracks::{Fingerprint, Held, Missed};
use crate::decide::Decisions;
use crate::pool::PoolId;

/// Messages fetched to close a gap; the second number when the first did not reach back to what is known. A pool's own
/// limit is 500 (`facts/xccos.md` §6).
const GAP: [u32; 2] = [50, 500];

/// Longest documents for a client that the messages of one gap may come to, under all names of the room.
const MOST_MISSED: usize = 4;

impl SessionCore {
    /// Joins the client's rooms on a pool again. What the pool says of them is held back until the gap is closed.
    pub(super) fn rejoin(&mut self, now: Instant, pool: PoolId) {
        let rooms = self.rooms.joined_on(pool);
        if rooms.is_empty() {
            return;
        }
        if self.has_reader() {
            for room in &rooms {
                if self.is_open(pool, room) {
                    self.tracks.begin_hold(pool, room);
                }
            }
        }
        let purpose = Purpose::Rejoin(rooms.clone());
        let bjoin = Command::BatchJoin(BatchJoin { rooms });
        self.send_own(now, pool, &bjoin, purpose);
    }

    /// The pool answered, or did not answer, that these rooms are joined again.
    pub(super) fn rejoined(
        &mut self,
        now: Instant,
        pool: PoolId,
        asked: &[RoomUri],
        reply: Option<ReplyView<'_>>,
    ) {
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
                    .collect::<HashSet<_>>(),
            )
        });
        let Some(joined) = joined else {
            // A leg on which nothing can be joined is as good as none.
            return self.give_up_leg(now, pool);
        };
        self.event(Event::Rejoined {
            pool,
            rooms: joined.len(),
        });
        let still: HashSet<RoomUri> = self.rooms.joined_on(pool).into_iter().collect();
        let (kept, lost): (Vec<&RoomUri>, Vec<&RoomUri>) = asked
            .iter()
            .filter(|room| still.contains(*room))
            .partition(|room| joined.contains(*room));
        for room in kept {
            self.tracks.joined(pool, room);
        }
        self.lose_rooms(pool, lost.into_iter());
        self.tracks.back_if_whole(pool);
    }

    /// The pool does not let the user into these rooms any more.
    pub(super) fn lose_rooms<'a>(
        &mut self,
        pool: PoolId,
        rooms: impl Iterator<Item = &'a RoomUri>,
    ) {
        let mut lost = HashSet::new();
        let mut told = RoomEvents::default();
        for migrated in rooms {
            self.forget_track(pool, migrated);
            lost.extend(self.rooms.lose(pool, migrated));
            let migrated = migrated.clone();
            self.room_event(&mut told, Event::RoomLost { migrated, pool });
        }
        if !lost.is_empty() {
            self.gathers.fail_rooms(&lost);
        }
        self.sum_up(Verb::BatchJoin, told);
    }

    /// Forgets what was delivered of a room, and what is fetched of it.
    pub(super) fn forget_track(&mut self, pool: PoolId, migrated: &RoomUri) {
        self.tracks.forget(pool, migrated);
        self.disown_gap(pool, migrated);
    }

    /// Stops closing the gap of a room, and keeps what was delivered of it.
    pub(super) fn leave_gap(&mut self, pool: PoolId, migrated: &RoomUri) {
        self.tracks.end_hold(pool, migrated);
        self.disown_gap(pool, migrated);
    }

    /// A history that was asked for to close a gap is for nobody any more.
    fn disown_gap(&mut self, pool: PoolId, migrated: &RoomUri) {
        for command in &mut self.commands {
            let is_gap = matches!(&command.purpose, Purpose::Gap { room, .. } if room == migrated);
            if is_gap && command.pool == pool {
                command.purpose = Purpose::Nobody;
            }
        }
    }

    /// Forgets what was delivered of rooms that no window has any more.
    pub(super) fn forget_strays(&mut self) {
        let rooms = &self.rooms;
        self.tracks
            .keep(|pool, migrated| rooms.have(pool, migrated));
    }

    /// Asks for the histories whose turn it is.
    pub(super) fn fetch_gaps(&mut self, now: Instant) {
        while let Some((pool, room)) = self.tracks.next_gap(now, &self.settings.queue) {
            self.fetch_gap(now, pool, room, 0);
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
        if !self.tracks.is_asked(pool, room) {
            return;
        }
        if !self.is_open(pool, room) {
            // The client did not see it opening, and asks for its history if it asks for the room again.
            return self.tracks.forget(pool, room);
        }
        let Ok(Reply {
            data: ReplyData::BackChat(history),
            ..
        }) = Reply::read(reply)
        else {
            // The user may be in the room and not read its history.
            return self.gap_failed(now, pool, room);
        };
        let mut of_room = history
            .rooms
            .into_iter()
            .filter(|history| history.room == *room);
        let messages = of_room.next().map(|history| history.messages);
        let messages = messages.unwrap_or_default();
        let fingerprints: Vec<Fingerprint> = messages.iter().map(Fingerprint::of_message).collect();
        let asked = GAP.get(attempt).map_or(0, |asked| *asked as usize);
        let is_short = messages.len() < asked;
        let missed = self.tracks.missed(pool, room, &fingerprints);
        let (from, mut is_complete) = match missed {
            Missed::From(at) => (at, true),
            Missed::All if !is_short && attempt + 1 < GAP.len() => {
                return self.fetch_gap(now, pool, room.clone(), attempt + 1);
            }
            Missed::All => (0, false),
            // Nothing of the room was seen before, not even its history: better too much than too little.
            Missed::Unknown => (0, is_short),
        };
        // Under a name under which the client has looked by now, it has seen enough.
        let shown: Vec<RoomUri> = match missed {
            Missed::Unknown => self.tracks.shown_under(pool, room),
            Missed::From(_) | Missed::All => Vec::new(),
        };
        let most = self.settings.longest_document() * MOST_MISSED;
        let (mut missed, mut bytes) = (Vec::new(), 0);
        for (message, fingerprint) in messages.iter().zip(&fingerprints).skip(from) {
            let body = Envelope::new(0).group_chat(1, message).finish();
            let Ok(document) = Document::parse(body, &Limits::OWN) else {
                continue;
            };
            let Some(item) = document.items().next() else {
                continue;
            };
            let held = self.to_hold(pool, room, *fingerprint, item, decisions);
            bytes += held.iter().map(|held| held.body.len()).sum::<usize>();
            missed.extend(held);
            // A message is held once for each name of the room: what is in one reply may become a multiple of itself.
            if bytes > most {
                is_complete = false;
                break;
            }
        }
        self.tracks
            .forget_before_shown(pool, room, &shown, &mut missed);
        self.tracks.release(pool, room, &fingerprints, missed);
        let count = messages.len().saturating_sub(from);
        if count > 0 || !is_complete {
            self.gap_closed(pool, room, count, is_complete);
        }
    }

    /// A message as it is held: once for each name of its room.
    pub(super) fn to_hold(
        &self,
        pool: PoolId,
        room: &RoomUri,
        fingerprint: Fingerprint,
        item: Item<'_>,
        decisions: &dyn Decisions,
    ) -> Vec<Held> {
        let names = self.rooms.aliases(pool, room.domain(), room.value());
        let bodies = self.translated(pool, item, &Edits::new(), None, decisions);
        // A message that is too long for the client is left out here as elsewhere.
        let bodies = bodies.unwrap_or_default();
        let held = names.zip(bodies).map(|(legacy, body)| Held {
            legacy: legacy.clone(),
            fingerprint,
            body,
        });
        held.collect()
    }

    /// The history of a room whose gap is to be closed did not come.
    pub(super) fn gap_failed(&mut self, now: Instant, pool: PoolId, room: &RoomUri) {
        if self.tracks.is_asked(pool, room) && self.tracks.gap_failed(now, pool, room) {
            self.gap_closed(pool, room, 0, false);
        }
    }

    fn gap_closed(&mut self, pool: PoolId, room: &RoomUri, messages: usize, complete: bool) {
        self.event(Event::GapClosed {
            migrated: room.clone(),
            pool,
            messages,
            complete,
        });
    }
}
