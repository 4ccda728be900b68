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
/// The five entities of XML and all character references are replaced, also those XML 1.0 forbids. Two references that name
/// the halves of a surrogate pair (`&#xD83D;&#xDE00;`, as .NET writers put it) are the one character of the pair; any other
/// reference to something that is no character becomes U+FFFD; an unknown entity stays as it stands.
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

/// The character references in `raw` that XML 1.0 forbids, in order, each with the character to write instead: that of a
/// surrogate pair, else U+FFFD.
pub fn forbidden_references(raw: &str) -> impl Iterator<Item = (Range<usize>, char)> {
    references(raw).filter_map(|(range, character)| {
        let written = raw.get(range.clone()).unwrap_or_default();
        let is_pair = || written.bytes().filter(|&byte| byte == b'&').count() > 1;
        // U+FFFD also stands for what is no character at all; then the reference is forbidden, whatever it says.
        let is_itself = || written.eq_ignore_ascii_case("&#xFFFD;") || written == "&#65533;";
        if !is_xml_char(character) || (character == REPLACEMENT && !is_itself()) {
            return Some((range, REPLACEMENT));
        }
        is_pair().then_some((range, character))
    })
}

/// Every reference in `raw` that can be replaced, with what it stands for.
fn references(raw: &str) -> impl Iterator<Item = (Range<usize>, char)> {
    let mut behind = 0;
    memchr::memchr_iter(b'&', raw.as_bytes()).filter_map(move |start| {
        if start < behind {
            return None;
        }
        let (length, character) = reference_at_start(raw.get(start..)?)?;
        behind = start + length;
        Some((start..behind, character))
    })
}

/// The reference that `text` starts with: its length in bytes, and what it stands for. Two that name the halves of a
/// surrogate pair are one.
pub fn reference_at_start(text: &str) -> Option<(usize, char)> {
    let (length, code) = code_at_start(text)?;
    if (0xD800..0xDC00).contains(&code)
        && let Some((rest, low)) = text.get(length..).and_then(code_at_start)
        && (0xDC00..0xE000).contains(&low)
    {
        let code = 0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        return Some((length + rest, char::from_u32(code)?));
    }
    // NUL is no character of any text: C strings behind us would end there.
    let character = char::from_u32(code).filter(|&character| character != '\0');
    Some((length, character.unwrap_or(REPLACEMENT)))
}

/// The length of the reference that `text` starts with, and the number it stands for.
fn code_at_start(text: &str) -> Option<(usize, u32)> {
    let tail = text.as_bytes().strip_prefix(b"&")?;
    let window = tail.get(..tail.len().min(MAX_REFERENCE))?;
    let length = memchr::memchr(b';', window)?;
    Some((length + 2, code(text.get(1..=length)?)?))
}

/// The number that `&name;` stands for.
fn code(name: &str) -> Option<u32> {
    let number = match name {
        "amp" => return Some('&'.into()),
        "lt" => return Some('<'.into()),
        "gt" => return Some('>'.into()),
        "quot" => return Some('"'.into()),
        "apos" => return Some('\''.into()),
        _ => name.strip_prefix('#')?,
    };
    let (digits, radix) = match number.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    Some(u32::from_str_radix(digits, radix).unwrap_or(u32::MAX))
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
            // .NET writes a character beyond U+FFFF so, and its readers read one.
            ("&#xD83D;&#xDE00;|&#55357;&#56832;", "\u{1F600}|\u{1F600}"),
            (
                "&#xD83D;|&#xDE00;|&#xDE00;&#xD83D;&#xDE00;|&#xD83D; &#xDE00;|&#xD83D;&amp;",
                "\u{fffd}|\u{fffd}|\u{fffd}\u{1F600}|\u{fffd} \u{fffd}|\u{fffd}&",
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
        let raw = "&amp;&#x41;&#x1;é&#xFFFF;&#9;&#xfffd;&#65533;&#0;&#xD800;&#x;&#xD83D;&#xDE00;&#x1F600;";
        let found: Vec<_> = forbidden_references(raw)
            .map(|(range, instead)| (raw.get(range).unwrap(), instead))
            .collect();
        assert_eq!(
            found,
            [
                ("&#x1;", REPLACEMENT),
                ("&#xFFFF;", REPLACEMENT),
                ("&#0;", REPLACEMENT),
                ("&#xD800;", REPLACEMENT),
                ("&#xD83D;&#xDE00;", '\u{1F600}')
            ]
        );
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
