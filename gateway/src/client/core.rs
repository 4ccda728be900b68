//! The client itself, a state machine without sockets and clocks.
//!
//! Make one with [`Client::new`] when the connection is there; feed it with [`Client::handle`], [`Client::handle_timeout`]
//! and what the user wants; after each, drain [`Client::poll_output`] and ask [`Client::poll_timeout`] when to come back.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_protocol::room::RoomUri;
use holdover_protocol::sip::{
    Fault, Message, MessageBuilder, Method, Name, Request, Response, Status, respond,
};
use holdover_protocol::xccos::block::{InvitationBlock, QueryBlock};
use holdover_protocol::xccos::verb::{
    BackChat, BatchJoin, ChannelSearch, GetInvitations, Join, Part,
};
use holdover_protocol::xccos::{
    Command, Document, Envelope, GroupChat, Item, Limits, Notice, Reply, ReplyData,
};
use jiff::Timestamp;

use super::channel::{Channel, Ended, Verdict};
use super::dialog::Dialog;
use super::event::{Event, Output, Ticket};
use super::failure::{Failure, Refusal, Step, words};
use super::profile::{Identity, Line, Local, Password, Profile};
use super::registration::{Asked, Registration};

/// The event package whose answer starts Group Chat in a real client.
const PROVISIONING: &str = "vnd-microsoft-provisioning-v2";

/// What a client asks that package for.
const PROVISIONING_QUERY: &str = "<provisioningGroupList \
    xmlns=\"http://schemas.microsoft.com/2006/09/sip/provisioninggrouplist\">\
    <provisioningGroup name=\"ServerConfiguration\"/>\
    <provisioningGroup name=\"persistentChatConfiguration\"/></provisioningGroupList>";

/// Silence after which a client shows that it is there, unless the server names another time.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How often a client begins anew when the server says that it knows nothing of the session.
const MAX_RESTARTS: u8 = 3;

/// How long leaving may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// How far a client is. Any stage → `Leaving` when the user signs out, `Over` on a failure.
#[derive(Debug)]
enum Stage {
    /// REGISTER is out, or the password is asked for (then without deadline). → `Provisioning`
    SigningIn { deadline: Option<Instant> },
    /// SUBSCRIBE is out. → `Calling` the lookup
    Provisioning { call_id: String, deadline: Instant },
    /// INVITE is out. → `Asking` if it was to the lookup, else `Ready`
    Calling {
        step: Step,
        dialog: Dialog,
        deadline: Instant,
    },
    /// The lookup dialog is open. → `Calling` the channel
    Asking { dialog: Dialog, deadline: Instant },
    /// The channel dialog is open. → `Calling` the lookup when the server has forgotten it
    Ready(Box<Channel>),
    /// The last REGISTER is out. → `Over`
    Leaving { deadline: Instant },
    /// No way back.
    Over,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Client {
    identity: Identity,
    password: Option<Password>,
    lookup_uri: Box<str>,
    patience: Duration,
    stage: Stage,
    registration: Registration,
    /// From the lookup's 200.
    session_expires: Option<u32>,
    envid: u32,
    next_ticket: u64,
    restarts: u8,
    keep_alive: Duration,
    last_sent: Instant,
    outputs: VecDeque<Output>,
}

impl Client {
    /// A client that begins to sign in.
    #[must_use]
    pub fn new(now: Instant, profile: &Profile, local: Local) -> Self {
        let mut identity = Identity::new(profile, local);
        let mut client = Self {
            registration: Registration::new(&mut identity),
            envid: identity.envid(),
            identity,
            password: profile.password.clone(),
            lookup_uri: profile.lookup_uri.clone(),
            patience: profile.patience,
            stage: Stage::SigningIn {
                deadline: Some(now + profile.patience),
            },
            session_expires: None,
            next_ticket: 0,
            restarts: 0,
            keep_alive: KEEP_ALIVE,
            last_sent: now,
            outputs: VecDeque::new(),
        };
        client.register(now, None);
        client
    }

    // === What the user wants ===

    /// Gives the password that [`Event::PasswordNeeded`] asked for.
    pub fn set_password(&mut self, now: Instant, password: Password) {
        self.password = Some(password);
        if let Stage::SigningIn { deadline } = &mut self.stage {
            *deadline = Some(now + self.patience);
            self.answer_challenge(now);
        }
    }

    /// Searches rooms whose name contains `words`; all, if that is empty.
    pub fn search(&mut self, now: Instant, words: &str) -> Ticket {
        let query = QueryBlock::by_name(words);
        self.command(now, &Command::ChannelSearch(ChannelSearch { query }))
    }

    /// Joins a room.
    pub fn join(&mut self, now: Instant, room: RoomUri) -> Ticket {
        self.command(now, &Command::Join(Join { room }))
    }

    /// Joins several rooms at once, as a client does that was away.
    pub fn join_all(&mut self, now: Instant, rooms: Vec<RoomUri>) -> Ticket {
        self.command(now, &Command::BatchJoin(BatchJoin { rooms }))
    }

    /// Asks for the last messages of a room.
    pub fn history(&mut self, now: Instant, room: RoomUri, count: u32) -> Ticket {
        self.command(
            now,
            &Command::BackChat(BackChat {
                room,
                last: Some(count),
            }),
        )
    }

    /// Leaves a room.
    pub fn part(&mut self, now: Instant, room: RoomUri) -> Ticket {
        self.command(now, &Command::Part(Part { rooms: vec![room] }))
    }

    /// Posts a message, which comes back from the server like everybody's. `at` is the time of day.
    pub fn post(&mut self, now: Instant, room: RoomUri, text: &str, at: Timestamp) -> Ticket {
        let post = GroupChat {
            room,
            author: Some(self.identity.user.as_str().into()),
            ts: Some(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()),
            // Real clients write line breaks so.
            chat: text.replace("\r\n", "\n").replace('\n', "\r\n"),
        };
        let (ticket, envid) = (self.ticket(), self.next_envid());
        let deadline = now + self.patience;
        match &mut self.stage {
            Stage::Ready(channel) => {
                let info = channel.post(&self.identity, envid, ticket, &post, deadline);
                self.send(now, info);
            }
            _ => self.done((ticket, Err(Refusal::NotReady))),
        }
        ticket
    }

    /// Sends any command.
    pub fn command(&mut self, now: Instant, command: &Command) -> Ticket {
        let (ticket, envid) = (self.ticket(), self.next_envid());
        let deadline = now + self.patience;
        match &mut self.stage {
            Stage::Ready(channel) => {
                let info = channel.command(&self.identity, envid, ticket, command, deadline);
                self.send(now, info);
            }
            _ => self.done((ticket, Err(Refusal::NotReady))),
        }
        ticket
    }

    /// Leaves in order: BYE, then REGISTER with `Expires: 0`. Open rooms are the server's to part.
    pub fn sign_out(&mut self, now: Instant) {
        match std::mem::replace(
            &mut self.stage,
            Stage::Leaving {
                deadline: now + FAREWELL,
            },
        ) {
            Stage::Ready(mut channel) => {
                let bye = channel.bye(&self.identity);
                self.send(now, bye);
                channel.abandon().for_each(|ended| self.done(ended));
            }
            Stage::Asking { mut dialog, .. } => {
                let bye = dialog.request(&self.identity, &Method::Bye).finish();
                self.send(now, bye);
            }
            // Before the server let the user in there is nothing to take back.
            Stage::SigningIn { .. } | Stage::Leaving { .. } | Stage::Over => return self.end(),
            Stage::Provisioning { .. } | Stage::Calling { .. } => {}
        }
        self.register(now, Some(0));
    }

    // === What happens ===

    /// Takes a sound message.
    pub fn handle(&mut self, now: Instant, message: &Message) {
        match message {
            Message::Request(request) => self.handle_request(now, request),
            Message::Response(response) if response.status().is_provisional() => {}
            Message::Response(response) => self.handle_response(now, response),
        }
    }

    /// Takes what cannot be read as SIP. Whatever of it is fatal ends the client.
    pub fn handle_fault(&mut self, fault: &Fault, is_fatal: bool) {
        let what = fault.to_string().into();
        if is_fatal {
            self.fail(Failure::NotSip(what));
        } else {
            self.event(Event::Dropped(what));
        }
    }

    /// The connection is gone.
    pub fn handle_closed(&mut self) {
        match self.stage {
            Stage::Leaving { .. } => self.end(),
            Stage::Over => {}
            _ => self.fail(Failure::Disconnected),
        }
    }

    /// Time has passed. Harmless when nothing is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let overdue = match &self.stage {
            Stage::SigningIn { deadline } => deadline.map(|deadline| (Step::SignIn, deadline)),
            Stage::Provisioning { deadline, .. } => Some((Step::Provisioning, *deadline)),
            Stage::Calling { step, deadline, .. } => Some((*step, *deadline)),
            Stage::Asking { deadline, .. } => Some((Step::Question, *deadline)),
            Stage::Leaving { deadline } if *deadline <= now => return self.end(),
            Stage::Ready(_) | Stage::Leaving { .. } | Stage::Over => None,
        };
        if let Some((step, deadline)) = overdue
            && deadline <= now
        {
            return self.fail(Failure::Unanswered(step));
        }
        if let Stage::Ready(channel) = &mut self.stage {
            let refresh = channel.refresh(now, &self.identity);
            let mut overdue = Vec::new();
            while let Some(ended) = channel.expire(now) {
                overdue.push(ended);
            }
            if let Some(update) = refresh {
                self.send(now, update);
            }
            overdue.into_iter().for_each(|ended| self.done(ended));
        }
        if self.registration.refresh_at().is_some_and(|at| at <= now) {
            self.register(now, None);
        }
        if self.last_sent + self.keep_alive <= now && !matches!(self.stage, Stage::Over) {
            self.send(now, Bytes::from_static(b"\r\n\r\n"));
        }
    }

    /// The next effect, in order; `None` when all are carried out.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] has something to do, if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let of_stage = match &self.stage {
            Stage::SigningIn { deadline } => *deadline,
            Stage::Provisioning { deadline, .. }
            | Stage::Calling { deadline, .. }
            | Stage::Asking { deadline, .. }
            | Stage::Leaving { deadline } => Some(*deadline),
            Stage::Ready(channel) => channel.poll_timeout(),
            Stage::Over => return None,
        };
        let keep_alive = self.last_sent + self.keep_alive;
        of_stage
            .into_iter()
            .chain(self.registration.refresh_at())
            .chain([keep_alive])
            .min()
    }

    // === Signing in ===

    fn register(&mut self, now: Instant, expires: Option<u32>) {
        let register = self.registration.request(&mut self.identity, expires);
        self.send(now, register);
    }

    fn answer_challenge(&mut self, now: Instant) {
        let Some(password) = &self.password else {
            return;
        };
        if let Some(register) = self.registration.answer(&mut self.identity, password) {
            self.send(now, register);
        }
    }

    fn handle_registered(&mut self, now: Instant, response: &Response) {
        if matches!(self.stage, Stage::Leaving { .. }) {
            return self.end();
        }
        let status = response.status();
        match status {
            Status::OK => self.accept_registration(now, response),
            Status::PROXY_AUTHENTICATION_REQUIRED => match self.registration.challenged(response) {
                Asked::Password if self.password.is_none() => {
                    if let Stage::SigningIn { deadline } = &mut self.stage {
                        *deadline = None;
                    }
                    self.event(Event::PasswordNeeded);
                }
                Asked::Password => self.answer_challenge(now),
                Asked::RightPassword => self.fail(Failure::WrongPassword(words(response))),
                Asked::Other => self.fail(Failure::Mechanism),
            },
            Status::UNAUTHORIZED => self.fail(Failure::Mechanism),
            Status::FORBIDDEN if self.password.is_some() => {
                self.fail(Failure::WrongPassword(words(response)));
            }
            _ => self.refused(Step::SignIn, response),
        }
    }

    fn accept_registration(&mut self, now: Instant, response: &Response) {
        let headers = response.headers();
        // Real clients read the header and not the parameter of the Contact.
        let Some(seconds) = headers.expires().filter(|seconds| *seconds > 0) else {
            return self.fail(Failure::Hangs(
                "the 200 to REGISTER has no `Expires` header",
            ));
        };
        self.registration.accepted(now, seconds);
        if let Some(timeout) = keep_alive_of(response) {
            self.keep_alive = timeout;
        }
        if !matches!(self.stage, Stage::SigningIn { .. }) {
            return;
        }
        if !headers
            .all(Name::Supported)
            .any(|value| value == "msrtc-event-categories")
        {
            return self.fail(Failure::Hangs(
                "the 200 to REGISTER has no line that is exactly `Supported: msrtc-event-categories`",
            ));
        }
        let mut offered = headers
            .all(Name::AllowEvents)
            .flat_map(|value| value.split(','));
        if !offered.any(|event| event.eq_ignore_ascii_case(PROVISIONING)) {
            return self.fail(Failure::Hangs(
                "the 200 to REGISTER does not offer `vnd-microsoft-provisioning-v2` in `Allow-Events`",
            ));
        }
        self.event(Event::SignedIn);
        self.subscribe(now);
    }

    fn subscribe(&mut self, now: Instant) {
        let (call_id, tag, branch) = (
            self.identity.unique(),
            self.identity.tag(),
            self.identity.unique(),
        );
        let user = self.identity.user.as_str().to_owned();
        let line = Line {
            tag: &tag,
            to: &format!("<{user}>"),
            call_id: &call_id,
            cseq: 1,
            branch: Some(&branch),
        };
        let builder = MessageBuilder::request(&Method::Subscribe, &user);
        let subscribe = self
            .identity
            .dress(builder, &line, "SUBSCRIBE")
            .header(Name::Event, PROVISIONING)
            .header(
                Name::Accept,
                "application/vnd-microsoft-roaming-provisioning-v2+xml",
            )
            .header(Name::Supported, "com.microsoft.autoextend")
            .header(Name::Supported, "ms-benotify")
            .header(Name::ProxyRequire, "ms-benotify")
            .header(Name::Supported, "ms-piggyback-first-notify")
            .header(Name::Expires, 0)
            .header(Name::Contact, self.identity.contact())
            .body(
                "application/vnd-microsoft-roaming-provisioning-v2+xml",
                PROVISIONING_QUERY.as_bytes(),
            )
            .finish();
        self.send(now, subscribe);
        self.stage = Stage::Provisioning {
            call_id,
            deadline: now + self.patience,
        };
    }

    fn handle_provisioned(&mut self, now: Instant, response: &Response) {
        if response.status() != Status::OK {
            return self.refused(Step::Provisioning, response);
        }
        let headers = response.headers();
        let is_ours = headers
            .get(Name::Event)
            .is_some_and(|event| event.eq_ignore_ascii_case(PROVISIONING));
        if is_ours && headers.get(Name::MsPiggybackCseq).is_some() {
            self.call_lookup(now);
        }
        // Else the NOTIFY may still come; a real client waits for it without end.
    }

    // === The way to the channel ===

    fn call_lookup(&mut self, now: Instant) {
        let uri = self.lookup_uri.clone();
        self.call(now, Step::Lookup, &uri);
    }

    fn call(&mut self, now: Instant, step: Step, uri: &str) {
        let mut dialog = Dialog::new(&mut self.identity, uri);
        let invite = dialog.invite(&self.identity);
        self.send(now, invite);
        self.stage = Stage::Calling {
            step,
            dialog,
            deadline: now + self.patience,
        };
    }

    fn handle_accepted(
        &mut self,
        now: Instant,
        step: Step,
        mut dialog: Dialog,
        response: &Response,
    ) {
        let ack = match dialog.establish(&self.identity, response) {
            Ok(ack) => ack,
            Err(fault) => return self.fail(Failure::Unreadable { step, fault }),
        };
        self.send(now, ack);
        if step == Step::Lookup {
            self.session_expires = response
                .headers()
                .session_expires()
                .ok()
                .flatten()
                .map(|timer| timer.seconds);
            let question = Envelope::new(self.next_envid())
                .command(1, &Command::RequestUri)
                .finish();
            let info = dialog.request(&self.identity, &Method::Info);
            self.send(now, info.body("text/plain", &question).finish());
            self.stage = Stage::Asking {
                dialog,
                deadline: now + self.patience,
            };
            return;
        }
        let channel: Box<str> = dialog.remote().into();
        let mut ready = Channel::new(now, dialog, self.session_expires);
        // Real clients ask and do not look at the answer.
        let domain = self.identity.user.domain().into();
        let since = InvitationBlock {
            invite_id: 1,
            domain,
        };
        let invitations = Command::GetInvitations(GetInvitations { since });
        let envid = self.next_envid();
        let document = Envelope::new(envid).command(1, &invitations).finish();
        let info = ready.info(&self.identity, &document);
        self.send(now, info);
        self.stage = Stage::Ready(Box::new(ready));
        self.event(Event::Ready { channel });
    }

    fn handle_lookup_answer(&mut self, now: Instant, reply: &Reply) {
        let Stage::Asking { dialog, .. } = &mut self.stage else {
            return;
        };
        let ReplyData::RequestUri(answer) = &reply.data else {
            return match reply.outcome.is_success() {
                true => {}
                false => self.fail(Failure::NoChannel),
            };
        };
        let bye = dialog.request(&self.identity, &Method::Bye).finish();
        self.send(now, bye);
        match &answer.uri {
            Some(uri) => self.call(now, Step::Channel, uri),
            None => self.fail(Failure::NoChannel),
        }
    }

    // === Messages ===

    fn handle_response(&mut self, now: Instant, response: &Response) {
        if self.registration.is_answered_by(response) {
            return self.handle_registered(now, response);
        }
        let is_invite = response
            .headers()
            .cseq()
            .is_ok_and(|cseq| cseq.method == Method::Invite);
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Provisioning { call_id, deadline } => {
                let is_ours = response.headers().call_id().is_ok_and(|id| id == call_id);
                self.stage = Stage::Provisioning { call_id, deadline };
                if is_ours {
                    self.handle_provisioned(now, response);
                }
            }
            Stage::Calling { step, dialog, .. } if is_invite && dialog.owns(response) => {
                if response.status() == Status::OK {
                    self.handle_accepted(now, step, dialog, response);
                } else {
                    // Real clients send no ACK here, and try again in five minutes at the earliest.
                    self.refused(step, response);
                }
            }
            Stage::Asking { dialog, deadline } => {
                let refused = dialog.owns(response) && response.status() != Status::OK;
                self.stage = Stage::Asking { dialog, deadline };
                if refused {
                    self.refused(Step::Question, response);
                }
            }
            Stage::Ready(mut channel) => {
                let verdict = match channel.dialog().owns(response) {
                    true => channel.handle_response(now, response),
                    false => Verdict::Continues,
                };
                match verdict {
                    Verdict::Gone => self.restart(now, channel),
                    Verdict::Continues => self.stage = Stage::Ready(channel),
                    Verdict::Ended(ended) => {
                        self.stage = Stage::Ready(channel);
                        self.restarts = 0;
                        self.done(ended);
                    }
                }
            }
            stage => self.stage = stage,
        }
    }

    /// The server answered 481: real clients hang up and begin again at the lookup at once.
    fn restart(&mut self, now: Instant, mut channel: Box<Channel>) {
        let bye = channel.bye(&self.identity);
        self.send(now, bye);
        channel.abandon().for_each(|ended| self.done(ended));
        if self.restarts >= MAX_RESTARTS {
            return self.fail(Failure::Forgotten);
        }
        self.restarts += 1;
        self.event(Event::Restarting);
        self.call_lookup(now);
    }

    fn handle_request(&mut self, now: Instant, request: &Request) {
        let status = match request.method() {
            Method::Ack | Method::Benotify => None,
            Method::Info | Method::Bye => Some(self.place(request)),
            Method::Options | Method::Notify => Some(Status::OK),
            _ => Some(Status::NOT_IMPLEMENTED),
        };
        if let Some(status) = status {
            let tag = self.identity.tag();
            self.send(now, respond(request, status, Some(&tag)).finish());
        }
        match request.method() {
            Method::Notify | Method::Benotify => {
                let event = request.headers().get(Name::Event).unwrap_or_default();
                if event.eq_ignore_ascii_case(PROVISIONING)
                    && matches!(self.stage, Stage::Provisioning { .. })
                {
                    self.call_lookup(now);
                }
            }
            Method::Info if status == Some(Status::OK) => self.handle_info(now, request),
            Method::Bye if status == Some(Status::OK) => self.fail(Failure::HungUp),
            _ => {}
        }
    }

    /// Real clients look for the address in From first, then at the Call-ID. They leave an INFO from somebody else
    /// without any answer; that serves nobody.
    fn place(&self, request: &Request) -> Status {
        let dialog = match &self.stage {
            Stage::Calling { dialog, .. } | Stage::Asking { dialog, .. } => Some(dialog),
            Stage::Ready(channel) => Some(channel.dialog()),
            _ => None,
        };
        let headers = request.headers();
        match (dialog, headers.from()) {
            (Some(dialog), Ok(from)) if dialog.is_established() && dialog.is_with(&from) => {
                match dialog.has_call_id(request) {
                    true => Status::OK,
                    false => Status::REQUEST_TERMINATED,
                }
            }
            _ => Status::NO_SUCH_DIALOG,
        }
    }

    fn handle_info(&mut self, now: Instant, request: &Request) {
        let document = match Document::parse(request.body().clone(), &Limits::default()) {
            Ok(document) => document,
            Err(error) => return self.event(Event::Dropped(error.to_string().into())),
        };
        // Real clients look for replies, else notices, else one message.
        let mut seen = Seen::Nothing;
        for item in document.items() {
            let kind = match item {
                Item::Reply(_) => Seen::Replies,
                Item::Notice(_) => Seen::Notices,
                Item::GroupChat(_) => Seen::Message,
                Item::Command(_) | Item::Other(_) => continue,
            };
            if seen != Seen::Nothing && (kind != seen || kind == Seen::Message) {
                let text = "one INFO holds more than legacy clients read of it";
                self.event(Event::Dropped(text.into()));
                continue;
            }
            seen = kind;
            let read = match item {
                Item::Reply(view) => Reply::read(view).map(|reply| {
                    let asked = match &mut self.stage {
                        Stage::Ready(channel) => channel.handle_reply(view, reply.clone()),
                        _ => None,
                    };
                    match asked {
                        Some(ended) => self.done(ended),
                        None => self.handle_unasked(now, reply),
                    }
                }),
                Item::Notice(view) => {
                    Notice::read(view).map(|notice| self.event(Event::Notice(notice)))
                }
                Item::GroupChat(view) => {
                    GroupChat::read(view).map(|message| self.event(Event::Message(message)))
                }
                Item::Command(_) | Item::Other(_) => Ok(()),
            };
            if let Err(error) = read {
                self.event(Event::Dropped(error.to_string().into()));
            }
        }
    }

    fn handle_unasked(&mut self, now: Instant, reply: Reply) {
        match reply.data {
            ReplyData::BackChat(history) => {
                history
                    .rooms
                    .into_iter()
                    .for_each(|room| self.event(Event::History(room)));
            }
            _ => self.handle_lookup_answer(now, &reply),
        }
    }

    // === Small things ===

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn next_envid(&mut self) -> u32 {
        self.envid = self.envid.wrapping_add(1);
        self.envid
    }

    fn send(&mut self, now: Instant, octets: Bytes) {
        self.last_sent = now;
        self.outputs.push_back(Output::Send(octets));
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn done(&mut self, (ticket, result): Ended) {
        self.event(Event::Done { ticket, result });
    }

    fn refused(&mut self, step: Step, response: &Response) {
        self.fail(Failure::Refused {
            step,
            status: response.status(),
            text: words(response),
        });
    }

    fn fail(&mut self, failure: Failure) {
        if let Stage::Ready(mut channel) = std::mem::replace(&mut self.stage, Stage::Over) {
            channel.abandon().for_each(|ended| self.done(ended));
        }
        self.event(Event::Failed(failure));
        self.outputs.push_back(Output::Close);
    }

    fn end(&mut self) {
        self.stage = Stage::Over;
        self.event(Event::SignedOut);
        self.outputs.push_back(Output::Close);
    }
}

/// What a document was found to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Replies,
    Notices,
    Message,
}

/// `ms-keep-alive: UAS; hop-hop=yes; timeout=300`
fn keep_alive_of(response: &Response) -> Option<Duration> {
    let value = response.headers().get(Name::MsKeepAlive)?;
    let timeout = value
        .split(';')
        .find_map(|part| part.trim().strip_prefix("timeout="))?;
    let seconds: u32 = timeout.trim().parse().ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}
