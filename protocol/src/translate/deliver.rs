//! Toward the legacy client: what it can read, in as many documents as it needs.

use std::ops::Range;

use bytes::Bytes;

use super::envelope::{self, EnvelopeIds};
use super::map::{Aimed, Named, RoomMap};
use super::{characters, dialect, ids, repeat};
use crate::room::RoomUri;
use crate::xccos::{Children, Document, Edits, ElementRef};

/// A document of the pool as the legacy client takes it: one document or several, in the order to deliver them.
///
/// Identifiers become those of `map`, and the envelopes are numbered as `ids` says. Then come the differences between
/// the generations: permission masks are the two that a 2007 R2 server sends, other versions of a message than its plain
/// text are gone, rooms joined have a topic, open rooms are `scope`, and unknown attributes of the server block are
/// gone. References to characters that XML 1.0 forbids become U+FFFD, for such a client silently loses the whole
/// document.
///
/// A client looks for replies, then notices, then a message, and reads one kind of a document: so what is mixed is taken
/// apart, each message comes alone, and so does each room's history. What is said of a room with several
/// [aliases](RoomMap::aliases) is said for each of them.
///
/// When nothing changes the answer is one document that shares the bytes of `document`.
pub fn to_client(document: &Document, map: &dyn RoomMap, ids: &EnvelopeIds<'_>) -> Vec<Bytes> {
    to_client_within(document, map, ids, usize::MAX, usize::MAX)
}

/// [`to_client`] for a reader that takes no more than so many documents, and so many bytes if it is more than one document.
/// Nothing is made beyond the first document that is too much: one large reply about many rooms would become a multiple of
/// itself.
pub fn to_client_within(
    document: &Document,
    map: &dyn RoomMap,
    ids: &EnvelopeIds<'_>,
    documents: usize,
    bytes: usize,
) -> Vec<Bytes> {
    let slices = slices(document, map);
    if slices.is_empty() {
        let mut edits = Edits::new();
        envelope::renumber(document.root(), ids, &mut edits);
        return vec![edits.apply(document)];
    }
    let mut children = document.root().children();
    let first = children.next();
    let all = first.map_or(0, |item| item.range().start)
        ..children.last().or(first).map_or(0, |item| item.range().end);
    let mut made: Vec<Bytes> = Vec::new();
    let mut total = 0_usize;
    for slice in &slices {
        let body = slice.write(document, &all, map, ids);
        total = total.saturating_add(body.len());
        made.push(body);
        if made.len() > documents || (made.len() > 1 && total > bytes) {
            break;
        }
    }
    made
}

/// Translates `root`, which is `item` or something in it.
pub(super) fn adapt(
    document: &Document,
    root: ElementRef<'_>,
    item: ElementRef<'_>,
    map: &dyn RoomMap,
    edits: &mut Edits,
) {
    ids::translate(document, root, map, edits);
    dialect::adapt(root, item, edits);
    characters::replace_forbidden(document, root, edits);
}

/// What becomes one document.
struct Slice<'a> {
    kind: Kind,
    /// Yields the items of the slice first, and then what comes behind them.
    items: Children<'a>,
    /// How many of `items` belong to the slice.
    count: usize,
    /// From the first item to the last.
    range: Range<usize>,
    /// Set when the room of the slice has aliases.
    alias: Option<Alias<'a>>,
    /// Set when the item holds several rooms and only one of them belongs to the slice: that room, and the range of all.
    room: Option<(ElementRef<'a>, Range<usize>)>,
}

/// Kinds of items. Clients read one kind of a document.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reply,
    Notice,
    Other,
    /// One at a time: a message, or one room's history.
    Single,
}

impl Kind {
    fn of(item: ElementRef<'_>) -> Self {
        if item.is("rpl") {
            Self::Reply
        } else if item.is("ntc") {
            Self::Notice
        } else if item.is("grpchat") {
            Self::Single
        } else {
            Self::Other
        }
    }
}

fn slices<'a>(document: &'a Document, map: &dyn RoomMap) -> Vec<Slice<'a>> {
    let mut slices: Vec<Slice<'a>> = Vec::new();
    let mut rest = document.root().children();
    loop {
        let items = rest.clone();
        let Some(item) = rest.next() else {
            return slices;
        };
        let single = |alias, room| Slice {
            kind: Kind::Single,
            items: items.clone(),
            count: 1,
            range: item.range(),
            alias,
            room,
        };
        let kind = Kind::of(item);
        if kind == Kind::Reply
            && dialect::is(item, "rpl:bccontext")
            && let Some(histories) = histories(item, map)
        {
            slices.extend(
                histories
                    .into_iter()
                    .map(|(room, all, alias)| single(alias, Some((room, all)))),
            );
        } else if kind == Kind::Single {
            let room = Named::uri(item, "chanUri");
            slices.extend(aliases(room, map).map(|alias| single(alias, None)));
        } else if let Some(last) = slices.last_mut()
            && last.kind == kind
        {
            last.count += 1;
            last.range.end = item.range().end;
        } else {
            slices.push(Slice {
                kind,
                ..single(None, None)
            });
        }
    }
}

/// A room as the pool names it, and one name of it at the client.
type Alias<'a> = (Named<'a>, RoomUri);

/// The aliases of a room; one `None` for a room that needs nothing but the map.
fn aliases<'a>(
    room: Option<Named<'a>>,
    map: &dyn RoomMap,
) -> impl Iterator<Item = Option<Alias<'a>>> + use<'a> {
    let ask = |room: &Named<'_>| map.aliases(&room.domain, &room.value);
    let aliases = room.as_ref().map(ask).unwrap_or_default();
    let plain = aliases.is_empty().then_some(None);
    let named = aliases
        .into_iter()
        .map(move |alias| room.clone().map(|room| (room, alias)));
    plain.into_iter().chain(named)
}

/// One history: its room, where all rooms of the reply stand, and what the room becomes when it has aliases.
type History<'a> = (ElementRef<'a>, Range<usize>, Option<Alias<'a>>);

/// The histories in a reply; `None` when it is one that needs nothing but the map.
fn histories<'a>(reply: ElementRef<'a>, map: &dyn RoomMap) -> Option<Vec<History<'a>>> {
    let rooms = || {
        reply
            .children_named("data")
            .flat_map(|data| data.children_named("chanib"))
    };
    let all = rooms().next()?.range().start..rooms().last()?.range().end;
    let mut histories: Vec<History<'a>> = Vec::new();
    for room in rooms() {
        let aliases = aliases(Named::uri(room, "uri"), map);
        histories.extend(aliases.map(|alias| (room, all.clone(), alias)));
    }
    let is_plain = matches!(histories.as_slice(), [(_, _, None)]);
    (!is_plain).then_some(histories)
}

impl Slice<'_> {
    /// The document with nothing but this slice of `all`, the range of all items.
    fn write(
        &self,
        document: &Document,
        all: &Range<usize>,
        map: &dyn RoomMap,
        ids: &EnvelopeIds<'_>,
    ) -> Bytes {
        let mut edits = Edits::new();
        envelope::renumber(document.root(), ids, &mut edits);
        remove_around(&self.range, all, &mut edits);
        for item in self.items.clone().take(self.count) {
            envelope::renumber_item(item, ids, &mut edits);
            let root = self.room.as_ref().map_or(item, |(room, _)| *room);
            match &self.alias {
                Some((room, alias)) => {
                    let aimed = Aimed { map, room, alias };
                    adapt(document, root, item, &aimed, &mut edits);
                }
                None => adapt(document, root, item, map, &mut edits),
            }
            repeat::repeat(document, item, map, &mut edits);
        }
        if let Some((room, rooms)) = &self.room {
            remove_around(&room.range(), rooms, &mut edits);
            // What stands beside the rooms comes with each of them.
            for item in self.items.clone().take(self.count) {
                let (before, behind) =
                    (item.range().start..rooms.start, rooms.end..item.range().end);
                characters::replace_forbidden_between(document, before, &mut edits);
                characters::replace_forbidden_between(document, behind, &mut edits);
                for element in item.children().filter(|element| !element.is("data")) {
                    ids::translate(document, element, map, &mut edits);
                }
            }
        }
        edits.apply(document)
    }
}

/// Removes `all` but `kept`.
fn remove_around(kept: &Range<usize>, all: &Range<usize>, edits: &mut Edits) {
    for range in [all.start..kept.start, kept.end..all.end] {
        if !range.is_empty() {
            edits.remove(range);
        }
    }
}
