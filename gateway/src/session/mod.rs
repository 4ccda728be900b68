//! Sessions: one signed-in user endpoint, its channel dialog downstream and one leg per pool upstream.
//!
//! [`SessionCore`] is the logic, without input or output. `task` drives it: one task per session owns both sides.
//! See `LIFECYCLE.md` beside this file.

mod commands;
pub mod core;
mod delivery;
mod downstream;
mod follow;
mod gather;
mod large;
mod legs;
mod lookup;
mod not_joined;
mod notice;
pub mod output;
mod parting;
pub(crate) mod pending;
mod recovery;
mod room_events;
mod rooms;
mod shadow;
#[cfg(test)]
mod simulation;
mod slots;
pub mod table;
pub mod task;
mod tell;
#[cfg(test)]
mod tests;
mod tracks;
mod upstream;

pub use self::core::{SessionCore, SessionSettings};
pub use downstream::QueueLimits;
pub use large::Large;
pub use output::{CloseReason, Event, FinishReason, Output, Side};
