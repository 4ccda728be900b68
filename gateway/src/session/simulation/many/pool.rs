//! A model pool: rooms with a history, one leg of the user at a time, and moods.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use holdover_protocol::room::RoomUri;
use holdover_protocol::translate::rooms_named;
use holdover_protocol::xccos::{Command, CommandView, Document, GroupChatView, Item, Limits, Verb};

use crate::pool::{LegEvent, PoolId, Receipt, SendId};
use crate::session::simulation::random::Random;
use crate::session::simulation::wire;

/// Documents that a leg lets wait, as real ones do.
pub(super) const WAITING: usize = 128;

/// How a pool is at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// Works, mostly.
    Well,
    /// Legs cannot be opened.
    Away,
    /// Takes and says nothing; whatever came meanwhile is done when it goes on.
    Frozen,
    /// Accepts and does commands and never replies, and gives no receipts for posts.
    Mute,
    /// Refuses what it is sent: too busy.
    Busy,
    /// Lets the user into few rooms.
    Strict,
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) text: String,
    author: &'static str,
    ts: String,
}

/// The user's leg, as the pool knows it.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) epoch: u64,
    pub(super) joined: BTreeSet<RoomUri>,
    /// Documents under way to the pool.
    pub(super) under_way: VecDeque<(SendId, Bytes)>,
    /// Those that arrived at a frozen pool.
    pub(super) arrived: usize,
    /// A leg keeps its order: nothing is taken or said before what came before it.
    pub(super) up: Instant,
    pub(super) down: Instant,
    /// What was replied last, to be said again.
    last_reply: Option<String>,
}

/// What became of a document.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) said: Vec<LegEvent>,
    /// The rooms that the user was let into, and how many messages were in each before.
    pub(super) entered: Vec<(RoomUri, usize)>,
    /// The text of a message that was stored.
    pub(super) stored: Option<String>,
}

#[derive(Debug)]
pub(super) struct Pool {
    pub(super) id: PoolId,
    pub(super) mood: Mood,
    pub(super) history: BTreeMap<RoomUri, Vec<Message>>,
    pub(super) leg: Option<Leg>,
    /// Nothing goes wrong any more.
    pub(super) is_calm: bool,
    epochs: u64,
    messages: u64,
}

impl Pool {
    pub(super) fn new(id: PoolId, rooms: Vec<RoomUri>) -> Self {
        Self {
            id,
            mood: Mood::Well,
            history: rooms.into_iter().map(|room| (room, Vec::new())).collect(),
            leg: None,
            is_calm: false,
            epochs: 0,
            messages: 0,
        }
    }

    /// Returns the number of the new leg.
    pub(super) fn open(&mut self, now: Instant) -> u64 {
        self.epochs += 1;
        self.leg = Some(Leg {
            epoch: self.epochs,
            joined: BTreeSet::new(),
            under_way: VecDeque::new(),
            arrived: 0,
            up: now,
            down: now,
            last_reply: None,
        });
        self.epochs
    }

    /// Takes the oldest document under way.
    pub(super) fn take(&mut self, random: &mut Random) -> Option<Taken> {
        let (id, body) = self.leg.as_mut()?.under_way.pop_front()?;
        Some(self.process(random, id, &body))
    }

    pub(super) fn process(&mut self, random: &mut Random, id: SendId, body: &Bytes) -> Taken {
        let document = Document::parse(body.clone(), &Limits::DEFAULT).unwrap();
        let item = document.items().next().unwrap();
        let chance = |random: &mut Random, percent| !self.is_calm && random.chance(percent);
        if self.mood == Mood::Busy && chance(random, 80) {
            return Taken {
                said: vec![refused(id, 503)],
                ..Taken::default()
            };
        }
        let mut taken = Taken::default();
        if chance(random, 4) {
            let status = *random.pick(&[302, 400, 401, 403, 407, 408, 481, 500, 503, 603]);
            taken.said.push(refused(id, status));
            return taken;
        }
        if chance(random, 3) {
            // Nobody knows what became of it.
            if random.chance(50) {
                taken.said.push(LegEvent::Receipt {
                    id,
                    receipt: Receipt::Unknown,
                });
            }
            if random.chance(50) {
                let done = self.act_on(random, id, item, &document);
                (taken.stored, taken.entered) = (done.stored, done.entered);
                let receipt = |said: &LegEvent| matches!(said, LegEvent::Receipt { .. });
                taken
                    .said
                    .extend(done.said.into_iter().filter(|said| !receipt(said)));
            }
            return taken;
        }
        self.act_on(random, id, item, &document)
    }

    fn act_on(
        &mut self,
        random: &mut Random,
        id: SendId,
        item: Item<'_>,
        document: &Document,
    ) -> Taken {
        let is_mute = self.mood == Mood::Mute && !self.is_calm;
        let accepted = LegEvent::Receipt {
            id,
            receipt: Receipt::Accepted,
        };
        match item {
            Item::Command(command) => {
                let mut taken = self.command(random, id, command, &rooms_named(document));
                if is_mute {
                    taken.said.clear();
                    // What was never said is not said again.
                    if let Some(leg) = &mut self.leg {
                        leg.last_reply = None;
                    }
                }
                // The answer may come before the receipt.
                let at = if random.chance(30) {
                    taken.said.len()
                } else {
                    0
                };
                taken.said.insert(at, accepted);
                taken
            }
            Item::GroupChat(post) => {
                let mut taken = self.post(random, id, post);
                if is_mute {
                    taken
                        .said
                        .retain(|said| !matches!(said, LegEvent::Receipt { .. }));
                }
                taken
            }
            _ => unreachable!("the gateway sends commands and posts"),
        }
    }

    fn post(&mut self, random: &mut Random, id: SendId, post: GroupChatView<'_>) -> Taken {
        let room = post.room().unwrap();
        let is_in = self
            .leg
            .as_ref()
            .is_some_and(|leg| leg.joined.contains(&room));
        if !is_in {
            return Taken {
                said: vec![refused(id, 403)],
                ..Taken::default()
            };
        }
        let text = post.chat().into_owned();
        let mut said: Vec<LegEvent> = self
            .message(random, &room, &text, wire::USER)
            .into_iter()
            .collect();
        let at = random.below(said.len() + 1);
        let receipt = Receipt::Accepted;
        said.insert(at, LegEvent::Receipt { id, receipt });
        Taken {
            said,
            stored: Some(text),
            ..Taken::default()
        }
    }

    /// Somebody writes. Returns what the user is told, who may be in the room.
    pub(super) fn message(
        &mut self,
        random: &mut Random,
        room: &RoomUri,
        text: &str,
        author: &'static str,
    ) -> Option<LegEvent> {
        self.messages += 1;
        let message = Message {
            text: text.to_owned(),
            author,
            ts: format!("2026-11-22T10:00:00.{:06}Z", self.messages),
        };
        let written = written(room, &message, "grpchat seqid=\"1\"", "grpchat");
        self.history.get_mut(room).unwrap().push(message);
        let is_in = self
            .leg
            .as_ref()
            .is_some_and(|leg| leg.joined.contains(room));
        is_in.then(|| LegEvent::Document(wire::from_pool(random, &written)))
    }

    fn command(
        &mut self,
        random: &mut Random,
        id: SendId,
        view: CommandView<'_>,
        rooms: &[RoomUri],
    ) -> Taken {
        let verb = view.verb();
        let chance = |random: &mut Random, percent| !self.is_calm && random.chance(percent);
        let is_part = verb == Verb::Part;
        let (mut code, mut data, mut taken) = (200, String::new(), Taken::default());
        let strict = if self.mood == Mood::Strict { 50 } else { 4 };
        match Command::read(view).unwrap() {
            Command::Part(_) => {
                if let Some(leg) = &mut self.leg {
                    rooms.iter().for_each(|room| {
                        leg.joined.remove(room);
                    });
                }
                data = wire::found(rooms);
            }
            _ if chance(random, 5) => code = 500,
            Command::Join(_) | Command::BatchJoin(_) => {
                let (entered, failed): (Vec<_>, Vec<_>) = rooms
                    .iter()
                    .cloned()
                    .partition(|room| self.history.contains_key(room) && !chance(random, strict));
                if verb == Verb::Join && !failed.is_empty() {
                    code = 403;
                } else {
                    data = wire::joined(&entered, &failed);
                    taken.entered = entered
                        .iter()
                        .map(|room| (room.clone(), self.history[room].len()))
                        .collect();
                    if let Some(leg) = &mut self.leg {
                        leg.joined.extend(entered);
                    }
                }
            }
            Command::BackChat(asked) => {
                let messages = self.history.get(&asked.room).map_or(&[][..], Vec::as_slice);
                let from = messages
                    .len()
                    .saturating_sub(asked.last.unwrap_or(30) as usize);
                data = looked_back(&asked.room, &messages[from..]);
            }
            Command::ChannelSearch(_) | Command::GetInvitations(_) | Command::GetAssociations => {
                let rooms: Vec<RoomUri> = self.history.keys().take(5).cloned().collect();
                data = wire::found(&rooms);
            }
            Command::GetServerInfo(_) => {
                let limit = 100 + u64::from(self.id.0);
                data = format!(r#"<sib infoType="123" searchLimit="{limit}"/>"#);
            }
            _ => {}
        }
        let reply = wire::reply(&verb.reply_name(), id.0, code, &data);
        // Leaving a room is always answered, if only to keep the books simple: nobody waits for it.
        if is_part || self.is_calm || !random.chance(4) {
            let document = wire::from_pool(random, &reply);
            taken.said.push(LegEvent::Document(document));
            if let Some(leg) = &mut self.leg {
                leg.last_reply = Some(reply);
            }
        }
        taken
    }

    /// Something that a pool may say at any time.
    pub(super) fn odd(&self, random: &mut Random) -> Option<LegEvent> {
        let leg = self.leg.as_ref()?;
        let rooms: Vec<RoomUri> = leg.joined.iter().cloned().collect();
        let text = match random.below(5) {
            0 => return Some(LegEvent::Document(Bytes::from_static(b"<xccos"))),
            1 => leg.last_reply.clone()?,
            2 => wire::reply("rpl:bjoin", 999_999_999, 200, &wire::joined(&rooms, &[])),
            3 if !rooms.is_empty() => wire::left(random.pick(&rooms)),
            _ => wire::arrived(&rooms),
        };
        Some(LegEvent::Document(wire::from_pool(random, &text)))
    }
}

fn refused(id: SendId, status: u16) -> LegEvent {
    let reason = "reason".into();
    LegEvent::Receipt {
        id,
        receipt: Receipt::Refused { status, reason },
    }
}

fn written(room: &RoomUri, message: &Message, tag: &str, id: &str) -> String {
    let name = tag.split(' ').next().unwrap();
    let Message { text, author, ts } = message;
    format!(
        r#"<{tag} id="{id}" chanUri="{room}" author="{author}" ts="{ts}"><chat>{text}</chat></{name}>"#
    )
}

fn looked_back(room: &RoomUri, messages: &[Message]) -> String {
    let messages: String = messages
        .iter()
        .map(|message| written(room, message, "msg", "grpchat"))
        .collect();
    format!(r#"<chanib uri="{room}">{messages}</chanib>"#)
}
