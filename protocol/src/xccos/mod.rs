//! XCCOS, "Extensible Chat Control Over SIP": the XML documents that SIP INFO carries between chat clients and servers.
//!
//! [`Document`] knows where everything in a body stands, [`Edits`] changes ranges of it and leaves every other byte alone.
//! Only this module names the XML library.

mod attributes;
mod document;
mod edit;
mod error;
mod limits;
mod parse;
pub mod text;

pub use document::{AttributeRef, Children, Document, ElementRef, TextRef};
pub use edit::Edits;
pub use error::{XccosError, XccosErrorKind};
pub use limits::Limits;

/// The namespace of every element that XCCOS defines.
pub const NAMESPACE: &str = "urn:parlano:xml:ns:xccos";
