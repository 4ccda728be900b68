//! `getinv`: the invitations that came since.

use super::super::block::{InvitationBlock, RoomBlock};
use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;
use super::{read_all, require_child};

/// The command `getinv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetInvitations {
    /// The last one the client knows.
    pub since: InvitationBlock,
}

impl GetInvitations {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            since: InvitationBlock::read(require_child(data, "inv")?)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        self.since.write(w);
    }
}

/// The reply to `getinv`. That it lists rooms is known, its form is not; an empty one is safe for every client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetInvitationsReply {
    /// The last invitation in this reply.
    pub last: Option<InvitationBlock>,
    /// The rooms the user was invited to.
    pub rooms: Vec<RoomBlock>,
}

impl GetInvitationsReply {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            last: data.child("inv").map(InvitationBlock::read).transpose()?,
            rooms: read_all(data, "chanib", RoomBlock::read)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        if let Some(last) = &self.last {
            last.write(w);
        }
        self.rooms.iter().for_each(|room| room.write(w));
    }
}
