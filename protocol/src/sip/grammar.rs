//! The small pieces of RFC 3261 §25 that many fields share.
//!
//! Values come from a head whose folds were already replaced by blanks, so white space here is blank and tab.

/// `token`
pub(super) const fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
        | b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
}

/// A whole text that is one token.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

/// Blank or tab.
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `text` without white space at its start.
pub(super) fn trim_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// `text` without white space at either end.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Cuts `text` before the first byte that does not satisfy `wanted`. Only ASCII may satisfy it, so that the cut falls
/// between characters.
pub(super) fn take_while(text: &str, wanted: impl Fn(u8) -> bool) -> (&str, &str) {
    let length = text
        .bytes()
        .position(|byte| !wanted(byte))
        .unwrap_or(text.len());
    text.split_at_checked(length).unwrap_or((text, ""))
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

/// Whether every byte is `allowed` or part of a `%HH`.
pub(super) fn is_escaped_text(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let sound = if byte == b'%' {
            let mut hex = || bytes.next().is_some_and(|digit| digit.is_ascii_hexdigit());
            hex() && hex()
        } else {
            allowed(byte)
        };
        if !sound {
            return false;
        }
    }
    true
}

/// A number of one or more digits. Too large a one becomes `None`, like no number at all.
pub(super) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    // `FromStr` of the integers takes a sign, which SIP has nowhere.
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
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
        for bad in ["", "+1", "-1", "1 ", "256", "x"] {
            assert_eq!(number::<u8>(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn escapes_are_two_hexadecimal_digits() {
        let letters = |byte: u8| byte.is_ascii_alphabetic();
        assert!(is_escaped_text("a%00b%fF", letters));
        assert!(!is_escaped_text("a%0", letters));
        assert!(!is_escaped_text("a%zz", letters));
        assert!(!is_escaped_text("a b", letters));
    }
}
