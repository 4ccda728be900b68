//! What must be true of a session, told from what goes in and what comes out.
//!
//! The oracle keeps its own books: which rooms are open, which commands and posts wait, and what the client has been
//! shown. Everything that leaves the core is held against them.

use holdover_config::rules::Act;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use holdover_protocol::room::RoomUri;
use holdover_protocol::xccos::Verb;

use super::directory::{Directory, OLD};
use super::pool::Meaning;
use crate::decide::Decisions;
use crate::pool::{Receipt, SendId};
use crate::session::SessionSettings;

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
pub(super) enum Progress {
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
pub(super) struct Command {
    pub(super) dialog: u64,
    pub(super) verb: Verb,
    /// What the client named.
    pub(super) asked: Vec<RoomUri>,
    /// As the client and as the pool names them, without those that were refused.
    pub(super) rooms: Vec<(RoomUri, RoomUri)>,
    /// The rooms that the reply opens.
    pub(super) opened: BTreeSet<RoomUri>,
    pub(super) progress: Progress,
    pub(super) deadline: Instant,
}

impl Command {
    fn is_join(&self) -> bool {
        matches!(self.verb, Verb::Join | Verb::BatchJoin)
    }
}

/// An INFO of the client.
#[derive(Debug)]
pub(super) struct Info {
    pub(super) connection: u64,
    pub(super) answers: Vec<u16>,
    /// What the answer has to be, once that is known.
    pub(super) expected: Option<u16>,
}

#[derive(Debug)]
pub(super) struct Post {
    pub(super) info: (u64, u32),
    pub(super) deadline: Instant,
}

/// What the client has not read.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) cseq: u32,
    pub(super) message: Option<(String, RoomUri)>,
    /// Rooms that open.
    pub(super) opened: BTreeSet<RoomUri>,
    /// The command that is answered.
    pub(super) answers: Option<u64>,
    /// The client has left a room of that.
    pub(super) is_droppable: bool,
}

#[derive(Debug)]
pub(super) struct Oracle {
    pub(super) settings: SessionSettings,
    pub(super) rooms: Vec<Room>,
    pub(super) commands: BTreeMap<u64, Command>,
    /// The commands of the client that are on the leg, and the posts.
    pub(super) pending: HashMap<SendId, u64>,
    pub(super) posts: HashMap<SendId, Post>,
    pub(super) infos: HashMap<(u64, u32), Info>,
    /// Messages the client has to be sent, in order, under these names.
    pub(super) expected: VecDeque<(String, RoomUri)>,
    /// Rooms the client has on its screen, as far as it was sent.
    pub(super) shown: BTreeSet<RoomUri>,
    pub(super) claim_by: Option<Instant>,
    /// The dialog and the connection the client is on.
    pub(super) dialog: Option<u64>,
    pub(super) connection: Option<u64>,
    /// Whether what is sent still arrives.
    pub(super) is_wire_up: bool,
    pub(super) unanswered: BTreeSet<u32>,
    /// What the client was sent and has not read, by CSeq: a message, or rooms that open.
    pub(super) unread: Vec<Unread>,
    pub(super) last_cseq: u32,
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
            unread: Vec::new(),
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
            self.expected.clear();
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
        // What was not read is sent again, in the next dialog on the connection.
        for unread in std::mem::take(&mut self.unread).into_iter().rev() {
            self.is_unread(unread);
        }
        for room in &mut self.rooms {
            let is_seen = room.state == State::Open && self.shown.contains(&room.legacy);
            if !is_seen {
                room.state = State::Unclaimed;
            }
        }
        let shown = &self.shown;
        self.expected.retain(|(_, room)| shown.contains(room));
        if !self.is_wire_up {
            self.expected.clear();
        }
    }

    fn is_unread(&mut self, unread: Unread) {
        if let Some(message) = unread.message {
            self.expected.push_front(message);
        }
        self.shown.retain(|room| !unread.opened.contains(room));
    }

    /// The client did not take a document: it comes again, or is dropped and, if somebody waits for it, answered otherwise.
    pub(super) fn client_refused(&mut self, cseq: u32, is_for_now: bool) {
        self.unanswered.remove(&cseq);
        let refused: Vec<Unread> = self
            .unread
            .extract_if(.., |unread| unread.cseq == cseq)
            .collect();
        for unread in refused {
            let command = unread.answers.and_then(|id| self.commands.get_mut(&id));
            if let Some(command) = command {
                command.progress = match unread.is_droppable {
                    true => Progress::Droppable,
                    false => Progress::Decided,
                };
            }
            if is_for_now {
                self.is_unread(unread);
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

    /// The client gave a command. Returns the rooms that are to be sent up, as the pool names them.
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
        for unread in &mut self.unread {
            unread.message.take_if(|(_, room)| room == legacy);
            unread.opened.remove(legacy);
            let command = unread.answers.and_then(|id| self.commands.get(&id));
            unread.is_droppable |= command.is_some_and(|it| it.asked.contains(legacy));
        }
        for command in self
            .commands
            .values_mut()
            .filter(|command| Some(command.dialog) == self.dialog)
        {
            let is_about = command.asked.contains(legacy);
            // What is queued tells nothing of it any more.
            command.opened.remove(legacy);
            match command.progress {
                Progress::Pending => {
                    command.rooms.retain(|(room, _)| room != legacy);
                    command.asked.retain(|room| room != legacy);
                    if is_about && command.asked.is_empty() {
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
                let is_attached = self.is_wire_up;
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
        self.unread.retain(|unread| unread.cseq > cseq);
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
