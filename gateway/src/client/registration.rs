//! REGISTER: signing in with or without a password, staying signed in, signing out.

use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_protocol::sip::digest::{Challenge, Ha1};
use holdover_protocol::sip::{MessageBuilder, Method, Name, Response};

use super::profile::{Identity, Line, Password};

/// How long before the end of a registration real clients refresh it.
const MARGIN: Duration = Duration::from_secs(30);

/// The state of one client's registration.
#[derive(Debug)]
pub(super) struct Registration {
    call_id: String,
    tag: String,
    branch: String,
    cseq: u32,
    expires: Option<u32>,
    /// The challenge to answer, and how often it was answered.
    challenge: Option<Challenge>,
    answered: u32,
    refresh_at: Option<Instant>,
}

/// What a 407 asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The password.
    Password,
    /// The right password: the one that was sent is not.
    RightPassword,
    /// Something else.
    Other,
}

impl Registration {
    pub(super) fn new(identity: &mut Identity) -> Self {
        Self {
            call_id: identity.unique(),
            tag: identity.tag(),
            branch: String::new(),
            cseq: 0,
            expires: None,
            challenge: None,
            answered: 0,
            refresh_at: None,
        }
    }

    /// A REGISTER without credentials. Real clients say no `Expires` but to leave.
    pub(super) fn request(&mut self, identity: &mut Identity, expires: Option<u32>) -> Bytes {
        self.cseq = self.cseq.saturating_add(1);
        self.branch = identity.unique();
        self.expires = expires;
        self.challenge = None;
        self.refresh_at = None;
        self.build(identity).finish()
    }

    /// Takes a 407.
    pub(super) fn challenged(&mut self, response: &Response) -> Asked {
        let challenge = response
            .headers()
            .all(Name::ProxyAuthenticate)
            .find_map(|value| Challenge::parse(value).ok());
        let Some(challenge) = challenge else {
            return Asked::Other;
        };
        // An old nonce is no wrong password, but a server that finds every nonce old is not to be followed for ever.
        if self.challenge.is_some() && (!challenge.is_stale() || self.answered > 2) {
            return Asked::RightPassword;
        }
        self.challenge = Some(challenge);
        Asked::Password
    }

    /// The same REGISTER again with credentials. Real clients keep CSeq, Call-ID and branch, and do not know the URI.
    pub(super) fn answer(&mut self, identity: &mut Identity, password: &Password) -> Option<Bytes> {
        let challenge = self.challenge.as_ref()?;
        self.answered += 1;
        let user = identity.user.address().to_owned();
        let ha1 = Ha1::new(&user, challenge.realm(), password.text());
        let cnonce = identity.cnonce();
        let credentials = challenge.answer(&user, &ha1, "REGISTER", "(null)", &cnonce, 1);
        Some(
            self.build(identity)
                .header(Name::ProxyAuthorization, credentials)
                .finish(),
        )
    }

    /// Whether a response is to the last REGISTER.
    pub(super) fn is_answered_by(&self, response: &Response) -> bool {
        let headers = response.headers();
        headers.call_id().is_ok_and(|id| id == self.call_id)
            && headers
                .cseq()
                .is_ok_and(|cseq| cseq.method == Method::Register && cseq.number == self.cseq)
    }

    /// Notes a 200 and what it grants, in seconds.
    pub(super) fn accepted(&mut self, now: Instant, seconds: u32) {
        self.challenge = None;
        self.answered = 0;
        let granted = Duration::from_secs(seconds.into());
        // A server that grants less than the margin is asked again when half of it is over.
        let wait = granted.checked_sub(MARGIN).filter(|wait| !wait.is_zero());
        self.refresh_at = Some(now + wait.unwrap_or(granted / 2));
    }

    /// When the registration must be refreshed. `None` while a REGISTER is under way.
    pub(super) fn refresh_at(&self) -> Option<Instant> {
        self.refresh_at
    }

    fn build(&self, identity: &Identity) -> MessageBuilder {
        let uri = format!("sip:{}", identity.user.domain());
        let to = format!("<{}>", identity.user.as_str());
        let line = Line {
            tag: &self.tag,
            to: &to,
            call_id: &self.call_id,
            cseq: self.cseq,
            branch: Some(&self.branch),
        };
        let builder = MessageBuilder::request(&Method::Register, &uri);
        let local = &identity.local;
        let builder = identity
            .dress(builder, &line, "REGISTER")
            .header(
                Name::Contact,
                format_args!(
                    "<sip:{}:{};transport={}>;methods=\"INVITE, MESSAGE, INFO, SUBSCRIBE, OPTIONS, BYE, CANCEL, \
                     NOTIFY, ACK, REFER, BENOTIFY\";proxy=replace",
                    local.host, local.port, local.transport
                ),
            )
            .header(Name::Supported, "gruu-10, adhoclist, msrtc-event-categories")
            .header(Name::Event, "registration")
            .header(Name::AllowEvents, "presence")
            .header(Name::MsKeepAlive, "UAC;hop-hop=yes");
        match self.expires {
            Some(seconds) => builder.header(Name::Expires, seconds),
            None => builder,
        }
    }
}
