//! `part`: leave rooms.

use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;
use super::read_all;
use crate::room::RoomUri;

/// The command `part`. Clients name one room; several are understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The rooms.
    pub rooms: Vec<RoomUri>,
}

impl Part {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        read_rooms(data).map(|rooms| Self { rooms })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        write_rooms(&self.rooms, w);
    }
}

/// The reply to `part`: the same rooms again. A client forgets no room without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartReply {
    /// The rooms.
    pub rooms: Vec<RoomUri>,
}

impl PartReply {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        read_rooms(data).map(|rooms| Self { rooms })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        write_rooms(&self.rooms, w);
    }
}

fn read_rooms(data: ElementRef<'_>) -> Result<Vec<RoomUri>, XccosError> {
    read_all(data, "chanib", |chanib| chanib.require_parsed("uri"))
}

fn write_rooms(rooms: &[RoomUri], w: &mut Writer) {
    rooms
        .iter()
        .for_each(|room| w.element("chanib").attr("uri", room).end());
}
