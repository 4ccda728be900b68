//! The user agent server of one connection (RFC 3261 §8.2): takes each message and decides who answers it.
//!
//! Sans-IO. It answers REGISTER, SUBSCRIBE, OPTIONS and the lookup dialog itself, and hands what belongs to a channel
//! dialog to that dialog's session. Feed it with [`UserAgentServer::handle`] and [`UserAgentServer::handle_timeout`],
//! then drain [`UserAgentServer::poll_output`].

mod output;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_config::{ListenerName, ServiceUri};
use holdover_protocol::sip::dialog::{Dialog, DialogKey};
use holdover_protocol::sip::{
    Message, Method, Name, Request, Response, SipUri, Status, Uas, respond,
};
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos;
use jiff::Timestamp;

pub use output::{CloseReason, UasEvent, UasOutput};

use super::lookup::Lookup;
use crate::admission::{Gate, Turned};
use crate::answer;
use crate::peer::{Attachment, Caller, Door, Endpoint};
use crate::random::Random;
use crate::registrar::{self, Change, Policy, Refused, Registrar, user_of};

/// What this server does.
pub(super) const METHODS: &[Method] = &[
    Method::Register,
    Method::Subscribe,
    Method::Invite,
    Method::Ack,
    Method::Cancel,
    Method::Bye,
    Method::Info,
    Method::Update,
    Method::Options,
];

/// Option tags that may stand in Require. The legacy clients' `Proxy-Require: ms-benotify` is not looked at: we are no
/// proxy.
pub(super) const EXTENSIONS: &[&str] = &["timer", "ms-benotify"];

/// Bodies that are understood.
pub(super) const BODIES: &[(Method, &[&str])] = &[
    (Method::Invite, &["application/sdp"]),
    (Method::Info, &["text/plain"]),
];

/// Dialogs of either kind on one connection. Real clients have one of each; the rest is for those that lose count.
const MAX_DIALOGS: usize = 8;

/// Bytes of a User-Agent. A session keeps it for its rules; real ones have 100.
const MAX_AGENT: usize = 512;

/// The client's build, as it says itself; or the refusal of one that is too long to be kept.
pub(super) fn agent_of<'a>(request: &'a Request, tag: &str) -> Result<&'a str, Bytes> {
    let agent = request.headers().get(Name::UserAgent).unwrap_or_default();
    if agent.len() > MAX_AGENT {
        let text = "The User-Agent header field is too long.";
        let status = Status::BAD_REQUEST;
        return Err(answer::refuse(request, status, Some(text), Some(tag)));
    }
    Ok(agent)
}

/// What clients dial, however they come.
#[derive(Clone, Debug)]
pub struct Service {
    /// What legacy clients dial first.
    pub lookup_uri: ServiceUri,
    /// What they are told to dial then.
    pub channel_uri: ServiceUri,
    /// `Session-Expires` toward clients, seconds.
    pub session_expires: u32,
    /// Bounds of an XCCOS document.
    pub xccos: xccos::Limits,
}

/// What a client dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialled {
    Lookup,
    Channel,
}

impl Service {
    /// What the Request-URI of an INVITE stands for, if it is ours.
    pub(super) fn dialled(&self, invite: &Request) -> Option<Dialled> {
        let uri = SipUri::parse(invite.uri()).ok()?;
        if self.lookup_uri.names(&uri) {
            Some(Dialled::Lookup)
        } else {
            self.channel_uri.names(&uri).then_some(Dialled::Channel)
        }
    }
}

/// What all connections of a listener for clients have in common.
#[derive(Clone, Debug)]
pub struct UasSettings {
    /// What clients dial.
    pub service: Service,
    /// Who may sign in.
    pub policy: Arc<Policy>,
    /// Who may sign in now.
    pub gate: Arc<dyn Gate>,
    /// The listener's name.
    pub listener: ListenerName,
    /// How long a connection may go on without a sign-in.
    pub sign_in_timeout: Duration,
}

/// The number of a channel dialog on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelId(pub u32);

#[derive(Debug)]
struct Channel {
    id: ChannelId,
    /// `None` after BYE: the session still hears of the sign-out.
    key: Option<DialogKey>,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct UserAgentServer {
    settings: Arc<UasSettings>,
    attachment: Attachment,
    /// The client's address and port.
    peer: SocketAddr,
    registrar: Registrar,
    lookups: Vec<Lookup>,
    channels: Vec<Channel>,
    next_channel: u32,
    unique: Random,
    sign_in_by: Instant,
    /// The client's build, as it said itself when it signed in.
    client: Arc<str>,
    outputs: VecDeque<UasOutput>,
}

impl UserAgentServer {
    /// The server of a connection that was just accepted. `seed` is random: tags and branches come from it.
    #[must_use]
    pub fn new(
        now: Instant,
        settings: Arc<UasSettings>,
        attachment: Attachment,
        peer: SocketAddr,
        seed: u64,
    ) -> Self {
        let sign_in_by = now + settings.sign_in_timeout;
        Self {
            settings,
            attachment,
            peer,
            registrar: Registrar::default(),
            lookups: Vec::new(),
            channels: Vec::new(),
            next_channel: 0,
            unique: Random::new(seed),
            sign_in_by,
            client: Arc::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes a sound message. `wall` is the time since the Unix epoch.
    pub fn handle(&mut self, now: Instant, wall: Duration, message: Message) {
        match message {
            Message::Request(mut request) => {
                request.came_from(self.peer);
                self.handle_request(now, wall, request);
            }
            Message::Response(response) => self.handle_response(response),
        }
    }

    /// A tag for a response that no dialog gives one.
    pub fn tag(&mut self) -> String {
        format!("{:016x}", self.unique.draw())
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(user) = self.registrar.expire(now) {
            self.signed_out(user, true);
            self.outputs
                .push_back(UasOutput::Close(CloseReason::Expired));
        } else if self.registrar.user().is_none() && self.sign_in_by <= now {
            self.outputs
                .push_back(UasOutput::Close(CloseReason::NoSignIn));
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.registrar.expires_at().unwrap_or(self.sign_in_by)
    }

    /// The next effect, in order.
    pub fn poll_output(&mut self) -> Option<UasOutput> {
        let output = self.outputs.pop_front();
        if output.is_none() {
            // An idle connection holds no memory for what it will do some day.
            self.outputs = VecDeque::new();
        }
        output
    }

    /// Who is signed in.
    #[must_use]
    pub fn user(&self) -> Option<&UserUri> {
        self.registrar.user()
    }

    // === Requests ===

    fn handle_request(&mut self, now: Instant, wall: Duration, request: Request) {
        let uas = Uas {
            methods: METHODS,
            schemes: &["sip", "sips"],
            extensions: EXTENSIONS,
            bodies: BODIES,
        };
        if let Err(fault) = uas.check(&request) {
            let tag = self.tag();
            if *request.method() != Method::Ack {
                self.send(answer::fault(&request, &fault, Some(&tag)));
            }
            return;
        }
        if *request.method() == Method::Register {
            return self.handle_register(now, wall, &request);
        }
        if *request.method() == Method::Options && !is_in_dialog(&request) {
            return self.handle_options(&request);
        }
        if !self.is_from_user(&request) {
            return self.refuse_sender(&request);
        }
        match request.headers().to().map(|to| to.tag().is_some()) {
            Ok(true) => self.handle_in_dialog(request),
            Ok(false) => self.handle_new(&request),
            Err(error) => {
                let tag = self.tag();
                self.send(answer::fault(&request, &error.into(), Some(&tag)));
            }
        }
    }

    fn handle_register(&mut self, now: Instant, wall: Duration, request: &Request) {
        let tag = self.tag();
        // Whoever leaves may.
        if self.settings.gate.is_down() && request.headers().expires() != Some(0) {
            return self.turn_away(request, &tag);
        }
        let agent = match agent_of(request, &tag) {
            Ok(agent) => agent,
            Err(refused) => {
                self.send(refused);
                let reason = Refused::Malformed;
                return self.event(UasEvent::SignInRefused { user: None, reason });
            }
        };
        let (answer, change) = self.registrar.register(
            now,
            wall,
            request,
            self.peer.ip(),
            &tag,
            &self.settings.policy,
        );
        if let Change::SignedIn(user) = &change {
            self.client = agent.into();
            let caller = self.caller(user.clone());
            let at = Timestamp::from_duration(wall.try_into().unwrap_or_default());
            if let Err(turned) = self.settings.gate.sign_in(&caller, at.unwrap_or_default()) {
                self.registrar.turn_away();
                self.send(answer::turned(
                    request,
                    &turned.refusal.text,
                    turned.retry_after,
                    &tag,
                ));
                let reason = Refused::NotNow;
                let user = Some(caller.user);
                return self.event(UasEvent::SignInRefused { user, reason });
            }
        }
        self.send(answer);
        match change {
            Change::SignedIn(user) => {
                let user_agent = (&*self.client).into();
                self.event(UasEvent::SignedIn { user, user_agent });
            }
            Change::SignedOut(user) => {
                self.signed_out(user, false);
                // Whoever comes next on this connection has as long as whoever came first.
                self.sign_in_by = now + self.settings.sign_in_timeout;
            }
            Change::Refused {
                user,
                reason,
                hang_up,
            } => {
                self.event(UasEvent::SignInRefused { user, reason });
                self.hang_up(hang_up);
            }
            Change::RefusedAgain { hang_up } => self.hang_up(hang_up),
            Change::Refreshed | Change::Challenged => {}
        }
    }

    /// The gateway goes down.
    fn turn_away(&mut self, request: &Request, tag: &str) {
        let Turned {
            refusal,
            retry_after,
        } = Turned::down();
        self.send(answer::turned(request, &refusal.text, retry_after, tag));
    }

    fn hang_up(&mut self, is_due: bool) {
        if is_due {
            self.outputs
                .push_back(UasOutput::Close(CloseReason::SignInFailed));
        }
    }

    /// What rules may ask of whoever is on this connection.
    fn caller(&self, user: UserUri) -> Caller {
        Caller {
            user,
            network: Some(self.peer.ip().to_canonical()),
            listener: Some(self.settings.listener.clone()),
            client: Some(Arc::clone(&self.client)),
        }
    }

    /// After sign-in a connection may act only as the user it signed in as.
    fn is_from_user(&self, request: &Request) -> bool {
        let (Some(user), Ok(from)) = (self.registrar.user(), request.headers().from()) else {
            return false;
        };
        // Most clients write it as it is kept.
        from.uri_text() == user.as_str() || user_of(&from).is_some_and(|sender| sender == *user)
    }

    fn refuse_sender(&mut self, request: &Request) {
        if *request.method() == Method::Ack {
            return;
        }
        let text = match self.registrar.user() {
            Some(_) => "This connection belongs to another user.",
            None => "Sign in first.",
        };
        let user = self.registrar.user().cloned();
        let tag = self.tag();
        // Never 401 or 407: a client that was not challenged at REGISTER repeats the request without end.
        self.send(answer::refuse(
            request,
            Status::FORBIDDEN,
            Some(text),
            Some(&tag),
        ));
        let claimed = request
            .headers()
            .from()
            .map(|from| from.uri_text().into())
            .unwrap_or_default();
        self.event(UasEvent::WrongUser {
            user,
            claimed,
            method: request.method().clone(),
        });
    }

    fn handle_in_dialog(&mut self, request: Request) {
        // Every INVITE has its final response at once, so there is never one to cancel (RFC 3261 §9.2).
        if *request.method() == Method::Cancel {
            return self.send(answer::refuse(&request, Status::NO_SUCH_DIALOG, None, None));
        }
        let is_lookup = |lookup: &Lookup| lookup.key().is_of_request(&request);
        if let Some(at) = self.lookups.iter().position(is_lookup) {
            return self.handle_lookup(at, &request);
        }
        let is_bye = *request.method() == Method::Bye;
        match self.channels.iter_mut().find(|channel| {
            let key = channel.key.as_ref();
            key.is_some_and(|key| key.is_of_request(&request))
        }) {
            Some(channel) => {
                if is_bye {
                    channel.key = None;
                }
                let id = channel.id;
                self.outputs
                    .push_back(UasOutput::Request(id, Box::new(request)));
            }
            None if *request.method() == Method::Ack => {}
            None => self.send(answer::refuse(&request, Status::NO_SUCH_DIALOG, None, None)),
        }
    }

    /// A request outside of any dialog.
    fn handle_new(&mut self, request: &Request) {
        let tag = self.tag();
        match request.method() {
            Method::Invite => self.handle_invite(request, &tag),
            Method::Subscribe => self.send(registrar::subscribed(request, &tag)),
            Method::Ack => {}
            // INFO, BYE, UPDATE and CANCEL concern something that exists.
            _ => self.send(answer::refuse(
                request,
                Status::NO_SUCH_DIALOG,
                None,
                Some(&tag),
            )),
        }
    }

    /// Whether this server is there. Monitors and load balancers ask that without a sign-in, and often, so it is no event.
    /// Anybody gets the same answer; where nobody would answer an INVITE it is that one (RFC 3261 §11.2).
    fn handle_options(&mut self, request: &Request) {
        let tag = self.tag();
        let names_nobody = SipUri::parse(request.uri()).is_ok_and(|uri| uri.user().is_none());
        let answer = if names_nobody || self.settings.service.dialled(request).is_some() {
            respond(request, Status::OK, Some(&tag))
                .header(Name::Allow, Method::list(METHODS))
                .header(Name::Accept, "application/sdp, text/plain")
                .finish()
        } else {
            answer::refuse(request, Status::NOT_FOUND, None, Some(&tag))
        };
        self.send(answer);
    }

    fn handle_invite(&mut self, request: &Request, tag: &str) {
        if self.settings.gate.is_down() {
            return self.turn_away(request, tag);
        }
        let Some(user) = self.registrar.user().cloned() else {
            return;
        };
        let Some(dialled) = self.settings.service.dialled(request) else {
            let text = "Nobody answers at this address.";
            return self.send(answer::refuse(
                request,
                Status::NOT_FOUND,
                Some(text),
                Some(tag),
            ));
        };
        if dialled == Dialled::Channel && !self.has_room_for_channel() {
            let text = "Too many chats are open on this connection.";
            let status = Status::SERVICE_UNAVAILABLE;
            return self.send(answer::refuse(request, status, Some(text), Some(tag)));
        }
        let seconds = self.settings.service.session_expires;
        let (dialog, accepted) =
            match answer::accept_invite(request, tag, &self.attachment, seconds) {
                Ok(accepted) => accepted,
                Err(refused) => return self.send(refused),
            };
        self.send(accepted);
        if dialled == Dialled::Lookup {
            if self.lookups.len() >= MAX_DIALOGS {
                self.lookups.remove(0);
            }
            self.lookups.push(Lookup::new(dialog));
        } else {
            let epid = dialog.remote_epid().unwrap_or_default().into();
            let door = Door::Own;
            self.open_channel(Endpoint { user, epid, door }, dialog);
        }
    }

    /// Forgets a dialog that ended, if there are too many. Each of the others has a session that must hear of its end.
    fn has_room_for_channel(&mut self) -> bool {
        if self.channels.len() < MAX_DIALOGS {
            return true;
        }
        let Some(ended) = self.channels.iter().position(|it| it.key.is_none()) else {
            return false;
        };
        let forgotten = self.channels.remove(ended).id;
        self.outputs.push_back(UasOutput::Forget(forgotten));
        true
    }

    fn open_channel(&mut self, endpoint: Endpoint, dialog: Dialog) {
        let id = ChannelId(self.next_channel);
        self.next_channel = self.next_channel.wrapping_add(1);
        self.channels.push(Channel {
            id,
            key: Some(dialog.key()),
        });
        let branch = self.unique.draw();
        let dialog = Box::new(dialog);
        let caller = self.caller(endpoint.user.clone());
        self.outputs.push_back(UasOutput::Open {
            channel: id,
            endpoint,
            dialog,
            branch,
            caller,
        });
    }

    fn handle_lookup(&mut self, at: usize, request: &Request) {
        let Some(lookup) = self.lookups.get_mut(at) else {
            return;
        };
        let (messages, outcome) = lookup.handle(
            request,
            &self.settings.service,
            &self.attachment.sent_by,
            self.unique.draw(),
        );
        for message in messages {
            self.send(message);
        }
        match outcome {
            super::lookup::Progress::Continues => {}
            super::lookup::Progress::Answered => {
                if let Some(user) = self.registrar.user().cloned() {
                    let call_id = request.headers().call_id().unwrap_or_default().into();
                    self.event(UasEvent::LookupAnswered { user, call_id });
                }
            }
            super::lookup::Progress::Over => {
                self.lookups.remove(at);
                // Every client has its lookup before its session, and none after.
                self.lookups.shrink_to_fit();
            }
        }
    }

    fn handle_response(&mut self, response: Response) {
        let channel = self.channels.iter().find(|channel| {
            let key = channel.key.as_ref();
            key.is_some_and(|key| key.is_of_response(&response))
        });
        // What answers the lookup's own INFO needs no action, and what answers nothing is dropped (RFC 3261 §18.1.2).
        if let Some(channel) = channel {
            self.outputs
                .push_back(UasOutput::Response(channel.id, Box::new(response)));
        }
    }

    // === Helpers ===

    fn signed_out(&mut self, user: UserUri, expired: bool) {
        let channels = self.channels.drain(..).map(|channel| channel.id).collect();
        self.lookups.clear();
        self.outputs.push_back(UasOutput::SignedOut(channels));
        self.event(UasEvent::SignedOut { user, expired });
    }

    fn send(&mut self, message: Bytes) {
        self.outputs.push_back(UasOutput::Send(message));
    }

    fn event(&mut self, event: UasEvent) {
        self.outputs.push_back(UasOutput::Event(event));
    }
}

/// Whether a request says that it belongs to a dialog. One whose To cannot be read is refused where that is looked at.
fn is_in_dialog(request: &Request) -> bool {
    request.headers().to().map_or(true, |to| to.tag().is_some())
}
