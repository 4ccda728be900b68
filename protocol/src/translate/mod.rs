//! Between the identifiers and habits of the legacy client and those of a pool.
//!
//! A document is never written anew. [`to_pool`] and [`to_client`] collect replacements for ranges of it, and every byte
//! outside of them leaves as it came: unknown elements and attributes, white space and quotes survive by construction.
//!
//! Identifiers are found by shape wherever they stand: an attribute or a text that holds a `ma-chan`, `ma-cat` or
//! `ma-filelink` URI, the pair of attributes `domain` and `value` on any element, and links inside the preference blobs
//! that clients store on their server. What an identifier becomes is the business of a [`RoomMap`].
//!
//! Toward the legacy client come the documented differences between the generations and what such clients impose: see
//! [`to_client`].

mod blob;
mod characters;
mod deliver;
mod dialect;
mod envelope;
mod ids;
mod links;
mod map;
mod merge;
#[cfg(test)]
mod merge_tests;
mod named;
mod repeat;
#[cfg(test)]
mod tests;

pub use deliver::{Bounds, TooLong, item_to_client, to_client};
pub use envelope::{CommandIds, EnvelopeIds};
pub use map::RoomMap;
pub use merge::merge_replies;
pub use named::{room_of, rooms_named, rooms_named_in};

use bytes::Bytes;

use crate::xccos::{Document, Edits};

/// A document of the legacy client as the pool takes it.
///
/// Identifiers become those of `map`, the envelope is numbered as `ids` says, and references to characters that XML 1.0
/// forbids become U+FFFD: legacy clients send them, and a strict reader would lose the whole message. When nothing
/// changes the answer shares the bytes of `document`.
pub fn to_pool(document: &Document, map: &dyn RoomMap, ids: &EnvelopeIds<'_>) -> Bytes {
    let mut edits = Edits::new();
    envelope::renumber(document.root(), ids, &mut edits);
    for item in document.root().children() {
        envelope::renumber_item(item, ids, &mut edits);
        ids::translate(document, item, map, &mut edits);
        characters::replace_forbidden(document, item, &mut edits);
    }
    edits.apply(document)
}
