//! `join`: enter one room.

use super::super::block::{FailureBlock, RoomBlock, UserBlock, read_room_id, write_room_id};
use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;
use super::{read_all, require_child};
use crate::room::RoomUri;

/// The command `join`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The room.
    pub room: RoomUri,
}

impl Join {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            room: read_room_id(require_child(data, "chanid")?)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        write_room_id(w.element("chanid").attr("key", 0), &self.room).end();
    }
}

/// The reply to `join` and to `bjoin`: people first, each once, then the rooms, which name them by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinReply {
    /// Everybody who is in one of the rooms.
    pub users: Vec<UserBlock>,
    /// The rooms that were joined.
    pub rooms: Vec<RoomBlock>,
    /// The rooms that were not.
    pub failures: Vec<FailureBlock>,
}

impl JoinReply {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            users: read_all(data, "uib", UserBlock::read)?,
            rooms: read_all(data, "chanib", RoomBlock::read)?,
            failures: read_all(data, "fib", FailureBlock::read)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        self.users.iter().for_each(|user| user.write(w));
        self.rooms.iter().for_each(|room| room.write(w));
        self.failures.iter().for_each(|failure| failure.write(w));
    }
}
