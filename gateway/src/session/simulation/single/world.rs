//! One run: a client, a session and a pool on a clock of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_protocol::room::RoomUri;
use holdover_protocol::sip::{Message, Method, Request};
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos::Limits;

use super::directory::{Directory, POOL, migrated};
use super::oracle::{Oracle, check_pool_ids};
use super::pool::{Pool, Said};
use crate::peer::{Attachment, ConnectionNumber, SentBy, Way};
use crate::pool::{LegEvent, SendId};
use crate::session::simulation::random::Random;
use crate::session::simulation::wire::{self, ClientDialog};
use crate::session::{Event as CoreEvent, Output, QueueLimits, SessionCore, SessionSettings};

#[derive(Debug)]
pub(super) enum Event {
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

pub(in crate::session::simulation) struct World {
    pub(super) random: Random,
    pub(super) now: Instant,
    pub(super) start: Instant,
    pub(super) settings: SessionSettings,
    pub(super) core: SessionCore,
    pub(super) directory: Directory,
    pub(super) oracle: Oracle,
    pub(super) pool: Pool,
    pub(super) agenda: BTreeMap<(Instant, u64), Event>,
    pub(super) events: u64,
    /// A leg keeps its order: nothing is taken or said before what came before it.
    pub(super) up: Instant,
    pub(super) down: Instant,
    pub(super) dialog: Option<ClientDialog>,
    pub(super) old_dialogs: Vec<ClientDialog>,
    pub(super) dialogs: u64,
    pub(super) connection: u64,
    pub(super) is_connected: bool,
    /// The core closed the connection; nothing can be said on it any more.
    pub(super) is_closing: bool,
    pub(super) envid: u64,
    /// What the core is busy with, so that what it sends up can be told apart.
    pub(super) command: Option<u64>,
    pub(super) post: Option<(u32, String, Option<RoomUri>)>,
    pub(super) is_settling: bool,
    pub(super) is_finished: bool,
    pub(in crate::session::simulation) trace: Vec<String>,
}

impl World {
    pub(in crate::session::simulation) fn new(seed: u64) -> Self {
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
            rooms_per_command: 1_000,
            rooms_per_session: 1_000,
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
    pub(in crate::session::simulation) fn run(&mut self, steps: usize) {
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
            // A session that has just lost its client may end at once.
            assert!(
                again.is_none_or(|again| again > self.now) || !self.core.is_attached(),
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
                    match status {
                        200 => self.oracle.client_answered(cseq),
                        481 | 487 => {}
                        _ => self
                            .oracle
                            .client_refused(cseq, wire::FOR_NOW.contains(&status)),
                    }
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

    // === What the core wants ===

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.core.poll_output() {
            assert!(!self.is_finished, "after the end: {output:?}");
            self.carry_out(output);
        }
        // What was on its way when a dialog ended waits beside a full queue.
        let QueueLimits {
            messages,
            outstanding,
            ..
        } = self.settings.queue;
        assert!(self.core.queued() <= messages + outstanding);
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
            Output::OpenLeg(pool, _) => {
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
                    // With several on their way, one that comes again comes behind the others.
                    0..4 if self.settings.queue.outstanding == 1 => {
                        *self.random.pick(wire::refusals(&body))
                    }
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
                self.core
                    .handle_connection_lost(self.now, ConnectionNumber(self.connection));
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
            connection: ConnectionNumber(self.connection + 1),
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
        self.core
            .handle_connection_lost(self.now, ConnectionNumber(self.connection));
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

    pub(super) fn plan(&mut self, after: Duration, event: Event) {
        self.plan_at(self.now + after, event);
    }

    fn plan_at(&mut self, at: Instant, event: Event) {
        self.events += 1;
        self.agenda.insert((at, self.events), event);
    }

    pub(super) fn log(&mut self, line: String) {
        let at = (self.now - self.start).as_millis();
        self.trace.push(format!("{at:>7} ms  {line}"));
    }
}
