//! The user agent server of one connection of a front end (RFC 3261 §8.2).
//!
//! Sans-IO. Feed it with [`FrontEndServer::handle`], then drain [`FrontEndServer::poll_output`]. It looks sessions up in the
//! table that all connections share; whatever is to happen to one is an [`Output`].

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use holdover_config::ListenerName;
use holdover_protocol::sip::dialog::{Dialog, DialogKey};
use holdover_protocol::sip::{Message, Method, Name, Request, Response, Status, Uas, respond};
use holdover_protocol::user::UserUri;
use jiff::Timestamp;

use super::identity;
use super::lookups::Lookups;
use crate::admission::{Gate, Turned};
use crate::answer;
use crate::listener::lookup;
use crate::listener::uas::{BODIES, Dialled, EXTENSIONS, Service, agent_of};
use crate::peer::{
    Attachment, Caller, ClientNumber, ConnectionNumber, Door, Endpoint, SentBy, Way,
};
use crate::random::Random;
use crate::session::table::{SessionHandle, SessionTable};
use crate::telemetry::events::sign_in::AssertionFault;

/// What this server does. Registrations and subscriptions are the front end's: what of them comes here is answered 405.
pub(super) const METHODS: &[Method] = answer::METHODS;

/// Sessions of one user: one for each endpoint. Few people have more than three.
const MOST_OF_USER: usize = 8;

/// What all connections of a listener have in common.
#[derive(Clone, Debug)]
pub struct FrontEndSettings {
    /// The listener's name.
    pub listener: ListenerName,
    /// What clients dial.
    pub service: Service,
    /// The SIP domain of the users.
    pub domain: Box<str>,
    /// Who may come now.
    pub gate: Arc<dyn Gate>,
    /// Sessions on one connection.
    pub most_sessions: usize,
}

/// One effect.
#[derive(Debug)]
pub(super) enum Output {
    /// Octets for the connection.
    Send(Bytes),
    /// A channel dialog begins; the client has its 200.
    Open {
        /// Whose it is.
        endpoint: Endpoint,
        /// The dialog.
        dialog: Box<Dialog>,
        /// Makes the session's branches unique.
        branch: u64,
        /// What rules may ask of it.
        caller: Caller,
        /// Tells the client's connection to the front end from another that it had before.
        client: ClientNumber,
    },
    /// A request inside a channel dialog; the session answers it.
    Request(Arc<SessionHandle>, Box<Request>),
    /// A response inside a channel dialog.
    Response(Arc<SessionHandle>, Box<Response>),
    /// For the event log.
    Event(Event),
}

/// What happened, for the event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::listener) enum Event {
    /// A client was told the channel URI.
    LookupAnswered {
        /// Who asked.
        user: UserUri,
        /// The lookup dialog's Call-ID.
        call_id: Box<str>,
    },
    /// A user may not come now.
    TurnedAway(UserUri),
    /// A request was refused because the front end did not say whose it is.
    NotAsserted {
        /// What is wrong.
        reason: AssertionFault,
        /// Who the request says it is from.
        claimed: Box<str>,
        /// Its method.
        method: Method,
    },
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct FrontEndServer {
    settings: Arc<FrontEndSettings>,
    lookups: Arc<Lookups>,
    /// Where the front end connected from.
    peer: SocketAddr,
    sent_by: SentBy,
    unique: Random,
    outputs: VecDeque<Output>,
}

impl FrontEndServer {
    /// The server of a connection that was just accepted. `seed` is random: tags and branches come from it.
    pub(super) fn new(
        settings: Arc<FrontEndSettings>,
        lookups: Arc<Lookups>,
        peer: SocketAddr,
        sent_by: SentBy,
        seed: u64,
    ) -> Self {
        Self {
            settings,
            lookups,
            peer,
            sent_by,
            unique: Random::new(seed),
            outputs: VecDeque::new(),
        }
    }

    /// Takes a sound message, at this time by both clocks. `sessions` are those there are; `here` is how many of them are on this connection.
    pub(super) fn handle(
        &mut self,
        (now, at): (Instant, Timestamp),
        message: Message,
        sessions: &SessionTable,
        here: usize,
    ) {
        match message {
            Message::Request(mut request) => {
                request.came_from(self.peer);
                self.handle_request((now, at), request, sessions, here);
            }
            Message::Response(response) => {
                // What answers a lookup's own INFO needs no action, and what answers nothing is dropped (RFC 3261
                // §18.1.2).
                let key = DialogKey::of_response(&response).ok().flatten();
                if let Some(session) = key.and_then(|key| sessions.of_dialog(&key)) {
                    self.outputs
                        .push_back(Output::Response(session, Box::new(response)));
                }
            }
        }
    }

    /// A tag for a response that no dialog gives one.
    pub(super) fn tag(&mut self) -> String {
        format!("{:016x}", self.unique.draw())
    }

    /// The next effect, in order.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn handle_request(
        &mut self,
        now: (Instant, Timestamp),
        request: Request,
        sessions: &SessionTable,
        here: usize,
    ) {
        let uas = Uas {
            methods: METHODS,
            schemes: &["sip", "sips"],
            extensions: EXTENSIONS,
            bodies: BODIES,
        };
        let is_ack = *request.method() == Method::Ack;
        if let Err(fault) = uas.check(&request) {
            let tag = self.tag();
            if !is_ack {
                self.send(answer::fault(&request, &fault, Some(&tag)));
            }
            return;
        }
        let key = match DialogKey::of_request(&request) {
            Ok(key) => key,
            Err(error) => {
                let tag = self.tag();
                return self.send(answer::fault(&request, &error.into(), Some(&tag)));
            }
        };
        match (request.method(), &key) {
            // A front end asks in its own name whether somebody is here.
            (Method::Options, None) => return self.send_options(&request),
            // Every INVITE has its final response at once, so there is never one to cancel (RFC 3261 §9.2).
            (Method::Cancel, _) => return self.no_such_dialog(&request),
            _ => {}
        }
        let user = match identity::asserted(&request, &self.settings.domain) {
            Ok(user) => user,
            Err(reason) => return self.refuse_sender(&request, reason),
        };
        match key {
            Some(key) => self.handle_in_dialog(&user, &key, request, sessions),
            None if *request.method() == Method::Invite => {
                self.handle_invite(now, &request, user, sessions, here);
            }
            // INFO, BYE and UPDATE concern something that exists.
            None => self.no_such_dialog(&request),
        }
    }

    fn refuse_sender(&mut self, request: &Request, reason: AssertionFault) {
        if *request.method() == Method::Ack {
            return;
        }
        let text = match reason {
            AssertionFault::OtherSender => "You are not the sender of this message.",
            AssertionFault::ForeignDomain => "This address is not of a domain served here.",
            _ => "The front end did not say who you are.",
        };
        let tag = self.tag();
        // Never 401 or 407: whoever asks for a password here is the front end.
        let status = Status::FORBIDDEN;
        self.send(answer::refuse(request, status, Some(text), Some(&tag)));
        let from = request.headers().from();
        let claimed = from.map(|from| from.uri_text().into()).unwrap_or_default();
        let method = request.method().clone();
        self.event(Event::NotAsserted {
            reason,
            claimed,
            method,
        });
    }

    fn handle_in_dialog(
        &mut self,
        user: &UserUri,
        key: &DialogKey,
        request: Request,
        sessions: &SessionTable,
    ) {
        // The key holds the sender's address, and that is the asserted one.
        if let Some(session) = sessions.of_dialog(key) {
            let request = Box::new(request);
            return self.outputs.push_back(Output::Request(session, request));
        }
        let (service, sent_by) = (&self.settings.service, &self.sent_by);
        let unique = self.unique.draw();
        let answered = self.lookups.with(user, key, |lookup| {
            let (messages, outcome) = lookup.handle(&request, service, sent_by, unique);
            ((messages, outcome), outcome == lookup::Progress::Over)
        });
        let Some((messages, outcome)) = answered else {
            return self.no_such_dialog(&request);
        };
        self.outputs.extend(messages.into_iter().map(Output::Send));
        if outcome == lookup::Progress::Answered {
            let (user, call_id) = (user.clone(), request.headers().call_id());
            let call_id = call_id.unwrap_or_default().into();
            self.event(Event::LookupAnswered { user, call_id });
        }
    }

    fn handle_invite(
        &mut self,
        (now, at): (Instant, Timestamp),
        request: &Request,
        user: UserUri,
        sessions: &SessionTable,
        here: usize,
    ) {
        let tag = self.tag();
        let refuse = |status, text| answer::refuse(request, status, Some(text), Some(&tag));
        let Some(dialled) = self.settings.service.dialled(request) else {
            let refused = refuse(Status::NOT_FOUND, "Nobody answers at this address.");
            return self.send(refused);
        };
        let agent = match agent_of(request, &tag) {
            Ok(agent) => agent,
            Err(refused) => return self.send(refused),
        };
        let client = client_of(request);
        let attachment = self.attachment(client);
        if self.settings.gate.is_down() {
            let Turned {
                refusal,
                retry_after,
            } = Turned::down();
            return self.send(answer::turned(request, &refusal.text, retry_after, &tag));
        }
        let seconds = self.settings.service.session_expires;
        let accepted = answer::accept_invite(request, &tag, &attachment, seconds);
        let (dialog, accepted) = match accepted {
            Ok(accepted) => accepted,
            Err(refused) => return self.send(refused),
        };
        if dialled == Dialled::Lookup {
            self.send(accepted);
            return self.lookups.open(now, user, dialog);
        }
        let endpoint = Endpoint {
            user,
            epid: dialog.remote_epid().unwrap_or_default().into(),
            door: Door::FrontEnd,
        };
        let busy = if here >= self.settings.most_sessions {
            Some("Too many chats are open on this connection.")
        } else if sessions.others(&endpoint) >= MOST_OF_USER {
            Some("You have too many chats open.")
        } else {
            None
        };
        if let Some(text) = busy {
            return self.send(refuse(Status::SERVICE_UNAVAILABLE, text));
        }
        let caller = Caller {
            user: endpoint.user.clone(),
            network: address_of(request),
            listener: Some(self.settings.listener.clone()),
            client: Some(agent.into()),
        };
        // Nobody signs in here, so this is where the rules on that are asked: of those who are not in yet. A client whose
        // lookup is refused gives up; one that is refused here tries again.
        if !sessions.has(&endpoint)
            && let Err(turned) = self.settings.gate.sign_in(&caller, at)
        {
            self.send(answer::turned(
                request,
                &turned.refusal.text,
                turned.retry_after,
                &tag,
            ));
            return self.event(Event::TurnedAway(caller.user));
        }
        self.send(accepted);
        let branch = self.unique.draw();
        self.outputs.push_back(Output::Open {
            endpoint,
            dialog: Box::new(dialog),
            branch,
            caller,
            client,
        });
    }

    /// For what an answer says of this end; which connection it is on is no concern of it.
    fn attachment(&self, client: ClientNumber) -> Attachment {
        Attachment {
            connection: ConnectionNumber(0),
            sent_by: self.sent_by.clone(),
            way: Way::FrontEnd { client },
        }
    }

    fn send_options(&mut self, request: &Request) {
        let tag = self.tag();
        let options = respond(request, Status::OK, Some(&tag))
            .header(Name::Allow, Method::list(METHODS))
            .header(Name::Accept, "application/sdp, text/plain");
        self.send(options.finish());
    }

    fn no_such_dialog(&mut self, request: &Request) {
        if *request.method() != Method::Ack {
            let tag = self.tag();
            let status = Status::NO_SUCH_DIALOG;
            self.send(answer::refuse(request, status, None, Some(&tag)));
        }
    }

    fn send(&mut self, message: Bytes) {
        self.outputs.push_back(Output::Send(message));
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

/// What tells a client's connection to its front end from another that it had before: the address and port that the client
/// itself wrote into its Via, the last one. One that has lost a connection has another port on the next.
fn client_of(invite: &Request) -> ClientNumber {
    let mut hasher = DefaultHasher::new();
    if let Some(Ok(via)) = invite.headers().vias().last() {
        via.host().as_str().hash(&mut hasher);
        via.port().hash(&mut hasher);
    }
    ClientNumber(hasher.finish())
}

/// The client's address, if the front end tells it. The Via under the front end's own is that of whoever talks to the front
/// end, which corrects what is wrong there (RFC 3261 §18.2.1). What stands below it may be invented.
fn address_of(invite: &Request) -> Option<IpAddr> {
    let via = invite.headers().vias().nth(1)?.ok()?;
    let address = via.params().get("received");
    let address = address.unwrap_or_else(|| via.host().as_str());
    let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
    Some(address.to_canonical())
}
