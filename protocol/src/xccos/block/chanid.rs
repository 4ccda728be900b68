//! A room as a pair of attributes: `domain` and `value`.

use super::super::document::ElementRef;
use super::super::error::{XccosError, XccosErrorKind};
use super::super::write::Tag;
use crate::room::RoomUri;

/// The room that an element with `domain` and `value` names.
pub(crate) fn read_room_id(element: ElementRef<'_>) -> Result<RoomUri, XccosError> {
    let (domain, value) = (element.require("domain")?, element.require("value")?);
    RoomUri::new(&domain, &value).map_err(|_| element.error(XccosErrorKind::BadValue("value")))
}

/// Adds `domain` and `value`.
pub(crate) fn write_room_id<'a>(tag: Tag<'a>, room: &RoomUri) -> Tag<'a> {
    tag.attr("domain", room.domain())
        .attr("value", room.value())
}
