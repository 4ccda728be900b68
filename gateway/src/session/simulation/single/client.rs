//! What the client does.

use holdover_protocol::room::RoomUri;
use holdover_protocol::sip::Method;
use holdover_protocol::xccos::Verb;

use super::directory::{LEGACY, LINKED, legacy};
use super::world::{Event, World};
use crate::peer::{Attachment, ConnectionNumber, SentBy, Way};
use crate::session::simulation::wire::{self, ClientDialog};

impl World {
    pub(super) fn attach(&mut self, on_new_connection: bool) {
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
            connection: ConnectionNumber(self.connection),
            sent_by,
            way: Way::Own,
        };
        self.oracle
            .attached(self.now, self.dialogs, self.connection);
        self.core
            .attach(self.now, dialog, &attachment, self.dialogs << 32);
        self.drain();
    }

    pub(super) fn client_returns(&mut self) {
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

    pub(super) fn lose_connection(&mut self) {
        (self.is_connected, self.is_closing) = (false, false);
        self.dialog = None;
        self.old_dialogs.clear();
        self.oracle.connection_lost();
        self.core
            .handle_connection_lost(self.now, ConnectionNumber(self.connection));
        if self.random.chance(85) {
            let pause = self.random.delay(self.settings.grace * 3);
            self.plan(pause, Event::ClientReturns);
        }
    }

    pub(super) fn client_acts(&mut self) {
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

    pub(super) fn give(&mut self, verb: &str, rooms: &[RoomUri]) {
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

    pub(super) fn write(&mut self, room: &RoomUri) {
        self.envid += 1;
        let token = format!("post-{}.", self.envid);
        self.log(format!("client: {token} in {room}"));
        let body = wire::post(self.envid, room, &format!("{token} see {}", legacy(LINKED)));
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

    pub(super) fn send_odd(&mut self) {
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

    pub(super) fn send_info(
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

    pub(super) fn in_dialog(&mut self, method: &Method) {
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
}
