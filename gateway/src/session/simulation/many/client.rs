//! What the client does.

use std::time::Duration;

use holdover_protocol::room::RoomUri;
use holdover_protocol::sip::{Method, Request};
use holdover_protocol::xccos::Verb;

use super::posts::InfoId;
use super::world::{Event, FrontEnd, World};
use crate::peer::{Attachment, ClientNumber, ConnectionNumber, SentBy, Way};
use crate::session::simulation::wire::{self, ClientDialog};

impl FrontEnd {
    /// The number of its connection, which none of a client has.
    fn number(&self) -> u64 {
        1_000_000 + self.connections
    }
}

impl World {
    pub(super) fn attach(&mut self, on_new_connection: bool) {
        if on_new_connection {
            self.connection += 1;
            self.is_connected = true;
            self.wait_anew();
        }
        self.dialogs += 1;
        let (dialogs, connection) = (self.dialogs, self.connection);
        self.log(|| format!("client attaches: dialog {dialogs} on {connection}"));
        let (client, dialog) = ClientDialog::invite(self.dialogs);
        self.dialog = Some(client);
        let sent_by = SentBy {
            transport: "TCP",
            address: "192.0.2.9:5060".into(),
        };
        let (connection, way) = match &self.front_end {
            None => (connection, Way::Own),
            Some(front_end) => {
                let client = ClientNumber(connection);
                (front_end.number(), Way::FrontEnd { client })
            }
        };
        let attachment = Attachment {
            connection: ConnectionNumber(connection),
            sent_by,
            way,
        };
        self.core
            .attach(self.now, dialog, &attachment, self.dialogs << 32);
        self.drain();
    }

    /// What the client was to be answered before is nothing that it waits for.
    pub(super) fn wait_anew(&mut self) {
        self.posts.disconnected();
        self.waits += 1;
        self.posts.connected(self.waits);
    }

    pub(super) fn is_front_end_away(&self) -> bool {
        self.front_end.as_ref().is_some_and(|it| it.is_away)
    }

    fn front_end_resets(&mut self) {
        let Some(front_end) = &mut self.front_end else {
            return;
        };
        front_end.is_away = true;
        let number = ConnectionNumber(front_end.number());
        self.log(|| "the front end resets its connection".to_owned());
        self.posts.hold(true);
        self.core.handle_connection_lost(self.now, number);
        self.drain();
        let pause = self.random.delay(self.settings.grace);
        self.plan(pause, Event::FrontEndReturns);
    }

    pub(super) fn front_end_returns(&mut self) {
        if self.is_finished || !self.is_front_end_away() {
            return;
        }
        let Some(front_end) = &mut self.front_end else {
            return;
        };
        front_end.is_away = false;
        front_end.connections += 1;
        let attachment = Attachment {
            connection: ConnectionNumber(front_end.number()),
            sent_by: SentBy {
                transport: "TLS",
                address: "192.0.2.9:5062".into(),
            },
            way: Way::FrontEnd {
                client: ClientNumber(0),
            },
        };
        self.log(|| "the front end is back".to_owned());
        self.core.handle_moved(self.now, &attachment);
        self.posts.hold(false);
        self.drain();
    }

    /// The front end has something for a client that it does not reach.
    pub(super) fn not_reached(&mut self, request: Request) {
        if self.front_end.is_some() && self.random.chance(80) {
            let pause = self.random.delay(Duration::from_secs(1));
            let (request, status) = (Box::new(request), 480);
            let reads = Event::ClientReads {
                dialog: 0,
                request,
                status,
            };
            self.plan(pause, reads);
        }
    }

    pub(super) fn client_returns(&mut self) {
        if self.is_front_end_away() {
            return self.plan(Duration::from_millis(100), Event::ClientReturns);
        }
        if self.dialog.is_some() || self.is_finished || self.is_closing {
            return;
        }
        if self.is_connected {
            return self.attach(false);
        }
        let mut rooms = std::mem::take(&mut self.remembered);
        rooms.retain(|_| self.random.chance(85));
        self.attach(true);
        if !rooms.is_empty() {
            self.give("bjoin", &rooms);
        }
    }

    /// The dialog is gone, and the client knows it.
    pub(super) fn end_dialog(&mut self) {
        self.old_dialogs.extend(self.dialog.take());
        self.windows.dialog_gone();
        self.commands.dialog_gone();
        let pause = self.random.delay(self.settings.grace);
        self.plan(pause, Event::ClientReturns);
    }

    pub(super) fn lose_connection(&mut self) {
        self.log(|| "the connection is lost".to_owned());
        (self.is_connected, self.is_closing) = (false, false);
        self.remembered = self.windows.rooms().cloned().collect();
        self.dialog = None;
        self.old_dialogs.clear();
        self.windows.disconnected();
        self.commands.dialog_gone();
        self.posts.disconnected();
        // Behind a front end nobody says so.
        if self.front_end.is_none() {
            self.core
                .handle_connection_lost(self.now, ConnectionNumber(self.connection));
        }
        if self.random.chance(90) {
            let pause = self.random.delay(self.settings.grace * 2);
            self.plan(pause, Event::ClientReturns);
        }
    }

    pub(super) fn client_acts(&mut self) {
        if self.dialog.is_none() || !self.is_connected || self.is_closing {
            return;
        }
        if self.is_front_end_away() {
            return;
        }
        let any = self.random.pick(&self.directory.places).legacy.clone();
        let open: Vec<RoomUri> = self.windows.rooms().cloned().collect();
        let room = if open.is_empty() || self.random.chance(10) {
            any.clone()
        } else {
            self.random.pick(&open).clone()
        };
        match self.random.below(100) {
            0..8 if !self.windows.has(&any) => self.give("join", &[any]),
            8..24 => {
                let percent = *self.random.pick(&[20, 50, 100]);
                let mut rooms = Vec::new();
                for place in &self.directory.places {
                    let is_asked = if self.windows.has(&place.legacy) {
                        2
                    } else {
                        percent
                    };
                    if self.random.chance(is_asked) {
                        rooms.push(place.legacy.clone());
                    }
                }
                if !rooms.is_empty() {
                    let half = self.random.below(rooms.len());
                    rooms.rotate_left(half);
                    self.give("bjoin", &rooms);
                }
            }
            24..34 => self.leave(&room),
            34..44 => self.give("bccontext", &[room]),
            44..56 => {
                let verbs = ["chansrch", "getinv", "getassociations", "getserverinfo"];
                let verb = *self.random.pick(&verbs);
                self.give(verb, &[]);
            }
            56..90 => {
                self.write(&room);
            }
            90..95 => self.say_bye(),
            95..97 => self.lose_connection(),
            97..99 => self.front_end_resets(),
            _ => {}
        }
    }

    fn leave(&mut self, room: &RoomUri) {
        self.windows.parted(room);
        self.commands.parted(room);
        self.give("part", std::slice::from_ref(room));
    }

    pub(super) fn give(&mut self, verb: &str, rooms: &[RoomUri]) {
        self.envid += 1;
        let envid = self.envid;
        self.log(|| format!("client: {verb} {envid} of {rooms:?}"));
        let body = wire::command(envid, verb, rooms);
        let Some(dialog) = &mut self.dialog else {
            return;
        };
        let (cseq, request) = dialog.request(&Method::Info, Some(&body));
        let info = (dialog.number, cseq);
        self.posts.asked(info);
        self.commands.asked(
            self.now,
            (envid, info),
            Verb::from_id(verb),
            rooms,
            self.patience(),
            &self.directory,
        );
        self.command = Some(envid);
        self.core
            .handle_downstream(self.now, request, &self.directory);
        self.drain();
        self.command = None;
    }

    pub(super) fn write(&mut self, room: &RoomUri) -> InfoId {
        self.texts += 1;
        let text = format!("c{}.", self.texts);
        self.envid += 1;
        let body = wire::post(self.envid, room, &text);
        self.log(|| format!("client: {text} in {room}"));
        let pool = self.directory.writable(room).map(|place| place.pool);
        let Some(dialog) = &mut self.dialog else {
            return (0, 0);
        };
        let (cseq, request) = dialog.request(&Method::Info, Some(&body));
        let info = (dialog.number, cseq);
        self.posts.written(info, &text, pool);
        self.core
            .handle_downstream(self.now, request, &self.directory);
        self.drain();
        info
    }

    fn say_bye(&mut self) {
        self.log(|| "client: BYE".to_owned());
        let Some(dialog) = &mut self.dialog else {
            return;
        };
        let (cseq, request) = dialog.request(&Method::Bye, None);
        self.posts.asked((dialog.number, cseq));
        self.end_dialog();
        self.core
            .handle_downstream(self.now, request, &self.directory);
        self.drain();
    }

    /// The client reads a document and answers it; what is of a dialog that is gone it never reads.
    pub(super) fn client_reads(&mut self, dialog: u64, request: &Request, status: u16) {
        let is_there = self.dialog.as_ref().is_some_and(|it| it.number == dialog);
        let cseq = request.headers().cseq().unwrap().number;
        let is_away = self.is_front_end_away();
        if is_away && self.random.chance(50) {
            // It was lost with the connection.
            return;
        }
        let mut status = if is_away { 200 } else { status };
        if let Some(front_end) = &mut self.front_end
            && is_there
        {
            if status == 200 {
                front_end.read.insert((dialog, cseq));
            } else if front_end.read.contains(&(dialog, cseq)) {
                status = 200;
            }
        }
        let is_not_reached = matches!(status, 404 | 477 | 480 | 502);
        if is_there && !is_not_reached && !matches!(status, 200 | 481 | 487) {
            self.log(|| format!("client refuses {cseq}: {status}"));
            let is_for_now = wire::FOR_NOW.contains(&status);
            self.windows
                .refused(cseq, is_for_now, &mut self.commands, &self.directory);
        } else if is_there && status == 200 {
            self.log(|| format!("client answers {status} to {cseq}"));
            let before: Vec<RoomUri> = self.windows.rooms().cloned().collect();
            self.windows.read(cseq, &self.directory);
            let mut opened: Vec<RoomUri> = self.windows.rooms().cloned().collect();
            opened.retain(|room| !before.contains(room));
            if !opened.is_empty() && self.random.chance(80) {
                let pause = self.random.delay(Duration::from_millis(100));
                let rooms = opened;
                self.plan(pause, Event::ClientLooksBack { dialog, rooms });
            }
        }
        if is_away {
            return;
        }
        if self.is_connected || is_not_reached {
            let status = if is_there || is_not_reached {
                status
            } else {
                487
            };
            self.core
                .handle_response(self.now, &wire::response_to(request, status));
        }
    }

    pub(super) fn client_looks_back(&mut self, dialog: u64, rooms: &[RoomUri]) {
        for room in rooms {
            let is_there = self.dialog.as_ref().is_some_and(|it| it.number == dialog);
            let is_away = self.is_front_end_away();
            if is_there && self.windows.has(room) && !self.is_closing && !is_away {
                self.give("bccontext", std::slice::from_ref(room));
            }
        }
    }
}
