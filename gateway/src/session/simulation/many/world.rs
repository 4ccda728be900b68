//! One run: a client, a session and its pools on a clock of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdover_protocol::room::RoomUri;
use holdover_protocol::sip::{Message, Method, Request};
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos::Limits;

use super::commands::{Commands, Patience};
use super::directory::Directory;
use super::pool::{Mood, Pool};
use super::posts::Posts;
use super::windows::Windows;
use crate::pool::{LegEvent, PoolId};
use crate::session::simulation::random::Random;
use crate::session::simulation::wire::{self, ClientDialog};
use crate::session::{Event as CoreEvent, Output, QueueLimits, SessionCore, SessionSettings};

/// A front end, whose connection others are on as well.
#[derive(Debug, Default)]
pub(super) struct FrontEnd {
    /// How many connections it has had.
    pub(super) connections: u64,
    pub(super) is_away: bool,
    /// What was sent by it to the client: dialog and CSeq. It knows what comes again.
    pub(super) seen: BTreeSet<(u64, u32)>,
    /// What of it the client has read: whoever asks again is answered the same.
    pub(super) read: BTreeSet<(u64, u32)>,
}

#[derive(Debug)]
pub(super) enum Event {
    ClientActs,
    ClientReads {
        dialog: u64,
        request: Box<Request>,
        status: u16,
    },
    /// The client asks for the history of rooms that it has just opened, as real ones do.
    ClientLooksBack {
        dialog: u64,
        rooms: Vec<RoomUri>,
    },
    ClientReturns,
    FrontEndReturns,
    ConnectionEnds(u64),
    PoolsAct,
    PoolTakes {
        pool: PoolId,
        epoch: u64,
    },
    PoolSays {
        pool: PoolId,
        epoch: u64,
        said: LegEvent,
    },
    /// The core hears that a leg is gone.
    LegGone {
        pool: PoolId,
        epoch: u64,
    },
}

pub(in crate::session::simulation) struct World {
    pub(super) random: Random,
    pub(super) now: Instant,
    start: Instant,
    pub(super) settings: SessionSettings,
    pub(super) core: SessionCore,
    pub(super) directory: Directory,
    pub(super) pools: Vec<Pool>,
    /// The legs that the core believes to have.
    pub(super) legs: BTreeMap<PoolId, u64>,
    pub(super) posts: Posts,
    pub(super) commands: Commands,
    pub(super) windows: Windows,
    agenda: BTreeMap<(Instant, u64), Event>,
    events: u64,
    pub(super) dialog: Option<ClientDialog>,
    pub(super) old_dialogs: Vec<ClientDialog>,
    pub(super) dialogs: u64,
    pub(super) connection: u64,
    pub(super) is_connected: bool,
    /// The front end that the client comes through.
    pub(super) front_end: Option<FrontEnd>,
    /// Counts the times from which on the client waits for answers anew.
    pub(super) waits: u64,
    /// The core closed the connection; nothing can be said on it any more.
    pub(super) is_closing: bool,
    /// Rooms that the client had open when its connection was lost.
    pub(super) remembered: Vec<RoomUri>,
    /// A client reads one document after the other.
    reads: Instant,
    pub(super) envid: u64,
    pub(super) texts: u64,
    /// The command that the core is given, so that what it sends can be told apart.
    pub(super) command: Option<u64>,
    /// The rules change meanwhile.
    pub(super) has_rules: bool,
    pub(super) is_settling: bool,
    pub(super) is_finished: bool,
    is_traced: bool,
    pub(in crate::session::simulation) trace: Vec<String>,
}

impl World {
    pub(in crate::session::simulation) fn new(seed: u64, is_traced: bool) -> Self {
        let mut random = Random::new(seed);
        let start = Instant::now();
        let settings = SessionSettings {
            channel_uri: "sip:channel@contoso.com".into(),
            session_expires: 1800,
            queue: QueueLimits {
                messages: *random.pick(&[16, 64, 512]),
                bytes: *random.pick(&[20_000, 1_000_000]),
                outstanding: *random.pick(&[1, 1, 3]),
            },
            info_timeout: Duration::from_secs(32),
            pool_timeout: Duration::from_secs(*random.pick(&[2, 10])),
            split_timeout: Duration::from_millis(800),
            rooms_per_command: 1_000,
            rooms_per_session: 1_000,
            grace: Duration::from_secs(*random.pick(&[1, 5, 60])),
            xccos: Limits::DEFAULT,
        };
        let user = UserUri::parse(wire::USER).unwrap();
        let directory = Directory::new(&mut random);
        let pools = directory.pools.iter();
        let pools = pools.map(|pool| Pool::new(*pool, directory.rooms(*pool)));
        let mut world = Self {
            now: start,
            start,
            core: SessionCore::new(start, user, Arc::new(settings.clone())),
            pools: pools.collect(),
            directory,
            settings,
            legs: BTreeMap::new(),
            posts: Posts::default(),
            commands: Commands::default(),
            windows: Windows::default(),
            agenda: BTreeMap::new(),
            events: 0,
            dialog: None,
            old_dialogs: Vec::new(),
            dialogs: 0,
            connection: 0,
            is_connected: false,
            front_end: (seed % 3 == 1).then(FrontEnd::default),
            waits: 0,
            is_closing: false,
            remembered: Vec::new(),
            reads: start,
            envid: 1_000_000_000 * (1 + random.below(1_000) as u64),
            texts: 0,
            command: None,
            has_rules: seed % 4 == 3,
            is_settling: false,
            is_finished: false,
            is_traced,
            trace: Vec::new(),
            random,
        };
        for _ in 0..40 {
            world.somebody_writes();
        }
        world.attach(true);
        world.plan(Duration::from_millis(1), Event::ClientActs);
        world.plan(Duration::from_millis(1), Event::PoolsAct);
        world
    }

    /// Lets `steps` things happen; then everything heals, and must work again without the client doing anything.
    pub(in crate::session::simulation) fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            if self.is_finished || !self.step() {
                break;
            }
        }
        self.is_settling = true;
        self.heal();
        self.come_to_rest();
        if !self.is_finished {
            self.others_write_everywhere();
            self.come_to_rest();
        }
        if !self.is_finished {
            self.client_writes_everywhere();
        }
        self.finish();
    }

    fn come_to_rest(&mut self) {
        let limits = &self.settings;
        let limit = limits.pool_timeout * 20 + limits.info_timeout * 3 + limits.grace * 3;
        let enough = self.now + limit;
        while !self.is_finished && self.step() {
            assert!(self.now < enough, "it does not come to rest");
        }
        if self.is_finished {
            return;
        }
        self.log(|| "rest".to_owned());
        assert_eq!(self.core.queued(), 0);
        let pools = &self.pools;
        let written = |pool: PoolId, room: &RoomUri| pools[usize::from(pool.0)].history[room].len();
        self.windows.check_rest(written);
    }

    /// The next thing that happens, if anything does.
    fn step(&mut self) -> bool {
        let mut timeout = self.core.poll_timeout();
        let next = self.agenda.keys().next().map(|(at, _)| *at);
        if self.is_settling && next.is_none() && self.front_end.is_some() {
            // That a client has been silent for a session interval is none of what things come to rest from.
            let interval = Duration::from_secs(self.settings.session_expires.into());
            timeout = timeout.filter(|at| *at < self.now + interval / 2);
        }
        if let Some(timeout) = timeout
            && next.is_none_or(|next| timeout <= next)
        {
            self.now = self.now.max(timeout);
            self.log(|| "timeout".to_owned());
            self.posts.time_passed(self.now, self.settings.pool_timeout);
            self.core.handle_timeout(self.now);
            self.drain();
            let again = self.core.poll_timeout();
            // A session that has just lost its client may end at once.
            let moves = again.is_none_or(|again| again > self.now) || !self.core.is_attached();
            assert!(moves, "a timeout that leads nowhere");
            return true;
        }
        let Some(((at, _), event)) = self.agenda.pop_first() else {
            return false;
        };
        self.now = at;
        self.happen(event);
        self.drain();
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ClientActs if self.is_settling => {}
            Event::ClientActs => {
                self.client_acts();
                let pause = self.random.delay(Duration::from_secs(2));
                self.plan(pause, Event::ClientActs);
            }
            Event::ClientReads {
                dialog,
                request,
                status,
            } => self.client_reads(dialog, &request, status),
            Event::ClientLooksBack { dialog, rooms } => self.client_looks_back(dialog, &rooms),
            Event::ClientReturns => self.client_returns(),
            Event::FrontEndReturns => self.front_end_returns(),
            Event::ConnectionEnds(connection) => {
                if self.is_connected && connection == self.connection {
                    self.lose_connection();
                }
            }
            Event::PoolsAct if self.is_settling => {}
            Event::PoolsAct => {
                self.pools_act();
                let pause = self.random.delay(Duration::from_secs(1));
                self.plan(pause, Event::PoolsAct);
            }
            Event::PoolTakes { pool, epoch } => self.pool_takes(pool, epoch),
            Event::PoolSays { pool, epoch, said } => self.pool_says(pool, epoch, said),
            Event::LegGone { pool, epoch } => {
                if self.legs.get(&pool) == Some(&epoch) {
                    self.core_hears_of_the_end(pool);
                }
            }
        }
    }

    // === What the core wants ===

    pub(super) fn drain(&mut self) {
        self.overflow_at_times();
        while let Some(output) = self.core.poll_output() {
            assert!(!self.is_finished, "after the end: {output:?}");
            self.carry_out(output);
        }
        self.posts.check();
        if self.core.queued() == 0 {
            self.commands.check(self.now);
        }
        self.core.check_bounds();
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Downstream(bytes) => self.deliver(&bytes),
            Output::CloseConnection(reason) => {
                self.log(|| format!("core closes the connection: {reason:?}"));
                if self.front_end.is_some() {
                    return self.core.handle_overflow(self.now);
                }
                self.posts.disconnected();
                self.is_closing = true;
                let pause = self.random.delay(Duration::from_millis(100));
                self.plan(pause, Event::ConnectionEnds(self.connection));
            }
            Output::OpenLeg(pool, _) => self.open_leg(pool),
            Output::Send { pool, id, body } => self.send_up(pool, id, body),
            Output::CloseLeg(pool) => self.close_leg(pool),
            Output::Event(event) => self.told(event),
            Output::Finished(reason) => {
                self.log(|| format!("finished: {reason:?}"));
                self.is_finished = true;
                assert!(self.legs.is_empty(), "a leg is left behind");
            }
        }
    }

    fn told(&mut self, event: CoreEvent) {
        self.log(|| format!("event {event:?}"));
        match event {
            // Only its front end is away.
            CoreEvent::Detached if self.core.is_attached() => {}
            CoreEvent::Detached => {
                self.commands.dialog_gone();
                if self.is_front_end_away() {
                    self.wait_anew();
                }
                if self.is_connected && self.dialog.is_some() {
                    self.end_dialog();
                }
            }
            CoreEvent::RoomLost { migrated, pool } => self.windows.lost(self.now, pool, &migrated),
            CoreEvent::GapClosed {
                migrated,
                pool,
                complete: false,
                ..
            } => {
                let until = self.pools[usize::from(pool.0)].history[&migrated].len();
                self.windows.excused(pool, &migrated, until);
            }
            _ => {}
        }
    }

    fn deliver(&mut self, bytes: &[u8]) {
        let message = Message::parse(bytes).unwrap();
        let dialogs = self.dialog.iter().chain(&self.old_dialogs);
        let owner = dialogs.into_iter().find(|dialog| dialog.owns(&message));
        let owner = owner.map(|dialog| dialog.number);
        match message {
            Message::Response(response) => {
                let cseq = response.headers().cseq().unwrap().number;
                let status = response.status().code();
                self.log(|| format!("client gets {status} to {cseq}"));
                if let Some(dialog) = owner {
                    let is_post = self.posts.answered((dialog, cseq), status);
                    if !is_post && status != 200 {
                        self.commands.refused((dialog, cseq));
                    }
                }
            }
            Message::Request(request) => {
                let body = String::from_utf8(request.body().to_vec()).unwrap();
                self.log(|| format!("client gets {body}"));
                if *request.method() == Method::Options && self.front_end.is_some() {
                    return;
                }
                assert_eq!(*request.method(), Method::Info);
                if self.is_closing || !self.is_connected {
                    return self.not_reached(request);
                }
                let dialog = self.dialog.as_ref().map(|dialog| dialog.number);
                assert_eq!(owner, dialog, "in a dialog that is gone");
                let Some(dialog) = dialog else { return };
                let cseq = request.headers().cseq().unwrap().number;
                let is_new = match &mut self.front_end {
                    Some(front_end) => front_end.seen.insert((dialog, cseq)),
                    None => true,
                };
                if is_new {
                    self.windows
                        .sent(cseq, &body, &mut self.commands, &self.directory);
                }
                let status = match self.random.below(200) {
                    _ if self.is_settling || !is_new => 200,
                    // With several on their way, one that comes again comes behind the others.
                    6..14 if self.settings.queue.outstanding == 1 => {
                        *self.random.pick(wire::refusals(&body))
                    }
                    14..16 if self.front_end.is_some() => *self.random.pick(&[404, 480, 477, 502]),
                    4 => *self.random.pick(&[481, 487]),
                    5 if self.random.chance(30) => return,
                    _ => 200,
                };
                let pause = self.random.delay(Duration::from_millis(500));
                self.reads = self.reads.max(self.now + pause);
                let request = Box::new(request);
                let reads = Event::ClientReads {
                    dialog,
                    request,
                    status,
                };
                self.plan_at(self.reads, reads);
            }
        }
    }

    // === The end ===

    fn heal(&mut self) {
        self.log(|| "everything heals".to_owned());
        self.front_end_returns();
        self.directory.allow_all();
        self.core
            .handle_decisions_changed(self.now, &self.directory);
        self.drain();
        for pool in 0..self.pools.len() {
            self.pools[pool].is_calm = true;
            self.set_mood(PoolId(pool as u16), Mood::Well);
        }
    }

    fn others_write_everywhere(&mut self) {
        for room in self.windows.working() {
            let place = self.directory.place(&room).unwrap().clone();
            self.write_in(place.pool, &place.migrated);
        }
        self.drain();
    }

    fn client_writes_everywhere(&mut self) {
        if self.dialog.is_none() || self.is_closing {
            return;
        }
        let rooms = self.windows.working();
        let mut infos = Vec::new();
        for room in rooms {
            infos.push((self.write(&room), room));
            self.come_to_rest();
        }
        for (info, room) in infos {
            let status = self.posts.status(info);
            assert_eq!(status, Some(200), "{room} does not work again");
        }
    }

    fn finish(&mut self) {
        if self.is_finished {
            return;
        }
        self.posts.over();
        match self.random.below(3) {
            0 => self.core.handle_signed_out(),
            1 => self.core.handle_drain(),
            _ => {
                if self.is_connected {
                    self.lose_connection();
                }
                while let Some(timeout) = self.core.poll_timeout() {
                    self.now = self.now.max(timeout);
                    self.core.handle_timeout(self.now);
                    self.drain();
                }
            }
        }
        self.drain();
        assert!(self.is_finished, "the session does not end");
    }

    // === Helpers ===

    pub(super) fn plan(&mut self, after: Duration, event: Event) {
        self.plan_at(self.now + after, event);
    }

    pub(super) fn plan_at(&mut self, at: Instant, event: Event) {
        self.events += 1;
        self.agenda.insert((at, self.events), event);
    }

    pub(super) fn patience(&self) -> Patience {
        Patience {
            pool: self.settings.pool_timeout,
            split: self.settings.split_timeout,
        }
    }

    pub(super) fn log(&mut self, line: impl FnOnce() -> String) {
        if self.is_traced {
            let at = (self.now - self.start).as_millis();
            self.trace.push(format!("{at:>7} ms  {}", line()));
        }
    }
}
