//! The information blocks that commands, replies and notices are made of. One file for each.

mod aib;
mod chanib;
mod chanid;
mod fib;
mod ftdb;
mod inv;
mod pref;
mod qib;
mod sib;
mod token;
mod uib;

pub use aib::{RoleAssociation, RoomMembership};
pub use chanib::{RoomBlock, Visibility};
pub(crate) use chanid::{read_room_id, write_room_id};
pub use fib::FailureBlock;
pub use ftdb::FileBlock;
pub use inv::InvitationBlock;
pub use pref::PreferenceBlock;
pub use qib::QueryBlock;
pub use sib::{ServerBlock, ServerQuery};
pub use token::TokenBlock;
pub use uib::UserBlock;
