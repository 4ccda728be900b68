//! What a pool asks of a leg.

use std::time::Instant;

use holdover_protocol::sip::call::{Refresh, Role, Terms, WithoutOffer, with_description};
use holdover_protocol::sip::dialog::Incoming;
use holdover_protocol::sip::session_timer::{Policy, SMALLEST_MIN_SE};
use holdover_protocol::sip::{Method, Name, Request, Status, respond, respond_with};

use super::super::understood;
use super::{LegCore, Output, State};
use crate::answer;
use crate::pool::{LegClosed, LegEvent};

/// The session interval for a pool that proposes none, in seconds.
const INTERVAL: u32 = 1800;

impl LegCore {
    /// Takes a request whose To has this leg's tag.
    pub(in crate::pool::sip) fn handle_request(&mut self, now: Instant, request: &Request) {
        let is_ack = *request.method() == Method::Ack;
        let (State::Asking { dialog, .. } | State::Open { dialog, .. }) = &mut self.state else {
            if !is_ack {
                self.push(answer::plain(request, Status::NO_SUCH_DIALOG, None));
            }
            return;
        };
        // RFC 3261 §12.2.2: Call-ID and the two tags are the dialog. Ours are unique, so what a server writes for its own
        // address does not count: it may be another spelling of what was dialled.
        let headers = request.headers();
        let is_ours = headers.call_id() == Ok(dialog.dialog.call_id())
            && headers
                .from()
                .is_ok_and(|from| from.tag().unwrap_or_default() == &*dialog.remote_tag)
            && headers.to().is_ok_and(|to| to.tag() == Some(&*self.tag));
        if !is_ours {
            if !is_ack {
                self.push(answer::plain(request, Status::NO_SUCH_DIALOG, None));
            }
            return;
        }
        if let Err(fault) = understood::UAS.check(request) {
            return self.push(answer::fault(request, &fault, None));
        }
        let repeated = match dialog.dialog.accept_request(request) {
            Err(fault) => return self.push(answer::fault(request, &fault, None)),
            Ok(Incoming::Uncounted) if is_ack => return,
            // What a CANCEL is about was answered at once.
            Ok(Incoming::Uncounted) => {
                return self.push(answer::plain(request, Status::NO_SUCH_DIALOG, None));
            }
            Ok(Incoming::New) => false,
            Ok(Incoming::Retransmission) => true,
        };
        match request.method() {
            Method::Info => self.info_came(now, request, repeated),
            Method::Bye => {
                self.push(answer::plain(request, Status::OK, None));
                self.end(now, LegClosed::Pool, false);
            }
            Method::Update | Method::Invite => self.refresh_came(now, request),
            _ => self.push(understood::options(request, None)),
        }
        self.pump(now);
    }

    fn info_came(&mut self, now: Instant, request: &Request, repeated: bool) {
        self.push(answer::plain(request, Status::OK, None));
        if repeated || request.body().is_empty() {
            return;
        }
        if matches!(self.state, State::Asking { .. }) {
            self.looked_up(now, request.body());
        } else {
            let document = LegEvent::Document(request.body().clone());
            self.output.push_back(Output::Deliver(document));
        }
    }

    /// An UPDATE or a second INVITE: a sign of life, and maybe other terms (RFC 4028 §9).
    fn refresh_came(&mut self, now: Instant, request: &Request) {
        let interval = match &self.state {
            State::Open {
                refresh: Some(refresh),
                ..
            } => refresh.seconds(),
            _ => INTERVAL,
        };
        let policy = Policy::new(interval.max(INTERVAL), SMALLEST_MIN_SE);
        let terms = match Terms::of(request, policy) {
            Ok(terms) => terms,
            Err(fault) => return self.push(answer::fault(request, &fault, None)),
        };
        let accepted = respond(request, Status::OK, None)
            .header(Name::Contact, self.context.contact(&self.user))
            .header(Name::Allow, understood::allow());
        let accepted = terms.put_on(accepted);
        let address = &self.context.address;
        let accepted = match with_description(accepted, request, address, WithoutOffer::Offer) {
            Ok(accepted) => accepted,
            Err(error) => {
                let status = Status::NOT_ACCEPTABLE_HERE;
                let refusal = respond_with(request, status, &error.to_string(), None);
                return self.push(refusal.finish());
            }
        };
        self.push(accepted.finish());
        if let State::Open { refresh, .. } = &mut self.state {
            *refresh = Some(Refresh::start(now, terms.expires, Role::Server));
        }
    }
}
