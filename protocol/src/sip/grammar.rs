//! The small pieces of RFC 3261 §25 that many fields share.
//!
//! Values come from a head whose folds were already replaced by blanks, so white space here is blank and tab.

/// A set of ASCII characters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Class(u8);

/// `token`
pub(super) const TOKEN: Class = Class(1);
/// Unquoted values of header parameters. More than the `token / host` of the grammar: real peers put IPv6 addresses with
/// and without brackets (RFC 5118 §4.5), URIs and base64 there, and nothing is lost by taking them.
pub(super) const VALUE: Class = Class(1 << 1);
/// `user` of a URI, escapes apart
pub(super) const USER: Class = Class(1 << 2);
/// `password` of a URI, escapes apart
pub(super) const PASSWORD: Class = Class(1 << 3);
/// `paramchar` of a URI, escapes apart
pub(super) const URI_PARAM: Class = Class(1 << 4);
/// `hname` and `hvalue` of a URI, escapes apart
pub(super) const URI_HEADER: Class = Class(1 << 5);
/// A label of a domain name, with the underscore that Windows names have
pub(super) const LABEL: Class = Class(1 << 6);
/// `DIGIT`
pub(super) const DIGIT: Class = Class(1 << 7);

/// The classes of each byte. A table, since every byte of an address is looked up in it.
static CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte: u8 = 0;
    while byte < 0x80 {
        table[byte as usize] = classes_of(byte);
        byte += 1;
    }
    table
}

const fn classes_of(byte: u8) -> u8 {
    let alphanumeric = byte.is_ascii_alphanumeric();
    let unreserved = alphanumeric
        || matches!(
            byte,
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')'
        );
    let mut classes = 0;
    if alphanumeric
        || matches!(
            byte,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        )
    {
        classes |= TOKEN.0;
    }
    if byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'<' | b'>' | b'\\') {
        classes |= VALUE.0;
    }
    if unreserved || matches!(byte, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/') {
        classes |= USER.0;
    }
    if unreserved || matches!(byte, b'&' | b'=' | b'+' | b'$' | b',') {
        classes |= PASSWORD.0;
    }
    if unreserved || matches!(byte, b'[' | b']' | b'/' | b':' | b'&' | b'+' | b'$') {
        classes |= URI_PARAM.0;
    }
    if unreserved || matches!(byte, b'[' | b']' | b'/' | b'?' | b':' | b'+' | b'$') {
        classes |= URI_HEADER.0;
    }
    if alphanumeric || matches!(byte, b'-' | b'_') {
        classes |= LABEL.0;
    }
    if byte.is_ascii_digit() {
        classes |= DIGIT.0;
    }
    classes
}

impl Class {
    /// Whether `byte` is in the set.
    #[inline]
    pub(super) fn has(self, byte: u8) -> bool {
        CLASSES
            .get(usize::from(byte))
            .is_some_and(|classes| classes & self.0 != 0)
    }

    /// Whether `text` is not empty and wholly of this set.
    pub(super) fn spells(self, text: &[u8]) -> bool {
        !text.is_empty() && text.iter().all(|&byte| self.has(byte))
    }

    /// Whether `text` is wholly of this set and of escapes, `%HH`.
    pub(super) fn spells_escaped(self, text: &str) -> bool {
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            let sound = if byte == b'%' {
                let mut hex = || bytes.next().is_some_and(|digit| digit.is_ascii_hexdigit());
                hex() && hex()
            } else {
                self.has(byte)
            };
            if !sound {
                return false;
            }
        }
        true
    }

    /// Cuts `text` before the first character that is not of this set.
    #[inline]
    pub(super) fn take(self, text: &str) -> (&str, &str) {
        split_before(text, |byte| !self.has(byte))
    }
}

/// Blank or tab.
#[inline]
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `text` without white space at its start.
#[inline]
pub(super) fn trim_start(mut text: &str) -> &str {
    while let Some(rest) = strip(text, b' ').or_else(|| strip(text, b'\t')) {
        text = rest;
    }
    text
}

/// `text` without white space at either end.
pub(super) fn trim(text: &str) -> &str {
    trim_end(trim_start(text))
}

/// `text` without white space at its end.
pub(super) fn trim_end(mut text: &str) -> &str {
    while let [rest @ .., b' ' | b'\t'] = text.as_bytes() {
        text = text.get(..rest.len()).unwrap_or_default();
    }
    text
}

/// What follows `byte`, an ASCII one, at the start of `text`.
#[inline]
pub(super) fn strip(text: &str, byte: u8) -> Option<&str> {
    text.as_bytes()
        .first()
        .filter(|&&first| first == byte)
        .and_then(|_| text.get(1..))
}

/// Cuts `text` before the first byte that is `wanted`, which only ASCII may be.
#[inline]
pub(super) fn split_before(text: &str, wanted: impl Fn(u8) -> bool) -> (&str, &str) {
    let length = text.bytes().position(wanted).unwrap_or(text.len());
    text.split_at_checked(length).unwrap_or((text, ""))
}

/// What stands before and behind the first `byte`, an ASCII one. The texts are short: a plain loop is faster on them than
/// the searchers of `str`.
#[inline]
pub(super) fn cut(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|other| other == byte)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Cuts a quoted string, quotes included, off the start of `text`. `None` if none stands there, if it has no end, or if
/// it holds a control character that is not escaped.
pub(super) fn take_quoted(text: &str) -> Option<(&str, &str)> {
    let mut bytes = text.bytes().enumerate();
    bytes.next().filter(|&(_, byte)| byte == b'"')?;
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'"' => return text.split_at_checked(at + 1),
            b'\t' => {}
            0..0x20 | 0x7f => return None,
            _ => {}
        }
    }
    None
}

/// What stands between the quotes of a quoted string, escapes still in it; any other text as it is.
pub(super) fn unquoted(text: &str) -> &str {
    text.strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text)
}

/// A number of one or more digits. Too large a one becomes `None`, like no number at all.
pub(super) fn number<T: TryFrom<u64>>(text: &str) -> Option<T> {
    // `FromStr` of the integers takes a sign, which SIP has nowhere.
    let number = text.bytes().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        let digit = (digit < 10).then_some(digit)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })?;
    (!text.is_empty()).then(|| T::try_from(number).ok())?
}

/// The elements of a comma-separated list, trimmed, empty ones left out. Commas inside quoted strings and inside `<>`
/// do not separate.
pub(super) fn elements(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (element, after) = cut_at_comma(text);
        rest = after;
        Some(trim(element))
    })
    .filter(|element| !element.is_empty())
}

fn cut_at_comma(text: &str) -> (&str, Option<&str>) {
    let mut quoted = false;
    let mut bracketed = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        if escaped {
            escaped = false;
            continue;
        }
        match byte {
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => bracketed = true,
            b'>' if !quoted => bracketed = false,
            b',' if !quoted && !bracketed => {
                let (element, after) = text.split_at_checked(at).unwrap_or((text, ""));
                return (element, after.get(1..));
            }
            _ => {}
        }
    }
    (text, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3261_section_25_1_quoted_strings_end_at_the_first_quote_that_is_not_escaped() {
        assert_eq!(take_quoted(r#""a\"b" c"#), Some((r#""a\"b""#, " c")));
        assert_eq!(
            take_quoted("\"nul \\\0 bel \\\x07\"x"),
            Some(("\"nul \\\0 bel \\\x07\"", "x"))
        );
        assert_eq!(take_quoted("\"bel \x07\""), None);
        assert_eq!(take_quoted(r#""open"#), None);
        assert_eq!(take_quoted(r#""open\""#), None);
        assert_eq!(take_quoted("plain"), None);
    }

    #[test]
    fn rfc3261_section_7_3_1_lists_are_cut_only_at_commas_outside_quotes_and_brackets() {
        let list = r#" "a,b" <sip:c,d@e>;x="f\",g" , h ,, i"#;
        let elements: Vec<_> = elements(list).collect();
        assert_eq!(elements, [r#""a,b" <sip:c,d@e>;x="f\",g""#, "h", "i"]);
    }

    #[test]
    fn numbers_have_digits_only_and_fit() {
        assert_eq!(number::<u8>("0068"), Some(68));
        assert_eq!(number(&u64::MAX.to_string()), Some(u64::MAX));
        let too_large = [
            "18446744073709551616",
            "99999999999999999999",
            "100000000000000000000000",
        ];
        for large in too_large {
            assert_eq!(number::<u64>(large), None, "{large}");
        }
        for bad in ["", "+1", "-1", "1 ", "256", "x"] {
            assert_eq!(number::<u8>(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn rfc3261_section_25_1_escapes_are_two_hexadecimal_digits() {
        assert!(USER.spells_escaped("a%00b%fF"));
        for bad in ["a%0", "a%zz", "a b", "%"] {
            assert!(!USER.spells_escaped(bad), "{bad:?}");
        }
    }

    #[test]
    fn no_class_has_a_blank_a_control_character_or_a_byte_beyond_ascii() {
        for byte in (0..=b' ').chain(0x7f..=0xff) {
            assert!(!Class(0xff).has(byte), "{byte:#x}");
        }
    }

    #[test]
    fn rfc3261_section_25_1_marks_of_each_class() {
        let marks = |class: Class| -> String {
            (b'!'..=b'~')
                .filter(|&byte| class.has(byte) && !byte.is_ascii_alphanumeric())
                .map(char::from)
                .collect()
        };
        assert_eq!(marks(TOKEN), "!%'*+-._`~");
        assert_eq!(marks(USER), "!$&'()*+,-./;=?_~");
        assert_eq!(marks(PASSWORD), "!$&'()*+,-.=_~");
        assert_eq!(marks(URI_PARAM), "!$&'()*+-./:[]_~");
        assert_eq!(marks(URI_HEADER), "!$'()*+-./:?[]_~");
        assert_eq!(marks(LABEL), "-_");
        assert_eq!(marks(DIGIT), "");
    }
}
