//! `getassociations`: the user's rooms. Only its purpose is known; the form of the reply is that of a search.

use super::super::block::RoomBlock;
use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;
use super::read_all;

/// The reply to `getassociations`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetAssociationsReply {
    /// The rooms.
    pub rooms: Vec<RoomBlock>,
}

impl GetAssociationsReply {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            rooms: read_all(data, "chanib", RoomBlock::read)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        self.rooms.iter().for_each(|room| room.write(w));
    }
}
