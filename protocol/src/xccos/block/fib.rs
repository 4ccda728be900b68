//! `fib`: a room that could not be served, in the place of its `chanib`.

use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;
use super::read_room_id;
use crate::room::RoomUri;

/// `fib`. The reply as a whole is still a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureBlock {
    /// The room.
    pub room: RoomUri,
    /// Why, as an upper-case token; [`OPERATION_FAILED`](super::super::OPERATION_FAILED) is the one clients know.
    pub key: Box<str>,
}

impl FailureBlock {
    pub(crate) fn read(fib: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            room: read_room_id(fib)?,
            key: fib.require("key")?.into(),
        })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        // The order in which it was seen: value before domain.
        w.element("fib")
            .attr("key", &self.key)
            .attr("value", self.room.value())
            .attr("domain", self.room.domain())
            .end();
    }
}
