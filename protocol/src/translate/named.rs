//! Which rooms a command is about.

use super::links::Kind;
use crate::room::RoomUri;
use crate::xccos::{AttributeRef, Document, ElementRef};

/// The rooms that the document names in its attributes, in document order and as often as it names them.
///
/// These are what the document is about, hence what a decision needs. Links in running text and in blobs are not among
/// them.
pub fn rooms_named(document: &Document) -> Vec<RoomUri> {
    document.root().descendants().flat_map(rooms_of).collect()
}

/// [`rooms_named`] of one item of a document.
pub fn rooms_named_in(item: ElementRef<'_>) -> impl Iterator<Item = RoomUri> {
    std::iter::once(item)
        .chain(item.descendants())
        .flat_map(rooms_of)
}

/// The room that an element tells of: in its `uri`, or in `domain` and `value`.
pub fn room_of(element: ElementRef<'_>) -> Option<RoomUri> {
    match element.attr("uri") {
        Some(uri) => uri.parse().ok(),
        None => pair(element),
    }
}

fn rooms_of(element: ElementRef<'_>) -> impl Iterator<Item = RoomUri> {
    let uris = element
        .attributes()
        .filter(|attribute| may_be_uri(*attribute))
        .filter_map(|attribute| attribute.value().parse().ok());
    uris.chain(pair(element))
}

fn may_be_uri(attribute: AttributeRef<'_>) -> bool {
    let raw = attribute.raw_bytes();
    raw.starts_with(Kind::Room.scheme().as_bytes()) || raw.contains(&b'&')
}

/// The room in the attributes `domain` and `value`.
fn pair(element: ElementRef<'_>) -> Option<RoomUri> {
    let domain = element.attr("domain")?;
    let value = element.attr("value")?;
    RoomUri::new(&domain, &value).ok()
}
