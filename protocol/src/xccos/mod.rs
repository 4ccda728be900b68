//! XCCOS, "Extensible Chat Control Over SIP": the XML documents that SIP INFO carries between chat clients and servers.
//!
//! [`Document`] knows where everything in a body stands, [`Edits`] changes ranges of it and leaves every other byte alone.
//! [`Document::items`] tells what a body is about; [`Command`], [`Reply`], [`Notice`] and [`GroupChat`] are what it says, for
//! those who answer or ask themselves, and [`Envelope`] writes them.
//!
//! Only this module names the XML library.

mod attributes;
pub mod block;
mod document;
mod edit;
mod envelope;
mod error;
mod group_chat;
mod known;
mod limits;
mod mask;
mod notice;
mod parse;
mod result;
#[cfg(test)]
mod tests;
pub mod text;
pub mod verb;
mod write;

pub use document::{AttributeRef, Children, Document, ElementRef, TextRef};
pub use edit::Edits;
pub use envelope::{CommandId, CommandView, GroupChatView, Item, NoticeView, ReplyView};
pub use error::{XccosError, XccosErrorKind};
pub use group_chat::GroupChat;
pub use known::known_attributes;
pub use limits::Limits;
pub use mask::PermissionMask;
pub use notice::{Arrival, Departure, Notice};
pub use parse::BYTE_ORDER_MARK;
pub use result::{OPERATION_FAILED, Outcome, ResultCode};
pub use verb::{Command, Reply, ReplyData, Verb};
pub use write::Envelope;

/// The namespace of every element that XCCOS defines.
pub const NAMESPACE: &str = "urn:parlano:xml:ns:xccos";
