//! Traces of other programs: finding the SIP messages in a log ([`read`]), and what of them this crate does not know
//! ([`judge`]).

mod judge;
mod questions;
mod read;
#[cfg(test)]
mod tests;

pub use judge::{Finding, Kind, Report, judge};
pub use questions::Question;
pub use read::{LONGEST_MESSAGE, Trace, Traced, decode_text, read};
