//! What goes to the client, while it is there and while it may come back on its connection.

use std::collections::HashSet;
use std::time::Instant;

use bytes::Bytes;
use holdover_protocol::room::RoomUri;
use holdover_protocol::sip::Status;
use holdover_protocol::translate;
use holdover_protocol::xccos::{Document, Item, Limits, Outcome, Reply, ResultCode, Verb};

use super::core::{Downstream, SessionCore};
use super::downstream::{Queue, Waiting};
use super::gather::Gathers;
use super::output::{CloseReason, Event, Output};
use super::rooms::Rooms;
use super::upstream::rooms_opened;
use crate::peer::ClientNumber;
use crate::pool::PoolId;

impl SessionCore {
    /// Queues a document for the client. Without a client, and without a connection on which it may come back, there is
    /// nobody to deliver to: whoever comes back on another asks for the history.
    pub(super) fn deliver(&mut self, now: Instant, body: Bytes) {
        self.queue(now, body, Box::default());
    }

    /// [`Self::deliver`] of the answer to a join.
    pub(super) fn deliver_opening(&mut self, now: Instant, body: Bytes) {
        let reply = Document::parse(body.clone(), &Limits::OWN);
        let rooms = reply.map(|reply| rooms_opened(&reply)).unwrap_or_default();
        let opens = self.rooms.told(rooms.iter());
        self.queue(now, body, opens);
        for body in self.gathers.overtaken(&self.rooms) {
            self.deliver(now, body);
        }
    }

    fn queue(&mut self, now: Instant, body: Bytes, opens: Box<[RoomUri]>) {
        let limits = self.settings.queue;
        let Some(queue) = self.queue_mut() else {
            return;
        };
        let unopened = opens.clone();
        if queue.push(body, opens, &limits).is_err() {
            let queued = queue.len();
            for legacy in &unopened {
                self.rooms.untell(legacy);
            }
            // A client behind a front end keeps what fits, and nobody is cut off twice.
            if self.is_attached() || !self.is_behind_front_end() {
                self.close_connection(now, CloseReason::Slow { queued });
            }
        }
    }

    /// Whether the client comes through a front end: it keeps its windows when its dialog ends, and asks for no history.
    pub(super) fn is_behind_front_end(&self) -> bool {
        let connection = self.connection.map(ClientNumber::of);
        connection.is_some_and(|client| client != self.client)
    }

    /// Where a message of a room, which has `bytes`, does not fit the queue of a client that asks for no history, the room is
    /// held back from now on: what does not fit is fetched from its history when the client reads.
    pub(super) fn hold_overflow(&mut self, pool: PoolId, room: &RoomUri, bytes: usize) {
        let names = self.rooms.aliases(pool, room.domain(), room.value());
        if !self.will_fit(names.count().max(1), bytes) && !self.tracks.holds(pool, room) {
            self.tracks.begin_hold(pool, room);
            self.tracks.joined(pool, room);
        }
    }

    /// Whether so many documents of `bytes` each fit the queue. Always so where the client starts over if they do not.
    pub(super) fn will_fit(&mut self, documents: usize, bytes: usize) -> bool {
        let limits = self.settings.queue;
        !self.is_behind_front_end()
            || self.queue_mut().is_none_or(|queue| {
                // Identifiers grow when they are translated.
                queue.has_place(documents, documents * bytes * 2, &limits)
            })
    }

    /// The client, or its front end, refused a document for good. It does without it: rooms that it was to open are left, so
    /// that the user is in none that the client does not know of, and who waits for an answer gets a shorter one.
    pub(super) fn not_delivered(&mut self, now: Instant, waiting: Waiting, status: Status) {
        let Waiting { body, opens } = waiting;
        self.event(Event::NotDelivered {
            status: status.code(),
        });
        self.not_opened(now, opens.into_vec());
        let document = Document::parse(body, &Limits::OWN);
        let item = document.as_ref().ok().and_then(|it| it.items().next());
        let Some(Item::Reply(reply)) = item else {
            return;
        };
        // A failure that is refused too is the last word.
        if let Some(client) = reply.command_id().filter(|_| reply.is_success())
            && reply.verb() != Verb::Part
        {
            let text = "The answer did not reach you.";
            let outcome = Outcome::new(ResultCode::LimitExceeded, text);
            self.reply(now, &client, &Reply::failure(reply.verb(), outcome));
        }
    }

    /// The client will not read the answer that was to open rooms. Those that no other answer opens are left.
    fn not_opened(&mut self, now: Instant, mut rooms: Vec<RoomUri>) {
        if let Downstream::Attached(channel) = &mut self.downstream {
            rooms = channel.queue.hand_over(rooms);
        }
        if rooms.is_empty() {
            return;
        }
        let joins = self.commands.iter().filter(|command| command.is_join());
        let joining: HashSet<&RoomUri> = joins
            .flat_map(|command| command.rooms.iter().map(|(room, _)| room))
            .collect();
        let (asked_again, left): (Vec<RoomUri>, Vec<RoomUri>) = rooms
            .into_iter()
            .partition(|legacy| joining.contains(legacy) || self.gathers.opens(legacy));
        for legacy in &asked_again {
            self.rooms.untell(legacy);
        }
        if !left.is_empty() {
            self.leave_rooms(now, &left);
        }
    }

    /// What waits for the client, if it is there or may come back to it.
    fn queue_mut(&mut self) -> Option<&mut Queue> {
        match &mut self.downstream {
            Downstream::Attached(channel) => Some(&mut channel.queue),
            Downstream::Detached { kept, .. } => kept.as_mut(),
            Downstream::Finished => None,
        }
    }

    /// Drops what waits for rooms that the client has left.
    pub(super) fn forget_queued(&mut self, left: &HashSet<RoomUri>) {
        if let Downstream::Attached(channel) = &mut self.downstream {
            channel.forget_rooms(left);
        }
    }

    pub(super) fn flush(&mut self, now: Instant) {
        loop {
            if !self.is_connected {
                break;
            }
            if let Downstream::Attached(channel) = &mut self.downstream {
                self.outputs
                    .extend(channel.late_answers().map(Output::Downstream));
                while let Some(info) = channel.next_info(now, &self.settings.queue) {
                    self.outputs.push_back(Output::Downstream(info));
                }
            }
            // What is held back goes on as the client reads: it must not be cut off for what it missed.
            let Downstream::Attached(channel) = &self.downstream else {
                break;
            };
            let limits = &self.settings.queue;
            let released = self
                .tracks
                .released(|bytes| channel.queue.is_roomy(bytes, limits));
            let Some(body) = released else {
                break;
            };
            if !self.wait_for_answer(now, &body) {
                self.deliver(now, body);
            }
        }
        self.fetch_gaps(now);
        if !self.leaving.is_empty() {
            self.send_parts(now);
        }
    }

    /// Whether somebody reads, or may come back and read, what is delivered.
    pub(super) fn has_reader(&self) -> bool {
        match &self.downstream {
            Downstream::Attached(_) => true,
            Downstream::Detached { kept, .. } => kept.is_some(),
            Downstream::Finished => false,
        }
    }

    /// The client starts over on another connection, and asks for the history there. Behind a front end it dials again on the
    /// connection that it has: what it has not read waits for it.
    pub(super) fn close_connection(&mut self, now: Instant, reason: CloseReason) {
        self.outputs.push_back(Output::CloseConnection(reason));
        if self.is_behind_front_end() {
            return self.detach(now);
        }
        self.is_connected = false;
        self.tracks.let_go();
        if let Downstream::Detached { kept, .. } = &mut self.downstream {
            *kept = None;
        }
        self.detach(now);
    }

    pub(super) fn detach(&mut self, now: Instant) {
        if let Some(unread) = self.end_dialog() {
            self.downstream = Downstream::Detached {
                since: now,
                until: now + self.settings.grace,
                kept: self.is_connected.then_some(unread),
            };
            self.claim_by = None;
            self.stranded_until = None;
            self.event(Event::Detached);
        }
    }

    /// The dialog is over, if there is one. Returns what the client has not read and will want when it comes back.
    pub(super) fn end_dialog(&mut self) -> Option<Queue> {
        let Downstream::Attached(channel) = &mut self.downstream else {
            return None;
        };
        let mut unread = channel.take_unread();
        // What the client asked for in this dialog is not answered in the next: a room it did not see opening it asks for
        // again, and an rpl:join for an open room breaks sending in it (facts/sipe-client.md).
        for command in &mut self.commands {
            command.disown();
        }
        self.gathers = Gathers::default();
        self.shadows.clear();
        self.rooms.unclaim_joining();
        let mut unopened = drop_replies(&mut unread, &self.rooms);
        // A room whose opening is not read may have been lost since; what was said of it before is not wanted either.
        unopened.extend(self.rooms.unclaim_unread(&unopened));
        if !unopened.is_empty() {
            unread.forget_rooms(&unopened);
            self.tracks.forget_names(&unopened);
        }
        self.forget_strays();
        Some(unread)
    }

    /// Nobody is there, and nothing that anybody could come back to, or that is still under way.
    pub(super) fn has_nothing_to_keep(&self) -> bool {
        self.rooms.is_empty() && self.posts.is_empty()
    }
}

/// Drops the replies that a client has not read, but for histories: those it has rooms for. Returns the rooms that the
/// others would have opened.
fn drop_replies(unread: &mut Queue, rooms: &Rooms) -> HashSet<RoomUri> {
    let unopened = unread.retain(|body| {
        let Ok(document) = Document::parse(body.clone(), &Limits::OWN) else {
            return false;
        };
        match document.items().next() {
            Some(Item::Reply(reply)) if reply.verb() == Verb::BackChat => {
                let named = translate::rooms_named(&document);
                named.iter().all(|room| rooms.is_open(room))
            }
            Some(Item::Reply(_)) => false,
            _ => true,
        }
    });
    unopened.into_iter().collect()
}
