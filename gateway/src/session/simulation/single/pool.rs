//! A model pool: one leg at a time, in order, arbitrarily late.

use std::collections::BTreeSet;

use bytes::Bytes;
use holdover_protocol::room::RoomUri;
use holdover_protocol::translate::rooms_named;
use holdover_protocol::xccos::{Document, Item, Limits, Verb};

use super::directory::{ROOMS, migrated};
use crate::pool::{LegEvent, Receipt, SendId};
use crate::session::simulation::random::Random;
use crate::session::simulation::wire;

/// One thing that the pool says, and what the oracle has to know about it.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) event: LegEvent,
    pub(super) meaning: Vec<Meaning>,
}

#[derive(Debug)]
pub(super) enum Meaning {
    /// A message went to everybody in a room.
    FanOut { room: RoomUri, token: String },
    /// A command was answered; `joined` are the rooms that the user is in now.
    Replied {
        id: SendId,
        success: bool,
        joined: Vec<RoomUri>,
    },
}

/// The text of one item, and what it means if the oracle must know.
type Line = (String, Option<Meaning>);

#[derive(Debug, Default)]
pub(super) struct Pool {
    /// Which of the legs, so that what an earlier one said late is not heard.
    pub(super) epoch: u64,
    pub(super) is_open: bool,
    /// The rooms the user is in.
    pub(super) joined: BTreeSet<RoomUri>,
    messages: u64,
    /// Replies that wait to be merged with the next.
    held: Vec<Line>,
}

impl Pool {
    pub(super) fn open(&mut self) {
        assert!(!self.is_open, "a leg was opened while one was open");
        self.epoch += 1;
        self.is_open = true;
    }

    pub(super) fn close(&mut self) {
        self.is_open = false;
        self.joined.clear();
        self.held.clear();
    }

    /// Takes one document and answers what is said of it, in order.
    pub(super) fn take(&mut self, random: &mut Random, id: SendId, body: &Bytes) -> Vec<Said> {
        let document = Document::parse(body.clone(), &Limits::DEFAULT).unwrap();
        let item = document.items().next().unwrap();
        let is_part = matches!(item, Item::Command(command) if command.verb() == Verb::Part);
        let receipt = match random.below(20) {
            _ if is_part => Some(Receipt::Accepted),
            0 => Some(Receipt::Unknown),
            1 => {
                let status = *random.pick(&[302, 400, 401, 403, 407, 408, 481, 500, 503, 603]);
                Some(Receipt::Refused {
                    status,
                    reason: "reason".into(),
                })
            }
            2 => None,
            _ => Some(Receipt::Accepted),
        };
        let is_taken = match receipt {
            Some(Receipt::Accepted) => true,
            Some(Receipt::Refused { .. }) => false,
            // Nobody knows what became of a post. A command of which nobody knows was not carried out: what the pool
            // alone knows of could never be put right.
            Some(Receipt::Unknown) | None => {
                matches!(item, Item::GroupChat(_)) && random.chance(50)
            }
        };
        let mut said = Vec::new();
        if is_taken {
            match item {
                Item::Command(command) => {
                    said = self.command(random, id, &command.verb(), &rooms_named(&document));
                }
                Item::GroupChat(post) => {
                    let line = self.message(&post.room().unwrap());
                    said = say(random, line.into_iter().collect());
                }
                _ => unreachable!("the gateway sends commands and posts"),
            }
        }
        if let Some(receipt) = receipt {
            let receipt = Said {
                event: LegEvent::Receipt { id, receipt },
                meaning: Vec::new(),
            };
            // The answer may come before the receipt.
            let at = if random.chance(30) { said.len() } else { 0 };
            said.insert(at, receipt);
        }
        said
    }

    fn command(
        &mut self,
        random: &mut Random,
        id: SendId,
        verb: &Verb,
        rooms: &[RoomUri],
    ) -> Vec<Said> {
        let is_part = *verb == Verb::Part;
        if !is_part && random.chance(5) {
            return Vec::new();
        }
        let (mut code, mut joined, mut data) = (200, Vec::new(), String::new());
        match verb {
            Verb::Part => {
                rooms.iter().for_each(|room| {
                    self.joined.remove(room);
                });
                data = wire::found(rooms);
            }
            _ if random.chance(8) => code = 500,
            Verb::Join | Verb::BatchJoin => {
                let (entered, failed): (Vec<_>, Vec<_>) = rooms.iter().cloned().partition(|room| {
                    // Who is in a room may enter it again.
                    self.joined.contains(room) || random.chance(90)
                });
                if *verb == Verb::Join && !failed.is_empty() {
                    code = 403;
                } else {
                    self.joined.extend(entered.iter().cloned());
                    data = wire::joined(&entered, &failed);
                    joined = entered;
                }
            }
            Verb::BackChat => data = rooms.iter().map(wire::history).collect(),
            Verb::ChannelSearch => data = wire::found(&ROOMS.map(migrated)),
            _ => {}
        }
        let text = wire::reply(&verb.reply_name(), id.0, code, &data);
        let success = code == 200;
        self.held.push((
            text,
            Some(Meaning::Replied {
                id,
                success,
                joined,
            }),
        ));
        if random.chance(15) {
            Vec::new()
        } else {
            self.release(random)
        }
    }

    /// Everything held back, in one envelope.
    pub(super) fn release(&mut self, random: &mut Random) -> Vec<Said> {
        say(random, std::mem::take(&mut self.held))
    }

    /// A message in a room; only who is in it hears of it.
    fn message(&mut self, room: &RoomUri) -> Option<Line> {
        if !self.joined.contains(room) {
            return None;
        }
        self.messages += 1;
        let token = format!("msg-{}-{}.", self.epoch, self.messages);
        let text = wire::fan_out(room, &format!("{token} see {}", migrated("l-1")));
        Some((
            text,
            Some(Meaning::FanOut {
                room: room.clone(),
                token,
            }),
        ))
    }

    /// Others in the rooms do something, or the pool does something odd.
    pub(super) fn act(&mut self, random: &mut Random) -> Vec<Said> {
        let rooms: Vec<RoomUri> = self.joined.iter().cloned().collect();
        let mut lines: Vec<Line> = Vec::new();
        match random.below(12) {
            0 => return self.release(random),
            1 => {
                return vec![Said {
                    event: LegEvent::Document(Bytes::from_static(b"<xccos")),
                    meaning: Vec::new(),
                }];
            }
            2 => {
                let empty = LegEvent::Document(wire::from_pool(random, ""));
                return vec![Said {
                    event: empty,
                    meaning: Vec::new(),
                }];
            }
            3 => {
                let unasked = wire::reply("rpl:join", 999_999, 200, &wire::joined(&rooms, &[]));
                lines.push((unasked, None));
            }
            _ if rooms.is_empty() => {}
            4 => lines.push((wire::left(random.pick(&rooms)), None)),
            5 => lines.push((wire::arrived(&rooms), None)),
            // Several things in one envelope.
            6 => {
                for _ in 0..3 {
                    let room = random.pick(&rooms).clone();
                    lines.extend(self.message(&room));
                }
                lines.push((wire::left(random.pick(&rooms)), None));
            }
            _ => lines.extend(self.message(random.pick(&rooms))),
        }
        say(random, lines)
    }
}

/// One envelope with these items.
fn say(random: &mut Random, lines: Vec<Line>) -> Vec<Said> {
    if lines.is_empty() {
        return Vec::new();
    }
    let (texts, meaning): (Vec<String>, Vec<_>) = lines.into_iter().unzip();
    let event = LegEvent::Document(wire::from_pool(random, &texts.concat()));
    vec![Said {
        event,
        meaning: meaning.into_iter().flatten().collect(),
    }]
}
