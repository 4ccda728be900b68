//! What must be true of a session, told from what goes in and what comes out.
//!
//! The oracle keeps its own books: which rooms are open, which commands and posts wait, and what the client has been
//! shown. Everything that leaves the core is held against them.

use holdover_config::rules::Act;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use holdover_protocol::room::RoomUri;
use holdover_protocol::translate::rooms_named;
use holdover_protocol::xccos::{Document, ElementRef, Item, Limits, ReplyView, Verb};

use super::directory::{Directory, NEW, OLD};
use super::pool::Meaning;
use crate::pool::{Receipt, SendId};
use crate::session::{Decisions, SessionSettings};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Joining,
    Open,
    Unclaimed,
}

#[derive(Debug)]
pub(super) struct Room {
    pub(super) legacy: RoomUri,
    pub(super) migrated: RoomUri,
    pub(super) state: State,
}

/// How far a command of the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The pool has to answer.
    Pending,
    /// It is decided; the reply is queued for the client.
    Decided,
    /// The reply was queued, and may have been dropped with a room that the client left.
    Droppable,
    /// Nobody may answer any more.
    Cancelled,
    Replied,
}

#[derive(Debug)]
struct Command {
    dialog: u64,
    verb: Verb,
    /// What the client named.
    asked: Vec<RoomUri>,
    /// As the client and as the pool names them, without those that were refused.
    rooms: Vec<(RoomUri, RoomUri)>,
    /// The rooms that the reply opens.
    opened: BTreeSet<RoomUri>,
    progress: Progress,
    deadline: Instant,
}

impl Command {
    fn is_join(&self) -> bool {
        matches!(self.verb, Verb::Join | Verb::BatchJoin)
    }
}

/// An INFO of the client.
#[derive(Debug)]
struct Info {
    connection: u64,
    answers: Vec<u16>,
    /// What the answer has to be, once that is known.
    expected: Option<u16>,
}

#[derive(Debug)]
struct Post {
    info: (u64, u32),
    deadline: Instant,
}

#[derive(Debug)]
pub(super) struct Oracle {
    settings: SessionSettings,
    pub(super) rooms: Vec<Room>,
    commands: BTreeMap<u64, Command>,
    /// The commands of the client that are on the leg, and the posts.
    pending: HashMap<SendId, u64>,
    posts: HashMap<SendId, Post>,
    infos: HashMap<(u64, u32), Info>,
    /// Messages the client has to be sent, in order, under these names.
    expected: VecDeque<(String, RoomUri)>,
    /// Rooms the client has on its screen, as far as it was sent.
    pub(super) shown: BTreeSet<RoomUri>,
    claim_by: Option<Instant>,
    /// The dialog and the connection the client is on.
    dialog: Option<u64>,
    connection: Option<u64>,
    /// Whether what is sent still arrives.
    is_wire_up: bool,
    unanswered: BTreeSet<u32>,
    last_cseq: u32,
}

impl Oracle {
    pub(super) fn new(settings: SessionSettings) -> Self {
        Self {
            settings,
            rooms: Vec::new(),
            commands: BTreeMap::new(),
            pending: HashMap::new(),
            posts: HashMap::new(),
            infos: HashMap::new(),
            expected: VecDeque::new(),
            shown: BTreeSet::new(),
            claim_by: None,
            dialog: None,
            connection: None,
            is_wire_up: false,
            unanswered: BTreeSet::new(),
            last_cseq: 0,
        }
    }

    // === What goes in ===

    pub(super) fn attached(&mut self, now: Instant, dialog: u64, connection: u64) {
        if self.connection != Some(connection) {
            for room in &mut self.rooms {
                room.state = State::Unclaimed;
            }
            self.shown.clear();
        }
        let is_any_unclaimed = self.rooms.iter().any(|room| room.state == State::Unclaimed);
        self.claim_by = is_any_unclaimed.then(|| now + self.settings.grace);
        (self.dialog, self.connection) = (Some(dialog), Some(connection));
        self.is_wire_up = true;
        self.last_cseq = 0;
    }

    pub(super) fn connection_lost(&mut self) {
        self.is_wire_up = false;
        self.infos.clear();
    }

    pub(super) fn detached(&mut self) {
        self.dialog = None;
        self.claim_by = None;
        self.unanswered.clear();
        self.expected.clear();
        for room in &mut self.rooms {
            match room.state {
                // The reply may have been on its way: the client may have the room on its screen, or not.
                State::Open => {
                    self.shown.insert(room.legacy.clone());
                }
                State::Joining | State::Unclaimed => room.state = State::Unclaimed,
            }
        }
    }

    pub(super) fn leg_closed(&mut self) {
        for id in std::mem::take(&mut self.pending).into_values() {
            self.decide(id);
        }
        self.rooms.clear();
        for (_, post) in std::mem::take(&mut self.posts) {
            self.expect_answer(post.info, 504);
        }
    }

    pub(super) fn info(&mut self, cseq: u32, expected: Option<u16>) {
        let (Some(dialog), Some(connection)) = (self.dialog, self.connection) else {
            return;
        };
        if !self.is_wire_up {
            return;
        }
        let info = Info {
            connection,
            answers: Vec::new(),
            expected,
        };
        self.infos.insert((dialog, cseq), info);
    }

    /// The client gave a command. Answers the rooms that are to be sent up, as the pool names them.
    pub(super) fn command(
        &mut self,
        now: Instant,
        envid: u64,
        verb: Verb,
        rooms: &[RoomUri],
        directory: &Directory,
    ) {
        let Some(dialog) = self.dialog else { return };
        let named: Vec<(RoomUri, RoomUri)> = rooms
            .iter()
            .filter_map(|legacy| Some((legacy.clone(), self.target(legacy, directory)?)))
            .collect();
        let is_refused = match verb {
            Verb::BatchJoin => named.is_empty(),
            _ => named.len() < rooms.len(),
        };
        let is_ours = is_refused || matches!(verb, Verb::Part | Verb::RequestUri);
        if verb == Verb::Part {
            rooms.iter().for_each(|room| self.part(room));
        }
        let command = Command {
            dialog,
            verb,
            asked: rooms.to_vec(),
            rooms: named,
            opened: BTreeSet::new(),
            progress: if is_ours {
                Progress::Decided
            } else {
                Progress::Pending
            },
            deadline: now + self.settings.pool_timeout,
        };
        if command.is_join() && !is_ours {
            for (legacy, migrated) in &command.rooms {
                match self.rooms.iter_mut().find(|room| room.legacy == *legacy) {
                    Some(room) if room.state == State::Unclaimed => room.state = State::Joining,
                    Some(_) => {}
                    None => self.rooms.push(Room {
                        legacy: legacy.clone(),
                        migrated: migrated.clone(),
                        state: State::Joining,
                    }),
                }
            }
        }
        self.commands.insert(envid, command);
    }

    fn target(&self, legacy: &RoomUri, directory: &Directory) -> Option<RoomUri> {
        match self.rooms.iter().find(|room| room.legacy == *legacy) {
            Some(room) => Some(room.migrated.clone()),
            None => directory
                .resolve(Act::Read, legacy)
                .outcome
                .ok()
                .map(|target| target.migrated),
        }
    }

    /// Whether a post to this room goes to the pool, and to which room there.
    pub(super) fn post_target(&self, legacy: &RoomUri, directory: &Directory) -> Option<RoomUri> {
        self.target(legacy, directory)
    }

    fn part(&mut self, legacy: &RoomUri) {
        self.rooms.retain(|room| room.legacy != *legacy);
        self.expected.retain(|(_, room)| room != legacy);
        for command in self
            .commands
            .values_mut()
            .filter(|command| Some(command.dialog) == self.dialog)
        {
            let is_about = command.rooms.iter().any(|(room, _)| room == legacy);
            match command.progress {
                Progress::Pending if is_about => {
                    command.rooms.retain(|(room, _)| room != legacy);
                    if command.rooms.is_empty() {
                        command.progress = Progress::Cancelled;
                    }
                }
                Progress::Decided if command.asked.contains(legacy) => {
                    command.progress = Progress::Droppable
                }
                _ => {}
            }
        }
    }

    /// Something was sent up: `envid` is the client's command it comes from, `info` its post.
    pub(super) fn sent(&mut self, now: Instant, id: SendId, envid: Option<u64>, info: Option<u32>) {
        if let Some(envid) = envid {
            assert!(
                self.pending.insert(id, envid).is_none(),
                "a command was sent twice"
            );
        }
        if let (Some(cseq), Some(dialog)) = (info, self.dialog) {
            let deadline = now + self.settings.pool_timeout;
            self.posts.insert(
                id,
                Post {
                    info: (dialog, cseq),
                    deadline,
                },
            );
        }
    }

    pub(super) fn receipt(&mut self, id: SendId, receipt: &Receipt) {
        if let Some(post) = self.posts.remove(&id) {
            let status = match receipt {
                Receipt::Accepted => 200,
                Receipt::Unknown => 504,
                Receipt::Refused {
                    status: 401 | 407, ..
                } => 403,
                Receipt::Refused {
                    status: 408 | 481, ..
                } => 503,
                Receipt::Refused {
                    status: status @ 400..=599,
                    ..
                } => *status,
                Receipt::Refused { .. } => 503,
            };
            self.expect_answer(post.info, status);
        } else if *receipt != Receipt::Accepted
            && let Some(envid) = self.pending.remove(&id)
        {
            self.decide(envid);
            self.join_failed(envid);
        }
    }

    pub(super) fn heard(&mut self, meaning: Meaning) {
        match meaning {
            Meaning::FanOut { room, token } => {
                let is_attached = self.dialog.is_some() && self.is_wire_up;
                let names = self.rooms.iter().filter(|open| open.state == State::Open);
                let names = names.filter(|open| is_attached && open.migrated == room);
                self.expected
                    .extend(names.map(|open| (token.clone(), open.legacy.clone())));
            }
            Meaning::Replied {
                id,
                success,
                joined,
            } => {
                let Some(envid) = self.pending.remove(&id) else {
                    return;
                };
                self.decide(envid);
                if success {
                    self.joined(envid, &joined);
                }
                self.join_failed(envid);
            }
        }
    }

    fn decide(&mut self, envid: u64) {
        if let Some(command) = self.commands.get_mut(&envid)
            && command.progress == Progress::Pending
        {
            command.progress = Progress::Decided;
        }
    }

    fn joined(&mut self, envid: u64, joined: &[RoomUri]) {
        let Some(command) = self.commands.get_mut(&envid) else {
            return;
        };
        // What nobody waits for any more opens nothing.
        if Some(command.dialog) != self.dialog || !command.is_join() {
            return;
        }
        for (legacy, migrated) in command
            .rooms
            .iter()
            .filter(|(_, room)| joined.contains(room))
        {
            command.opened.insert(legacy.clone());
            match self.rooms.iter_mut().find(|room| room.legacy == *legacy) {
                Some(room) => room.state = State::Open,
                None => self.rooms.push(Room {
                    legacy: legacy.clone(),
                    migrated: migrated.clone(),
                    state: State::Open,
                }),
            }
        }
    }

    /// Forgets the rooms that a join did not open, unless another join for them is on its way.
    fn join_failed(&mut self, envid: u64) {
        let Some(failed) = self.commands.get(&envid) else {
            return;
        };
        if !failed.is_join() || Some(failed.dialog) != self.dialog {
            return;
        }
        for (legacy, _) in &failed.rooms {
            let is_asked_again = self.pending.values().any(|envid| {
                self.commands.get(envid).is_some_and(|other| {
                    other.is_join()
                        && Some(other.dialog) == self.dialog
                        && other.rooms.iter().any(|(room, _)| room == legacy)
                })
            });
            if !is_asked_again {
                self.rooms
                    .retain(|room| room.legacy != *legacy || room.state != State::Joining);
            }
        }
    }

    pub(super) fn time_passed(&mut self, now: Instant) {
        let late: Vec<SendId> = self
            .posts
            .iter()
            .filter(|(_, post)| post.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            if let Some(post) = self.posts.remove(&id) {
                self.expect_answer(post.info, 504);
            }
        }
        let is_late = |envid: &u64| {
            self.commands
                .get(envid)
                .is_some_and(|it| it.deadline <= now)
        };
        let late: Vec<(SendId, u64)> = self
            .pending
            .iter()
            .filter(|(_, envid)| is_late(envid))
            .map(|(a, b)| (*a, *b))
            .collect();
        for (id, _) in &late {
            self.pending.remove(id);
        }
        for (_, envid) in late {
            self.decide(envid);
            self.join_failed(envid);
        }
        if self.claim_by.is_some_and(|claim_by| claim_by <= now) {
            self.claim_by = None;
            self.rooms.retain(|room| room.state != State::Unclaimed);
        }
    }

    pub(super) fn client_answered(&mut self, cseq: u32) {
        self.unanswered.remove(&cseq);
    }

    // === What comes out ===

    fn expect_answer(&mut self, info: (u64, u32), status: u16) {
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
        for item in items {
            match item {
                Item::Reply(reply) => self.check_reply(reply, body),
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
                }
                Item::Command(_) | Item::Other(_) => panic!("no pool sends this: {body}"),
            }
        }
    }

    fn check_reply(&mut self, reply: ReplyView<'_>, body: &str) {
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
            return;
        };
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

    pub(super) fn outstanding_commands(&self) -> usize {
        self.pending.len() + self.posts.len()
    }

    /// Time that is enough for everything to be decided.
    pub(super) fn patience(&self) -> Duration {
        self.settings.pool_timeout + self.settings.grace + self.settings.info_timeout
    }
}

/// Every identifier that a pool sees is its own.
pub(super) fn check_pool_ids(body: &str) {
    assert!(
        !body.contains(OLD),
        "a legacy identifier went to the pool: {body}"
    );
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
