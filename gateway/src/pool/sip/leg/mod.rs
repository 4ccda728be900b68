//! One user's dialog with a pool.
//!
//! Sans-IO: feed it with [`LegCore::send`], [`LegCore::handle_response`], [`LegCore::handle_request`],
//! [`LegCore::handle_timeout`], [`LegCore::close`] and [`LegCore::lost`]; after each, take what
//! [`LegCore::poll_output`] has and call it again by [`LegCore::poll_timeout`].
//!
//! A leg hides no loss. Whatever ends its dialog ends the leg, once, and documents without a receipt have an unknown fate
//! then; the session opens a new one and fetches what it missed.

mod call;
mod outbox;
mod requests;
mod responses;

use std::collections::VecDeque;
use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_protocol::sip::call::{Due, Refresh};
use holdover_protocol::sip::dialog::{Dialog, Hop};
use holdover_protocol::sip::{Method, Name, Refresher, SessionExpires, Status};
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos;

use self::call::{ABANDONED, Call, Late, Parties};
use self::outbox::{Outbox, Told};
use crate::pool::{LegClosed, LegEvent, SendId};
use crate::random::Random;

/// What all legs of a pool have in common.
#[derive(Clone, Debug)]
pub(super) struct LegSettings {
    /// What is dialled.
    pub(super) uri: Box<str>,
    /// Whether it is asked for the address to dial.
    pub(super) lookup: bool,
    /// How long the pool may take to answer a request.
    pub(super) limit: Duration,
    /// INFO requests that may be under way at one time.
    pub(super) outstanding: usize,
    /// Bounds of an XCCOS document.
    pub(super) xccos: xccos::Limits,
}

/// What all legs of a connection have in common.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) settings: Arc<LegSettings>,
    /// `TCP` or `TLS`.
    pub(super) transport: &'static str,
    /// Our end of the connection: host and port, and the host alone.
    pub(super) sent_by: Box<str>,
    pub(super) address: Box<str>,
}

impl Context {
    pub(super) fn hop(&self, unique: u64) -> Hop<'_> {
        Hop {
            transport: self.transport,
            sent_by: &self.sent_by,
            unique,
        }
    }

    /// Where the pool reaches a user: through this connection.
    fn contact(&self, user: &UserUri) -> impl Display {
        let Self {
            transport, sent_by, ..
        } = self;
        let transport = transport.to_ascii_lowercase();
        format!("<sip:{}@{sent_by};transport={transport}>", user.user())
    }
}

/// One effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// To the pool.
    Send(Bytes),
    /// To the session.
    Deliver(LegEvent),
    /// What this leg saw of the server's health.
    Saw(Sign),
    /// The pool refused the INVITE.
    Refused(Status),
}

/// A sign of a server's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// It answered an INVITE as a working server does.
    Good,
    /// It did not answer in time.
    Silent,
    /// It said that it cannot serve.
    Failing,
}

enum State {
    /// The INVITE is not answered. → `Asking` or `Open` by a 2xx, `Over` by a refusal, `Abandoned` when the session goes
    /// or time is over.
    Calling {
        call: Box<Call>,
        /// Whether it goes to the lookup service.
        lookup: bool,
        deadline: Instant,
    },
    /// The lookup dialog is up and was asked for the channel. → `Calling` with its answer, `Over`.
    Asking { dialog: Peer, deadline: Instant },
    /// The channel dialog is up. → `Over`
    Open {
        dialog: Peer,
        refresh: Option<Refresh>,
    },
    /// The leg is closed, but its INVITE may still be accepted: it would have to be ended. → `Over`
    Abandoned { call: Box<Call>, until: Instant },
    /// Nothing follows.
    Over,
}

/// A dialog and the tag of its other end.
struct Peer {
    dialog: Box<Dialog>,
    remote_tag: Box<str>,
}

/// See the module's text.
pub(super) struct LegCore {
    context: Arc<Context>,
    user: UserUri,
    /// Its tag in all its dialogs, by which its messages are found.
    tag: Box<str>,
    random: Random,
    state: State,
    late: Option<Late>,
    outbox: Outbox,
    /// Whether the session was told the end, or wants to hear of none.
    closed: bool,
    output: VecDeque<Output>,
}

impl LegCore {
    /// Dials. `number` is this leg's alone on its connection, `seed` is random.
    pub(super) fn new(
        now: Instant,
        context: Arc<Context>,
        user: UserUri,
        number: u64,
        seed: u64,
    ) -> Self {
        let mut random = Random::new(seed);
        let LegSettings {
            uri,
            lookup,
            outstanding,
            limit,
            ..
        } = context.settings.as_ref();
        let tag = format!("{number:x}-{:016x}", random.draw()).into_boxed_str();
        let (uri, lookup) = (uri.clone(), *lookup);
        let mut leg = Self {
            outbox: Outbox::new(*outstanding, *limit),
            context,
            user,
            tag,
            random,
            state: State::Over,
            late: None,
            closed: false,
            output: VecDeque::new(),
        };
        leg.call(now, &uri, lookup);
        leg
    }

    /// The number of the leg whose tag this is.
    pub(super) fn number_in(tag: &str) -> Option<u64> {
        let (number, _) = tag.split_once('-')?;
        u64::from_str_radix(number, 16).ok()
    }

    /// Sends a document, or keeps it until the dialog is up and has room for it.
    ///
    /// # Errors
    ///
    /// [`LegClosed::Overflow`] when too much waits already, [`LegClosed::Pool`] when the leg is over.
    pub(super) fn send(&mut self, now: Instant, id: SendId, body: Bytes) -> Result<(), LegClosed> {
        if self.closed {
            return Err(LegClosed::Pool);
        }
        self.outbox.push(now, id, body)?;
        self.pump(now);
        Ok(())
    }

    /// The session is done with the leg, or did not keep up.
    pub(super) fn close(&mut self, now: Instant) {
        self.closed = true;
        self.end(now, LegClosed::Pool, true);
    }

    /// Ends the leg from this side, for a reason that the session is told.
    pub(super) fn give_up(&mut self, now: Instant, reason: LegClosed) {
        self.end(now, reason, true);
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self, now: Instant) {
        self.end(now, LegClosed::Unreachable, false);
        self.state = State::Over;
    }

    /// Whether nothing will follow but what [`poll_output`](Self::poll_output) has.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The next effect.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        let output = self.output.pop_front();
        if output.is_none() {
            // An idle leg keeps no memory for effects.
            self.output = VecDeque::new();
        }
        output
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Calling { deadline, .. } | State::Asking { deadline, .. } => Some(*deadline),
            State::Open { refresh, .. } => refresh.as_ref().map(Refresh::poll_timeout),
            State::Abandoned { until, .. } => Some(*until),
            State::Over => return None,
        };
        let outbox = match self.state {
            State::Abandoned { .. } => None,
            _ => self.outbox.poll_timeout(),
        };
        let late = self.late.as_ref().map(|late| late.until);
        own.into_iter().chain(outbox).chain(late).min()
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.late = self.late.take().filter(|late| now < late.until);
        let mut told = Vec::new();
        if self.outbox.expire(now, &mut told) {
            self.saw(Sign::Silent);
        }
        self.tell(told);
        match &self.state {
            State::Calling { deadline, .. } | State::Asking { deadline, .. }
                if now >= *deadline =>
            {
                self.saw(Sign::Silent);
                self.end(now, LegClosed::Unreachable, true);
            }
            State::Open { refresh, .. } => match refresh.as_ref().and_then(|r| r.due(now)) {
                Some(Due::Update(seconds)) => self.update(now, seconds),
                Some(Due::Over) => {
                    self.saw(Sign::Silent);
                    self.end(now, LegClosed::Unreachable, true);
                }
                None => {}
            },
            State::Abandoned { until, .. } if now >= *until => self.state = State::Over,
            _ => {}
        }
        self.pump(now);
    }

    /// Sends the sign of life.
    fn update(&mut self, now: Instant, seconds: u32) {
        let Self {
            context,
            user,
            random,
            state:
                State::Open {
                    dialog,
                    refresh: Some(refresh),
                },
            ..
        } = self
        else {
            return;
        };
        let expires = SessionExpires {
            seconds,
            refresher: Some(Refresher::Uac),
        };
        let update = dialog
            .dialog
            .request(&Method::Update, &context.hop(random.draw()))
            .header(Name::Contact, context.contact(user))
            .header(Name::Supported, "timer")
            .header(Name::SessionExpires, expires)
            .finish();
        refresh.asked(dialog.dialog.local_cseq(), now + context.settings.limit);
        self.push(update);
    }

    fn call(&mut self, now: Instant, target: &str, lookup: bool) {
        let parties = Parties {
            target,
            user: &self.user,
            tag: &self.tag,
        };
        let mut call = Box::new(Call::new(parties, &mut self.random));
        let invite = call.invite(&self.user, &self.context, &mut self.random);
        self.push(invite);
        self.state = State::Calling {
            call,
            lookup,
            deadline: now + self.context.settings.limit,
        };
    }

    /// Sends what the window has room for.
    fn pump(&mut self, now: Instant) {
        while let State::Open { .. } = self.state
            && let Some(body) = self.outbox.next(now)
        {
            if let Some(cseq) = self.info(&body) {
                self.outbox.sent(now, cseq);
            }
        }
    }

    /// Sends an INFO in the dialog that is up. Returns its CSeq.
    fn info(&mut self, body: &Bytes) -> Option<u32> {
        let (State::Asking { dialog, .. } | State::Open { dialog, .. }) = &mut self.state else {
            return None;
        };
        let hop = self.context.hop(self.random.draw());
        let info = dialog.dialog.request(&Method::Info, &hop);
        let cseq = dialog.dialog.local_cseq();
        self.push(info.finish_with("text/plain", body));
        Some(cseq)
    }

    fn bye(&mut self) {
        let (State::Asking { dialog, .. } | State::Open { dialog, .. }) = &mut self.state else {
            return;
        };
        let bye = call::bye(&mut dialog.dialog, &self.context, &mut self.random);
        self.push(bye);
    }

    /// Ends the leg, with a BYE if the other side may not know.
    fn end(&mut self, now: Instant, reason: LegClosed, bye: bool) {
        if bye {
            self.bye();
        }
        let reason = match self.state {
            State::Calling { .. } | State::Asking { .. } => LegClosed::Unopened,
            State::Open { .. } | State::Abandoned { .. } | State::Over => reason,
        };
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Calling { call, .. } => State::Abandoned {
                call,
                until: now + ABANDONED,
            },
            abandoned @ State::Abandoned { .. } => abandoned,
            _ => State::Over,
        };
        self.outbox = Outbox::new(1, Duration::ZERO);
        if !std::mem::replace(&mut self.closed, true) {
            self.output
                .push_back(Output::Deliver(LegEvent::Closed(reason)));
        }
    }

    fn tell(&mut self, told: Vec<Told>) {
        if self.closed {
            return;
        }
        let event = |(id, receipt)| Output::Deliver(LegEvent::Receipt { id, receipt });
        self.output.extend(told.into_iter().map(event));
    }

    fn saw(&mut self, sign: Sign) {
        self.output.push_back(Output::Saw(sign));
    }

    fn push(&mut self, message: Bytes) {
        self.output.push_back(Output::Send(message));
    }
}

/// Identifiers only.
impl fmt::Debug for LegCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LegCore")
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
