//! Identifiers inside text, and what they become.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use memchr::{memchr, memchr2};

use super::RoomMap;
use crate::room::{self, CategoryUri, FileLink, RoomUri};
use crate::xccos::{Edits, text};

/// Finds what every identifier begins with, and little else does: the search skips nearly all of a document.
pub(super) static BEGINNING: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("ma-"));

/// How many ends of an identifier are tried where running text goes on behind it.
const MAX_TRIES: usize = 8;

/// The kinds of identifiers that are translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Room,
    Category,
    File,
}

impl Kind {
    /// The kind of the identifier that `text` starts with.
    pub(super) fn at_start(text: &str) -> Option<Self> {
        [Self::Room, Self::Category, Self::File]
            .into_iter()
            .find(|kind| text.starts_with(kind.scheme()))
    }

    /// How an identifier of this kind starts, up to its domain.
    pub(super) const fn scheme(self) -> &'static str {
        match self {
            Self::Room => RoomUri::SCHEME,
            Self::Category => CategoryUri::SCHEME,
            Self::File => FileLink::SCHEME,
        }
    }
}

/// The answer of a map.
#[derive(Debug)]
pub(super) enum Mapped {
    Room(RoomUri),
    Category(CategoryUri),
}

impl Mapped {
    /// Asks `map` for the identifier of this kind. A file is known by its room.
    pub(super) fn ask(map: &dyn RoomMap, kind: Kind, domain: &str, value: &str) -> Option<Self> {
        match kind {
            Kind::Room | Kind::File => map.room(domain, value).map(Self::Room),
            Kind::Category => map.category(domain, value).map(Self::Category),
        }
    }

    pub(super) fn domain(&self) -> &str {
        match self {
            Self::Room(room) => room.domain(),
            Self::Category(category) => category.domain(),
        }
    }

    pub(super) fn value(&self) -> &str {
        match self {
            Self::Room(room) => room.value(),
            Self::Category(category) => category.value(),
        }
    }

    /// What stands behind the scheme: the domain, a slash, the value.
    fn behind_scheme(&self) -> &str {
        let (text, scheme) = match self {
            Self::Room(room) => (room.as_str(), RoomUri::SCHEME),
            Self::Category(category) => (category.as_str(), CategoryUri::SCHEME),
        };
        text.strip_prefix(scheme).unwrap_or_default()
    }
}

/// How the characters of a text are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// As they are: CDATA, and what was decoded.
    Plain,
    /// With the references of XML.
    Escaped,
    /// With the references of XML, and an identifier that fills the whole text is nothing but an identifier: there is no
    /// punctuation behind it.
    Attribute,
}

/// Reports the range of every identifier in `text` behind `from` that `map` changes, from its domain to the end of its
/// value, with what stands there instead, not yet escaped.
pub(super) fn find(
    text: &str,
    mut from: usize,
    writing: Writing,
    map: &dyn RoomMap,
    mut found: impl FnMut(Range<usize>, &str),
) {
    while let Some(at) = next_beginning(text, from) {
        let (before, rest) = text.split_at_checked(at).unwrap_or_default();
        from = at + 1;
        if before.ends_with(|last: char| last.is_ascii_alphanumeric()) {
            continue;
        }
        let Some(kind) = Kind::at_start(rest) else {
            continue;
        };
        let start = at + kind.scheme().len();
        let Some(token) = Token::read(text.get(start..).unwrap_or_default(), writing) else {
            continue;
        };
        let is_whole =
            writing == Writing::Attribute && at == 0 && start + token.raw.len() == text.len();
        let Some((end, mapped)) = token.resolve(kind, is_whole, map) else {
            continue;
        };
        from = start + token.raw_length(end);
        if token.value.get(..end) != Some(mapped.behind_scheme()) {
            found(start..from, mapped.behind_scheme());
        }
    }
}

fn next_beginning(text: &str, from: usize) -> Option<usize> {
    Some(from + BEGINNING.find(text.as_bytes().get(from..)?)?)
}

/// Puts an identifier, or a part of one, in the place of `range`. Hardly any needs to be escaped.
pub(super) fn put(edits: &mut Edits, range: Range<usize>, new: &str) {
    if new.is_ascii() && memchr2(b'&', b'\'', new.as_bytes()).is_none() {
        edits.replace_raw(range, new);
    } else {
        edits.replace(range, new);
    }
}

/// `text` with the identifiers of `map`; `None` when none changes.
pub(super) fn replace(text: &str, writing: Writing, map: &dyn RoomMap) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    find(text, 0, writing, map, |range, new| {
        out.push_str(text.get(copied..range.start).unwrap_or_default());
        match writing {
            Writing::Plain => out.push_str(new),
            Writing::Escaped | Writing::Attribute => text::escape_attribute(new, &mut out),
        }
        copied = range.end;
    });
    if copied == 0 {
        return None;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Some(out)
}

/// All that may belong to an identifier behind its scheme: running text may make it longer than the identifier is.
struct Token<'a> {
    raw: &'a str,
    writing: Writing,
    /// What `raw` stands for.
    value: Cow<'a, str>,
}

impl<'a> Token<'a> {
    /// Reads up to a character that cannot be part of an identifier, or to the next identifier. `None` when that is
    /// farther away than any identifier is long.
    fn read(text: &'a str, writing: Writing) -> Option<Self> {
        let (mut end, is_all) = plain_prefix(text, writing);
        let mut value = Cow::Borrowed(text.get(..end).unwrap_or_default());
        if !is_all {
            for (next, character) in characters(text, end, writing) {
                if room::ends_identifier(character)
                    || (character == 'm' && text.get(end..).and_then(Kind::at_start).is_some())
                {
                    break;
                }
                value.to_mut().push(character);
                end = next;
                if end > room::MAX_LENGTH {
                    break;
                }
            }
        }
        if end > room::MAX_LENGTH {
            return None;
        }
        let raw = text.get(..end).unwrap_or_default();
        Some(Self {
            raw,
            writing,
            value,
        })
    }

    /// The longest identifier at the start of the token that `map` knows, and where it ends in `value`.
    fn resolve(&self, kind: Kind, is_whole: bool, map: &dyn RoomMap) -> Option<(usize, Mapped)> {
        let slash = memchr(b'/', self.value.as_bytes())?;
        let (domain, rest) = (self.value.get(..slash)?, self.value.get(slash + 1..)?);
        if domain.is_empty() {
            return None;
        }
        let ends = std::iter::once(rest.len())
            .chain(earlier_ends(rest, kind, is_whole))
            .take(MAX_TRIES)
            .filter(|&end| end > 0);
        for end in ends {
            let value = rest.get(..end).unwrap_or_default();
            if let Some(mapped) = Mapped::ask(map, kind, domain, value) {
                return Some((domain.len() + 1 + end, mapped));
            }
        }
        None
    }

    /// The length in `raw` of the first `end` bytes of `value`.
    fn raw_length(&self, end: usize) -> usize {
        if matches!(self.value, Cow::Borrowed(_)) {
            return end;
        }
        let mut decoded = 0;
        for (next, character) in characters(self.raw, 0, self.writing) {
            decoded += character.len_utf8();
            if decoded >= end {
                return next;
            }
        }
        self.raw.len()
    }
}

/// Where the value of an identifier may end before the end of `rest`, the farthest first.
///
/// In running text: before punctuation that ends the word, and before what closes a bracket or separates. A file link
/// goes on with a path behind the room's value.
fn earlier_ends(rest: &str, kind: Kind, is_whole: bool) -> impl Iterator<Item = usize> {
    let mut is_behind_punctuation = !is_whole;
    rest.char_indices()
        .rev()
        .filter_map(move |(at, character)| {
            let closes = match character {
                '/' | '?' | '#' => kind == Kind::File,
                '\'' | ',' | ';' | '|' | ')' | ']' | '}' | '`' => !is_whole,
                _ => false,
            };
            let ends = closes || (is_behind_punctuation && !character.is_alphanumeric());
            is_behind_punctuation = ends && !is_whole;
            ends.then_some(at)
        })
}

/// True for the bytes that need a look: those that may end an identifier, and `m`, with which the next one may begin. A
/// table, since every byte of an identifier is looked up in it.
static NEEDS_LOOK: [bool; 256] = needs_look();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn needs_look() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = matches!(byte as u8, 0..=b' ' | b'"' | b'&' | b'<' | b'>' | b'm' | 0x7F..);
        byte += 1;
    }
    table
}

/// The length of what may belong to an identifier at the start of `text`, as far as its characters stand for themselves,
/// and true when the identifier can go no further. Hardly any identifier goes further.
fn plain_prefix(text: &str, writing: Writing) -> (usize, bool) {
    for (at, &byte) in text.as_bytes().iter().enumerate() {
        if !NEEDS_LOOK.get(usize::from(byte)).is_none_or(|look| *look) {
            continue;
        }
        match byte {
            b'm' if text.get(at..).and_then(Kind::at_start).is_none() => {}
            b'&' if writing == Writing::Plain => {}
            b'&' | 0x80.. => return (at, false),
            _ => return (at, true),
        }
    }
    (text.len(), true)
}

/// The characters of a text behind `start`, each with where it ends.
fn characters(text: &str, start: usize, writing: Writing) -> impl Iterator<Item = (usize, char)> {
    let mut at = start;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let character = rest.chars().next()?;
        let reference = (character == '&' && writing != Writing::Plain)
            .then(|| text::reference_at_start(rest))
            .flatten();
        let (length, character) = reference.unwrap_or_else(|| (character.len_utf8(), character));
        at += length;
        Some((at, character))
    })
}
