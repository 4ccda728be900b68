//! What arrives: placed in its dialog, answered, and understood as a real client understands it.

use std::time::Instant;

use holdover_protocol::sip::{Method, Name, Request, Response, Status, respond};
use holdover_protocol::xccos::{Document, GroupChat, Item, Limits, Notice, Reply, ReplyData};

use super::{Client, MAX_RESTARTS, PROVISIONING, Stage};
use crate::client::channel::{Channel, Verdict};
use crate::client::event::Event;
use crate::client::failure::{Failure, Step};

/// What is answered.
const METHODS: &[Method] = &[
    Method::Ack,
    Method::Bye,
    Method::Info,
    Method::Notify,
    Method::Benotify,
    Method::Options,
];

impl Client {
    pub(super) fn handle_response(&mut self, now: Instant, response: &Response) {
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
                    Verdict::Gone => self.restart(now, *channel),
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
    fn restart(&mut self, now: Instant, mut channel: Channel) {
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

    pub(super) fn handle_request(&mut self, now: Instant, request: &Request) {
        let status = match request.method() {
            Method::Ack | Method::Benotify => None,
            Method::Info | Method::Bye => Some(self.place(request)),
            Method::Options | Method::Notify => Some(Status::OK),
            _ => Some(Status::NOT_IMPLEMENTED),
        };
        if let Some(status) = status {
            let tag = self.identity.tag();
            let answer = respond(request, status, Some(&tag));
            let answer = match status {
                Status::NOT_IMPLEMENTED => answer.header(Name::Allow, Method::list(METHODS)),
                _ => answer,
            };
            self.send(now, answer.finish());
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
}

/// What a document was found to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Replies,
    Notices,
    Message,
}
