//! What a pool says once of a merged room, and the client must hear once for each of the rooms it knows.

use super::map::{Aimed, Named, RoomMap};
use super::{deliver, dialect};
use crate::xccos::{Document, Edits, ElementRef};

/// Repeats what is said of rooms in `item` for each of their aliases: in notices, and in the replies about joining and
/// leaving.
pub(super) fn repeat(
    document: &Document,
    item: ElementRef<'_>,
    map: &dyn RoomMap,
    edits: &mut Edits,
) {
    let tells = item.is("ntc")
        || item.is("rpl")
            && ["rpl:join", "rpl:bjoin", "rpl:part"]
                .iter()
                .any(|id| dialect::is(item, id));
    if !tells {
        return;
    }
    let mut each = |element: ElementRef<'_>| {
        if let Some(room) = room_of(element) {
            repeat_element(document, element, item, &room, map, edits);
        }
    };
    for element in item.children_named("data").flat_map(ElementRef::children) {
        if element.is("uib") {
            element.children().for_each(&mut each);
        } else {
            each(element);
        }
    }
}

fn repeat_element(
    document: &Document,
    element: ElementRef<'_>,
    item: ElementRef<'_>,
    room: &Named<'_>,
    map: &dyn RoomMap,
    edits: &mut Edits,
) {
    let aliases = map.aliases(&room.domain, &room.value);
    if aliases.is_empty() {
        return;
    }
    let mut copies = String::new();
    for alias in &aliases {
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
