//! The whole product from outside: how tests start the program, and how they drive the real client.
//!
//! This is a harness: where the product or the machine is not as it must be, it panics, because a panic is how a test
//! says no. Nothing in it sleeps; it waits for events, as long as [`patience()`] lasts.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test says no"
)]

pub mod binary;
pub mod client;
pub mod front_end;
pub mod fuzzing;
pub mod gateway;
pub mod kamailio;
pub mod pair;
pub mod patience;
pub mod pipe;
pub mod program;
pub mod real_client;
pub mod upstream;

pub use patience::patience;
