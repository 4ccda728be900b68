//! `aib`, association: who may do what. It has two forms.

use super::super::document::ElementRef;
use super::super::error::{XccosError, XccosErrorKind};
use super::super::mask::PermissionMask;
use super::super::write::Writer;
use super::{read_room_id, write_room_id};
use crate::room::RoomUri;

/// `aib` inside `chanib`: what these people may do in that room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleAssociation {
    /// What they may do.
    pub mask: PermissionMask,
    /// [`UserBlock::id`](super::UserBlock::id) of each.
    pub users: Vec<u32>,
}

impl RoleAssociation {
    pub(crate) fn read(aib: ElementRef<'_>) -> Result<Self, XccosError> {
        let bad = |_| aib.error(XccosErrorKind::BadValue("value"));
        let value = aib.attr("value").unwrap_or_default();
        let ids = value.split(',').map(str::trim).filter(|id| !id.is_empty());
        Ok(Self {
            mask: aib.require_parsed("key")?,
            users: ids
                .map(|id| id.parse().map_err(bad))
                .collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        let ids: Vec<String> = self.users.iter().map(u32::to_string).collect();
        w.element("aib")
            .attr("key", self.mask)
            .attr("value", ids.join(","))
            .end();
    }
}

/// `aib` inside `uib`: what that person may do in this room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomMembership {
    /// The room.
    pub room: RoomUri,
    /// What they may do.
    pub mask: PermissionMask,
}

impl RoomMembership {
    pub(crate) fn read(aib: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            room: read_room_id(aib)?,
            mask: aib.require_parsed("key")?,
        })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        write_room_id(w.element("aib").attr("key", self.mask), &self.room).end();
    }
}
