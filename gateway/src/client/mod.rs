//! A legacy client: it signs in, asks the lookup address where to go, opens the channel dialog and talks in rooms.
//!
//! [`Client`] is sans-IO and writes what the real clients write, oddities included (`facts/sipe-client.md`): what it gets
//! along with, they get along with, and where they would hang it says so. [`Driver`] runs one over TCP or TLS.
//! `holdover chat` is built on both.

mod channel;
mod connect;
mod core;
mod dialog;
mod driver;
mod event;
mod failure;
mod profile;
mod registration;
#[cfg(test)]
mod tests;

pub use self::core::Client;
pub use connect::{ConnectError, Server};
pub use driver::Driver;
pub use event::{Answer, Event, Output, Ticket};
pub use failure::{Failure, Refusal, Step};
pub use profile::{Local, Password, Profile};
