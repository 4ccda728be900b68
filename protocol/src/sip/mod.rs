//! SIP (RFC 3261): bytes to messages and back.
//!
//! [`Decoder`] cuts a byte stream into [`Message`]s and says which of them are sound. A message keeps its head as one
//! text; [`Headers`] finds values in it, and the typed views ([`NameAddr`], [`Via`], [`CSeq`], [`Uri`], …) borrow from
//! it and are parsed when they are asked for. [`MessageBuilder`] writes.
//!
//! What leaves is always built anew from what was parsed. No received head is ever copied through, and a body is
//! delimited by Content-Length alone: that closes request smuggling.

mod check;
mod decode;
mod fault;
mod grammar;
mod head;
pub mod headers;
mod limits;
mod message;
mod plain;
mod status;
mod uri;
mod write;

pub mod call;
pub mod dialog;
pub mod digest;
pub mod sdp;
pub mod session_timer;
pub mod transaction;

pub use check::{Uas, check_message};
pub use decode::{Decoded, Decoder, KeepAlive};
pub use fault::Fault;
pub use headers::{
    CSeq, Contact, HeaderError, Headers, MediaType, Name, NameAddr, Params, Refresher,
    SessionExpires, Via,
};
pub use limits::Limits;
pub use message::{Message, Method, Request, Response};
pub use status::Status;
pub use uri::{Host, OtherUri, Scheme, SipUri, Uri, UriError};
pub use write::{MessageBuilder, respond, respond_with};
