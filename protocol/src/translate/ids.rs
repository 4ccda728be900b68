//! The identifiers of one element and everything in it.

use std::ops::Range;

use super::links::{self, Kind, Mapped, Writing};
use super::map::value_of;
use super::{RoomMap, blob};
use crate::xccos::{AttributeRef, Document, Edits, ElementRef};

/// Replaces every identifier in `root`, its own attributes included, by that of `map`.
pub(super) fn translate(
    document: &Document,
    root: ElementRef<'_>,
    map: &dyn RoomMap,
    edits: &mut Edits,
) {
    let mut finds = Finds::within(document, root);
    for element in std::iter::once(root).chain(root.descendants()) {
        let (mut domain, mut value) = (None, None);
        for attribute in element.attributes() {
            if let Some(at) = finds.first_in(attribute.value_range()) {
                links::find(
                    attribute.raw(),
                    at,
                    Writing::Attribute,
                    map,
                    |range, new| {
                        let start = attribute.value_range().start;
                        links::put(edits, start + range.start..start + range.end, new);
                    },
                );
            }
            if attribute.is("domain") {
                domain = Some(attribute);
            } else if attribute.is("value") {
                value = Some(attribute);
            } else if attribute.is("content") && element.is("pref") {
                blob::translate(attribute, map, edits);
            }
        }
        match (domain, value) {
            (Some(domain), Some(value)) => translate_pair(domain, value, map, edits),
            (Some(domain), None) if element.is("sib") || element.is("inv") => {
                translate_domain(domain, map, edits);
            }
            _ => {}
        }
    }
    if !finds.any_elsewhere() {
        return;
    }
    let mut finds = Finds::within(document, root);
    for text in root.descendant_texts() {
        let start = text.range().start;
        let Some(at) = finds.first_in(text.range()) else {
            continue;
        };
        if text.is_cdata() {
            links::find(text.raw(), at, Writing::Plain, map, |range, new| {
                edits.replace_raw(start + range.start..start + range.end, new);
            });
        } else {
            links::find(text.raw(), at, Writing::Escaped, map, |range, new| {
                links::put(edits, start + range.start..start + range.end, new);
            });
        }
    }
}

/// `domain="…" value="…"`: a room split in two. Each half is replaced only when it changes.
fn translate_pair(
    domain: AttributeRef<'_>,
    value: AttributeRef<'_>,
    map: &dyn RoomMap,
    edits: &mut Edits,
) {
    let (old_domain, old_value) = (value_of(domain), value_of(value));
    let ask = |kind| Mapped::ask(map, kind, &old_domain, &old_value);
    let Some(new) = ask(Kind::Room).or_else(|| ask(Kind::Category)) else {
        return;
    };
    if new.domain() != old_domain {
        links::put(edits, domain.value_range(), new.domain());
    }
    if new.value() != old_value {
        links::put(edits, value.value_range(), new.value());
    }
}

fn translate_domain(attribute: AttributeRef<'_>, map: &dyn RoomMap, edits: &mut Edits) {
    let old = attribute.value();
    if let Some(new) = map.domain(&old)
        && *new != old
    {
        edits.replace(attribute.value_range(), &new);
    }
}

/// The places in an element where an identifier may begin, asked about in document order.
struct Finds<I> {
    places: I,
    next: Option<usize>,
    /// End of the last range that was asked for and holds a place.
    known: usize,
    /// True when a place is in none of the ranges.
    is_elsewhere: bool,
}

impl Finds<()> {
    fn within(document: &Document, element: ElementRef<'_>) -> Finds<impl Iterator<Item = usize>> {
        let range = element.range();
        let start = range.start;
        let bytes = document.bytes().get(range).unwrap_or_default();
        let mut places = links::BEGINNING
            .find_iter(bytes)
            .map(move |place| start + place);
        let next = places.next();
        Finds {
            places,
            next,
            known: 0,
            is_elsewhere: false,
        }
    }
}

impl<I: Iterator<Item = usize>> Finds<I> {
    /// Where in `range` an identifier may begin first, counted from the start of the range. Ranges must be asked for in
    /// ascending order.
    fn first_in(&mut self, range: Range<usize>) -> Option<usize> {
        self.skip_to(range.start);
        let place = self.next.filter(|&place| place < range.end)?;
        self.known = range.end;
        Some(place - range.start)
    }

    /// True when an identifier may begin outside of all ranges that were asked for.
    fn any_elsewhere(mut self) -> bool {
        self.skip_to(usize::MAX);
        self.is_elsewhere
    }

    fn skip_to(&mut self, start: usize) {
        while let Some(place) = self.next.filter(|&place| place < start) {
            self.is_elsewhere |= place >= self.known;
            self.next = self.places.next();
        }
    }
}
