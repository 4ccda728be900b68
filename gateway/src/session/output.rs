//! What the session core wants done: every effect is a value, the task that drives the core carries them out in order.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdover_config::RuleName;
use holdover_config::rules::{Act, Rule};
use holdover_protocol::room::RoomUri;
use holdover_protocol::xccos::Verb;

use crate::decide::{Decided, RefusalReason, Target};
use crate::pool::{Opening, PoolId, SendId};
use crate::shadow::Difference;

/// One effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Octets for the client's connection.
    Downstream(Bytes),
    /// Close the client's connection. It is the clean way to make a legacy client start over
    /// (`facts/sipe-client.md`: it comes back with one `cmd:bjoin`).
    CloseConnection(CloseReason),
    /// Open a leg on this pool. What is sent on it may follow at once.
    OpenLeg(PoolId, Opening),
    /// Send a document on a leg.
    Send {
        /// The leg's pool.
        pool: PoolId,
        /// For the receipt.
        id: SendId,
        /// The document.
        body: Bytes,
    },
    /// Close a leg; the pool parts the user's rooms.
    CloseLeg(PoolId),
    /// Something for the event log.
    Event(Event),
    /// The session is over; nothing follows.
    Finished(FinishReason),
}

/// Why a session closes its client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client does not read what it is sent: its queue is full.
    Slow {
        /// Documents in the queue.
        queued: usize,
    },
    /// The client does not answer a request within the limit.
    Silent,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// The user signed out, or the registration ran out.
    SignedOut,
    /// The client did not come back within the grace period.
    GraceOver,
    /// The client is gone, and has no rooms that it could come back to.
    NothingOpen,
    /// Too many sessions of the user wait for a client.
    Displaced,
    /// Holdover is shutting down.
    Drain,
    /// An error of this program ended it.
    Panicked,
}

/// What happened, for the event log. Never message text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The client has a channel dialog.
    Attached {
        /// Whether it came back to a session that was waiting for it.
        resumed: bool,
    },
    /// The client's dialog or connection is gone; the grace period begins.
    Detached,
    /// The client, or its front end, refused a document for good; it was not read.
    NotDelivered {
        /// SIP status of the refusal.
        status: u16,
    },
    /// The pool let the client into a room.
    Joined {
        /// As the client knows it.
        legacy: RoomUri,
        /// As the pool knows it.
        migrated: RoomUri,
        /// Which pool.
        pool: PoolId,
    },
    /// Something was decided about the user.
    Decided {
        /// What the user was about to do.
        act: Act,
        /// In which room, as the client named it.
        legacy: Option<RoomUri>,
        /// What was decided; where, if there is a single place.
        decided: Box<Decided<Option<Target>>>,
    },
    /// A second pool was asked the same, and both have answered.
    Compared {
        /// Which command.
        verb: Verb,
        /// As the client knows the room; `None` for a search.
        legacy: Option<RoomUri>,
        /// The second pool.
        pool: PoolId,
        /// The rule that has it asked.
        rule: RuleName,
        /// How the answers differ; `None`: not at all.
        difference: Option<Difference>,
    },
    /// A notice was shown.
    Noticed {
        /// As the client knows the room in whose window it is.
        legacy: RoomUri,
        /// The rule that has its text.
        rule: RuleName,
    },
    /// A room was refused before the pool was asked.
    Refused {
        /// As the client named it.
        legacy: RoomUri,
        /// Why.
        reason: RefusalReason,
    },
    /// The pool refused a command.
    CommandFailed {
        /// Which command.
        verb: Verb,
        /// The result code the client was told.
        code: u16,
    },
    /// The pool did not let the client into a room.
    NotJoined {
        /// As the client knows it.
        legacy: RoomUri,
        /// Which pool.
        pool: PoolId,
        /// Its result code; `None`: it answered for other rooms and left this one out.
        code: Option<u16>,
    },
    /// A command, or the answer to it, was about many rooms: not all were told one by one.
    RoomsSummed {
        /// Which command.
        verb: Verb,
        /// Events that were not told.
        untold: usize,
    },
    /// A command named more rooms than a client may name at once, or have at one time. What was too much was refused.
    TooManyRooms {
        /// Which command.
        verb: Verb,
        /// Rooms that were refused.
        refused: usize,
        /// How many a client may name at once.
        per_command: usize,
        /// How many it may have at one time.
        per_session: usize,
    },
    /// What a pool said would be longer for the client than it may be. An answer was replaced by a refusal.
    TooLong {
        /// Which pool.
        pool: PoolId,
        /// The command that it answers.
        verb: Option<Verb>,
        /// Bytes that the client may be given at once.
        longest: usize,
    },
    /// The client left a room.
    Parted {
        /// As the client knows it.
        legacy: RoomUri,
    },
    /// The pool has a post.
    PostAccepted {
        /// As the client knows the room.
        legacy: RoomUri,
        /// Which pool.
        pool: PoolId,
        /// From sending it to the pool until the receipt.
        took: Duration,
    },
    /// A post was refused.
    PostRefused {
        /// As the client knows the room.
        legacy: RoomUri,
        /// SIP status the client was told.
        status: u16,
        /// Where: `Downstream` means that no pool saw it.
        by: Side,
    },
    /// Nobody knows what became of a post; the client was told so (504).
    PostUnknown {
        /// As the client knows the room.
        legacy: RoomUri,
        /// Which pool.
        pool: PoolId,
        /// Call-ID and CSeq of the client's INFO.
        request: (Box<str>, u32),
        /// The envelope in which the pool got it, if it did.
        id: SendId,
    },
    /// Rules or directory changed: a room is somewhere else now, or may be used again.
    Moved {
        /// As the client knows the room.
        legacy: RoomUri,
        /// Where it was; `None`: it could not be used.
        from: Option<PoolId>,
        /// Where it is.
        to: PoolId,
        /// By which rule; `None`: by the directory.
        rule: Option<Arc<Rule>>,
    },
    /// Rules or directory changed: a room may not be used any more, or not for now. Its window stays.
    Shut {
        /// As the client knows the room.
        legacy: RoomUri,
        /// Where it was.
        pool: PoolId,
        /// Why.
        reason: RefusalReason,
        /// By which rule; `None`: by the directory.
        rule: Option<Arc<Rule>>,
    },
    /// The rooms of a pool were joined again after its leg was lost.
    Rejoined {
        /// Which pool.
        pool: PoolId,
        /// How many rooms.
        rooms: usize,
    },
    /// A room was not joined again: the pool does not let the user in any more.
    RoomLost {
        /// As the pool knows the room.
        migrated: RoomUri,
        /// Which pool.
        pool: PoolId,
    },
    /// What a room missed while its pool could not be reached was delivered from its history.
    GapClosed {
        /// As the pool knows the room.
        migrated: RoomUri,
        /// Which pool.
        pool: PoolId,
        /// How many messages.
        messages: usize,
        /// Whether there may be more that the history did not show.
        complete: bool,
    },
    /// A peer sent something that is no XCCOS.
    Malformed {
        /// Which side.
        from: Side,
        /// What is wrong with it; never its content.
        detail: Box<str>,
    },
}

/// A side of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The legacy client.
    Downstream,
    /// The pool.
    Upstream,
}
