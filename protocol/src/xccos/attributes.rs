//! The attributes of one tag.
//!
//! quick-xml finds the tags. Its attribute iterator gives slices, not positions, and collects the names it has seen in a
//! list of its own; what is needed here are positions, and the list is ours already.

use std::ops::Range;

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
        scanner.skip(is_blank);
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
        let span = |range: Range<usize>| Span {
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

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a [u8] {
        self.tag.get(self.at..).unwrap_or_default()
    }

    /// Goes behind all bytes that are like this. The range of them.
    fn skip(&mut self, like: impl Fn(u8) -> bool) -> Range<usize> {
        let start = self.at;
        let rest = self.rest();
        self.at += rest
            .iter()
            .position(|&byte| !like(byte))
            .unwrap_or(rest.len());
        start..self.at
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.rest().first().copied()?;
        self.at += 1;
        Some(byte)
    }

    /// `name = "value"`: the ranges of the name and of what is between the quotes.
    fn attribute(&mut self) -> Option<(Range<usize>, Range<usize>)> {
        let name = self.skip(is_name_byte);
        self.skip(is_blank);
        if name.is_empty() || self.take() != Some(b'=') {
            return None;
        }
        self.skip(is_blank);
        let quote = self.take().filter(|byte| matches!(byte, b'"' | b'\''))?;
        // Values are the long part of a tag, so they are searched many bytes at a time.
        let value = self.at..self.at + memchr::memchr2(quote, b'<', self.rest())?;
        self.at = value.end;
        (self.take() == Some(quote)).then_some((name, value))
    }
}

#[inline]
pub(super) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Not the whole of XML's rule for names: only what cannot be mistaken for the end of one.
#[inline]
pub(super) fn is_name_byte(byte: u8) -> bool {
    NAME_BYTES.get(usize::from(byte)).is_some_and(|is| *is)
}

/// A table, since every byte of a name is looked up in it.
static NAME_BYTES: [bool; 256] = name_bytes();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn name_bytes() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        let ends = matches!(byte as u8, b'=' | b'"' | b'\'' | b'<' | b'>' | b'&' | b'/');
        table[byte] = !ends && !is_blank(byte as u8);
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::events::BytesStart;

    use super::*;

    fn scan(tag: &str) -> Result<Vec<(&str, &str)>, Kind> {
        let mut found = Vec::new();
        scan_attributes(tag.as_bytes(), 0, 4, &mut found).map_err(|error| error.kind)?;
        let text = |span: Span| tag.get(span.start as usize..span.end as usize).unwrap();
        Ok(found
            .iter()
            .map(|found| (text(found.name), text(found.value)))
            .collect())
    }

    #[test]
    fn blanks_and_both_quotes_are_fine() {
        let tag = " a='1>'\r\n\tx:b = \"it's\"  c=''\n";
        assert_eq!(scan(tag), Ok(vec![("a", "1>"), ("x:b", "it's"), ("c", "")]));
        assert_eq!(scan(""), Ok(vec![]));
        assert_eq!(scan("  "), Ok(vec![]));
    }

    #[test]
    fn what_is_no_attribute_is_refused() {
        let tags = [
            " a", " a=", " a=b", " a='b", " ='b'", " a='<'", " 'a'='b'", " a b='c'", " a=\"b'",
            " /", " a&b='c'",
        ];
        for tag in tags {
            assert!(matches!(scan(tag), Err(Kind::Malformed(_))), "{tag}");
        }
        assert!(matches!(scan(" a='1'b='2'"), Err(Kind::Malformed(_))));
    }

    #[test]
    fn each_name_stands_once() {
        assert_eq!(scan(" a='1' b='2' a='3'"), Err(Kind::DuplicateAttribute));
        assert_eq!(scan(" a='1' x:a='2'"), Ok(vec![("a", "1"), ("x:a", "2")]));
    }

    #[test]
    fn the_number_is_bounded() {
        assert_eq!(
            scan(" a='1' b='2' c='3' d='4'").map(|found| found.len()),
            Ok(4)
        );
        assert_eq!(
            scan(" a='1' b='2' c='3' d='4' e='5'"),
            Err(Kind::TooManyAttributes(4))
        );
    }

    #[test]
    fn positions_count_from_the_document() {
        let mut found = Vec::new();
        scan_attributes(b" ab='c'", 100, 4, &mut found).unwrap();
        let name = Span {
            start: 101,
            end: 103,
        };
        assert_eq!(
            found,
            [Attribute {
                name,
                value: Span {
                    start: 105,
                    end: 106
                }
            }]
        );
        let error = scan_attributes(b" ab='c' d", 100, 4, &mut Vec::new()).unwrap_err();
        assert_eq!(error.offset, 108);
    }

    proptest! {
        /// Whatever is accepted here, quick-xml reads in the same way.
        #[test]
        fn quick_xml_agrees(tag in "[ \n]([ab]?[ ]?=[ ]?['\"][ab<>/ ='\"]{0,3}['\"][ \t]?){0,5}") {
            let Ok(found) = scan(&tag) else { return Ok(()) };
            let whole = format!("name{tag}");
            let start = BytesStart::from_content(whole.as_str(), 4);
            let expected: Result<Vec<_>, _> = start
                .attributes()
                .map(|attribute| attribute.map(|it| (it.key.as_ref().to_owned(), it.value.to_string())))
                .collect();
            let found = found.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
            prop_assert_eq!(expected.ok(), Some(found.collect()));
        }

        /// Everything well formed is accepted.
        #[test]
        fn well_formed_attributes_are_found(
            values in prop::collection::vec("[ -%(-;=-~]{0,8}", 0..5),
            blank in "[ \t\r\n]{1,2}",
        ) {
            let named: Vec<_> =
                values.iter().enumerate().map(|(n, value)| (format!("n{n}"), value)).collect();
            let tag: String =
                named.iter().map(|(name, value)| format!("{blank}{name}='{value}'")).collect();
            let expected: Vec<_> =
                named.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            prop_assume!(expected.len() <= 4);
            prop_assert_eq!(scan(&tag), Ok(expected));
        }
    }
}
