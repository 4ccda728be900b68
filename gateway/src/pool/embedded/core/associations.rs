//! `getassociations`: the user's own rooms.

use holdover_protocol::xccos::ReplyData;
use holdover_protocol::xccos::verb::GetAssociationsReply;

use super::{Core, Turn};
use crate::pool::embedded::access::is_associated;

impl Core {
    /// The rooms whose lists name the user, by name.
    pub(super) fn associations(&self, turn: &Turn) -> ReplyData {
        ReplyData::GetAssociations(GetAssociationsReply {
            rooms: self.listing(|room| is_associated(room, &turn.user)),
        })
    }
}
