//! The embedded pool: a small Persistent Chat server inside the gateway, kept in SQLite.
//!
//! So far: its database, and the tools that fill and show it.

mod list;
mod load;
mod model;
mod schema;
mod store;
mod ticks;

pub use list::{RoomRow, list};
pub use load::{LOAD_CODES, LoadError, LoadReport, load_file, load_text};
pub use model::{Privacy, RoomType};
pub use store::StoreError;

/// Most bytes of a message's text, in UTF-8, unless the options say otherwise. Legacy clients of 2009 were told 512 and
/// made a "story" of what was longer; here there is one limit for both, and `rpl:getserverinfo` reports it.
pub const MESSAGE_LIMIT: usize = 64 * 1024;
