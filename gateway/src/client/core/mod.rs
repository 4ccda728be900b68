//! The client itself, a state machine without sockets and clocks.
//!
//! Make one with [`Client::new`] when the connection is there; feed it with [`Client::handle`], [`Client::handle_timeout`]
//! and what the user wants; after each, drain [`Client::poll_output`] and ask [`Client::poll_timeout`] when to come back.

mod messages;
mod sign_in;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_protocol::room::RoomUri;
use holdover_protocol::sip::{Fault, Message, Method, Response};
use holdover_protocol::xccos::block::QueryBlock;
use holdover_protocol::xccos::verb::{BackChat, BatchJoin, ChannelSearch, Join, Part};
use holdover_protocol::xccos::{Command, GroupChat};
use jiff::Timestamp;

use crate::client::channel::{Channel, Ended};
use crate::client::dialog::Dialog;
use crate::client::event::{Event, Output, Ticket};
use crate::client::failure::{Failure, Refusal, Step, words};
use crate::client::profile::{Identity, Local, Password, Profile};
use crate::client::registration::Registration;

/// The event package whose answer starts Group Chat in a real client.
const PROVISIONING: &str = "vnd-microsoft-provisioning-v2";

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
        match &mut self.stage {
            Stage::Ready(channel) => {
                let info = channel.post(now, &self.identity, envid, ticket, &post);
                self.send(now, info);
            }
            _ => self.done((ticket, Err(Refusal::NotReady))),
        }
        ticket
    }

    /// Sends any command.
    pub fn command(&mut self, now: Instant, command: &Command) -> Ticket {
        let (ticket, envid) = (self.ticket(), self.next_envid());
        match &mut self.stage {
            Stage::Ready(channel) => {
                let info = channel.command(now, &self.identity, envid, ticket, command);
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
            Stage::SigningIn { .. } => return self.end(),
            stage @ (Stage::Leaving { .. } | Stage::Over) => {
                self.stage = stage;
                return;
            }
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
