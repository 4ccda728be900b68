//! What the core lets out, held against the books.

use std::collections::BTreeSet;

use holdover_protocol::room::RoomUri;
use holdover_protocol::translate::rooms_named;
use holdover_protocol::xccos::{Document, ElementRef, Item, Limits, ReplyView, Verb};

use super::directory::{Directory, NEW};
use super::oracle::{Oracle, Progress, State, Unread};

impl Oracle {
    pub(super) fn expect_answer(&mut self, info: (u64, u32), status: u16) {
        if let Some(info) = self.infos.get_mut(&info) {
            info.expected = Some(status);
        }
    }

    pub(super) fn closing_connection(&mut self) {
        self.is_wire_up = false;
        self.infos.clear();
        self.expected.clear();
    }

    /// The client's request was answered.
    pub(super) fn answered(&mut self, dialog: u64, cseq: u32, status: u16) {
        if !self.is_wire_up {
            return;
        }
        let info = self.infos.get_mut(&(dialog, cseq));
        let info = info.unwrap_or_else(|| panic!("an answer to nothing: {cseq} {status}"));
        assert_eq!(
            Some(info.connection),
            self.connection,
            "an answer to another connection"
        );
        info.answers.push(status);
        assert_eq!(
            info.answers.len(),
            1,
            "an INFO was answered twice: {:?}",
            info.answers
        );
        // A client survives only these (facts/sipe-client.md).
        assert!(status == 200 || (400..600).contains(&status), "{status}");
        assert!(
            !matches!(status, 401 | 407),
            "{status} is repeated without end"
        );
    }

    /// What must hold whenever the core has nothing more to say.
    pub(super) fn check_step(&self) {
        for ((dialog, cseq), info) in &self.infos {
            if let Some(expected) = info.expected {
                assert_eq!(
                    info.answers,
                    [expected],
                    "INFO {cseq} of dialog {dialog}: its fate is known, and the client was told otherwise"
                );
            }
        }
        let accounted = self
            .infos
            .iter()
            .filter(|(_, info)| info.answers.is_empty())
            .all(|(id, _)| self.posts.values().any(|post| post.info == *id));
        assert!(
            accounted,
            "an INFO is neither answered nor waiting for a receipt"
        );
    }

    /// A document went to the client, as the INFO with this number.
    pub(super) fn shown_to_client(&mut self, cseq: u32, body: &str, directory: &Directory) {
        assert_eq!(cseq, self.last_cseq + 1, "CSeq has a gap");
        self.last_cseq = cseq;
        self.unanswered.insert(cseq);
        assert!(
            self.unanswered.len() <= self.settings.queue.outstanding,
            "more INFOs than the client may have to answer"
        );
        if !self.is_wire_up {
            return;
        }
        check_client_ids(body, directory);
        let document = Document::parse(body.as_bytes().to_vec(), &Limits::DEFAULT).unwrap();
        let items: Vec<Item<'_>> = document.items().collect();
        let messages = items
            .iter()
            .filter(|item| matches!(item, Item::GroupChat(_)))
            .count();
        assert!(
            messages == 0 || items.len() == 1,
            "a message must come alone: {body}"
        );
        let mut unread = Unread {
            cseq,
            message: None,
            opened: BTreeSet::new(),
            answers: None,
            is_droppable: false,
        };
        for item in items {
            match item {
                Item::Reply(reply) => {
                    let before = self.shown.clone();
                    unread.answers = self.check_reply(reply, body);
                    unread
                        .opened
                        .extend(self.shown.difference(&before).cloned());
                }
                Item::Notice(_) => {
                    for room in rooms_named(&document) {
                        assert!(
                            self.shown.contains(&room),
                            "a notice of a room that is not open: {body}"
                        );
                    }
                }
                Item::GroupChat(message) => {
                    let (token, room) = self.expected.pop_front().unwrap_or_else(|| {
                        panic!("a message that nobody expects: {body}");
                    });
                    assert_eq!(message.room().unwrap(), room, "expected {token}: {body}");
                    assert!(
                        message.chat().starts_with(&token),
                        "expected {token} in {room}: {body}"
                    );
                    assert!(
                        self.shown.contains(&room),
                        "a message before the room is open: {body}"
                    );
                    assert!(message.element().child("rtf").is_none());
                    unread.message = Some((token, room));
                }
                Item::Command(_) | Item::Other(_) => panic!("no pool sends this: {body}"),
            }
        }
        self.unread.push(unread);
    }

    /// Returns the command that is answered.
    fn check_reply(&mut self, reply: ReplyView<'_>, body: &str) -> Option<u64> {
        let named: BTreeSet<RoomUri> = chanibs(reply).collect();
        let envid = reply
            .command_id()
            .and_then(|id| id.envid.parse::<u64>().ok());
        let Some(command) = envid.and_then(|envid| self.commands.get_mut(&envid)) else {
            // A server may send history on its own, of rooms that are open.
            assert_eq!(reply.verb(), Verb::BackChat, "a reply to nothing: {body}");
            assert!(
                named.is_subset(&self.shown),
                "history of a room that is not open: {body}"
            );
            return None;
        };
        if Some(command.dialog) != self.dialog && command.verb == Verb::BackChat {
            // It was not read in the dialog before.
            assert!(
                named.is_subset(&self.shown),
                "of a room that is not open: {body}"
            );
            return None;
        }
        assert_eq!(
            Some(command.dialog),
            self.dialog,
            "a reply to a dialog that is gone: {body}"
        );
        assert_eq!(reply.verb(), command.verb, "{body}");
        assert!(
            matches!(command.progress, Progress::Decided | Progress::Droppable),
            "{:?}, but answered: {body}",
            command.progress
        );
        command.progress = Progress::Replied;
        match command.verb {
            Verb::Join | Verb::BatchJoin => {
                assert_eq!(named, command.opened, "{body}");
                self.shown.extend(named);
            }
            Verb::Part => self.shown.retain(|room| !named.contains(room)),
            Verb::BackChat => {
                let is_asked =
                    |room: &RoomUri| command.rooms.iter().any(|(asked, _)| asked == room);
                assert!(named.iter().all(is_asked), "{body}");
            }
            _ => {}
        }
        envid
    }

    /// When everything has come to rest with a client connected: what had to come has come.
    pub(super) fn check_rest(&self) {
        if !self.is_wire_up || self.dialog.is_none() {
            return;
        }
        assert!(
            self.expected.is_empty(),
            "never delivered: {:?}",
            self.expected
        );
        for (envid, command) in &self.commands {
            assert!(
                Some(command.dialog) != self.dialog
                    || matches!(
                        command.progress,
                        Progress::Replied | Progress::Cancelled | Progress::Droppable
                    ),
                "command {envid} was never answered: {command:?}"
            );
        }
    }

    /// Who is in which rooms at the pool, when nothing is under way: nobody is left in a room that no client has.
    pub(super) fn check_presence(&self, joined: &BTreeSet<RoomUri>) {
        let known: BTreeSet<RoomUri> = self
            .rooms
            .iter()
            .map(|room| room.migrated.clone())
            .collect();
        assert!(
            joined.is_subset(&known),
            "left behind at the pool: {joined:?}, open: {:?}",
            self.rooms
        );
        for room in self.rooms.iter().filter(|room| room.state == State::Open) {
            assert!(
                joined.contains(&room.migrated),
                "open, but not at the pool: {room:?}"
            );
        }
    }
}

/// Every identifier that a client sees is a legacy one, unless the room has none.
fn check_client_ids(body: &str, directory: &Directory) {
    let pool_uri = format!("ma-chan://{NEW}/");
    for rest in body.split(&pool_uri).skip(1) {
        let value = rest.split(['"', ' ', '<']).next().unwrap();
        let room = RoomUri::new(NEW, value).unwrap();
        assert!(
            directory.may_show(&room),
            "{room} went to the client: {body}"
        );
    }
    assert!(
        !body.contains(&format!("domain=\"{NEW}\"")),
        "a pair went to the client: {body}"
    );
}

fn chanibs(reply: ReplyView<'_>) -> impl Iterator<Item = RoomUri> {
    let data = reply.data().into_iter();
    data.flat_map(|data: ElementRef<'_>| data.children_named("chanib"))
        .map(|chanib| chanib.attr("uri").unwrap().parse().unwrap())
}
