//! The channel dialog: what was asked in it and waits for its receipt or reply.

use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_protocol::sip::call::Window;
use holdover_protocol::sip::{Method, Response, Status};
use holdover_protocol::xccos::{Command, Envelope, GroupChat, Reply, ReplyData, ReplyView, Verb};

use super::dialog::Dialog;
use super::event::{Answer, Ticket};
use super::failure::{Refusal, words};
use super::profile::Identity;

/// How a thing that was asked for ended.
pub(super) type Ended = (Ticket, Result<Answer, Refusal>);

/// Something that was asked for.
#[derive(Debug)]
struct Pending {
    ticket: Ticket,
    /// The command, if it has a reply.
    command: Option<(Verb, String)>,
}

/// What a response in the dialog means.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nothing ends by it.
    Continues,
    /// This ended.
    Ended(Ended),
    /// The server knows nothing of this dialog any more.
    Gone,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Channel {
    dialog: Dialog,
    /// The INFOs whose outcome is not known.
    pending: Window<Pending>,
    /// How long an outcome is waited for.
    patience: Duration,
    /// Time between refreshes of the session, if the server wants any.
    refresh: Option<Duration>,
    refresh_at: Option<Instant>,
}

impl Channel {
    /// `session_expires` is that of the *lookup's* 200: real clients read it there and refresh here.
    pub(super) fn new(
        now: Instant,
        dialog: Dialog,
        session_expires: Option<u32>,
        patience: Duration,
    ) -> Self {
        let refresh = session_expires.map(|seconds| {
            let early = if seconds > 10 { seconds - 10 } else { seconds };
            Duration::from_secs(early.max(1).into())
        });
        let refresh_at = refresh.map(|interval| now + interval);
        Self {
            dialog,
            pending: Window::default(),
            patience,
            refresh,
            refresh_at,
        }
    }

    pub(super) fn dialog(&self) -> &Dialog {
        &self.dialog
    }

    /// The last request of the dialog.
    pub(super) fn bye(&mut self, identity: &Identity) -> Bytes {
        self.dialog.request(identity, &Method::Bye).finish()
    }

    /// Sends a post. Its receipt is its answer.
    pub(super) fn post(
        &mut self,
        now: Instant,
        identity: &Identity,
        envid: u32,
        ticket: Ticket,
        post: &GroupChat,
    ) -> Bytes {
        let info = self.info(identity, &Envelope::new(envid).group_chat(1, post).finish());
        self.await_outcome(now, ticket, None);
        info
    }

    /// Sends a command. Its reply is its answer.
    pub(super) fn command(
        &mut self,
        now: Instant,
        identity: &Identity,
        envid: u32,
        ticket: Ticket,
        command: &Command,
    ) -> Bytes {
        let info = self.info(identity, &Envelope::new(envid).command(1, command).finish());
        let command = (command.verb(), envid.to_string());
        self.await_outcome(now, ticket, Some(command));
        info
    }

    /// Remembers what the last INFO was for.
    fn await_outcome(&mut self, now: Instant, ticket: Ticket, command: Option<(Verb, String)>) {
        let pending = Pending { ticket, command };
        self.pending
            .push(self.dialog.cseq(), Method::Info, now, pending);
    }

    /// A document that nobody waits for.
    pub(super) fn info(&mut self, identity: &Identity, document: &Bytes) -> Bytes {
        self.dialog
            .request(identity, &Method::Info)
            .body("text/plain", document)
            .finish()
    }

    /// Takes a final response in this dialog.
    pub(super) fn handle_response(&mut self, now: Instant, response: &Response) -> Verdict {
        let Ok(cseq) = response.headers().cseq() else {
            return Verdict::Continues;
        };
        let status = response.status();
        if status == Status::NO_SUCH_DIALOG && cseq.method != Method::Bye {
            return Verdict::Gone;
        }
        if cseq.method == Method::Update {
            self.refresh_at = self.refresh.map(|interval| now + interval);
            return Verdict::Continues;
        }
        let at = self.pending.position(cseq.number, &cseq.method);
        let Some(sent) = at.and_then(|at| self.pending.iter().nth(at)) else {
            return Verdict::Continues;
        };
        let has_reply = sent.what.command.is_some();
        // Real clients take nothing but 200 for success, not even 202.
        let result = match status {
            Status::OK if has_reply => return Verdict::Continues,
            Status::OK => Ok(Answer::Posted),
            _ => Err(Refusal::Sip {
                status,
                text: words(response),
            }),
        };
        match self.pending.take(cseq.number, &cseq.method) {
            Some(pending) => Verdict::Ended((pending.ticket, result)),
            None => Verdict::Continues,
        }
    }

    /// Takes a reply. `None` if nothing waits for it.
    pub(super) fn handle_reply(&mut self, view: ReplyView<'_>, reply: Reply) -> Option<Ended> {
        let envid = view.command_id().map(|id| id.envid);
        let pending = self.pending.take_where(|pending| {
            pending.command.as_ref().is_some_and(|(verb, asked)| {
                // Real clients go by the verb alone; a server that names the command is taken at its word.
                *verb.reply() == reply.verb && envid.as_ref().is_none_or(|envid| envid == asked)
            })
        })?;
        Some((pending.ticket, read(reply)))
    }

    /// The refresh of the session that is due, if it is.
    pub(super) fn refresh(&mut self, now: Instant, identity: &Identity) -> Option<Bytes> {
        self.refresh_at.take_if(|at| *at <= now)?;
        Some(self.dialog.request(identity, &Method::Update).finish())
    }

    /// What has waited too long.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Ended> {
        let sent_at = self.pending.oldest()?;
        if sent_at + self.patience > now {
            return None;
        }
        let pending = self.pending.take_where(|_| true)?;
        Some((pending.ticket, Err(Refusal::Unanswered)))
    }

    /// What waits, when nothing will come any more.
    pub(super) fn abandon(&mut self) -> impl Iterator<Item = Ended> {
        self.pending
            .drain()
            .map(|pending| (pending.ticket, Err(Refusal::SessionLost)))
    }

    /// When [`Self::refresh`] or [`Self::expire`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let unanswered = self.pending.oldest().map(|sent_at| sent_at + self.patience);
        unanswered.into_iter().chain(self.refresh_at).min()
    }
}

fn read(reply: Reply) -> Result<Answer, Refusal> {
    if !reply.outcome.is_success() {
        let text = reply.outcome.text.into_owned().into();
        return Err(Refusal::Reply {
            code: reply.outcome.code,
            text,
        });
    }
    // The reply to a join is good as a whole even if the room is among the failures.
    if let ReplyData::Join(join) = &reply.data
        && join.rooms.is_empty()
        && let Some(failure) = join.failures.first()
    {
        return Err(Refusal::Room(failure.key.clone()));
    }
    Ok(Answer::Reply(reply.data))
}
