//! `chansrch`: find rooms.

use super::super::block::{QueryBlock, RoomBlock};
use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;
use super::{read_all, require_child};

/// The command `chansrch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelSearch {
    /// What is looked for.
    pub query: QueryBlock,
}

impl ChannelSearch {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            query: QueryBlock::read(require_child(data, "qib")?)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        self.query.write(w);
    }
}

/// The reply to `chansrch`: all rooms in one reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelSearchReply {
    /// The rooms that were found.
    pub rooms: Vec<RoomBlock>,
}

impl ChannelSearchReply {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            rooms: read_all(data, "chanib", RoomBlock::read)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        self.rooms.iter().for_each(|room| room.write(w));
    }
}
