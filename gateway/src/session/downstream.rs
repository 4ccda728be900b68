//! The client's side of a session: its channel dialog, what is on its way to it, and what waits.
//!
//! One INFO at a time by default: legacy clients were written against servers that waited for the receipt. The queue
//! behind it is bounded; a client that does not keep up is disconnected, and finds what it missed in the history.
//!
//! A document that is refused was not read. Where the refusal is for now it is sent again, nothing overtaking it but what was
//! on its way already; where it is for good it is dropped, and said to be.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_protocol::room::RoomUri;
use holdover_protocol::sip::call::{Call, Sent};
use holdover_protocol::sip::dialog::{Dialog, Hop, Incoming};
use holdover_protocol::sip::{Fault, Headers, Method, Request, Response, Status};
use holdover_protocol::translate;
use holdover_protocol::xccos::{Document, Item, Limits, Verb};

use super::upstream::{rooms_opened, without_rooms};
use crate::peer::{ClientNumber, SentBy};

/// Content type of every XCCOS document (`facts/xccos.md` §1.3).
const XCCOS_CONTENT: &str = "text/plain";

/// Bounds of what waits for one client.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Documents.
    pub messages: usize,
    /// Bytes of all documents together.
    pub bytes: usize,
    /// INFO requests the client has not answered yet.
    pub outstanding: usize,
}

/// What is kept of a request until the client answers it.
#[derive(Debug)]
struct Outstanding {
    /// The document, for the case that the client does not read it. `None`: it has no use for it any more.
    waiting: Option<Waiting>,
    /// The request, where it may have to be sent again.
    message: Option<Bytes>,
}

/// A document that a client has not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) body: Bytes,
    /// The rooms that the client has open once it has read this, and did not before.
    pub(super) opens: Box<[RoomUri]>,
}

/// How long to wait before a document that was refused for now is sent again, the first time and at the most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));

/// Documents are refused for now.
#[derive(Debug)]
struct Backoff {
    since: Instant,
    pause: Duration,
    again_at: Instant,
    /// How many of them are first in the queue.
    put_back: usize,
}

/// What a refusal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// There is no such dialog, or nobody reaches the client.
    Gone,
    /// Whoever refused it is busy.
    ForNow,
    /// It would be refused again.
    ForGood,
}

impl Refusal {
    /// `None`: it is none.
    fn of(status: Status, is_behind_front_end: bool) -> Option<Self> {
        Some(match status.code() {
            ..300 => return None,
            // RFC 3261 §12.2.1.2: these end the dialog.
            408 | 481 | 487 => Self::Gone,
            // RFC 5057 §5.1 and RFC 5626 §5.3.1: so do these, by which a front end says that it does not reach the client.
            // 477 is Kamailio's.
            404 | 410 | 416 | 430 | 477 | 480 | 482 | 484 | 485 | 502 | 604
                if is_behind_front_end =>
            {
                Self::Gone
            }
            // RFC 3261 §21.4.24, §21.4.27, §21.5 and §21.6.1: of this one request, and at this time.
            486 | 491 | 500 | 503 | 504 | 600 => Self::ForNow,
            _ => Self::ForGood,
        })
    }
}

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// What a final response of the client means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClientVerdict {
    /// It has the document, or will never want it, or gets it again later; the next may go.
    Next,
    /// It will not have this document.
    Refused(Waiting),
    /// The client knows nothing of this dialog any more.
    DialogGone,
    /// Not an answer to anything outstanding.
    Stray,
}

/// Documents that wait for a client.
#[derive(Debug, Default)]
pub(super) struct Queue {
    documents: VecDeque<Waiting>,
    bytes: usize,
}

impl Queue {
    /// Puts a document behind the others; `opens` are the rooms that it opens.
    pub(super) fn push(
        &mut self,
        body: Bytes,
        opens: Box<[RoomUri]>,
        limits: &QueueLimits,
    ) -> Result<(), Full> {
        let bytes = self.bytes.saturating_add(body.len());
        // A single document larger than the whole limit still goes to a client that has nothing else to read.
        let is_long = self.documents.len() >= limits.messages;
        if is_long || (bytes > limits.bytes && !self.documents.is_empty()) {
            return Err(Full);
        }
        self.bytes = bytes;
        self.documents.push_back(Waiting { body, opens });
        Ok(())
    }

    /// Puts back a document that was in the queue before.
    pub(super) fn put(&mut self, body: Bytes) {
        self.bytes += body.len();
        let opens = Box::default();
        self.documents.push_back(Waiting { body, opens });
    }

    /// Whether so many documents, of so many bytes together, still fit.
    pub(super) fn has_place(&self, documents: usize, bytes: usize, limits: &QueueLimits) -> bool {
        self.documents.len() + documents <= limits.messages
            && self.bytes.saturating_add(bytes) <= limits.bytes
    }

    /// Whether a document of so many bytes finds half of the queue free, which leaves the other half for what cannot wait.
    pub(super) fn is_roomy(&self, bytes: usize, limits: &QueueLimits) -> bool {
        let is_short = self.documents.len() < limits.messages.div_ceil(2);
        let fits = self.bytes.saturating_add(bytes) <= limits.bytes / 2;
        self.documents.is_empty() || (is_short && fits)
    }

    /// Puts a document back that was taken out last.
    fn push_front(&mut self, waiting: Waiting) {
        self.insert(0, waiting);
    }

    /// Puts a document back behind the first `at`.
    fn insert(&mut self, at: usize, waiting: Waiting) {
        self.bytes += waiting.body.len();
        self.documents.insert(at.min(self.documents.len()), waiting);
    }

    /// A document that was to open rooms is not read. Where another answer tells of one too, that one opens it. Returns those
    /// of which none does.
    pub(super) fn hand_over(&mut self, mut rooms: Vec<RoomUri>) -> Vec<RoomUri> {
        for waiting in &mut self.documents {
            if rooms.is_empty() {
                break;
            }
            let Ok(document) = Document::parse(waiting.body.clone(), &Limits::OWN) else {
                continue;
            };
            let is_join = matches!(
                document.items().next(),
                Some(Item::Reply(reply)) if matches!(reply.verb(), Verb::Join | Verb::BatchJoin)
            );
            if !is_join {
                continue;
            }
            let opened: HashSet<RoomUri> = rooms_opened(&document).into_iter().collect();
            let (theirs, rest): (Vec<RoomUri>, Vec<RoomUri>) =
                rooms.into_iter().partition(|room| opened.contains(room));
            if !theirs.is_empty() {
                let mut opens = std::mem::take(&mut waiting.opens).into_vec();
                opens.extend(theirs);
                waiting.opens = opens.into();
            }
            rooms = rest;
        }
        rooms
    }

    fn pop(&mut self) -> Option<Waiting> {
        let next = self.documents.pop_front()?;
        self.bytes = self.bytes.saturating_sub(next.body.len());
        Some(next)
    }

    /// Keeps what `keep` says. Returns the rooms that the others would have opened.
    pub(super) fn retain(&mut self, keep: impl Fn(&Bytes) -> bool) -> Vec<RoomUri> {
        let mut unopened = Vec::new();
        self.documents.retain(|waiting| {
            let is_kept = keep(&waiting.body);
            if !is_kept {
                unopened.extend(waiting.opens.iter().cloned());
            }
            is_kept
        });
        self.count();
        unopened
    }

    fn count(&mut self) {
        self.bytes = self.documents.iter().map(|one| one.body.len()).sum();
    }

    /// Drops what waits for rooms that the client has left: their windows are gone, and a message for one can crash the
    /// client (`facts/sipe-client.md`, third bug). What is about other rooms stays.
    pub(super) fn forget_rooms(&mut self, left: &HashSet<RoomUri>) {
        let documents = std::mem::take(&mut self.documents).into_iter();
        let kept = documents.filter_map(|one| one.without_rooms(left));
        self.documents = kept.collect();
        self.count();
    }

    /// The documents, in order.
    pub(super) fn into_iter(self) -> impl Iterator<Item = Bytes> {
        self.documents.into_iter().map(|one| one.body)
    }

    /// Documents waiting.
    pub(super) fn len(&self) -> usize {
        self.documents.len()
    }

    fn check_invariants(&self) {
        let bytes = self.documents.iter().map(|one| one.body.len());
        debug_assert_eq!(self.bytes, bytes.sum::<usize>());
    }
}

impl Waiting {
    /// [`without_left`] of the document.
    fn without_rooms(self, left: &HashSet<RoomUri>) -> Option<Self> {
        let Self { body, opens } = self;
        let body = without_left(body, left)?;
        Some(Self { body, opens })
    }
}

/// A document without what it tells of rooms that the client has left; `None` when it tells of nothing else. Where a room was
/// found, and the like, may still be told.
fn without_left(body: Bytes, left: &HashSet<RoomUri>) -> Option<Bytes> {
    let Ok(document) = Document::parse(body.clone(), &Limits::OWN) else {
        return Some(body);
    };
    let told = match document.items().next() {
        Some(Item::Notice(notice)) => Some(notice.element()),
        Some(Item::Reply(reply)) => match reply.verb() {
            Verb::Join | Verb::BatchJoin => Some(reply.element()),
            Verb::BackChat => None,
            // Found, offered, and the like: somebody waits for it.
            _ => return Some(body),
        },
        _ => None,
    };
    let named = translate::rooms_named(&document);
    if !named.iter().any(|room| left.contains(room)) {
        return Some(body);
    }
    if named.iter().all(|room| left.contains(room)) {
        return None;
    }
    let Some(told) = told else {
        return Some(body);
    };
    Some(without_rooms(told, |room| !left.contains(room)).apply(&document))
}

/// The channel dialog of a client that is connected.
#[derive(Debug)]
pub(super) struct Channel {
    call: Call<Outstanding>,
    sent_by: SentBy,
    /// Makes the branches of this channel's requests unique.
    branch: u64,
    pub(super) queue: Queue,
    /// Boxed: hardly any client has one.
    backoff: Option<Box<Backoff>>,
    /// Answers that wait for a connection. Each is to a request of the client, whose number is bounded.
    late: Vec<Bytes>,
    /// When a client behind a front end was last heard. `None`: it has a connection of its own, and is there as long as
    /// that is. Behind a front end what is on its way may be lost with the front end's connection, and the dialog goes on;
    /// and nobody says when the client is gone.
    heard_at: Option<Instant>,
}

impl Channel {
    pub(super) fn new(
        dialog: Dialog,
        sent_by: SentBy,
        branch: u64,
        heard_at: Option<Instant>,
        queue: Queue,
    ) -> Self {
        Self {
            call: Call::new(dialog),
            sent_by,
            branch,
            queue,
            backoff: None,
            late: Vec::new(),
            heard_at,
        }
    }

    /// Places a request of the client in the dialog.
    pub(super) fn accept_request(&mut self, request: &Request) -> Result<Incoming, Fault> {
        self.call.accept_request(request)
    }

    pub(super) fn is_behind_front_end(&self) -> bool {
        self.heard_at.is_some()
    }

    /// The client said something.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_at = self.heard_at.map(|_| now);
    }

    /// When a client that has been silent for so long is asked for a sign of life. One that has something to answer is
    /// not: that tells as much.
    pub(super) fn probe_at(&self, silence: Duration) -> Option<Instant> {
        let heard_at = self.heard_at.filter(|_| self.call.window().is_empty())?;
        Some(heard_at + silence)
    }

    /// Asks the client for a sign of life. OPTIONS is the one request beside INFO that real clients survive.
    pub(super) fn probe(&mut self, now: Instant) -> Bytes {
        self.send(now, Method::Options, None)
    }

    /// The dialog goes on over another connection.
    pub(super) fn move_to(&mut self, sent_by: SentBy) {
        self.sent_by = sent_by;
        // Another way may be free.
        if let Some(backoff) = &mut self.backoff {
            backoff.again_at = backoff.since;
        }
    }

    /// Requests that were sent on a connection that is gone and are not answered. The client has as long as ever from now
    /// on.
    pub(super) fn unanswered(&mut self, now: Instant) -> Vec<Bytes> {
        let again = self.call.window_mut().iter_mut().filter_map(|info| {
            info.sent_at = now;
            info.what.message.clone()
        });
        again.collect()
    }

    /// An answer to the client that no connection is there for.
    pub(super) fn answer_later(&mut self, answer: Bytes) {
        self.late.push(answer);
    }

    /// The answers that waited.
    pub(super) fn late_answers(&mut self) -> impl Iterator<Item = Bytes> {
        std::mem::take(&mut self.late).into_iter()
    }

    /// What the client has not read, in order, when its dialog ends.
    ///
    /// A client reads and answers one thing after the other, and connections keep the order: what it has not answered
    /// when it gives the dialog up it will not read.
    pub(super) fn take_unread(&mut self) -> Queue {
        let mut queue = std::mem::take(&mut self.queue);
        let outstanding = self.call.window_mut().drain().rev();
        for waiting in outstanding.filter_map(|info| info.waiting) {
            queue.push_front(waiting);
        }
        queue
    }

    /// Drops what waits for rooms that the client has left: see [`Queue::forget_rooms`].
    pub(super) fn forget_rooms(&mut self, left: &HashSet<RoomUri>) {
        self.queue.forget_rooms(left);
        for info in self.call.window_mut().iter_mut() {
            let waiting = info.what.waiting.take();
            info.what.waiting = waiting.and_then(|waiting| waiting.without_rooms(left));
        }
    }

    /// Whether a message belongs to this dialog, and not to one that the client had before on its connection: CSeqs of
    /// the two are alike.
    pub(super) fn owns(&self, headers: &Headers) -> bool {
        self.call.owns(headers)
    }

    /// The next INFO to send, while the client has fewer than the limit to answer and refuses none for now.
    pub(super) fn next_info(&mut self, now: Instant, limits: &QueueLimits) -> Option<Bytes> {
        let opens = |info: &Sent<Outstanding>| {
            let waiting = info.what.waiting.as_ref();
            waiting.is_some_and(|waiting| !waiting.opens.is_empty())
        };
        if self.call.window().len() >= limits.outstanding
            || self.backoff.as_ref().is_some_and(|it| it.again_at > now)
            // What comes behind the answer that opens a room may be about that room: it must not be read without it.
            || self.call.window().iter().any(opens)
        {
            return None;
        }
        let waiting = self.queue.pop()?;
        if let Some(backoff) = &mut self.backoff {
            backoff.put_back = backoff.put_back.saturating_sub(1);
        }
        Some(self.send(now, Method::Info, Some(waiting)))
    }

    /// Makes a request of the dialog and waits for its answer.
    fn send(&mut self, now: Instant, method: Method, waiting: Option<Waiting>) -> Bytes {
        self.branch = self.branch.wrapping_add(1);
        let hop = Hop {
            transport: self.sent_by.transport,
            sent_by: &self.sent_by.address,
            unique: self.branch,
        };
        let may_be_lost = self.heard_at.is_some();
        self.call.send(now, method, &hop, |request| {
            let message = match &waiting {
                Some(waiting) => request.finish_with(XCCOS_CONTENT, &waiting.body),
                None => request.finish(),
            };
            let outstanding = Outstanding {
                waiting,
                message: may_be_lost.then(|| message.clone()),
            };
            (message, outstanding)
        })
    }

    /// Takes a final response of the client. Documents are sent again for as long as `patience`.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        response: &Response,
        patience: Duration,
    ) -> ClientVerdict {
        let headers = response.headers();
        let Ok(cseq) = headers.cseq() else {
            return ClientVerdict::Stray;
        };
        let window = self.call.window();
        let Some(at) = window.position(cseq.number, &cseq.method) else {
            return ClientVerdict::Stray;
        };
        let retry_after = headers.retry_after();
        let retry_after = retry_after.map(|seconds| Duration::from_secs(seconds.into()));
        let status = response.status();
        let refusal = Refusal::of(status, self.is_behind_front_end());
        if refusal == Some(Refusal::Gone) {
            return ClientVerdict::DialogGone;
        }
        if refusal.is_none() {
            // What came before it was read before it.
            for earlier in self.call.window_mut().iter_mut().take(at) {
                earlier.what.waiting = None;
            }
            self.backoff = None;
        }
        let answered = self.call.window_mut().take(cseq.number, &cseq.method);
        let waiting = answered.and_then(|info| info.waiting);
        match (refusal, waiting) {
            (None, _) | (_, None) => ClientVerdict::Next,
            (Some(Refusal::ForNow), Some(waiting)) if self.back_off(now, retry_after, patience) => {
                if let Some(backoff) = &mut self.backoff {
                    self.queue.insert(backoff.put_back, waiting);
                    backoff.put_back += 1;
                }
                ClientVerdict::Next
            }
            // Whoever is busy for so long does not reach the client.
            (Some(Refusal::ForNow), Some(waiting)) if self.is_behind_front_end() => {
                self.queue.push_front(waiting);
                ClientVerdict::DialogGone
            }
            (Some(_), Some(waiting)) => ClientVerdict::Refused(waiting),
        }
    }

    /// Waits before anything is sent again. `false`: that was tried for as long as `patience`.
    fn back_off(&mut self, now: Instant, asked: Option<Duration>, patience: Duration) -> bool {
        let (first, most) = PAUSE;
        let (since, pause, put_back) = match &self.backoff {
            Some(backoff) => (backoff.since, backoff.pause, backoff.put_back),
            None => (now, first, 0),
        };
        let until = since + patience;
        if now >= until {
            self.backoff = None;
            return false;
        }
        self.backoff = Some(Box::new(Backoff {
            since,
            pause: (pause * 2).min(most),
            again_at: until.min(now + pause.max(asked.unwrap_or_default())),
            put_back,
        }));
        true
    }

    /// When a document that was refused for now is sent again.
    pub(super) fn again_at(&self) -> Option<Instant> {
        let backoff = self.backoff.as_ref()?;
        // While something is on its way its answer comes first.
        (self.queue.len() > 0 && self.call.window().is_empty()).then_some(backoff.again_at)
    }

    /// When the oldest unanswered INFO will have waited too long.
    pub(super) fn deadline(&self, limit: Duration) -> Option<Instant> {
        self.call.window().oldest().map(|sent_at| sent_at + limit)
    }

    /// Gives back the memory of queues that are empty.
    pub(super) fn release(&mut self) {
        if self.queue.documents.is_empty() {
            self.queue = Queue::default();
        }
        self.call.window_mut().release();
        if self.call.window().is_empty() && self.queue.len() == 0 {
            self.backoff = None;
        }
    }

    pub(super) fn check_invariants(&self, limits: &QueueLimits) {
        // What was unread when a dialog ended comes on top.
        debug_assert!(self.queue.len() <= limits.messages + limits.outstanding);
        debug_assert!(self.call.window().len() <= limits.outstanding);
        self.queue.check_invariants();
    }
}

/// A request of the client that waits for its final response.
#[derive(Debug)]
pub(super) struct ServerTransaction {
    /// The client's connection that it came on; the response must not go to another.
    pub(super) client: ClientNumber,
    pub(super) request: Box<Request>,
}
