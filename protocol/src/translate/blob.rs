//! Preference blobs: base64 of a text that the client keeps on its server, such as its list of rooms.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::RoomMap;
use super::links::{self, Writing};
use crate::xccos::{AttributeRef, Edits};

/// Takes blobs with padding, as .NET writes them, and without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Replaces the identifiers inside the blob that `attribute` holds. A blob without any stays as it is, and so does what
/// is not base64 or holds no text: a length in front of an identifier would no longer be true.
pub(super) fn translate(attribute: AttributeRef<'_>, map: &dyn RoomMap, edits: &mut Edits) {
    let mut content = attribute.value();
    if content.contains(|character: char| character.is_ascii_whitespace()) {
        content
            .to_mut()
            .retain(|character| !character.is_ascii_whitespace());
    }
    let Ok(bytes) = BASE64.decode(content.as_bytes()) else {
        return;
    };
    let Some((text, encoding)) = Encoding::decode(&bytes) else {
        return;
    };
    if let Some(new) = links::replace(&text, writing(&text), map) {
        let encoded = BASE64.encode(encoding.encode(&new));
        let is_padded = content.len().is_multiple_of(4);
        let encoded = if is_padded {
            &encoded
        } else {
            encoded.trim_end_matches('=')
        };
        edits.replace_raw(attribute.value_range(), encoded);
    }
}

/// Markup escapes what stands in it, other text does not.
fn writing(text: &str) -> Writing {
    let text = text.trim_start_matches(|first: char| first == '\u{FEFF}' || first.is_whitespace());
    if text.starts_with('<') {
        Writing::Escaped
    } else {
        Writing::Plain
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf8,
    /// What .NET calls "Unicode".
    Utf16Le,
}

impl Encoding {
    /// The text in `bytes`, when all of it is text. A byte order mark is kept as a character.
    fn decode(bytes: &[u8]) -> Option<(String, Self)> {
        // ASCII in UTF-16 is full of NULs, which no UTF-8 text holds.
        if let Ok(text) = std::str::from_utf8(bytes)
            && is_text(text)
        {
            return Some((text.to_owned(), Self::Utf8));
        }
        let (units, rest) = bytes.as_chunks::<2>();
        if !rest.is_empty() {
            return None;
        }
        let units = units.iter().map(|&unit| u16::from_le_bytes(unit));
        let text: String = char::decode_utf16(units).collect::<Result<_, _>>().ok()?;
        is_text(&text).then_some((text, Self::Utf16Le))
    }

    fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        }
    }
}

fn is_text(text: &str) -> bool {
    !text.contains(|character: char| {
        character.is_control() && !matches!(character, '\t' | '\n' | '\r')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::RoomUri;
    use crate::xccos::{Document, Limits};

    struct OneRoom;

    impl RoomMap for OneRoom {
        fn room(&self, domain: &str, value: &str) -> Option<RoomUri> {
            (domain == "d" && value == "a&b").then(|| RoomUri::new("example", "c&d").unwrap())
        }
    }

    /// What the blob of these bytes becomes; `None` when its attribute stays as it is.
    fn translated(content: &str) -> Option<Vec<u8>> {
        let text = format!("<xccos><pref content='{content}'/></xccos>");
        let document = Document::parse(text.clone(), &Limits::DEFAULT).unwrap();
        let pref = document.root().child("pref").unwrap();
        let mut edits = Edits::new();
        translate(pref.attribute("content").unwrap(), &OneRoom, &mut edits);
        if edits.is_empty() {
            return None;
        }
        let new = Document::parse(edits.apply(&document), &Limits::DEFAULT).unwrap();
        let content = new.root().child("pref").unwrap().attr("content").unwrap();
        Some(BASE64.decode(content.as_bytes()).unwrap())
    }

    fn utf_16(text: &str) -> Vec<u8> {
        Encoding::Utf16Le.encode(text)
    }

    #[test]
    fn text_and_markup_are_told_apart() {
        let plain = BASE64.encode("x=ma-chan://d/a&b;");
        assert_eq!(translated(&plain).unwrap(), b"x=ma-chan://example/c&d;");
        let markup = BASE64.encode("\u{FEFF} <r u='ma-chan://d/a&amp;b'/>");
        let expected = "\u{FEFF} <r u='ma-chan://example/c&amp;d'/>";
        assert_eq!(translated(&markup).unwrap(), expected.as_bytes());
    }

    #[test]
    fn the_encoding_stays() {
        let content = BASE64.encode(utf_16("\u{FEFF}Räume: ma-chan://d/a&b"));
        assert_eq!(
            translated(&content).unwrap(),
            utf_16("\u{FEFF}Räume: ma-chan://example/c&d")
        );
    }

    #[test]
    fn lines_and_missing_padding_are_read() {
        let content = BASE64.encode("ma-chan://d/a&b ");
        let (first, second) = content.trim_end_matches('=').split_at(7);
        let folded = format!("{first}&#xD;&#xA;{second}");
        assert_eq!(translated(&folded).unwrap(), b"ma-chan://example/c&d ");
    }

    #[test]
    fn what_is_no_text_stays() {
        let length_in_front = BASE64.encode(b"\x0fma-chan://d/a&b");
        let odd = BASE64.encode([utf_16("ma-chan://d/a&b"), vec![0xD8]].concat());
        for content in [
            "",
            "ma-chan://d/x",
            &BASE64.encode("nothing"),
            &length_in_front,
            &odd,
        ] {
            assert_eq!(translated(content), None, "{content}");
        }
    }
}
