//! `bjoin`: enter several rooms at once. Its reply is that of `join`.

use super::super::block::{read_room_id, write_room_id};
use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;
use super::read_all;
use crate::room::RoomUri;

/// The command `bjoin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchJoin {
    /// The rooms.
    pub rooms: Vec<RoomUri>,
}

impl BatchJoin {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            rooms: read_all(data, "chanid", read_room_id)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        for (key, room) in self.rooms.iter().enumerate() {
            write_room_id(w.element("chanid").attr("key", key), room).end();
        }
    }
}
