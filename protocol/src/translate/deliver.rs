//! Toward the legacy client: what it can read, in as many documents as it needs.

use std::ops::Range;

use bytes::Bytes;

use super::envelope::{self, EnvelopeIds};
use super::map::{Aimed, Named, RoomMap};
use super::{characters, dialect, ids, repeat};
use crate::room::RoomUri;
use crate::xccos::{BYTE_ORDER_MARK, Children, Document, Edits, ElementRef};

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
/// A byte order mark is gone: there are clients whose reader refuses it. When nothing changes the answer is one document that
/// shares the bytes of `document`.
pub fn to_client(document: &Document, map: &dyn RoomMap, ids: &EnvelopeIds<'_>) -> Vec<Bytes> {
    let mut slices = Vec::new();
    add_slices(document.root().children(), map, &Bounds::NONE, &mut slices);
    let mut children = document.root().children();
    let first = children.next();
    let all = first.map_or(0, |item| item.range().start)
        ..children.last().or(first).map_or(0, |item| item.range().end);
    let base = |edits: &mut Edits| {
        remove_mark(document, edits);
        envelope::renumber(document.root(), ids, edits);
    };
    if slices.is_empty() {
        let mut edits = Edits::new();
        base(&mut edits);
        return vec![edits.apply(document)];
    }
    let mut made = Vec::with_capacity(slices.len());
    for slice in &slices {
        let mut edits = Edits::new();
        base(&mut edits);
        remove_around(&slice.range, &all, &mut edits);
        made.extend(slice.write(document, map, ids, &Bounds::NONE, edits));
    }
    made
}

/// What a client may be given for one item of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Number of documents.
    pub documents: usize,
    /// Bytes of all documents, if it is more than one.
    pub bytes: usize,
    /// Bytes of one document.
    pub longest: usize,
}

impl Bounds {
    /// As much as it takes.
    pub const NONE: Self = Self {
        documents: usize::MAX,
        bytes: usize::MAX,
        longest: usize::MAX,
    };
}

/// What would become of an item is longer than a client may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the translated document has more than {longest} bytes")]
pub struct TooLong {
    /// [`Bounds::longest`].
    pub longest: usize,
}

/// [`to_client`] of one item of a document: of nothing but the item and the tags of the envelope around it, if the document
/// has several. `removed` are ranges of the item that the client is not to see.
///
/// Nothing is made beyond the first document that is too much: one large reply about many rooms would become a multiple of
/// itself. So the work is linear in the item and in `bounds`, however many other items there are.
///
/// # Errors
/// [`TooLong`] when one of the documents would be.
pub fn item_to_client(
    item: ElementRef<'_>,
    removed: &Edits,
    map: &dyn RoomMap,
    ids: &EnvelopeIds<'_>,
    bounds: &Bounds,
) -> Result<Vec<Bytes>, TooLong> {
    let document = item.document();
    let mut base = removed.clone();
    let root = document.root();
    let mut siblings = root.children();
    let is_alone = siblings
        .next()
        .is_some_and(|first| first.index() == item.index())
        && siblings.next().is_none();
    if is_alone {
        remove_mark(document, &mut base);
    } else {
        // What stands around the root and between the items belongs to none of them.
        let end = document.bytes().len();
        remove_around(&root.range(), &(0..end), &mut base);
        remove_around(&item.range(), &root.content_range(), &mut base);
    }
    envelope::renumber(root, ids, &mut base);
    let mut slices = Vec::new();
    add_slices(item.alone(), map, bounds, &mut slices);
    let mut made: Vec<Bytes> = Vec::new();
    let mut total = 0_usize;
    for slice in &slices {
        let body = slice.write(document, map, ids, bounds, base.clone())?;
        total = total.saturating_add(body.len());
        made.push(body);
        if made.len() > bounds.documents || (made.len() > 1 && total > bounds.bytes) {
            break;
        }
    }
    Ok(made)
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

/// Adds what becomes of `rest`, and no more than one document beyond `bounds`.
fn add_slices<'a>(
    mut rest: Children<'a>,
    map: &dyn RoomMap,
    bounds: &Bounds,
    slices: &mut Vec<Slice<'a>>,
) {
    let most = bounds.documents.saturating_add(1);
    while slices.len() < most {
        let items = rest.clone();
        let Some(item) = rest.next() else {
            return;
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
            && let Some(histories) = histories(item, map, most)
        {
            slices.extend(
                histories
                    .into_iter()
                    .map(|(room, all, alias)| single(alias, Some((room, all)))),
            );
        } else if kind == Kind::Single {
            let room = Named::uri(item, "chanUri");
            let aliases = aliases(room, map).take(most);
            slices.extend(aliases.map(|alias| single(alias, None)));
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

/// The first histories in a reply, about `most`; `None` when it is one that needs nothing but the map.
fn histories<'a>(
    reply: ElementRef<'a>,
    map: &dyn RoomMap,
    most: usize,
) -> Option<Vec<History<'a>>> {
    let rooms = || {
        reply
            .children_named("data")
            .flat_map(|data| data.children_named("chanib"))
    };
    let all = rooms().next()?.range().start..rooms().last()?.range().end;
    let mut histories: Vec<History<'a>> = Vec::new();
    for room in rooms() {
        let aliases = aliases(Named::uri(room, "uri"), map).take(most);
        histories.extend(aliases.map(|alias| (room, all.clone(), alias)));
        if histories.len() >= most {
            break;
        }
    }
    let is_plain = matches!(histories.as_slice(), [(_, _, None)]);
    (!is_plain).then_some(histories)
}

impl Slice<'_> {
    /// The document, of which `edits` have removed what is not of this slice.
    fn write(
        &self,
        document: &Document,
        map: &dyn RoomMap,
        ids: &EnvelopeIds<'_>,
        bounds: &Bounds,
        mut edits: Edits,
    ) -> Result<Bytes, TooLong> {
        let longest = bounds.longest;
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
            repeat::repeat(document, item, map, longest, &mut edits)?;
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
        let body = edits.apply(document);
        if body.len() > longest {
            return Err(TooLong { longest });
        }
        Ok(body)
    }
}

/// Removes the byte order mark.
fn remove_mark(document: &Document, edits: &mut Edits) {
    if document.bytes().starts_with(BYTE_ORDER_MARK) {
        edits.remove(0..BYTE_ORDER_MARK.len());
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
