//! One run: a client, a session and a pool on a clock of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_protocol::room::RoomUri;
use holdover_protocol::sip::{Message, Method, Request};
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos::{Limits, Verb};

use super::directory::{Directory, LEGACY, POOL, legacy, migrated};
use super::oracle::{Oracle, check_pool_ids};
use super::pool::{Pool, Said};
use super::random::Random;
use super::wire::{self, ClientDialog};
use crate::pool::{LegEvent, SendId};
use crate::session::{
    Attachment, Event as CoreEvent, Output, QueueLimits, SentBy, SessionCore, SessionSettings, Way,
};

#[derive(Debug)]
enum Event {
    ClientActs,
    ClientAnswers {
        dialog: u64,
        request: Box<Request>,
        status: u16,
    },
    ClientReturns,
    ConnectionEnds(u64),
    PoolTakes {
        epoch: u64,
        id: SendId,
        body: Bytes,
    },
    PoolSays {
        epoch: u64,
        said: Said,
    },
    PoolActs,
    DirectoryChanges,
}

pub(super) struct World {
    random: Random,
    now: Instant,
    start: Instant,
    settings: SessionSettings,
    core: SessionCore,
    directory: Directory,
    oracle: Oracle,
    pool: Pool,
    agenda: BTreeMap<(Instant, u64), Event>,
    events: u64,
    /// A leg keeps its order: nothing is taken or said before what came before it.
    up: Instant,
    down: Instant,
    dialog: Option<ClientDialog>,
    old_dialogs: Vec<ClientDialog>,
    dialogs: u64,
    connection: u64,
    is_connected: bool,
    /// The core closed the connection; nothing can be said on it any more.
    is_closing: bool,
    envid: u64,
    /// What the core is busy with, so that what it sends up can be told apart.
    command: Option<u64>,
    post: Option<(u32, String, Option<RoomUri>)>,
    is_settling: bool,
    is_finished: bool,
    pub(super) trace: Vec<String>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let start = Instant::now();
        let settings = SessionSettings {
            channel_uri: "sip:channel@contoso.com".into(),
            session_expires: 1800,
            queue: QueueLimits {
                messages: *random.pick(&[4, 16, 64, 256]),
                bytes: *random.pick(&[2_000, 20_000, 1_000_000]),
                outstanding: *random.pick(&[1, 1, 2, 4]),
            },
            info_timeout: Duration::from_secs(32),
            pool_timeout: Duration::from_secs(*random.pick(&[2, 10])),
            split_timeout: Duration::from_millis(800),
            grace: Duration::from_secs(*random.pick(&[1, 5, 60])),
            xccos: Limits::DEFAULT,
        };
        let user = UserUri::parse(wire::USER).unwrap();
        let shows_unlisted = random.chance(50);
        let mut world = Self {
            now: start,
            start,
            core: SessionCore::new(start, user, Arc::new(settings.clone())),
            directory: Directory::new(shows_unlisted),
            oracle: Oracle::new(settings.clone()),
            settings,
            pool: Pool::default(),
            agenda: BTreeMap::new(),
            events: 0,
            up: start,
            down: start,
            dialog: None,
            old_dialogs: Vec::new(),
            dialogs: 0,
            connection: 0,
            is_connected: false,
            is_closing: false,
            envid: 1_000_000 * (1 + random.below(1_000) as u64),
            command: None,
            post: None,
            is_settling: false,
            is_finished: false,
            trace: Vec::new(),
            random,
        };
        world.attach(true);
        world.plan(Duration::from_millis(1), Event::ClientActs);
        world.plan(Duration::from_millis(1), Event::PoolActs);
        world
    }

    /// Lets `steps` things happen, then everything come to rest, and ends the session.
    pub(super) fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            if self.is_finished || !self.step() {
                break;
            }
        }
        self.is_settling = true;
        let enough = self.now + self.oracle.patience() * 3;
        while !self.is_finished && self.now < enough && self.step() {}
        if !self.is_finished {
            self.rest();
            self.finish();
        }
        self.check_silence();
    }

    /// The next thing that happens, if anything does.
    fn step(&mut self) -> bool {
        let timeout = self.core.poll_timeout();
        let next = self.agenda.keys().next().map(|(at, _)| *at);
        if let Some(timeout) = timeout
            && next.is_none_or(|next| timeout <= next)
        {
            // While everything comes to rest, only the grace period is left in the end.
            if self.is_settling && next.is_none() && self.dialog.is_none() && !self.is_busy() {
                return false;
            }
            self.now = self.now.max(timeout);
            self.log("timeout".to_owned());
            self.oracle.time_passed(self.now);
            self.core.handle_timeout(self.now);
            self.drain();
            let again = self.core.poll_timeout();
            assert!(
                again.is_none_or(|again| again > self.now),
                "a timeout that leads nowhere"
            );
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

    fn is_busy(&self) -> bool {
        self.oracle.outstanding_commands() > 0
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ClientActs => {
                if self.is_settling {
                    return;
                }
                self.client_acts();
                let pause = self.random.delay(Duration::from_secs(2));
                self.plan(pause, Event::ClientActs);
                if self.random.chance(2) {
                    self.plan(pause, Event::DirectoryChanges);
                }
            }
            Event::ClientAnswers {
                dialog,
                request,
                status,
            } => {
                if self
                    .dialog
                    .as_ref()
                    .is_some_and(|current| current.number == dialog)
                {
                    self.log(format!("client answers {status}"));
                    let cseq = request.headers().cseq().unwrap().number;
                    self.oracle.client_answered(cseq);
                }
                self.core
                    .handle_response(self.now, &wire::response_to(&request, status));
            }
            Event::ClientReturns => self.client_returns(),
            Event::ConnectionEnds(connection) => {
                if self.is_connected && connection == self.connection {
                    self.log("connection ends".to_owned());
                    self.lose_connection();
                }
            }
            Event::PoolTakes { epoch, id, body } if self.is_leg(epoch) => {
                for said in self.pool.take(&mut self.random, id, &body) {
                    self.say(said);
                }
            }
            Event::PoolSays { epoch, said } if self.is_leg(epoch) => {
                self.log(format!("pool says {said:?}"));
                for meaning in said.meaning {
                    self.oracle.heard(meaning);
                }
                match &said.event {
                    LegEvent::Receipt { id, receipt } => self.oracle.receipt(*id, receipt),
                    LegEvent::Document(_) => {}
                    LegEvent::Closed(_) => {
                        self.pool.close();
                        self.oracle.leg_closed();
                    }
                }
                self.core
                    .handle_leg(self.now, POOL, said.event, &self.directory);
            }
            Event::PoolTakes { .. } | Event::PoolSays { .. } => {}
            Event::PoolActs => {
                let said = if self.is_settling {
                    self.pool.release(&mut self.random)
                } else {
                    self.pool.act(&mut self.random)
                };
                said.into_iter().for_each(|said| self.say(said));
                let pause = self.random.delay(Duration::from_secs(2));
                if !self.is_settling || self.is_busy() {
                    self.plan(pause, Event::PoolActs);
                }
            }
            Event::DirectoryChanges => {
                self.log("directory changes".to_owned());
                self.directory.change(&mut self.random);
            }
        }
    }

    // === The client ===

    fn attach(&mut self, on_new_connection: bool) {
        if on_new_connection {
            self.connection += 1;
            self.is_connected = true;
        }
        self.dialogs += 1;
        self.log(format!(
            "client attaches: dialog {} on {}",
            self.dialogs, self.connection
        ));
        let (client, dialog) = ClientDialog::invite(self.dialogs);
        self.dialog = Some(client);
        let sent_by = SentBy {
            transport: "TCP",
            address: "192.0.2.9:5060".into(),
        };
        let attachment = Attachment {
            connection: self.connection,
            sent_by,
            way: Way::Own,
        };
        self.oracle
            .attached(self.now, self.dialogs, self.connection);
        self.core
            .attach(self.now, dialog, &attachment, self.dialogs << 32);
        self.drain();
    }

    fn client_returns(&mut self) {
        if self.dialog.is_some() || self.is_finished || self.is_closing {
            return;
        }
        if self.is_connected {
            return self.attach(false);
        }
        let rooms: Vec<RoomUri> = self.oracle.shown.iter().cloned().collect();
        let rooms: Vec<RoomUri> = rooms
            .into_iter()
            .filter(|_| self.random.chance(80))
            .collect();
        self.attach(true);
        if !rooms.is_empty() {
            self.give("bjoin", &rooms);
        }
    }

    fn lose_connection(&mut self) {
        (self.is_connected, self.is_closing) = (false, false);
        self.dialog = None;
        self.old_dialogs.clear();
        self.oracle.connection_lost();
        self.core.handle_connection_lost(self.now, self.connection);
        if self.random.chance(85) {
            let pause = self.random.delay(self.settings.grace * 3);
            self.plan(pause, Event::ClientReturns);
        }
    }

    fn client_acts(&mut self) {
        if self.dialog.is_none() || !self.is_connected {
            return;
        }
        let room = legacy(self.random.pick::<&str>(&LEGACY));
        match self.random.below(100) {
            0..25 => self.give("join", &[room]),
            25..33 => {
                let rooms: Vec<&str> = LEGACY
                    .into_iter()
                    .filter(|_| self.random.chance(40))
                    .collect();
                let rooms: Vec<RoomUri> = rooms.into_iter().map(legacy).collect();
                self.give("bjoin", &rooms);
            }
            33..45 => self.give("part", &[room]),
            45..53 => self.give("bccontext", &[room]),
            53..57 => self.give("chansrch", &[]),
            57..60 => self.give("getpref", &[]),
            60..62 => self.give("requri", &[]),
            62..88 => self.write(&room),
            88..90 => self.send_odd(),
            90..93 => self.in_dialog(&Method::Update),
            93..94 => self.in_dialog(&Method::Options),
            94..96 => {
                self.in_dialog(&Method::Bye);
                self.old_dialogs.extend(self.dialog.take());
                let pause = self.random.delay(self.settings.grace);
                self.plan(pause, Event::ClientReturns);
            }
            _ => {
                self.log("client drops its connection".to_owned());
                self.lose_connection();
            }
        }
    }

    fn give(&mut self, verb: &str, rooms: &[RoomUri]) {
        self.envid += 1;
        self.log(format!("client: {verb} {} of {rooms:?}", self.envid));
        let body = wire::command(self.envid, verb, rooms);
        let id = Verb::from_id(verb);
        self.command = Some(self.envid);
        self.send_info(&body, Some(200), |world| {
            world
                .oracle
                .command(world.now, world.envid, id, rooms, &world.directory);
        });
        self.command = None;
    }

    fn write(&mut self, room: &RoomUri) {
        self.envid += 1;
        let token = format!("post-{}.", self.envid);
        self.log(format!("client: {token} in {room}"));
        let body = wire::post(self.envid, room, &token);
        let target = self.oracle.post_target(room, &self.directory);
        let expected = target.is_none().then_some(403);
        let cseq = self.send_info(&body, expected, |world| {
            let cseq = world.dialog.as_ref().map_or(0, ClientDialog::cseq);
            world.post = Some((cseq, token, target));
        });
        if let Some((_, token, target)) = self.post.take() {
            assert!(
                target.is_none(),
                "{token} ({cseq}) was not sent to the pool"
            );
        }
    }

    fn send_odd(&mut self) {
        let body = match self.random.below(4) {
            0 => "<xccos".to_owned(),
            1 => wire::command(1, "join", &[]).replace("<data></data>", "") + "x",
            2 => r#"<xccos ver="1" envid="1" xmlns="urn:parlano:xml:ns:xccos"/>"#.to_owned(),
            _ => {
                let one = r#"<cmd id="cmd:getinv" seqid="1"><data/></cmd>"#;
                format!(
                    r#"<xccos ver="1" envid="1" xmlns="urn:parlano:xml:ns:xccos">{one}{one}</xccos>"#
                )
            }
        };
        self.log("client: something odd".to_owned());
        self.send_info(&body, Some(400), |_| {});
    }

    fn send_info(
        &mut self,
        body: &str,
        expected: Option<u16>,
        told: impl FnOnce(&mut Self),
    ) -> u32 {
        let Some(dialog) = &mut self.dialog else {
            return 0;
        };
        let (cseq, request) = dialog.request(&Method::Info, Some(body));
        self.oracle.info(cseq, expected);
        told(self);
        self.core
            .handle_downstream(self.now, request, &self.directory);
        self.drain();
        cseq
    }

    fn in_dialog(&mut self, method: &Method) {
        let Some(dialog) = &mut self.dialog else {
            return;
        };
        let (cseq, request) = dialog.request(method, None);
        self.log(format!("client: {method}"));
        let expected = if *method == Method::Options { 405 } else { 200 };
        self.oracle.info(cseq, Some(expected));
        self.core
            .handle_downstream(self.now, request, &self.directory);
        self.drain();
    }

    // === What the core wants ===

    fn drain(&mut self) {
        while let Some(output) = self.core.poll_output() {
            assert!(!self.is_finished, "after the end: {output:?}");
            self.carry_out(output);
        }
        assert!(self.core.queued() <= self.settings.queue.messages);
        if !self.is_finished {
            self.oracle.check_step();
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Downstream(bytes) => self.deliver(&bytes),
            Output::CloseConnection(reason) => {
                self.log(format!("core closes the connection: {reason:?}"));
                self.oracle.closing_connection();
                self.is_closing = true;
                let pause = self.random.delay(Duration::from_millis(100));
                self.plan(pause, Event::ConnectionEnds(self.connection));
            }
            Output::OpenLeg(pool) => {
                assert_eq!(pool, POOL);
                self.pool.open();
                (self.up, self.down) = (self.now, self.now);
            }
            Output::Send { pool, id, body } => {
                assert_eq!(pool, POOL);
                self.send_up(id, body);
            }
            Output::CloseLeg(_) => {
                assert!(self.pool.is_open, "a leg was closed that is not open");
                self.pool.close();
            }
            Output::Event(event) => {
                self.log(format!("event {event:?}"));
                if event == CoreEvent::Detached {
                    self.oracle.detached();
                    if self.is_connected && self.dialog.is_some() {
                        self.old_dialogs.extend(self.dialog.take());
                        let pause = self.random.delay(self.settings.grace);
                        self.plan(pause, Event::ClientReturns);
                    }
                }
            }
            Output::Finished(reason) => {
                self.log(format!("finished: {reason:?}"));
                self.is_finished = true;
                assert!(!self.pool.is_open, "a leg is left behind");
            }
        }
    }

    fn send_up(&mut self, id: SendId, body: Bytes) {
        let text = String::from_utf8(body.to_vec()).unwrap();
        self.log(format!("up {id:?} {text}"));
        // As the task does when the leg is gone.
        assert!(self.pool.is_open, "a document for a leg that is not open");
        check_pool_ids(&text);
        let post = self.post.take();
        if let Some((_, token, target)) = &post {
            let room = target.as_ref().map(ToString::to_string).unwrap_or_default();
            assert!(
                text.contains(token.as_str()) && text.contains(&format!("chanUri=\"{room}\"")),
                "{text}"
            );
        }
        let is_part = text.contains("cmd:part");
        let command = if is_part { None } else { self.command.take() };
        self.oracle
            .sent(self.now, id, command, post.map(|(cseq, ..)| cseq));
        self.up = self
            .up
            .max(self.now + self.random.delay(Duration::from_secs(1)));
        let at = self.up;
        self.plan_at(
            at,
            Event::PoolTakes {
                epoch: self.pool.epoch,
                id,
                body,
            },
        );
    }

    fn deliver(&mut self, bytes: &[u8]) {
        let message = Message::parse(bytes).unwrap();
        let owner = self
            .dialog
            .iter()
            .chain(&self.old_dialogs)
            .find(|dialog| dialog.owns(&message));
        let owner = owner.map(|dialog| dialog.number);
        match message {
            Message::Response(response) => {
                let cseq = response.headers().cseq().unwrap();
                self.log(format!(
                    "client gets {} to {}",
                    response.status().code(),
                    cseq.number
                ));
                if let Some(dialog) = owner {
                    self.oracle
                        .answered(dialog, cseq.number, response.status().code());
                }
            }
            Message::Request(request) => {
                // A BYE kills the client's session, and an INFO after it the client.
                assert_eq!(
                    *request.method(),
                    Method::Info,
                    "never sent to a legacy client"
                );
                let body = String::from_utf8(request.body().to_vec()).unwrap();
                self.log(format!("client gets {body}"));
                let headers = request.headers();
                assert_eq!(
                    headers.from().unwrap().uri_text(),
                    "sip:channel@contoso.com"
                );
                assert_eq!(headers.to().unwrap().epid(), Some("0123456789ab"));
                let cseq = headers.cseq().unwrap().number;
                self.oracle.shown_to_client(cseq, &body, &self.directory);
                let status = match self.random.below(100) {
                    _ if self.is_settling => 200,
                    0..4 => *self.random.pick(&[500, 503, 603]),
                    4 => *self.random.pick(&[481, 487]),
                    5 => return,
                    _ => 200,
                };
                if let Some(dialog) = owner {
                    let pause = self.random.delay(Duration::from_secs(1));
                    let request = Box::new(request);
                    self.plan(
                        pause,
                        Event::ClientAnswers {
                            dialog,
                            request,
                            status,
                        },
                    );
                }
            }
        }
    }

    // === The end ===

    /// Everything has come to rest.
    fn rest(&mut self) {
        self.log("rest".to_owned());
        self.oracle.check_rest();
        self.oracle.check_presence(&self.pool.joined);
    }

    fn finish(&mut self) {
        match self.random.below(3) {
            0 => self.core.handle_signed_out(),
            1 => self.core.handle_drain(),
            _ => {
                self.core.handle_connection_lost(self.now, self.connection);
                self.oracle.connection_lost();
                self.drain();
                while let Some(timeout) = self.core.poll_timeout() {
                    self.now = timeout;
                    self.core.handle_timeout(self.now);
                    self.drain();
                }
            }
        }
        self.drain();
        assert!(self.is_finished, "the session does not end");
    }

    /// Nothing brings a session back that is over.
    fn check_silence(&mut self) {
        assert_eq!(self.core.poll_timeout(), None);
        let (mut client, dialog) = ClientDialog::invite(self.dialogs + 1);
        let sent_by = SentBy {
            transport: "TCP",
            address: "192.0.2.9:5060".into(),
        };
        let attachment = Attachment {
            connection: self.connection + 1,
            sent_by,
            way: Way::Own,
        };
        self.core.attach(self.now, dialog, &attachment, 1);
        let (_, request) = client.request(&Method::Info, Some(&wire::command(7, "chansrch", &[])));
        let answer = wire::response_to(&request, 200);
        self.core
            .handle_downstream(self.now, request, &self.directory);
        self.core.handle_response(self.now, &answer);
        let document = wire::from_pool(&mut self.random, &wire::fan_out(&migrated("l-1"), "x"));
        self.core.handle_leg(
            self.now,
            POOL,
            LegEvent::Document(document),
            &self.directory,
        );
        self.core.handle_connection_lost(self.now, self.connection);
        self.core
            .handle_timeout(self.now + Duration::from_secs(1_000));
        self.core.handle_signed_out();
        assert!(
            self.core.poll_output().is_none(),
            "a session that is over speaks"
        );
    }

    // === Helpers ===

    fn is_leg(&self, epoch: u64) -> bool {
        self.pool.is_open && self.pool.epoch == epoch
    }

    fn say(&mut self, said: Said) {
        self.down = self
            .down
            .max(self.now + self.random.delay(Duration::from_secs(4)));
        let at = self.down;
        self.plan_at(
            at,
            Event::PoolSays {
                epoch: self.pool.epoch,
                said,
            },
        );
    }

    fn plan(&mut self, after: Duration, event: Event) {
        self.plan_at(self.now + after, event);
    }

    fn plan_at(&mut self, at: Instant, event: Event) {
        self.events += 1;
        self.agenda.insert((at, self.events), event);
    }

    fn log(&mut self, line: String) {
        let at = (self.now - self.start).as_millis();
        self.trace.push(format!("{at:>7} ms  {line}"));
    }
}
