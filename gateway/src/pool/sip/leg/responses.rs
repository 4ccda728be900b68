//! What a pool answers to a leg.

use std::time::Instant;

use bytes::Bytes;
use holdover_protocol::sip::call::{Refresh, Role};
use holdover_protocol::sip::{Method, Response, SipUri, Status};
use holdover_protocol::xccos::{Command, Document, Envelope, Item, Reply, ReplyData, Verb};

use super::call::{self, Answer, Established, Late};
use super::{LegCore, Output, Peer, Sign, State};
use crate::pool::LegClosed;

impl LegCore {
    /// Takes a response whose From has this leg's tag.
    pub(in crate::pool::sip) fn handle_response(&mut self, now: Instant, response: &Response) {
        let Ok(cseq) = response.headers().cseq() else {
            return;
        };
        if cseq.method == Method::Invite {
            return self.invite_answered(now, response);
        }
        if response.status().is_provisional() || !self.is_of_dialog(response) {
            return;
        }
        match (&cseq.method, &mut self.state) {
            (Method::Info, State::Asking { .. }) => {
                let status = response.status();
                if !status.is_success() {
                    self.refused(now, status);
                }
            }
            (Method::Info, State::Open { .. }) => self.info_answered(now, cseq.number, response),
            (
                Method::Update,
                State::Open {
                    refresh: Some(refresh),
                    ..
                },
            ) if refresh.under_way() == Some(cseq.number) => self.update_answered(now, response),
            _ => {}
        }
        self.pump(now);
    }

    fn is_of_dialog(&self, response: &Response) -> bool {
        let (State::Asking { dialog, .. } | State::Open { dialog, .. }) = &self.state else {
            return false;
        };
        let headers = response.headers();
        // CSeq numbers are this side's own, so the other side's tag adds nothing; a proxy's 408 may lack it.
        headers.call_id() == Ok(dialog.dialog.call_id())
            && headers
                .from()
                .is_ok_and(|from| from.tag() == Some(&*self.tag))
    }

    fn invite_answered(&mut self, now: Instant, response: &Response) {
        let Self {
            context,
            user,
            random,
            state,
            ..
        } = self;
        if let Some(late) = &self.late {
            let sends = late.answered(response, context, random);
            if !sends.is_empty() {
                self.output.extend(sends.into_iter().map(Output::Send));
                return;
            }
        }
        let (call, abandoned) = match state {
            State::Calling { call, .. } => (call, false),
            State::Abandoned { call, .. } => (call, true),
            _ => return,
        };
        match call.answered(response, user, context, random) {
            Answer::None => {}
            Answer::Established(mut established) => {
                self.output.push_back(Output::Send(established.ack.clone()));
                if abandoned {
                    let bye = call::bye(&mut established.dialog, &self.context, &mut self.random);
                    self.push(bye);
                    self.state = State::Over;
                } else {
                    self.established(now, established);
                }
            }
            Answer::Again(ack, invite) => {
                self.push(ack);
                if abandoned {
                    self.state = State::Over;
                } else {
                    self.push(invite);
                }
            }
            Answer::Refused(status, ack) => {
                self.output.extend(ack.map(Output::Send));
                if abandoned {
                    self.state = State::Over;
                } else {
                    self.refused(now, status);
                }
            }
        }
    }

    fn established(&mut self, now: Instant, established: Established) {
        let State::Calling { call, lookup, .. } = std::mem::replace(&mut self.state, State::Over)
        else {
            return;
        };
        let Established {
            dialog,
            remote_tag,
            expires,
            ..
        } = established;
        self.saw(Sign::Good);
        self.late = Some(Late::new(now, call, &remote_tag));
        let dialog = Peer { dialog, remote_tag };
        if lookup {
            self.state = State::Asking {
                dialog,
                deadline: now + self.context.settings.limit,
            };
            let question = Envelope::new(self.random.draw() >> 33)
                .command(1, &Command::RequestUri)
                .finish();
            self.info(&question);
        } else {
            let refresh = expires.map(|expires| Refresh::start(now, expires, Role::Client));
            self.state = State::Open { dialog, refresh };
            self.pump(now);
        }
    }

    /// The pool will not have this leg.
    fn refused(&mut self, now: Instant, status: Status) {
        self.output.push_back(Output::Refused(status));
        // What may pass by itself, or elsewhere, is told apart from a "no".
        self.saw(match status.code() {
            408 | 480 | 500..=599 => Sign::Failing,
            _ => Sign::Good,
        });
        if let State::Calling { .. } = self.state {
            self.state = State::Over;
        }
        self.end(now, LegClosed::Unopened, true);
    }

    /// A document that came in the lookup dialog.
    pub(super) fn looked_up(&mut self, now: Instant, body: &Bytes) {
        let Ok(document) = Document::parse(body.clone(), &self.context.settings.xccos) else {
            return;
        };
        let reply = document.items().find_map(|item| match item {
            Item::Reply(view) if view.verb() == Verb::RequestUri => Some(Reply::read(view)),
            _ => None,
        });
        let uri = match reply {
            None => return,
            Some(Ok(Reply {
                data: ReplyData::RequestUri(data),
                ..
            })) => data.uri,
            Some(_) => None,
        };
        match uri.filter(|uri| SipUri::parse(uri).is_ok()) {
            Some(uri) => {
                self.bye();
                self.call(now, &uri, false);
            }
            None => self.end(now, LegClosed::Pool, true),
        }
    }

    fn info_answered(&mut self, now: Instant, cseq: u32, response: &Response) {
        let status = response.status();
        let mut told = Vec::new();
        match status {
            Status::SERVICE_UNAVAILABLE => {
                let wait = response.headers().retry_after();
                self.outbox
                    .too_busy(now, cseq, wait, &mut self.random, &mut told);
            }
            // RFC 3261 §12.2.1.2: 481 and 408 end the dialog, and 487 is how a dead one is told (facts/xccos.md §1.2).
            // Behind a 408 the document may have been taken; it keeps its doubt.
            Status::REQUEST_TIMEOUT => return self.end(now, LegClosed::Unreachable, true),
            Status::NO_SUCH_DIALOG | Status::REQUEST_TERMINATED => {
                self.outbox
                    .refused(cseq, status, response.reason(), &mut told);
                self.tell(told);
                return self.end(now, LegClosed::Pool, false);
            }
            _ if status.is_success() => self.outbox.accepted(cseq, &mut told),
            _ => self
                .outbox
                .refused(cseq, status, response.reason(), &mut told),
        }
        self.tell(told);
    }

    fn update_answered(&mut self, now: Instant, response: &Response) {
        let State::Open {
            dialog,
            refresh: Some(refresh),
        } = &mut self.state
        else {
            return;
        };
        let status = response.status();
        match status {
            _ if status.is_success() => {
                dialog.dialog.refreshed_by(response);
                let expires = response.headers().session_expires().ok().flatten();
                refresh.accepted(now, expires);
            }
            Status::NO_SUCH_DIALOG | Status::REQUEST_TERMINATED => {
                self.end(now, LegClosed::Pool, false);
            }
            Status::REQUEST_TIMEOUT => self.end(now, LegClosed::Unreachable, true),
            Status::SESSION_INTERVAL_TOO_SMALL => match call::raised(response, refresh.seconds()) {
                Some(seconds) => {
                    refresh.raise(now, seconds);
                    self.update(now, seconds);
                }
                None => refresh.refused(now),
            },
            _ => refresh.refused(now),
        }
    }
}
