//! Documents as nearly all are written: elements, attributes and text, and nothing else.
//!
//! Whatever is out of the ordinary ends the attempt, be it a comment, a prefix, a blank around `=`, a limit or a fault:
//! then the general parser has its turn, and it alone tells what is wrong. A property holds the two to the same lists.

use std::ops::Range;

use memchr::memchr2;

use super::Parsed;
use crate::xccos::attributes::{is_blank, is_name_byte};
use crate::xccos::document::{Attribute, Element, Span, Text};
use crate::xccos::limits::Limits;

/// Finds everything in `text`, if it is plain.
pub(super) fn parse(text: &str, limits: &Limits) -> Option<Parsed> {
    let mut plain = Plain {
        bytes: text.as_bytes(),
        at: 0,
        limits,
        parsed: Parsed::with_room_for(text.len()),
    };
    plain.run()?;
    Some(plain.parsed)
}

struct Plain<'a> {
    bytes: &'a [u8],
    /// Everything before this was read.
    at: usize,
    limits: &'a Limits,
    parsed: Parsed,
}

/// How a start tag ends.
enum Tag {
    Open,
    Empty,
}

impl Plain<'_> {
    /// Reads up to the end of the root, which must be that of the text. Each turn reads a tag and the text behind it.
    fn run(&mut self) -> Option<()> {
        let mut open: Option<u32> = None;
        let mut depth = 0;
        loop {
            match self.bytes.get(self.at..)? {
                [b'<', b'/', rest @ ..] => {
                    let span = self.end_tag(open?, rest)?;
                    open = self.parsed.close(open?, span);
                    depth -= 1;
                }
                [b'<', b'!' | b'?', ..] => return None,
                [b'<', ..] if depth < self.limits.depth => {
                    let index = self.parsed.elements.len() as u32;
                    if let Tag::Open = self.start_tag(open.unwrap_or(index))? {
                        open = Some(index);
                        depth += 1;
                    }
                }
                _ => return None,
            }
            let Some(parent) = open else {
                return (self.at == self.bytes.len()).then_some(());
            };
            self.text(parent)?;
        }
    }

    /// Reads the end tag of the element of this index; `rest` is what follows its `</`.
    fn end_tag(&mut self, index: u32, rest: &[u8]) -> Option<Span> {
        let name = self.parsed.elements.get(index as usize)?.name;
        let opened = self.bytes.get(name.range())?;
        let [b'>', ..] = rest.strip_prefix(opened)? else {
            return None;
        };
        let start = self.at;
        self.at += opened.len() + "</>".len();
        Some(span(start..self.at))
    }

    fn start_tag(&mut self, parent: u32) -> Option<Tag> {
        if self.parsed.elements.len() >= self.limits.elements {
            return None;
        }
        let start = self.at;
        let name = self.name(start + 1)?;
        if self.bytes.get(name.clone())?.contains(&b':') {
            return None;
        }
        let first = self.parsed.attributes.len();
        let mut at = name.end;
        let tag = loop {
            match self.bytes.get(at..)? {
                [b'>', ..] => {
                    at += 1;
                    break Tag::Open;
                }
                [b'/', b'>', ..] => {
                    at += 2;
                    break Tag::Empty;
                }
                [blank, next, ..] if is_blank(*blank) => {
                    at += 1;
                    if is_name_byte(*next) {
                        at = self.attribute(at, first)?;
                    }
                }
                _ => return None,
            }
        };
        self.at = at;
        self.parsed.open(Element {
            name: span(name),
            whole: span(start..at),
            parent,
            attributes: Span {
                start: first as u32,
                end: self.parsed.attributes.len() as u32,
            },
            ..Element::default()
        });
        Some(tag)
    }

    /// Reads `name="value"` at `start`, behind the attributes of the same tag from `first` on. Returns where it ends.
    fn attribute(&mut self, start: usize, first: usize) -> Option<usize> {
        let name = self.name(start)?;
        let [b'=', quote @ (b'"' | b'\''), rest @ ..] = self.bytes.get(name.end..)? else {
            return None;
        };
        let length = memchr2(*quote, b'<', rest)?;
        if rest.get(length) != Some(quote) {
            return None;
        }
        let value = name.end + 2..name.end + 2 + length;
        let end = value.end + 1;
        let before = self.parsed.attributes.get(first..)?;
        let text = self.bytes.get(name.clone());
        if before.len() >= self.limits.attributes
            || before
                .iter()
                .any(|other| self.bytes.get(other.name.range()) == text)
        {
            return None;
        }
        self.parsed.attributes.push(Attribute {
            name: span(name),
            value: span(value),
        });
        Some(end)
    }

    /// The name at `start`.
    fn name(&self, start: usize) -> Option<Range<usize>> {
        let rest = self.bytes.get(start..)?;
        let length = rest.iter().position(|&byte| !is_name_byte(byte))?;
        (length > 0).then_some(start..start + length)
    }

    /// Reads text up to the next tag.
    fn text(&mut self, parent: u32) -> Option<()> {
        let start = self.at;
        loop {
            let rest = self.bytes.get(self.at..)?;
            if rest.first() == Some(&b'<') {
                break;
            }
            self.at += memchr2(b'<', b'&', rest)?;
            if let [b'&', reference @ ..] = self.bytes.get(self.at..)? {
                // Anything is a reference that ends before the next one, and before the next tag.
                let length = reference
                    .iter()
                    .position(|byte| matches!(byte, b';' | b'&' | b'<'))?;
                if reference.get(length) != Some(&b';') {
                    return None;
                }
                self.at += length + "&;".len();
            }
        }
        if start < self.at {
            self.parsed.texts.push(Text {
                span: span(start..self.at),
                parent,
                is_cdata: false,
            });
        }
        Some(())
    }
}

/// Documents are shorter than 4 GiB.
fn span(range: Range<usize>) -> Span {
    Span {
        start: range.start as u32,
        end: range.end as u32,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::xccos::parse::Parser;
    use crate::xccos::parse::tests::SAMPLE;

    const LIMITS: Limits = Limits {
        elements: 5,
        depth: 3,
        attributes: 3,
        ..Limits::DEFAULT
    };

    /// What the general parser finds.
    fn general(text: &str, limits: &Limits) -> Option<Parsed> {
        let mut parser = Parser::new(text, 0, limits);
        parser.run().ok()?;
        Some(parser.parsed)
    }

    fn agree(text: &str, limits: &Limits) {
        if let Some(found) = parse(text, limits) {
            assert_eq!(Some(found), general(text, limits), "{text}");
        }
    }

    #[test]
    fn what_peers_write_every_day_is_plain() {
        let post = "<xccos ver=\"1\" envid=\"7\" xmlns=\"urn:parlano:xml:ns:xccos\" xmlns:x='urn:x'>\
                    <grpchat id=\"grpchat\"\r\n\tseqid=\"1\" >\
                    <chat>a > b, &amp;&#x1;&nbsp;'\u{e9}'\r\n</chat><rtf/>\n</grpchat></xccos>";
        let found = parse(post, &Limits::DEFAULT).expect("a plain document");
        assert_eq!(
            (
                found.elements.len(),
                found.attributes.len(),
                found.texts.len()
            ),
            (4, 6, 2)
        );
        agree(post, &Limits::DEFAULT);
        for other in [SAMPLE, " <a/>", "<a/> ", "<a/><a/>", "", "\u{feff}<a/>"] {
            assert!(parse(other, &Limits::DEFAULT).is_none(), "{other}");
        }
    }

    /// Pieces of documents, so that many of the texts made of them are documents, or nearly so.
    fn pieces() -> impl Strategy<Value = String> {
        const PIECES: &[&str] = &[
            "<a",
            "<b",
            "<a>",
            "<b>",
            "</a>",
            "</b>",
            "</a",
            "/>",
            ">",
            "/",
            " ",
            "\n",
            " c='1'",
            " d=\"2'\"",
            " c='>'",
            " x:c=''",
            "='",
            "'",
            "\"",
            "=",
            "&amp;",
            "&",
            ";",
            "text",
            "<",
            "<!-- -->",
            "<![CDATA[x]]>",
            "<?pi?>",
            "<!DOCTYPE a>",
            "<x:a>",
            "</x:a>",
            "<a/>",
            "<b c='1' d='2'/>",
            "\u{e9}",
        ];
        prop::collection::vec(prop::sample::select(PIECES), 0..14)
            .prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn whatever_is_plain_the_general_parser_finds_too(text in pieces()) {
            agree(&text, &LIMITS);
            agree(&format!("<a>{text}</a>"), &LIMITS);
        }

        #[test]
        fn damaged_documents_are_found_alike(at in 0..400_usize, piece in pieces(), length in 0..8_usize) {
            let whole = "<xccos ver='1' envid='7'><rpl id='rpl:bjoin' seqid='1'><resp code='200'>OK &amp; so on</resp>\
                         <data><uib id='0' uri='sip:a@b'/><chanib uri='ma-chan://c/d'><aib key='1' value='0'/></chanib>\
                         </data></rpl></xccos>";
            let at = at.min(whole.len());
            let end = (at + length).min(whole.len());
            let (before, behind) = (whole.get(..at).unwrap(), whole.get(end..).unwrap());
            let damaged = [before, &piece, behind].concat();
            agree(&damaged, &Limits::DEFAULT);
        }
    }
}
