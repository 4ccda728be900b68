//! What the client has on its screen: what others post in a room that it has open arrives once and in order, and nothing of a
//! room that it does not have open.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use holdover_protocol::room::RoomUri;
use holdover_protocol::translate::rooms_named;
use holdover_protocol::xccos::{Document, Item, Limits, ReplyView, Verb};

use super::commands::{Commands, Entry, Unanswered, rooms};
use super::directory::{Directory, OLD};
use crate::pool::PoolId;

/// A room that the client has open. Messages are numbered as they stand in the room's history.
#[derive(Debug)]
struct Window {
    pool: PoolId,
    migrated: RoomUri,
    /// The first message after the pool let the client in.
    from: usize,
    /// Messages that came, in order.
    got: Vec<usize>,
    /// Messages that the client saw in a history.
    looked: BTreeSet<usize>,
    /// The gateway said that messages before this one may be missing.
    excused: usize,
    /// The pool does not let the user in any more.
    is_lost: bool,
}

/// What a document means to the client once it has read it.
#[derive(Debug)]
enum Meaning {
    Chat(RoomUri, usize),
    History(RoomUri, Vec<usize>),
    Opened(Vec<(RoomUri, Entry)>),
    Other,
}

#[derive(Debug, Default)]
pub(super) struct Windows {
    open: BTreeMap<RoomUri, Window>,
    /// What the client has not read yet, by CSeq.
    under_way: Vec<(u32, Meaning)>,
    /// The command that each of these answers, as it was before.
    answers: Vec<(u32, Unanswered)>,
    /// Where each text stands.
    texts: BTreeMap<String, (PoolId, RoomUri, usize)>,
    /// When the user was last not let into a pool's room again.
    lost: BTreeMap<(PoolId, RoomUri), Instant>,
    /// The gateway said that messages of a pool's room before this one may be missing.
    excused: BTreeMap<(PoolId, RoomUri), usize>,
    pub(super) incomplete: usize,
}

impl Windows {
    /// Somebody wrote.
    pub(super) fn written(&mut self, text: &str, pool: PoolId, room: &RoomUri, at: usize) {
        self.texts.insert(text.to_owned(), (pool, room.clone(), at));
    }

    pub(super) fn rooms(&self) -> impl Iterator<Item = &RoomUri> {
        self.open.keys()
    }

    pub(super) fn has(&self, room: &RoomUri) -> bool {
        self.open.contains_key(room)
    }

    /// Rooms in which the client can talk.
    pub(super) fn working(&self) -> Vec<RoomUri> {
        let working = self.open.iter().filter(|(_, window)| !window.is_lost);
        working.map(|(room, _)| room.clone()).collect()
    }

    pub(super) fn parted(&mut self, room: &RoomUri) {
        self.open.remove(room);
        for (_, meaning) in &mut self.under_way {
            if let Meaning::Opened(rooms) = meaning {
                rooms.retain(|(opened, _)| opened != room);
            }
        }
    }

    /// The dialog is gone: what the client has not read it will not read.
    pub(super) fn dialog_gone(&mut self) {
        self.under_way.clear();
        self.answers.clear();
    }

    pub(super) fn disconnected(&mut self) {
        self.dialog_gone();
        self.open.clear();
    }

    pub(super) fn lost(&mut self, now: Instant, pool: PoolId, migrated: &RoomUri) {
        self.lost.insert((pool, migrated.clone()), now);
        for window in self.open.values_mut() {
            window.is_lost |= window.pool == pool && window.migrated == *migrated;
        }
    }

    /// The gateway says that messages may be missing.
    pub(super) fn excused(&mut self, pool: PoolId, migrated: &RoomUri, until: usize) {
        self.incomplete += 1;
        // The client may not have read yet that the room is open.
        self.excused.insert((pool, migrated.clone()), until);
        for window in self.open.values_mut() {
            if window.pool == pool && window.migrated == *migrated {
                window.excused = until;
            }
        }
    }

    /// A document goes to the client.
    pub(super) fn sent(
        &mut self,
        cseq: u32,
        body: &str,
        commands: &mut Commands,
        directory: &Directory,
    ) {
        check_ids(body);
        let document = Document::parse(body.as_bytes().to_vec(), &Limits::DEFAULT).unwrap();
        let items: Vec<Item<'_>> = document.items().collect();
        let [item] = items[..] else {
            panic!("not one item: {body}");
        };
        if let Item::Reply(reply) = item
            && let Some(unanswered) = commands.unanswered(reply)
        {
            self.answers.push((cseq, unanswered));
        }
        let meaning = match item {
            Item::GroupChat(chat) => self.chat(chat.room().unwrap(), &chat.chat(), body),
            Item::Notice(_) => {
                for room in rooms_named(&document) {
                    assert!(
                        self.is_told(&room),
                        "a notice of a room that is not open: {body}"
                    );
                }
                Meaning::Other
            }
            Item::Reply(reply) if reply.verb() == Verb::BackChat => {
                let is_asked = commands.is_awaited(reply);
                if is_asked {
                    commands.replied(reply, body, directory);
                }
                self.history(reply, &document, is_asked, body)
            }
            Item::Reply(reply) => Meaning::Opened(commands.replied(reply, body, directory)),
            Item::Command(_) | Item::Other(_) => panic!("no pool sends this: {body}"),
        };
        self.under_way.push((cseq, meaning));
    }

    /// Whether the client knows, or is about to be told, that a room is open.
    fn is_told(&self, room: &RoomUri) -> bool {
        self.open.contains_key(room) || self.opening(room).is_some()
    }

    fn opening(&self, room: &RoomUri) -> Option<Entry> {
        let opened = self
            .under_way
            .iter()
            .filter_map(|(_, meaning)| match meaning {
                Meaning::Opened(rooms) => rooms.iter().find(|(opened, _)| opened == room),
                _ => None,
            });
        opened.map(|(_, entry)| *entry).next()
    }

    fn chat(&self, room: RoomUri, text: &str, body: &str) -> Meaning {
        let (pool, migrated, at) = &self.texts[text];
        assert!(
            self.is_told(&room),
            "a message of a room that is not open: {body}"
        );
        let window = self.open.get(&room);
        let mut from = self.opening(&room).map_or(0, |entry| entry.before);
        let mut got: Vec<usize> = Vec::new();
        let mut looked: BTreeSet<usize> = BTreeSet::new();
        if let Some(window) = window {
            assert!(
                window.pool == *pool && window.migrated == *migrated,
                "a message of another room: {body}"
            );
            from = window.from;
            got.extend(&window.got);
            looked.extend(&window.looked);
        }
        // The history of a room that it does not have yet the client drops.
        let mut has_window = window.is_some();
        for (_, meaning) in &self.under_way {
            match meaning {
                Meaning::Opened(rooms) => has_window |= rooms.iter().any(|(one, _)| *one == room),
                Meaning::Chat(other, at) if *other == room => got.push(*at),
                Meaning::History(other, all) if *other == room && has_window => looked.extend(all),
                _ => {}
            }
        }
        assert!(!got.contains(at), "{at} came twice: {body}");
        assert!(
            !looked.contains(at),
            "{at} came after it was in the history: {body}"
        );
        let last = got.iter().max();
        assert!(
            last.is_none_or(|last| last < at),
            "{at} came after {last:?}: {body}"
        );
        // What was there before the client came is told only where nothing is known of what came since: it may look at the
        // history before all of it went out.
        let is_first = got.iter().all(|got| *got < from);
        let is_fresh = is_first || got.iter().any(|got| *got < from);
        // Or where it was missing under another name of the room: a gap is closed for the room.
        let is_missing_elsewhere = self.open.iter().any(|(other, window)| {
            *other != room && window.migrated == *migrated && window.from <= *at
        });
        assert!(
            *at >= from || is_fresh || is_missing_elsewhere,
            "{at} was there before {from}: {body}"
        );
        Meaning::Chat(room, *at)
    }

    fn history(
        &self,
        reply: ReplyView<'_>,
        document: &Document,
        is_asked: bool,
        body: &str,
    ) -> Meaning {
        let named = rooms(reply, "chanib");
        let [room] = &named[..] else {
            return Meaning::Other;
        };
        let Ok(text) = std::str::from_utf8(document.bytes()) else {
            unreachable!("not UTF-8")
        };
        assert!(
            self.is_told(room) || is_asked,
            "history of a room that is not open: {body}"
        );
        let texts = text.split("<chat>").skip(1);
        let all = texts.map(|rest| self.texts[rest.split('<').next().unwrap()].2);
        Meaning::History(room.clone(), all.collect())
    }

    /// The client did not take a document: it comes again, or is dropped and, if somebody waits for it, answered otherwise.
    pub(super) fn refused(
        &mut self,
        cseq: u32,
        is_for_now: bool,
        commands: &mut Commands,
        directory: &Directory,
    ) {
        for (_, unanswered) in self.answers.extract_if(.., |(number, _)| *number == cseq) {
            if is_for_now || !unanswered.is_failure {
                commands.restore(unanswered);
            }
        }
        let refused: Vec<(u32, Meaning)> = self
            .under_way
            .extract_if(.., |(number, _)| *number == cseq)
            .collect();
        for (_, meaning) in refused {
            // A message that is dropped is said to be, and nobody misses it.
            if !is_for_now && matches!(meaning, Meaning::Chat(..)) {
                self.took(meaning, directory);
            }
        }
    }

    /// The client has read a document.
    pub(super) fn read(&mut self, cseq: u32, directory: &Directory) {
        self.answers.retain(|(number, _)| *number > cseq);
        let is_read = |(number, _): &mut (u32, Meaning)| *number <= cseq;
        let read: Vec<(u32, Meaning)> = self.under_way.extract_if(.., is_read).collect();
        for (_, meaning) in read {
            self.took(meaning, directory);
        }
    }

    fn took(&mut self, meaning: Meaning, directory: &Directory) {
        match meaning {
            Meaning::Chat(room, at) => {
                if let Some(window) = self.open.get_mut(&room) {
                    window.got.push(at);
                }
            }
            Meaning::History(room, all) => {
                if let Some(window) = self.open.get_mut(&room) {
                    window.looked.extend(all);
                }
            }
            Meaning::Opened(rooms) => {
                for (room, entry) in rooms {
                    self.opened(room, entry, directory);
                }
            }
            Meaning::Other => {}
        }
    }

    fn opened(&mut self, room: RoomUri, entry: Entry, directory: &Directory) {
        let place = directory.place(&room).unwrap();
        let key = (place.pool, place.migrated.clone());
        let lost = self.lost.get(&key);
        let is_lost = lost.is_some_and(|lost| *lost >= entry.at);
        if let Some(window) = self.open.get_mut(&room) {
            if window.is_lost && !is_lost {
                (window.is_lost, window.from) = (false, entry.before);
                // Who joins anew sees anew.
                (window.got, window.looked) = (Vec::new(), BTreeSet::new());
            }
            return;
        }
        let window = Window {
            pool: place.pool,
            migrated: place.migrated.clone(),
            from: entry.before,
            got: Vec::new(),
            looked: BTreeSet::new(),
            excused: *self.excused.get(&key).unwrap_or(&0),
            is_lost,
        };
        self.open.insert(room, window);
    }

    /// All is quiet: nothing is missing.
    pub(super) fn check_rest(&self, written: impl Fn(PoolId, &RoomUri) -> usize) {
        assert!(self.under_way.is_empty(), "not read: {:?}", self.under_way);
        for (room, window) in self.open.iter().filter(|(_, window)| !window.is_lost) {
            // Who asked for the last messages has seen enough: what stands before them is in the history still. From the
            // first message on that the client saw, nothing is missing.
            let seen = window.got.iter().chain(&window.looked).min();
            let from = window.from.max(window.excused);
            let from = from.max(seen.copied().unwrap_or_default());
            for at in from..written(window.pool, &window.migrated) {
                let came = window.got.contains(&at) || window.looked.contains(&at);
                assert!(came, "{at} never came to {room}: {window:?}");
            }
        }
    }
}

/// Every identifier that a client sees is a legacy one.
fn check_ids(body: &str) {
    for (start, end) in [("ma-chan://", '/'), ("domain=\"", '"')] {
        for rest in body.split(start).skip(1) {
            let domain = rest.split(end).next().unwrap();
            assert_eq!(domain, OLD, "went to the client: {body}");
        }
    }
}
