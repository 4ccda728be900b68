//! The attributes of one tag.
//!
//! quick-xml finds the tags. Its attribute iterator gives slices, not positions, and collects the names it has seen in a
//! list of its own; what is needed here are positions, and the list is ours already.

use super::document::{Attribute, Span};
use super::error::{XccosError, XccosErrorKind as Kind};

/// Adds the attributes in `tag`, what stands between the name of a tag and its end, to `found`.
///
/// `base` is where `tag` starts in the document.
pub(super) fn scan_attributes(
    tag: &[u8],
    base: u32,
    limit: usize,
    found: &mut Vec<Attribute>,
) -> Result<(), XccosError> {
    let first = found.len();
    let mut scanner = Scanner { tag, at: 0 };
    loop {
        let before = scanner.at;
        scanner.skip_blanks();
        if scanner.at >= tag.len() {
            return Ok(());
        }
        let fault = |kind, at: usize| XccosError::new(kind, base as usize + at);
        if scanner.at == before {
            return Err(fault(
                Kind::Malformed("no blank before an attribute"),
                before,
            ));
        }
        if found.len() - first >= limit {
            return Err(fault(Kind::TooManyAttributes(limit), scanner.at));
        }
        let start = scanner.at;
        let (name, value) = scanner.attribute().ok_or_else(|| {
            fault(
                Kind::Malformed("an attribute is not `name=\"value\"`"),
                start,
            )
        })?;
        // Few attributes and short names: comparing all pairs beats any index, and the limit bounds it.
        let seen = |other: &Attribute| {
            let other = (other.name.start - base) as usize..(other.name.end - base) as usize;
            tag.get(other) == tag.get(name.clone())
        };
        if found.iter().skip(first).any(seen) {
            return Err(fault(Kind::DuplicateAttribute, start));
        }
        let span = |range: std::ops::Range<usize>| Span {
            start: base + range.start as u32,
            end: base + range.end as u32,
        };
        found.push(Attribute {
            name: span(name.clone()),
            value: span(value),
        });
    }
}

struct Scanner<'a> {
    tag: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.tag.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.at += 1;
        }
    }

    /// `name = "value"`: the ranges of the name and of what is between the quotes.
    fn attribute(&mut self) -> Option<(std::ops::Range<usize>, std::ops::Range<usize>)> {
        let start = self.at;
        while self.peek().is_some_and(is_name_byte) {
            self.at += 1;
        }
        let name = start..self.at;
        self.skip_blanks();
        if name.is_empty() || self.peek() != Some(b'=') {
            return None;
        }
        self.at += 1;
        self.skip_blanks();
        let quote = self.peek().filter(|byte| matches!(byte, b'"' | b'\''))?;
        self.at += 1;
        let start = self.at;
        let length = memchr::memchr2(quote, b'<', self.tag.get(start..)?)?;
        if self.tag.get(start + length) != Some(&quote) {
            return None;
        }
        self.at = start + length + 1;
        Some((name, start..start + length))
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Not the whole of XML's rule for names: only what cannot be mistaken for the end of one.
fn is_name_byte(byte: u8) -> bool {
    !is_blank(byte) && !matches!(byte, b'=' | b'"' | b'\'' | b'<' | b'>' | b'&' | b'/')
}
