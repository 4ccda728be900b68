//! The client's side of a session: its channel dialog, what is on its way to it, and what waits.
//!
//! One INFO at a time by default: legacy clients were written against servers that waited for the receipt. The queue
//! behind it is bounded; a client that does not keep up is disconnected, and finds what it missed in the history.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_protocol::room::RoomUri;
use holdover_protocol::sip::dialog::{Dialog, Hop};
use holdover_protocol::sip::{Headers, Method, Request, Status};
use holdover_protocol::{translate, xccos};

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

/// How requests to the client name this end (RFC 3261 §18.1.1).
#[derive(Clone, Debug)]
pub struct SentBy {
    /// `TCP` or `TLS`.
    pub transport: &'static str,
    /// Address and port of the listener.
    pub address: Box<str>,
}

#[derive(Clone, Debug)]
struct Outstanding {
    cseq: u32,
    sent_at: Instant,
    /// The request, where it may have to be sent again.
    message: Option<Bytes>,
}

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// What a final response of the client means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientVerdict {
    /// It has the document, or will never want it; the next may go.
    Next,
    /// The client knows nothing of this dialog any more.
    DialogGone,
    /// Not an answer to anything outstanding.
    Stray,
}

/// The channel dialog of a client that is connected.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) dialog: Dialog,
    sent_by: SentBy,
    /// Makes the branches of this channel's requests unique.
    branch: u64,
    outstanding: VecDeque<Outstanding>,
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
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
    ) -> Self {
        Self {
            dialog,
            sent_by,
            branch,
            outstanding: VecDeque::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            late: Vec::new(),
            heard_at,
        }
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
        let heard_at = self.heard_at.filter(|_| self.outstanding.is_empty())?;
        Some(heard_at + silence)
    }

    /// Asks the client for a sign of life. OPTIONS is the one request beside INFO that real clients survive.
    pub(super) fn probe(&mut self, now: Instant) -> Bytes {
        self.send(now, Method::Options, None)
    }

    /// The dialog goes on over another connection.
    pub(super) fn move_to(&mut self, sent_by: SentBy) {
        self.sent_by = sent_by;
    }

    /// Requests that were sent on a connection that is gone and are not answered. The client has as long as ever from now
    /// on.
    pub(super) fn unanswered(&mut self, now: Instant) -> Vec<Bytes> {
        let again = self.outstanding.iter_mut().filter_map(|info| {
            info.sent_at = now;
            info.message.clone()
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

    /// Whether a message belongs to this dialog, and not to one that the client had before on its connection: CSeqs of
    /// the two are alike.
    pub(super) fn owns(&self, headers: &Headers) -> bool {
        headers.call_id() == Ok(self.dialog.call_id())
    }

    /// Puts a document behind the others.
    pub(super) fn push(&mut self, body: Bytes, limits: &QueueLimits) -> Result<(), Full> {
        let bytes = self.queued_bytes.saturating_add(body.len());
        // A single document larger than the whole limit still goes to a client that has nothing else to read.
        if self.queue.len() >= limits.messages || (bytes > limits.bytes && !self.queue.is_empty()) {
            return Err(Full);
        }
        self.queued_bytes = bytes;
        self.queue.push_back(body);
        Ok(())
    }

    /// Drops what waits for a room that the client has left: its window is gone, and a message for it can crash the
    /// client (`facts/sipe-client.md`, third bug). What is about other rooms too stays.
    pub(super) fn forget_room(&mut self, legacy: &RoomUri, limits: &xccos::Limits) {
        self.queue.retain(|body| {
            let named = xccos::Document::parse(body.clone(), limits)
                .map(|document| translate::rooms_named(&document))
                .unwrap_or_default();
            named.is_empty() || named.iter().any(|room| room != legacy)
        });
        self.queued_bytes = self.queue.iter().map(Bytes::len).sum();
    }

    /// The next INFO to send, while the client has fewer than the limit to answer.
    pub(super) fn next_info(&mut self, now: Instant, limits: &QueueLimits) -> Option<Bytes> {
        if self.outstanding.len() >= limits.outstanding {
            return None;
        }
        let body = self.queue.pop_front()?;
        self.queued_bytes = self.queued_bytes.saturating_sub(body.len());
        Some(self.send(now, Method::Info, Some(&body)))
    }

    /// Makes a request of the dialog and waits for its answer.
    fn send(&mut self, now: Instant, method: Method, body: Option<&[u8]>) -> Bytes {
        self.branch = self.branch.wrapping_add(1);
        let hop = Hop {
            transport: self.sent_by.transport,
            sent_by: &self.sent_by.address,
            unique: self.branch,
        };
        let request = self.dialog.request(&method, &hop);
        let message = match body {
            Some(body) => request.finish_with(XCCOS_CONTENT, body),
            None => request.finish(),
        };
        self.outstanding.push_back(Outstanding {
            cseq: self.dialog.local_cseq(),
            sent_at: now,
            message: self.is_behind_front_end().then(|| message.clone()),
        });
        message
    }

    /// Takes the client's final response.
    pub(super) fn answered(&mut self, cseq: u32, status: Status) -> ClientVerdict {
        let Some(at) = self.outstanding.iter().position(|info| info.cseq == cseq) else {
            return ClientVerdict::Stray;
        };
        self.outstanding.remove(at);
        match status.code() {
            // RFC 3261 §12.2.1.2: these end the dialog.
            408 | 481 | 487 => ClientVerdict::DialogGone,
            // RFC 5057 §5.1 and RFC 5626 §5.3.1: so do these, by which a front end says that it does not reach the client.
            // 477 is Kamailio's.
            404 | 410 | 430 | 477 | 480 | 502 | 604 if self.is_behind_front_end() => {
                ClientVerdict::DialogGone
            }
            // Any other refusal is of this one document, and sending it again would only be refused again.
            _ => ClientVerdict::Next,
        }
    }

    /// When the oldest unanswered INFO will have waited too long.
    pub(super) fn deadline(&self, limit: Duration) -> Option<Instant> {
        self.outstanding.front().map(|info| info.sent_at + limit)
    }

    /// Gives back the memory of queues that are empty.
    pub(super) fn release(&mut self) {
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        if self.outstanding.is_empty() {
            self.outstanding = VecDeque::new();
        }
    }

    /// Documents waiting.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn check_invariants(&self, limits: &QueueLimits) {
        debug_assert!(self.queue.len() <= limits.messages);
        debug_assert!(self.outstanding.len() <= limits.outstanding);
        debug_assert_eq!(
            self.queued_bytes,
            self.queue.iter().map(Bytes::len).sum::<usize>()
        );
    }
}

/// A request of the client that waits for its final response.
#[derive(Debug)]
pub(super) struct ServerTransaction {
    /// The client's connection that it came on; the response must not go to another.
    pub(super) client: u64,
    pub(super) request: Box<Request>,
}
