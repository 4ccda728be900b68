//! The requests of the peer, each with its answer.

use std::time::Instant;

use bytes::Bytes;
use holdover_protocol::sip::call::{Terms, WithoutOffer, with_description};
use holdover_protocol::sip::dialog::{Dialog, DialogKey, Incoming};
use holdover_protocol::sip::session_timer::{Policy, SMALLEST_MIN_SE};
use holdover_protocol::sip::{
    Fault, MessageBuilder, Method, Name, Request, SessionExpires, SipUri, Status, Uas, respond,
};
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos::{Document, Item, Limits};

use super::core::{DialogNumber, ServerCore};
use crate::answer;
use crate::registrar::user_of;
use crate::telemetry::events::serve::DialogEnd;

/// What this server does.
pub(super) const METHODS: &[Method] = answer::METHODS;

/// Option tags that may stand in Require.
const EXTENSIONS: &[&str] = &["timer"];

/// Bodies that are understood.
const BODIES: &[(Method, &[&str])] = &[
    (Method::Invite, &["application/sdp"]),
    (Method::Info, &["text/plain"]),
];

/// Dialogs on one connection: about what one server of a real pool was rated for.
const MAX_DIALOGS: usize = 50_000;

impl ServerCore {
    pub(super) fn handle_request(&mut self, now: Instant, request: Request) {
        let uas = Uas {
            methods: METHODS,
            schemes: &["sip", "sips"],
            extensions: EXTENSIONS,
            bodies: BODIES,
        };
        let tag = self.tag();
        if let Err(fault) = uas.check(&request) {
            if *request.method() != Method::Ack {
                self.send(answer::fault(&request, &fault, Some(&tag)));
            }
            return;
        }
        match DialogKey::of_request(&request) {
            // RFC 3261 §9.2: an INVITE is answered as soon as it is read, so there is never anything to cancel.
            Ok(_) if *request.method() == Method::Cancel => self.no_such_dialog(&request, &tag),
            Ok(Some(key)) => match self.number(&key) {
                Some(number) => self.handle_in_dialog(now, number, request),
                None => self.no_such_dialog(&request, &tag),
            },
            Ok(None) => self.handle_new(now, &request, &tag),
            Err(error) => self.send(answer::fault(&request, &error.into(), Some(&tag))),
        }
    }

    /// A request outside of any dialog.
    fn handle_new(&mut self, now: Instant, request: &Request, tag: &str) {
        match request.method() {
            Method::Invite => {
                if let Err(refused) = self.invite(now, request, tag) {
                    self.send(refused);
                }
            }
            Method::Options => self.send(capabilities(request, tag)),
            // INFO, BYE and UPDATE concern something that exists.
            _ => self.no_such_dialog(request, tag),
        }
    }

    fn no_such_dialog(&mut self, request: &Request, tag: &str) {
        if *request.method() != Method::Ack {
            let refused = answer::refuse(request, Status::NO_SUCH_DIALOG, None, Some(tag));
            self.send(refused);
        }
    }

    fn invite(&mut self, now: Instant, request: &Request, tag: &str) -> Result<(), Bytes> {
        let refuse = |status, text| Err(answer::refuse(request, status, Some(text), Some(tag)));
        if self.is_draining() || self.dialogs.len() >= MAX_DIALOGS {
            return refuse(Status::SERVICE_UNAVAILABLE, "No more sessions are taken");
        }
        let dialled = SipUri::parse(request.uri()).ok();
        let is_ours = dialled.is_some_and(|dialled| {
            self.settings.uri.names(&dialled) || self.settings.server_uri.names(&dialled)
        });
        if !is_ours {
            return refuse(Status::NOT_FOUND, "Nobody answers at this address");
        }
        let Some(user) = identity(request) else {
            return refuse(Status::FORBIDDEN, "The request does not say whose it is");
        };
        let fault = |fault| answer::fault(request, &fault, Some(tag));
        let dialog = Dialog::accept(request, tag).map_err(fault)?;
        let (expires, accepted) = self.accepted(request, Some(tag))?;
        self.send(accepted.finish());
        self.open(now, dialog, user, expires);
        Ok(())
    }

    /// The 200 to an INVITE or UPDATE, and the session interval that it agrees to.
    fn accepted(
        &self,
        request: &Request,
        tag: Option<&str>,
    ) -> Result<(SessionExpires, MessageBuilder), Bytes> {
        let refuse = |fault: Fault| answer::fault(request, &fault, tag);
        let wanted = self.settings.session_expires;
        let policy = Policy::new(wanted, SMALLEST_MIN_SE);
        let mut terms = Terms::of(request, policy).map_err(refuse)?;
        // Below what RFC 4028 allows only where the configuration asks for just that.
        if wanted < SMALLEST_MIN_SE {
            terms.expires.seconds = wanted;
        }
        let accepted = respond(request, Status::OK, tag)
            .record_routes_from(request)
            .header(Name::Contact, self.contact())
            .header(Name::Allow, answer::ALLOW);
        let accepted = terms.put_on(accepted);
        let address = &self.sent_by.address;
        match with_description(accepted, request, address, WithoutOffer::Nothing) {
            Ok(accepted) => Ok((terms.expires, accepted)),
            Err(unreadable) => {
                let text = unreadable.to_string();
                let status = Status::NOT_ACCEPTABLE_HERE;
                Err(answer::refuse(request, status, Some(&text), tag))
            }
        }
    }

    /// This server as the peer reaches it again: on the connection, so the address is the connection's.
    fn contact(&self) -> String {
        let uri = self.settings.server_uri.as_str();
        let name = uri.split_once('@').map_or(uri, |(name, _)| name);
        let transport = self.sent_by.transport.to_ascii_lowercase();
        format!("<{name}@{};transport={transport}>", self.sent_by.address)
    }

    fn handle_in_dialog(&mut self, now: Instant, number: DialogNumber, request: Request) {
        let Some(served) = self.dialogs.get_mut(&number) else {
            return;
        };
        match served.call().accept_request(&request) {
            Ok(Incoming::New) => {}
            // Over a reliable transport a request is repeated by nobody who waits for its answer.
            Ok(Incoming::Retransmission | Incoming::Uncounted) => return,
            Err(fault) => return self.send(answer::fault(&request, &fault, None)),
        }
        match request.method() {
            Method::Info => self.info(number, request),
            Method::Invite | Method::Update => self.refresh(now, number, &request),
            Method::Bye => {
                let unanswered: Vec<_> = served.take_pending().collect();
                for pending in unanswered {
                    // RFC 3261 §15.1.2.
                    let ended = answer::refuse(&pending, Status::REQUEST_TERMINATED, None, None);
                    self.send(ended);
                }
                self.send(answer::ok(&request));
                self.forget(number, DialogEnd::Peer);
            }
            Method::Options => self.send(capabilities(&request, "")),
            _ => self.send(answer::not_allowed(&request)),
        }
    }

    fn refresh(&mut self, now: Instant, number: DialogNumber, request: &Request) {
        match self.accepted(request, None) {
            Ok((expires, accepted)) => {
                if let Some(served) = self.dialogs.get_mut(&number) {
                    served.refreshed(now, expires);
                }
                self.schedule(number);
                self.send(accepted.finish());
            }
            Err(refused) => self.send(refused),
        }
    }

    fn info(&mut self, number: DialogNumber, request: Request) {
        let draining = self.is_draining();
        let settings = &self.settings;
        let Some(served) = self.dialogs.get_mut(&number) else {
            return;
        };
        let count = served.count_info();
        let is_due = |every: u32| every != 0 && count.is_multiple_of(every);
        let busy = is_due(settings.busy_every);
        let muted = is_due(settings.mute_every);
        if settings.bye_on_first_command {
            // A command may be lost, a post must not be acknowledged that nobody keeps.
            let answer = match is_post(request.body()) {
                true => answer::refuse(&request, Status::FORBIDDEN, Some("No right to chat"), None),
                false => answer::ok(&request),
            };
            self.send(answer);
            return self.bye(number, DialogEnd::Switch);
        }
        let document = request.body().clone();
        let begun = if busy || draining {
            Err(Box::new(request))
        } else {
            served.begin(Box::new(request), muted)
        };
        match begun {
            Ok(id) => self.deliver(number, id, document),
            Err(request) => self.send(answer::refuse(
                &request,
                Status::SERVICE_UNAVAILABLE,
                Some("Chat service busy"),
                None,
            )),
        }
    }
}

/// Whether a body is a message to a room.
fn is_post(body: &Bytes) -> bool {
    Document::parse(body.clone(), &Limits::default()).is_ok_and(|document| {
        let mut items = document.items();
        items.any(|item| matches!(item, Item::GroupChat(_)))
    })
}

/// Whose the request is. An asserted identity that is no SIP user's is nobody's: From is not asked then.
fn identity(request: &Request) -> Option<UserUri> {
    let headers = request.headers();
    if headers.get(Name::PAssertedIdentity).is_none() {
        return headers.from().ok().and_then(|from| user_of(&from));
    }
    headers
        .addresses(Name::PAssertedIdentity)
        .filter_map(Result::ok)
        .find_map(|asserted| {
            asserted.uri().as_sip()?;
            user_of(&asserted)
        })
}

/// The answer to OPTIONS (RFC 3261 §11.2).
fn capabilities(request: &Request, tag: &str) -> Bytes {
    let tag = Some(tag).filter(|tag| !tag.is_empty());
    respond(request, Status::OK, tag)
        .header(Name::Allow, Method::list(METHODS))
        .header(Name::Accept, "application/sdp, text/plain")
        .header(Name::Supported, "timer")
        .finish()
}
