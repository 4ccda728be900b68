//! What the user agent server of a connection wants done.

use bytes::Bytes;
use holdover_protocol::sip::dialog::Dialog;
use holdover_protocol::sip::{Method, Request, Response};
use holdover_protocol::user::UserUri;

use super::ChannelId;
use crate::peer::{Caller, Endpoint};
use crate::registrar::Refused;

/// One effect.
#[derive(Debug)]
pub enum UasOutput {
    /// Octets for the connection.
    Send(Bytes),
    /// A channel dialog begins; the client has its 200. The session of this endpoint takes it, an existing one first.
    Open {
        /// The dialog's number from now on.
        channel: ChannelId,
        /// Whose it is.
        endpoint: Endpoint,
        /// The dialog.
        dialog: Box<Dialog>,
        /// Makes the session's branches unique.
        branch: u64,
        /// What rules may ask of it.
        caller: Caller,
    },
    /// A request inside a channel dialog; the session answers it.
    Request(ChannelId, Box<Request>),
    /// A response inside a channel dialog.
    Response(ChannelId, Box<Response>),
    /// A channel dialog that ended is of no more interest.
    Forget(ChannelId),
    /// The user left: the sessions of these dialogs end.
    SignedOut(Vec<ChannelId>),
    /// Close the connection.
    Close(CloseReason),
    /// For the event log.
    Event(UasEvent),
}

/// Why a connection is closed from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// Nobody signed in within the limit.
    NoSignIn,
    /// Too many failed sign-ins.
    SignInFailed,
    /// The registration was not refreshed.
    Expired,
}

/// What happened, for the event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UasEvent {
    /// A user signed in.
    SignedIn {
        /// Who.
        user: UserUri,
        /// The client's build, as it says itself.
        user_agent: Box<str>,
    },
    /// A sign-in was refused.
    SignInRefused {
        /// Who, as far as that could be read.
        user: Option<UserUri>,
        /// Why.
        reason: Refused,
    },
    /// A user signed out.
    SignedOut {
        /// Who.
        user: UserUri,
        /// Whether the registration ran out instead.
        expired: bool,
    },
    /// A client was told the channel URI.
    LookupAnswered {
        /// Who asked.
        user: UserUri,
        /// The lookup dialog's Call-ID.
        call_id: Box<str>,
    },
    /// A request was refused because its sender is not the user who signed in.
    WrongUser {
        /// Who is signed in.
        user: Option<UserUri>,
        /// Who the request says it is from.
        claimed: Box<str>,
        /// Its method.
        method: Method,
    },
}
