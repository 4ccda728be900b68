//! Escaping, strictly; and undoing it, leniently.
//!
//! Real clients send what XML 1.0 forbids (`&#x1;` for a control character in a message), so reading accepts every
//! character reference. What leaves is always valid: a character that XML 1.0 forbids becomes U+FFFD.

use std::borrow::Cow;
use std::ops::Range;

/// Stands for whatever cannot be written.
const REPLACEMENT: char = '\u{FFFD}';

/// The longest reference that is looked at, in bytes from `&` to `;`. `&#x0010FFFF;` has 12.
const MAX_REFERENCE: usize = 16;

/// True for a character that an XML 1.0 document may hold (production 2, `Char`).
pub fn is_xml_char(character: char) -> bool {
    matches!(character,
        '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Appends `value` escaped for element content.
///
/// Line breaks stay as they are: CRLF is the line break of message text on the wire.
pub fn escape_text(value: &str, out: &mut String) {
    escape(value, out, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        _ => None,
    });
}

/// Appends `value` escaped for an attribute value in either kind of quotes.
///
/// Tab and line breaks become references, for a reader would turn them into blanks (XML 1.0 section 3.3.3).
pub fn escape_attribute(value: &str, out: &mut String) {
    escape(value, out, |byte| match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'"' => Some("&quot;"),
        b'\'' => Some("&apos;"),
        b'\t' => Some("&#x9;"),
        b'\n' => Some("&#xA;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    });
}

fn escape(value: &str, out: &mut String, entity: impl Fn(u8) -> Option<&'static str>) {
    out.reserve(value.len());
    let mut copied = 0;
    for (offset, character) in value.char_indices() {
        let entity = u8::try_from(character)
            .ok()
            .filter(u8::is_ascii)
            .and_then(&entity);
        if entity.is_none() && is_xml_char(character) {
            continue;
        }
        out.push_str(value.get(copied..offset).unwrap_or_default());
        match entity {
            Some(entity) => out.push_str(entity),
            None => out.push(REPLACEMENT),
        }
        copied = offset + character.len_utf8();
    }
    out.push_str(value.get(copied..).unwrap_or_default());
}

/// Undoes the escaping of element content.
///
/// The five entities of XML and all character references are replaced, also those XML 1.0 forbids; a reference to
/// something that is no character becomes U+FFFD; an unknown entity stays as it stands.
pub fn unescape(raw: &str) -> Cow<'_, str> {
    if memchr::memchr(b'&', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut copied = 0;
    for (range, reference) in references(raw) {
        out.push_str(raw.get(copied..range.start).unwrap_or_default());
        out.push(reference);
        copied = range.end;
    }
    out.push_str(raw.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// Undoes the escaping of an attribute value. Tabs and line breaks that are not references are blanks.
pub fn unescape_attribute(raw: &str) -> Cow<'_, str> {
    if memchr::memchr3(b'\t', b'\n', b'\r', raw.as_bytes()).is_none() {
        return unescape(raw);
    }
    let blank = raw.replace("\r\n", " ").replace(['\t', '\n', '\r'], " ");
    Cow::Owned(unescape(&blank).into_owned())
}

/// The ranges of the character references in `raw` that XML 1.0 forbids, in order.
pub fn forbidden_references(raw: &str) -> impl Iterator<Item = Range<usize>> {
    references(raw)
        .filter(|(range, character)| {
            // U+FFFD also stands for what is no character at all; then the reference is forbidden, whatever it says.
            let is_itself = || {
                let digits = raw.get(range.clone()).unwrap_or_default();
                digits.eq_ignore_ascii_case("&#xFFFD;") || digits == "&#65533;"
            };
            !is_xml_char(*character) || (*character == REPLACEMENT && !is_itself())
        })
        .map(|(range, _)| range)
}

/// Every reference in `raw` that can be replaced, with what it stands for.
fn references(raw: &str) -> impl Iterator<Item = (Range<usize>, char)> {
    memchr::memchr_iter(b'&', raw.as_bytes()).filter_map(move |start| {
        let tail = raw.as_bytes().get(start + 1..)?;
        let window = tail.get(..tail.len().min(MAX_REFERENCE))?;
        let length = memchr::memchr(b';', window)?;
        let character = reference(raw.get(start + 1..start + 1 + length)?)?;
        Some((start..start + length + 2, character))
    })
}

/// The character that `&name;` stands for.
fn reference(name: &str) -> Option<char> {
    let number = match name {
        "amp" => return Some('&'),
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => name.strip_prefix('#')?,
    };
    let (digits, radix) = match number.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let code = u32::from_str_radix(digits, radix).unwrap_or(u32::MAX);
    // NUL is no character of any text: C strings behind us would end there.
    Some(
        char::from_u32(code)
            .filter(|&character| character != '\0')
            .unwrap_or(REPLACEMENT),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped_text(value: &str) -> String {
        let mut out = String::new();
        escape_text(value, &mut out);
        out
    }

    fn escaped_attribute(value: &str) -> String {
        let mut out = String::new();
        escape_attribute(value, &mut out);
        out
    }

    #[test]
    fn text_is_escaped_and_keeps_its_line_breaks() {
        assert_eq!(
            escaped_text("a<b> & \"c\"\r\n'd'\t"),
            "a&lt;b&gt; &amp; \"c\"\r\n'd'\t"
        );
        // The end of a CDATA section may not stand in text (XML 1.0 section 2.4).
        assert_eq!(escaped_text("]]>"), "]]&gt;");
    }

    #[test]
    fn attributes_keep_tabs_and_line_breaks_as_references() {
        assert_eq!(
            escaped_attribute("a\t\"b\"\r\n'<&>"),
            "a&#x9;&quot;b&quot;&#xD;&#xA;&apos;&lt;&amp;&gt;"
        );
    }

    #[test]
    fn what_xml_forbids_is_replaced() {
        for value in [
            "\u{0}", "\u{1}", "\u{8}", "\u{b}", "\u{1f}", "\u{fffe}", "\u{ffff}",
        ] {
            assert_eq!(escaped_text(value), "\u{fffd}");
            assert_eq!(escaped_attribute(value), "\u{fffd}");
        }
        for value in [
            "\u{7f}",
            "\u{85}",
            "\u{d7ff}",
            "\u{e000}",
            "\u{10ffff}",
            "é",
        ] {
            assert_eq!(escaped_text(value), value);
        }
    }

    #[test]
    fn references_are_undone_leniently() {
        let cases = [
            ("&amp;&lt;&gt;&quot;&apos;", "&<>\"'"),
            ("&#65;&#x41;&#X41;&#x0041;", "AAAA"),
            // A real client sends these; XML 1.0 forbids them.
            ("a&#x1;b&#31;", "a\u{1}b\u{1f}"),
            (
                "&#xD800;|&#x110000;|&#99999999999;|&#0;",
                "\u{fffd}|\u{fffd}|\u{fffd}|\u{fffd}",
            ),
            (
                "&nbsp; &; &#; &#x; &#xg; &#+1; & &amp",
                "&nbsp; &; &#; &#x; &#xg; &#+1; & &amp",
            ),
            ("&amp;lt;", "&lt;"),
            ("&&lt;", "&<"),
            ("&0123456789012345;&lt;", "&0123456789012345;<"),
        ];
        for (raw, expected) in cases {
            assert_eq!(unescape(raw), expected, "{raw}");
        }
    }

    #[test]
    fn nothing_to_undo_is_not_copied() {
        assert!(matches!(unescape("plain \r\n"), Cow::Borrowed(_)));
        assert!(matches!(unescape_attribute("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn white_space_in_attributes_is_blank_unless_it_is_a_reference() {
        assert_eq!(unescape_attribute("a\r\nb\tc\rd&#xA;e"), "a b c d\ne");
    }

    #[test]
    fn only_forbidden_references_are_listed() {
        let raw = "&amp;&#x41;&#x1;é&#xFFFF;&#9;&#xfffd;&#65533;&#0;&#xD800;&#x;";
        let found: Vec<_> = forbidden_references(raw)
            .map(|range| raw.get(range).unwrap())
            .collect();
        assert_eq!(found, ["&#x1;", "&#xFFFF;", "&#0;", "&#xD800;"]);
    }

    proptest! {
        #[test]
        fn undoing_gives_back_what_xml_allows(value in "\\PC*|[&;#x0-9<>\"'\r\n\t]*") {
            let (text, attribute) = (escaped_text(&value), escaped_attribute(&value));
            prop_assert_eq!(unescape(&text), value.as_str());
            prop_assert_eq!(unescape_attribute(&attribute), value.as_str());
        }

        #[test]
        fn what_is_escaped_has_no_forbidden_character(value in any::<String>()) {
            for escaped in [escaped_text(&value), escaped_attribute(&value)] {
                prop_assert!(escaped.chars().all(is_xml_char));
                prop_assert_eq!(forbidden_references(&escaped).count(), 0);
                prop_assert!(!escaped.contains(['<', '>']));
            }
        }
    }
}
