//! The real legacy client, SIPE hosted by the driver in `tests/real-client/`: built once, spawned per user, told what
//! to do by lines, and listened to.
//!
//! `HOLDOVER_REAL_CLIENT=required` installs Debian packages that are missing and fails if the driver cannot be built.
//! Without it nothing is installed, and where packages are missing the scenarios are skipped, loudly.

mod build;
mod client;
mod trace;

pub use build::Driver;
pub use client::{Account, Client, Transcript, Transport};
pub use trace::Sip;
