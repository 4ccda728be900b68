//! What a pool says once of a merged room, and the client must hear once for each of the rooms it knows.

use super::deliver::{self, TooLong};
use super::dialect;
use super::map::{Aimed, Named, RoomMap};
use crate::room::RoomUri;
use crate::xccos::{Document, Edits, ElementRef};

/// Repeats what is said of rooms in `item` for each of their aliases: in notices, and in the replies about joining and
/// leaving.
///
/// # Errors
/// [`TooLong`] before the repetitions have more than `longest` bytes: what is said once may be large, and the aliases many.
pub(super) fn repeat(
    document: &Document,
    item: ElementRef<'_>,
    map: &dyn RoomMap,
    longest: usize,
    edits: &mut Edits,
) -> Result<(), TooLong> {
    let tells = item.is("ntc")
        || item.is("rpl")
            && ["rpl:join", "rpl:bjoin", "rpl:part"]
                .iter()
                .any(|id| dialect::is(item, id));
    if !tells {
        return Ok(());
    }
    let mut left = longest;
    let mut each = |element: ElementRef<'_>| {
        let Some(room) = room_of(element) else {
            return Ok(());
        };
        let aliases = map.aliases(&room.domain, &room.value);
        let bytes = element.range().len().saturating_mul(aliases.len());
        left = left.checked_sub(bytes).ok_or(TooLong { longest })?;
        repeat_element(document, element, item, &room, &aliases, map, edits);
        Ok(())
    };
    for element in item.children_named("data").flat_map(ElementRef::children) {
        if element.is("uib") {
            element.children().try_for_each(&mut each)?;
        } else {
            each(element)?;
        }
    }
    Ok(())
}

fn repeat_element(
    document: &Document,
    element: ElementRef<'_>,
    item: ElementRef<'_>,
    room: &Named<'_>,
    aliases: &[RoomUri],
    map: &dyn RoomMap,
    edits: &mut Edits,
) {
    if aliases.is_empty() {
        return;
    }
    let mut copies = String::new();
    for alias in aliases {
        let aimed = Aimed { map, room, alias };
        let mut copy = Edits::new();
        deliver::adapt(document, element, item, &aimed, &mut copy);
        copies.push_str(&String::from_utf8_lossy(
            &copy.render(document.bytes(), element.range()),
        ));
    }
    edits.replace_raw(element.range(), &copies);
}

/// The room an element is about: in its `uri`, or in `domain` and `value`.
fn room_of(element: ElementRef<'_>) -> Option<Named<'_>> {
    if element.is("chanib") {
        Named::uri(element, "uri")
    } else {
        Named::pair(element)
    }
}
