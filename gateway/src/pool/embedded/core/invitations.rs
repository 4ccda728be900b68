//! `getinv`: the rooms a user was invited to.

use std::collections::BTreeSet;

use holdover_protocol::xccos::block::InvitationBlock;
use holdover_protocol::xccos::verb::{GetInvitations, GetInvitationsReply};
use holdover_protocol::xccos::{PermissionMask, ReplyData};

use super::document::Answer;
use super::{Core, Turn};
use crate::pool::embedded::access::permissions;

impl Core {
    /// The invitations newer than the one the client names, and the number of the newest. Numbers count up per user.
    pub(super) fn invitations(&self, get: &GetInvitations, turn: &Turn) -> Answer {
        let since = i64::try_from(get.since.invite_id).unwrap_or(i64::MAX);
        let invitations = self
            .store
            .invitations(turn.user.as_str(), since)
            .map_err(|error| self.server_error(&error))?;
        let newest = invitations.last().map_or(since, |(id, _)| *id);
        let invited: BTreeSet<_> = invitations.into_iter().map(|(_, room)| room).collect();
        Ok(ReplyData::GetInvitations(GetInvitationsReply {
            last: Some(InvitationBlock {
                invite_id: u64::try_from(newest).unwrap_or_default(),
                domain: self.options.domain.clone(),
            }),
            rooms: self.listing(|room| {
                invited.contains(&room.key)
                    && permissions(room, &turn.user).contains(PermissionMask::JOIN)
            }),
        }))
    }
}
