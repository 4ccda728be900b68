//! The way to the rooms: REGISTER, SUBSCRIBE, the lookup dialog, the channel dialog.

use std::time::{Duration, Instant};

use holdover_protocol::sip::{MessageBuilder, Method, Name, Response, Status};
use holdover_protocol::xccos::block::InvitationBlock;
use holdover_protocol::xccos::verb::GetInvitations;
use holdover_protocol::xccos::{Command, Envelope, Reply, ReplyData};

use super::{Client, PROVISIONING, Stage};
use crate::client::channel::Channel;
use crate::client::dialog::Dialog;
use crate::client::event::Event;
use crate::client::failure::{Failure, Step, words};
use crate::client::profile::Line;
use crate::client::registration::Asked;

/// What a client asks that package for.
const PROVISIONING_QUERY: &str = "<provisioningGroupList \
    xmlns=\"http://schemas.microsoft.com/2006/09/sip/provisioninggrouplist\">\
    <provisioningGroup name=\"ServerConfiguration\"/>\
    <provisioningGroup name=\"persistentChatConfiguration\"/></provisioningGroupList>";

impl Client {
    pub(super) fn register(&mut self, now: Instant, expires: Option<u32>) {
        let register = self.registration.request(&mut self.identity, expires);
        self.send(now, register);
    }

    pub(super) fn answer_challenge(&mut self, now: Instant) {
        let Some(password) = &self.password else {
            return;
        };
        if let Some(register) = self.registration.answer(&mut self.identity, password) {
            self.send(now, register);
        }
    }

    pub(super) fn handle_registered(&mut self, now: Instant, response: &Response) {
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

    pub(super) fn handle_provisioned(&mut self, now: Instant, response: &Response) {
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

    pub(super) fn call_lookup(&mut self, now: Instant) {
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

    pub(super) fn handle_accepted(
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
        let mut ready = Channel::new(now, dialog, self.session_expires, self.patience);
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

    pub(super) fn handle_lookup_answer(&mut self, now: Instant, reply: &Reply) {
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
