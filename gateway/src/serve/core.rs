//! The user agent server of one connection of a trusted peer (RFC 3261 §8.2), which may speak for many users.
//!
//! Sans-IO. Feed it with [`ServerCore::handle`], [`ServerCore::handle_leg`], [`ServerCore::handle_timeout`] and
//! [`ServerCore::drain`], drain [`ServerCore::poll_output`] after each, and come back at [`ServerCore::poll_timeout`].
//!
//! Whoever may connect is believed: the user of a dialog is who its INVITE's P-Asserted-Identity names (RFC 3325), else
//! who its From names. A dialog lives on the connection that it was made on.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_config::ServiceUri;
use holdover_protocol::sip::call::Due;
use holdover_protocol::sip::dialog::{Dialog, DialogKey, Hop};
use holdover_protocol::sip::{Message, Request, Response, SessionExpires, Status, respond_with};
use holdover_protocol::user::UserUri;

use super::dialog::{Answered, Served};
use crate::answer;
use crate::peer::SentBy;
use crate::pool::{LegEvent, Receipt, SendId};
use crate::random::Random;
use crate::telemetry::events::serve::DialogEnd;

/// How long requests in flight may take when the server stops.
const DRAIN: Duration = Duration::from_secs(5);

/// What all connections have in common.
#[derive(Debug)]
pub(super) struct CoreSettings {
    /// What is dialled to reach the pool.
    pub(super) uri: ServiceUri,
    /// What can be dialled as well.
    pub(super) server_uri: ServiceUri,
    /// INFO requests in one dialog that may wait for their answer at one time.
    pub(super) window: usize,
    /// Seconds that a dialog lives without a refresh.
    pub(super) session_expires: u32,
    /// Every n-th INFO of a dialog is refused; 0: none.
    pub(super) busy_every: u32,
    /// Every n-th INFO of a dialog is never answered; 0: none.
    pub(super) mute_every: u32,
    /// The first command in a dialog is answered with BYE.
    pub(super) bye_on_first_command: bool,
    /// By how much everything the pool says is late.
    pub(super) delay: Duration,
    /// Replies that wait for the same client are sent in one document.
    pub(super) merge_replies: bool,
}

/// The number of a dialog on its connection. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct DialogNumber(pub(super) u64);

/// One effect.
#[derive(Debug)]
pub(super) enum Output {
    /// Octets for the connection.
    Send(Bytes),
    /// A user is there: open a leg.
    Open {
        dialog: DialogNumber,
        user: UserUri,
        call_id: Box<str>,
    },
    /// A document for the leg.
    Deliver {
        dialog: DialogNumber,
        id: SendId,
        document: Bytes,
    },
    /// A user is gone: close the leg.
    Close {
        dialog: DialogNumber,
        user: UserUri,
        reason: DialogEnd,
    },
    /// Nothing is in flight and every dialog is ended: close the connection.
    Drained,
}

/// How far the end of the program has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// It has not been asked for.
    No,
    /// Nothing new is taken, and requests in flight are waited for until then.
    Draining(Instant),
    /// Every dialog is ended.
    Drained,
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct ServerCore {
    pub(super) settings: Arc<CoreSettings>,
    pub(super) sent_by: SentBy,
    pub(super) unique: Random,
    numbers: HashMap<DialogKey, DialogNumber>,
    pub(super) dialogs: HashMap<DialogNumber, Served>,
    next_number: u64,
    /// When to look at which dialog. An entry counts only if it is the dialog's [`Served::wake`].
    wakes: BinaryHeap<Reverse<(Instant, DialogNumber)>>,
    /// What the pool said and the peer may not hear yet, in order.
    delayed: VecDeque<(Instant, DialogNumber, LegEvent)>,
    stop: Stop,
    outputs: VecDeque<Output>,
}

impl ServerCore {
    /// The server of a connection that was just accepted. `seed` is random: tags and branches come from it.
    pub(super) fn new(settings: Arc<CoreSettings>, sent_by: SentBy, seed: u64) -> Self {
        Self {
            settings,
            sent_by,
            unique: Random::new(seed),
            numbers: HashMap::new(),
            dialogs: HashMap::new(),
            next_number: 0,
            wakes: BinaryHeap::new(),
            delayed: VecDeque::new(),
            stop: Stop::No,
            outputs: VecDeque::new(),
        }
    }

    /// Takes a sound message.
    pub(super) fn handle(&mut self, now: Instant, message: Message) {
        match message {
            Message::Request(request) => self.handle_request(now, request),
            Message::Response(response) => self.handle_response(now, &response),
        }
        self.finish_drain(now);
    }

    /// Takes what a leg said. Late events of a dialog that has ended are dropped.
    pub(super) fn handle_leg(&mut self, now: Instant, dialog: DialogNumber, event: LegEvent) {
        if self.settings.delay.is_zero() {
            self.hear(now, dialog, event);
        } else {
            self.delayed
                .push_back((now + self.settings.delay, dialog, event));
        }
        self.finish_drain(now);
    }

    /// Time has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let is_due = |(due, _, _): &(Instant, _, _)| *due <= now;
        while self.delayed.front().is_some_and(is_due)
            && let Some((_, dialog, event)) = self.delayed.pop_front()
        {
            self.hear(now, dialog, event);
        }
        while let Some(Reverse((at, number))) = self.wakes.peek().copied()
            && at <= now
        {
            self.wakes.pop();
            let Some(served) = self.dialogs.get_mut(&number) else {
                continue;
            };
            if served.wake == Some(at) {
                served.wake = None;
                self.look_after(now, number);
                self.schedule(number);
            }
        }
        self.finish_drain(now);
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let wake = self.wakes.peek().map(|Reverse((at, _))| *at);
        let heard = self.delayed.front().map(|(due, _, _)| *due);
        let stop = match self.stop {
            Stop::Draining(deadline) => Some(deadline),
            Stop::No | Stop::Drained => None,
        };
        [wake, heard, stop].into_iter().flatten().min()
    }

    /// The next effect, in order.
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The server stops: nothing new is taken, and what is in flight is finished.
    pub(super) fn drain(&mut self, now: Instant) {
        if self.stop == Stop::No {
            self.stop = Stop::Draining(now + DRAIN);
        }
        self.finish_drain(now);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.stop != Stop::No
    }

    /// The connection is gone, and every dialog on it.
    pub(super) fn connection_lost(&mut self, reason: DialogEnd) {
        for number in self.all() {
            self.forget(number, reason);
        }
    }

    /// A tag for a response that no dialog gives one.
    pub(super) fn tag(&mut self) -> String {
        format!("{:016x}", self.unique.draw())
    }

    // === Dialogs ===

    /// Adds a dialog whose INVITE is answered.
    pub(super) fn open(
        &mut self,
        now: Instant,
        dialog: Dialog,
        user: UserUri,
        expires: SessionExpires,
    ) {
        let number = DialogNumber(self.next_number);
        self.next_number += 1;
        let call_id = dialog.call_id().into();
        let served = Served::new(now, dialog, user.clone(), expires);
        self.numbers.insert(served.key.clone(), number);
        self.dialogs.insert(number, served);
        self.outputs.push_back(Output::Open {
            dialog: number,
            user,
            call_id,
        });
        self.schedule(number);
    }

    pub(super) fn number(&self, key: &DialogKey) -> Option<DialogNumber> {
        self.numbers.get(key).copied()
    }

    pub(super) fn deliver(&mut self, dialog: DialogNumber, id: SendId, document: Bytes) {
        self.outputs.push_back(Output::Deliver {
            dialog,
            id,
            document,
        });
    }

    /// Ends a dialog from this side.
    pub(super) fn bye(&mut self, number: DialogNumber, reason: DialogEnd) {
        let hop = hop(&self.sent_by, &mut self.unique);
        if let Some(served) = self.dialogs.get_mut(&number) {
            let unanswered: Vec<_> = served.take_pending().collect();
            let bye = served.bye(&hop);
            for request in unanswered {
                // What became of it nobody will hear.
                self.send(answer::refuse(&request, Status::SERVER_TIMEOUT, None, None));
            }
            self.send(bye);
        }
        self.forget(number, reason);
    }

    /// Ends a dialog that the peer has ended or does not know.
    pub(super) fn forget(&mut self, number: DialogNumber, reason: DialogEnd) {
        if let Some(served) = self.dialogs.remove(&number) {
            self.numbers.remove(&served.key);
            self.outputs.push_back(Output::Close {
                dialog: number,
                user: served.user,
                reason,
            });
        }
    }

    /// All dialogs, oldest first.
    fn all(&self) -> Vec<DialogNumber> {
        let mut all: Vec<_> = self.dialogs.keys().copied().collect();
        all.sort_unstable();
        all
    }

    // === The pool ===

    fn hear(&mut self, now: Instant, number: DialogNumber, event: LegEvent) {
        let merging = self.settings.merge_replies;
        let Some(served) = self.dialogs.get_mut(&number) else {
            return;
        };
        match event {
            LegEvent::Receipt { id, receipt } => {
                if let Some(request) = served.finish(id) {
                    self.send(receipted(&request, &receipt));
                }
            }
            LegEvent::Document(document) => match served.push(document, merging) {
                Ok(()) => self.pump(now, number),
                Err(_) => self.bye(number, DialogEnd::Slow),
            },
            LegEvent::Closed(_) => self.bye(number, DialogEnd::Pool),
        }
    }

    /// Sends what may be sent in a dialog.
    pub(super) fn pump(&mut self, now: Instant, number: DialogNumber) {
        let Some(served) = self.dialogs.get_mut(&number) else {
            return;
        };
        while served.may_send(self.settings.window) {
            let hop = hop(&self.sent_by, &mut self.unique);
            self.outputs
                .extend(served.next_info(now, &hop).map(Output::Send));
        }
        self.schedule(number);
    }

    // === The peer's responses ===

    fn handle_response(&mut self, now: Instant, response: &Response) {
        if response.status().is_provisional() {
            return;
        }
        // A response to nothing is dropped (RFC 3261 §18.1.2); the one to our BYE is of a dialog that is gone.
        let Ok(Some(key)) = DialogKey::of_response(response) else {
            return;
        };
        let Some(number) = self.number(&key) else {
            return;
        };
        let Some(served) = self.dialogs.get_mut(&number) else {
            return;
        };
        match served.answered(now, response) {
            Answered::Continues => self.pump(now, number),
            Answered::Gone => self.forget(number, DialogEnd::Gone),
            Answered::Stray => {}
        }
    }

    // === Time ===

    /// Makes sure that the dialog is looked at in time.
    pub(super) fn schedule(&mut self, number: DialogNumber) {
        if let Some(served) = self.dialogs.get_mut(&number) {
            let deadline = served.deadline();
            if served.wake.is_none_or(|wake| deadline < wake) {
                served.wake = Some(deadline);
                self.wakes.push(Reverse((deadline, number)));
            }
        }
    }

    fn look_after(&mut self, now: Instant, number: DialogNumber) {
        let Some(served) = self.dialogs.get_mut(&number) else {
            return;
        };
        if served.unanswered_at().is_some_and(|at| at <= now) {
            // RFC 3261 §8.1.3.1: as if it were answered 408.
            return self.bye(number, DialogEnd::Unanswered);
        }
        match served.due(now) {
            // RFC 4028 §10.
            Some(Due::Over) => self.bye(number, DialogEnd::Expired),
            Some(Due::Update(seconds)) => {
                let hop = hop(&self.sent_by, &mut self.unique);
                let update = served.refresh(now, &hop, seconds);
                self.send(update);
            }
            None => {}
        }
    }

    fn finish_drain(&mut self, now: Instant) {
        let Stop::Draining(deadline) = self.stop else {
            return;
        };
        if deadline <= now || self.dialogs.values().all(Served::is_idle) {
            for number in self.all() {
                self.bye(number, DialogEnd::Draining);
            }
            self.stop = Stop::Drained;
            self.outputs.push_back(Output::Drained);
        }
    }

    pub(super) fn send(&mut self, message: Bytes) {
        self.outputs.push_back(Output::Send(message));
    }
}

/// The final response that says what became of a document.
fn receipted(request: &Request, receipt: &Receipt) -> Bytes {
    match receipt {
        Receipt::Accepted => answer::ok(request),
        Receipt::Refused { status, reason } => {
            let status = Status::new(*status).unwrap_or(Status::SERVER_INTERNAL_ERROR);
            respond_with(request, status, reason, None).finish()
        }
        Receipt::Unknown => answer::refuse(request, Status::SERVER_TIMEOUT, None, None),
    }
}

fn hop<'s>(sent_by: &'s SentBy, unique: &mut Random) -> Hop<'s> {
    Hop {
        transport: sent_by.transport,
        sent_by: &sent_by.address,
        unique: unique.draw(),
    }
}
