//! Pools: what rooms live on, and the legs by which sessions reach them.
//!
//! A leg is one user endpoint on one pool. A session sends XCCOS documents on it and is told, in order, what became of
//! each (the receipt) and what the pool had to say. A leg never blocks the session and the session never blocks the
//! pool: where a queue is full the leg is closed, and the session opens a new one and fetches what it missed.

pub mod embedded;

use std::fmt;

use bytes::Bytes;

/// Names one document a session sent on a leg, so that the receipt can be matched to it. Unique per leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SendId(pub u64);

/// What a pool tells a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegEvent {
    /// What became of a document that was sent. Exactly one per document, unless the leg closes first.
    Receipt {
        /// The document.
        id: SendId,
        /// Its fate.
        receipt: Receipt,
    },
    /// A document from the pool: a reply, a notice or a message.
    Document(Bytes),
    /// The leg is gone; nothing follows. Documents without a receipt have an unknown fate.
    Closed(LegClosed),
}

/// The final response of a pool to one document (over SIP: the final response to the INFO).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The pool has it. For a post: it is durable.
    Accepted,
    /// The pool refused it.
    Refused {
        /// SIP status, 300 to 699.
        status: u16,
        /// SIP reason phrase; never message text.
        reason: Box<str>,
    },
    /// No answer within the time limit: it may or may not have happened.
    Unknown,
}

/// Why a leg ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LegClosed {
    /// The session's queue was full: the session must catch up from history.
    Overflow,
    /// The pool ended it or is shutting down.
    Pool,
    /// The pool could not be reached, or its storage failed.
    Unreachable,
}

impl fmt::Display for LegClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overflow => "the session did not keep up",
            Self::Pool => "the pool ended it",
            Self::Unreachable => "the pool could not be reached",
        })
    }
}

/// The end of a leg that a pool writes to. Deliveries never block.
pub trait LegSink: Send + Sync + 'static {
    /// Hands one event to the session.
    ///
    /// # Errors
    ///
    /// [`LegClosed::Overflow`] when the session's queue is full or the session is gone: the pool then drops the leg.
    fn deliver(&self, event: LegEvent) -> Result<(), LegClosed>;
}
