//! One user's dialog with the pool: what waits in it, and for how long.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use holdover_protocol::sip::call::{Call, Due, Refresh, Role};
use holdover_protocol::sip::dialog::{Dialog, DialogKey, Hop};
use holdover_protocol::sip::{
    MessageBuilder, Method, Name, Request, Response, SessionExpires, transaction,
};
use holdover_protocol::user::UserUri;

use super::merge::merge;
use crate::pool::SendId;

/// INFO requests of the peer that may wait for the pool: fewer than the pool's own limit per leg.
const PENDING: usize = 64;

/// Documents that may wait for the peer.
const QUEUE_MESSAGES: usize = 512;
/// Bytes of documents that may wait for the peer.
const QUEUE_BYTES: usize = 4 << 20;

/// Too much waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// What a final response means for the dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// It goes on.
    Continues,
    /// The peer has no such dialog.
    Gone,
    /// Not an answer to anything outstanding.
    Stray,
}

/// An INFO of the peer that the pool has.
#[derive(Debug)]
struct Pending {
    id: SendId,
    /// `None`: it is never answered, because a switch says so.
    request: Option<Box<Request>>,
}

/// A request of this side that the peer is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// An INFO: takes a place in the window.
    Document,
    /// An UPDATE.
    Refresh,
}

/// A dialog that this server accepted.
#[derive(Debug)]
pub(super) struct Served {
    call: Call<Asked>,
    pub(super) key: DialogKey,
    pub(super) user: UserUri,
    refresh: Refresh,
    /// INFO requests that came.
    infos: u32,
    next_send: u64,
    pending: VecDeque<Pending>,
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
    /// When the core will look at this dialog; see `ServerCore::schedule`.
    pub(super) wake: Option<Instant>,
}

impl Served {
    pub(super) fn new(
        now: Instant,
        dialog: Dialog,
        user: UserUri,
        expires: SessionExpires,
    ) -> Self {
        Self {
            key: dialog.key(),
            call: Call::new(dialog),
            user,
            refresh: Refresh::start(now, expires, Role::Server),
            infos: 0,
            next_send: 0,
            pending: VecDeque::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            wake: None,
        }
    }

    pub(super) fn call(&mut self) -> &mut Call<Asked> {
        &mut self.call
    }

    // === From the peer to the pool ===

    /// Counts an INFO of the peer. Returns its number, from 1.
    pub(super) fn count_info(&mut self) -> u32 {
        self.infos = self.infos.saturating_add(1);
        self.infos
    }

    /// Notes an INFO that goes to the pool.
    pub(super) fn begin(
        &mut self,
        request: Box<Request>,
        muted: bool,
    ) -> Result<SendId, Box<Request>> {
        if self.pending.len() >= PENDING {
            return Err(request);
        }
        let id = SendId(self.next_send);
        self.next_send = self.next_send.wrapping_add(1);
        let request = (!muted).then_some(request);
        self.pending.push_back(Pending { id, request });
        Ok(id)
    }

    /// The pool is done with an INFO. Returns the request, if it is to be answered.
    pub(super) fn finish(&mut self, id: SendId) -> Option<Box<Request>> {
        let at = self.pending.iter().position(|pending| pending.id == id)?;
        self.pending.remove(at)?.request
    }

    /// What the pool will not answer any more.
    pub(super) fn take_pending(&mut self) -> impl Iterator<Item = Box<Request>> {
        self.pending.drain(..).filter_map(|pending| pending.request)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    // === From the pool to the peer ===

    /// Puts a document behind the others, or its replies to those of the last one.
    pub(super) fn push(&mut self, document: Bytes, merging: bool) -> Result<(), Full> {
        if merging && let Some(merged) = self.queue.back().and_then(|last| merge(last, &document)) {
            let last = self.queue.pop_back().unwrap_or_default();
            self.queued_bytes = self.queued_bytes - last.len() + merged.len();
            self.queue.push_back(merged);
            return Ok(());
        }
        let bytes = self.queued_bytes + document.len();
        // A document larger than the whole limit still goes to a peer that has nothing else to read.
        if self.queue.len() >= QUEUE_MESSAGES || (bytes > QUEUE_BYTES && !self.queue.is_empty()) {
            return Err(Full);
        }
        self.queued_bytes = bytes;
        self.queue.push_back(document);
        Ok(())
    }

    /// Whether there is something to send, and the peer has fewer than `window` INFO requests to answer.
    pub(super) fn may_send(&self, window: usize) -> bool {
        let asked = self.call.window().iter().map(|sent| sent.what);
        let infos = asked.filter(|asked| *asked == Asked::Document).count();
        !self.queue.is_empty() && infos < window
    }

    /// The next INFO.
    pub(super) fn next_info(&mut self, now: Instant, hop: &Hop<'_>) -> Option<Bytes> {
        let body = self.queue.pop_front()?;
        self.queued_bytes -= body.len();
        let make = |info: MessageBuilder| {
            let info = info.finish_with("text/plain", &body);
            (info, Asked::Document)
        };
        Some(self.call.send(now, Method::Info, hop, make))
    }

    /// A refresh of the session (RFC 4028 §7.4) that asks for so many seconds.
    pub(super) fn refresh(&mut self, now: Instant, hop: &Hop<'_>, seconds: u32) -> Bytes {
        let expires = format_args!("{seconds};refresher=uac");
        let make = |update: MessageBuilder| {
            let update = update.header(Name::Supported, "timer");
            let update = update.header(Name::SessionExpires, expires);
            (update.finish(), Asked::Refresh)
        };
        let update = self.call.send(now, Method::Update, hop, make);
        let cseq = self.call.dialog().local_cseq();
        self.refresh.asked(cseq, now + transaction::TIMEOUT);
        update
    }

    /// The last request of all; nobody waits for its answer.
    pub(super) fn bye(&mut self, hop: &Hop<'_>) -> Bytes {
        self.call.bye(hop).finish()
    }

    /// Takes a final response of the peer.
    pub(super) fn answered(&mut self, now: Instant, response: &Response) -> Answered {
        match self.call.answered(response) {
            None => return Answered::Stray,
            Some(Asked::Document) => {}
            Some(Asked::Refresh) if response.status().is_success() => {
                self.refresh.accepted(now, None);
            }
            Some(Asked::Refresh) => self.refresh.leave(),
        }
        // RFC 3261 §12.2.1.2: these end the dialog. A legacy client says 487 of one that it has forgotten (facts/xccos.md
        // §1.2, 10). Any other refusal is of one document, and sending that again would only be refused again.
        match response.status().code() {
            408 | 481 | 487 => Answered::Gone,
            _ => Answered::Continues,
        }
    }

    // === Time ===

    /// The peer refreshed the session.
    pub(super) fn refreshed(&mut self, now: Instant, expires: SessionExpires) {
        self.refresh = Refresh::start(now, expires, Role::Server);
    }

    /// What the session timer wants done at `now`.
    pub(super) fn due(&self, now: Instant) -> Option<Due> {
        self.refresh.due(now)
    }

    /// When the oldest request of this side will have waited too long.
    pub(super) fn unanswered_at(&self) -> Option<Instant> {
        let oldest = self.call.window().oldest()?;
        Some(oldest + transaction::TIMEOUT)
    }

    /// The first of these.
    pub(super) fn deadline(&self) -> Instant {
        let refresh = self.refresh.poll_timeout();
        self.unanswered_at()
            .map_or(refresh, |unanswered| unanswered.min(refresh))
    }
}
