//! Every event, by what it is about. [`Event`](super::Event) is the closed set of them.

pub mod admin;
pub mod config;
pub mod connection;
pub mod decision;
pub mod pool;
pub mod process;
pub mod protocol;
pub mod room;
pub mod serve;
pub mod session;
pub mod sign_in;
