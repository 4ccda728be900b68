//! SIP, XCCOS and the translation between room identifiers.
//!
//! Bytes to meaning and back, nothing else: no sockets, no files, no tasks and no clock. Where time matters it is an
//! argument.

pub mod fold;
#[doc(hidden)]
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod room;
pub mod sip;
pub mod trace;
pub mod translate;
pub mod user;
pub mod xccos;
