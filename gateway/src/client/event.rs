//! What a client does and tells.

use bytes::Bytes;
use holdover_protocol::xccos::verb::RoomHistory;
use holdover_protocol::xccos::{GroupChat, Notice, ReplyData};

use super::failure::{Failure, Refusal};

/// What was asked for; the answer names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub(super) u64);

/// One effect.
#[derive(Debug)]
pub enum Output {
    /// Octets for the connection.
    Send(Bytes),
    /// For whoever uses the client.
    Event(Event),
    /// The connection is not needed any more.
    Close,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The server wants a password. Give it with [`Client::set_password`](super::Client::set_password).
    PasswordNeeded,
    /// The server knows the user now.
    SignedIn,
    /// Rooms can be searched, joined and left.
    Ready {
        /// The address of the channel dialog.
        channel: Box<str>,
    },
    /// The end of something that was asked for.
    Done {
        /// What.
        ticket: Ticket,
        /// How it ended.
        result: Result<Answer, Refusal>,
    },
    /// A message in a room, one's own too.
    Message(GroupChat),
    /// Somebody came or went.
    Notice(Notice),
    /// History that nobody asked for: old servers send it after a join.
    History(RoomHistory),
    /// Something arrived that a real client drops without a word.
    Dropped(Box<str>),
    /// The server forgot the session; the client begins again at the lookup, and its rooms are the server's to restore.
    Restarting,
    /// It is over, against the user's will.
    Failed(Failure),
    /// It is over.
    SignedOut,
}

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The message is in the room.
    Posted,
    /// The reply to a command.
    Reply(ReplyData),
}
