//! The pool's rules, command by command, on a core without thread and with a clock of the test's own.

mod commands;
mod faults;
mod model;
mod presence;

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos::verb::{BackChat, BatchJoin, Join, JoinReply, Part};
use holdover_protocol::xccos::{
    Command, Document, Envelope, GroupChat, Item, Limits, Notice, Reply, ReplyData,
};
use jiff::Timestamp;

use super::*;
use crate::pool::embedded::load::load_text;

/// Rooms of every kind. Ann is a member of all, Bob manages all, Zoe is nobody in particular.
pub(super) const ROOMS: &str = r#"
[[category]]
name = "Trading"
allowed = ["*@contoso.com"]
denied = ["mallory@contoso.com"]

[[room]]
name = "Open Deals"
value = "open"
category = "Trading"
description = "Everybody"
privacy = "open"
members = ["ann@contoso.com"]
managers = ["bob@contoso.com"]

[[room]]
name = "Closed deals"
value = "closed"
category = "Trading"
members = ["ann@contoso.com"]
managers = ["bob@contoso.com"]

[[room]]
name = "Secret deals"
value = "secret"
category = "Trading"
privacy = "secret"
members = ["ann@contoso.com"]
managers = ["bob@contoso.com"]

[[room]]
name = "Town hall"
value = "hall"
category = "Trading"
privacy = "open"
type = "auditorium"
invitations = false
managers = ["bob@contoso.com"]
members = ["ann@contoso.com"]
presenters = ["pat@contoso.com"]

[[room]]
name = "Attic"
value = "attic"
category = "Trading"
privacy = "open"
disabled = true
members = ["ann@contoso.com"]
"#;

/// A core, its database, and what its legs were told.
pub(super) struct World {
    folder: tempfile::TempDir,
    pub(super) core: Core,
    pub(super) now: Timestamp,
    next: u64,
    inboxes: BTreeMap<LegId, Vec<Bytes>>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(ROOMS, |_| {})
    }

    pub(super) fn with(rooms: &str, adjust: impl FnOnce(&mut EmbeddedOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rooms.db");
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        load_text(&path, "rooms.toml", rooms, now).unwrap();
        let mut options = EmbeddedOptions::new("contoso.com");
        adjust(&mut options);
        let core = Core::new(Store::open(&path).unwrap(), options, Ticks::from(now)).unwrap();
        Self {
            folder,
            core,
            now,
            next: 1,
            inboxes: BTreeMap::new(),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("rooms.db")
    }

    pub(super) fn leg(&mut self, user: &str) -> LegId {
        let leg = LegId(self.next);
        self.next += 1;
        let user = UserUri::parse(&format!("sip:{user}@contoso.com")).unwrap();
        self.core.open_leg(leg, user);
        leg
    }

    /// Sends a document, commits, and delivers as the driver does.
    pub(super) fn send(&mut self, leg: LegId, document: impl Into<Bytes>) -> Receipt {
        let id = SendId(self.next);
        self.next += 1;
        let ejected = self.core.refresh();
        self.deliver(ejected);
        let outcome = self
            .core
            .handle(leg, id, document.into(), Ticks::from(self.now));
        let kept = self.core.commit().is_ok();
        if !kept && outcome.rests_on_commit == Some((leg, id)) {
            return Receipt::Unknown;
        }
        let receipt = self.deliver(outcome.effects).expect("a receipt");
        while self.core.is_listing() {
            let effect = self.core.list_on();
            self.deliver(effect);
        }
        receipt
    }

    pub(super) fn close(&mut self, leg: LegId) {
        let effects = self.core.close_leg(leg);
        self.deliver(effects);
    }

    fn deliver(&mut self, effects: impl IntoIterator<Item = Effect>) -> Option<Receipt> {
        let mut answer = None;
        for effect in effects {
            match effect {
                Effect::Receipt { receipt, .. } => {
                    assert_eq!(answer.replace(receipt), None, "two receipts");
                }
                Effect::Document { legs, document } => {
                    for leg in legs {
                        self.inboxes.entry(leg).or_default().push(document.clone());
                    }
                }
            }
        }
        answer
    }

    /// What a leg was told since last asked.
    pub(super) fn inbox(&mut self, leg: LegId) -> Vec<Document> {
        self.inboxes
            .remove(&leg)
            .unwrap_or_default()
            .into_iter()
            .map(|bytes| Document::parse(bytes, &Limits::default()).unwrap())
            .collect()
    }

    pub(super) fn notices(&mut self, leg: LegId) -> Vec<Notice> {
        let notice = |document: &Document| match document.items().next() {
            Some(Item::Notice(view)) => Some(Notice::read(view).unwrap()),
            _ => None,
        };
        self.inbox(leg).iter().filter_map(notice).collect()
    }

    pub(super) fn messages(&mut self, leg: LegId) -> Vec<GroupChat> {
        let message = |document: &Document| match document.items().next() {
            Some(Item::GroupChat(view)) => Some(GroupChat::read(view).unwrap()),
            _ => None,
        };
        self.inbox(leg).iter().filter_map(message).collect()
    }

    /// Asks, and reads the reply, which must be the first thing told.
    pub(super) fn ask(&mut self, leg: LegId, command: &Command) -> Reply {
        self.inbox(leg);
        let document = Envelope::new("77").command(3, command).finish();
        assert_eq!(self.send(leg, document), Receipt::Accepted);
        let inbox = self.inbox(leg);
        let Some(Item::Reply(view)) = inbox[0].items().next() else {
            panic!("no reply");
        };
        let id = view.command_id().unwrap();
        assert_eq!((&*id.envid, &*id.seqid), ("77", "3"));
        Reply::read(view).unwrap()
    }

    pub(super) fn code(&mut self, leg: LegId, command: &Command) -> u16 {
        self.ask(leg, command).outcome.code
    }

    pub(super) fn join(&mut self, leg: LegId, value: &str) -> u16 {
        self.code(leg, &Command::Join(Join { room: room(value) }))
    }

    pub(super) fn part(&mut self, leg: LegId, value: &str) -> u16 {
        let rooms = vec![room(value)];
        self.code(leg, &Command::Part(Part { rooms }))
    }

    pub(super) fn batch_join(&mut self, leg: LegId, values: &[&str]) -> JoinReply {
        let rooms = values.iter().map(|value| room(value)).collect();
        let reply = self.ask(leg, &Command::BatchJoin(BatchJoin { rooms }));
        assert_eq!(reply.outcome.code, 200);
        let ReplyData::Join(reply) = reply.data else {
            panic!("{reply:?}");
        };
        reply
    }

    pub(super) fn post(&mut self, leg: LegId, value: &str, text: &str) -> Receipt {
        let post = GroupChat {
            room: room(value),
            author: None,
            ts: Some("2009-01-01T00:00:00Z".into()),
            chat: text.to_owned(),
        };
        self.send(leg, Envelope::new(5).group_chat(1, &post).finish())
    }

    pub(super) fn history(&mut self, leg: LegId, value: &str, last: Option<u32>) -> Vec<GroupChat> {
        let query = BackChat {
            room: room(value),
            last,
        };
        let reply = self.ask(leg, &Command::BackChat(query));
        assert_eq!(reply.outcome.code, 200);
        let ReplyData::BackChat(reply) = reply.data else {
            panic!("{reply:?}");
        };
        assert_eq!(reply.rooms.len(), 1);
        reply.rooms[0].messages.clone()
    }

    pub(super) fn texts(&mut self, leg: LegId, value: &str) -> Vec<String> {
        self.history(leg, value, Some(500))
            .into_iter()
            .map(|message| message.chat)
            .collect()
    }
}

pub(super) fn room(value: &str) -> RoomUri {
    RoomUri::new("contoso.com", value).unwrap()
}

/// The status of a refusal.
pub(super) fn refused(receipt: Receipt) -> u16 {
    match receipt {
        Receipt::Refused { status, .. } => status,
        other => panic!("{other:?}"),
    }
}
