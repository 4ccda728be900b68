//! `holdover pool serve` as a whole: the program in a process of its own, and a small SIP client that speaks for several users
//! over one connection.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)] // helpers of tests may, like tests

mod chat;
mod client;
mod server;
mod tls;
