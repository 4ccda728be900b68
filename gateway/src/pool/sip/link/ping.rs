//! Signs of life: when a server is asked for one, and what its answer means.

use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_protocol::sip::{MessageBuilder, Method, Name, Response, Status};

use crate::pool::sip::leg::Context;

/// How long a server may take to answer OPTIONS.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Silence after something was sent, beyond which the server is asked.
const SUSPICION: Duration = Duration::from_secs(2);

/// Silence after which two line ends are sent where OPTIONS are not wanted, so that firewalls keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Ping {
    /// Silence after which the server is asked; `None`: it never is.
    interval: Option<Duration>,
    from: Box<str>,
    target: Box<str>,
    tag: Box<str>,
    call_id: Box<str>,
    cseq: u32,
    /// When the question that is open was asked.
    asked: Option<Instant>,
    /// When something came last.
    heard: Instant,
    /// When something was sent that nothing came after.
    unheard: Option<Instant>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Ask.
    Ask,
    /// Send two line ends, and tell [`Ping::kept_alive`].
    KeepAlive,
    /// The server is silent.
    Silent,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It lives. A refusal is as good: the server answered for itself.
    Alive,
    /// It says that it cannot serve.
    Failing(Status),
}

impl Ping {
    /// `unique` is random.
    pub(super) fn new(
        now: Instant,
        interval: Option<Duration>,
        from: &str,
        target: &str,
        unique: u64,
    ) -> Self {
        Self {
            interval,
            from: from.into(),
            target: target.into(),
            // Legs have tags with numbers from 1.
            tag: format!("0-{unique:016x}").into(),
            call_id: format!("ping{unique:016x}").into(),
            cseq: 0,
            asked: None,
            heard: now,
            unheard: None,
        }
    }

    /// Whether the server is asked at all.
    pub(super) fn is_wanted(&self) -> bool {
        self.interval.is_some()
    }

    /// Whether a question is open.
    pub(super) fn is_open(&self) -> bool {
        self.asked.is_some()
    }

    /// Something came.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.unheard = None;
    }

    /// A request went out.
    pub(super) fn sent(&mut self, now: Instant) {
        self.unheard.get_or_insert(now);
    }

    /// Two line ends went out.
    pub(super) fn kept_alive(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The question.
    pub(super) fn ask(&mut self, now: Instant, context: &Context, unique: u64) -> Bytes {
        self.cseq = self.cseq.saturating_add(1);
        self.asked = Some(now);
        let Self {
            from,
            target,
            tag,
            call_id,
            cseq,
            ..
        } = self;
        MessageBuilder::request(&Method::Options, target)
            .header(Name::Via, context.hop(unique))
            .header(Name::MaxForwards, 70)
            .header(Name::From, format_args!("<{from}>;tag={tag}"))
            .header(Name::To, format_args!("<{target}>"))
            .header(Name::CallId, call_id)
            .header(Name::CSeq, format_args!("{cseq} OPTIONS"))
            .header(Name::Accept, "application/sdp")
            .finish()
    }

    /// Takes a response whose From has the tag of a link. `None`: it answers no open question.
    pub(super) fn answered(&mut self, response: &Response) -> Option<Verdict> {
        let headers = response.headers();
        let cseq = headers.cseq().ok()?;
        let status = response.status();
        if status.is_provisional()
            || self.asked.is_none()
            || cseq.number != self.cseq
            || cseq.method != Method::Options
            || headers.call_id() != Ok(&self.call_id)
        {
            return None;
        }
        self.asked = None;
        Some(match status.code() {
            408 | 500 | 502..=504 => Verdict::Failing(status),
            _ => Verdict::Alive,
        })
    }

    /// When [`due`](Self::due) has something to say.
    pub(super) fn poll_timeout(&self) -> Instant {
        match (self.asked, self.interval) {
            (Some(asked), _) => asked + ANSWER_TIMEOUT,
            (None, Some(interval)) => {
                let suspicious = self.unheard.map(|since| since + SUSPICION);
                let quiet = self.heard + interval;
                suspicious.map_or(quiet, |suspicious| suspicious.min(quiet))
            }
            (None, None) => self.heard + KEEP_ALIVE,
        }
    }

    /// What is due at `now`.
    pub(super) fn due(&self, now: Instant) -> Option<Due> {
        (now >= self.poll_timeout()).then_some(match (self.asked, self.interval) {
            (Some(_), _) => Due::Silent,
            (None, Some(_)) => Due::Ask,
            (None, None) => Due::KeepAlive,
        })
    }
}
