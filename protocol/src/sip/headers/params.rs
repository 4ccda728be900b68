//! The `;name=value` lists that follow addresses, Via, media types and URIs.

use std::fmt;

use crate::sip::grammar::{
    DIGIT, TOKEN, VALUE, number, split_before, strip, take_quoted, trim, trim_start, unquoted,
};

/// Parameters as they stand on the wire, checked, and cut apart when they are asked for. Names compare without regard
/// to ASCII case.
#[derive(Clone, Copy, Default)]
pub struct Params<'a>(&'a str);

impl<'a> Params<'a> {
    /// Cuts the parameters off the start of `text`: the list and what follows it.
    pub(super) fn take(text: &'a str) -> Result<(Self, &'a str), &'static str> {
        let start = trim_start(text);
        let mut rest = start;
        while let Some(param) = strip(trim_start(rest), b';') {
            let (name, after) = TOKEN.take(trim_start(param));
            if name.is_empty() {
                return Err("empty parameter");
            }
            rest = match strip(trim_start(after), b'=') {
                None => after,
                Some(value) => skip_value(trim_start(value))?,
            };
        }
        let length = start.len() - rest.len();
        let list = start.get(..length).unwrap_or_default();
        Ok((Self(list), trim_start(rest)))
    }

    /// Parameters whose text was checked elsewhere, by the stricter grammar of URIs.
    pub(in crate::sip) const fn checked(text: &'a str) -> Self {
        Self(text)
    }

    /// What [`checked`](Self::checked) makes them of again.
    pub(in crate::sip) const fn text(self) -> &'a str {
        self.0
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Name and value of each, in order; the quotes of a quoted value are kept.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + Clone {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (param, after) = first(rest)?;
            rest = after;
            Some(param)
        })
    }

    /// The value of the first parameter of this name, without its quotes (escapes inside stay). Empty for a parameter
    /// that has no value.
    #[must_use]
    pub fn get(self, name: &str) -> Option<&'a str> {
        let mut rest = self.0;
        loop {
            // As nearly all are written: no white space, no quotes. All others are cut apart by the book.
            let param = strip(rest, b';')?;
            let (plain, after) = VALUE.take(param);
            if !after.is_empty() && !after.starts_with(';') {
                let ((own, value), after) = first(rest)?;
                if own.eq_ignore_ascii_case(name) {
                    return Some(value.map_or("", unquoted));
                }
                rest = after;
                continue;
            }
            // Where its name must end, if it is this one: most others are told by that alone.
            match plain.as_bytes().get(name.len()) {
                None if plain.eq_ignore_ascii_case(name) => return Some(""),
                Some(b'=') => {
                    if let Some((own, value)) = plain.split_at_checked(name.len())
                        && own.eq_ignore_ascii_case(name)
                    {
                        return value.get(1..);
                    }
                }
                _ => {}
            }
            rest = after;
        }
    }
}

type Param<'a> = (&'a str, Option<&'a str>);

/// The parameter that a list starts with, and the rest of the list.
fn first(list: &str) -> Option<(Param<'_>, &str)> {
    let param = strip(list, b';')?;
    let (name, after) = split_before(param, |byte| matches!(byte, b';' | b'='));
    let (value, after) = match strip(after, b'=').map(trim_start) {
        None => (None, after),
        Some(text) => {
            let (value, after) =
                take_quoted(text).unwrap_or_else(|| split_before(text, |byte| byte == b';'));
            (Some(trim(value)), after)
        }
    };
    Some(((trim(name), value), trim_start(after)))
}

/// Equal when the same names and values come in the same order, however they are spaced.
impl PartialEq for Params<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Params<'_> {}

impl fmt::Display for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|(name, value)| match value {
            Some(value) => write!(f, ";{name}={value}"),
            None => write!(f, ";{name}"),
        })
    }
}

impl fmt::Debug for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// What follows a value.
fn skip_value(text: &str) -> Result<&str, &'static str> {
    if text.starts_with('"') {
        return take_quoted(text)
            .map(|(_, rest)| rest)
            .ok_or("unterminated quoted string");
    }
    match VALUE.take(text) {
        ("", _) => Err("parameter without its value"),
        (_, rest) => Ok(rest),
    }
}

/// `delta-seconds` where RFC 3261 (§20.19, §10.2.1.1) has a malformed value count as 3600, and where a number that does
/// not fit means "long".
pub(super) fn seconds_or_an_hour(text: &str) -> u32 {
    if DIGIT.spells(text.as_bytes()) {
        number(text).unwrap_or(u32::MAX)
    } else {
        3600
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Params<'_> {
        let (params, rest) = Params::take(text).unwrap();
        assert_eq!(rest, "");
        params
    }

    #[test]
    fn names_match_in_any_case_and_values_lose_their_quotes() {
        let params = params(r#";Tag=1;epid="a\"b;c" ; lr ; q = 0.5"#);
        assert_eq!(params.get("tag"), Some("1"));
        assert_eq!(params.get("EPID"), Some(r#"a\"b;c"#));
        assert_eq!(params.get("lr"), Some(""));
        assert_eq!(params.get("q"), Some("0.5"));
        assert_eq!(params.get("x"), None);
        assert_eq!(params.to_string(), r#";Tag=1;epid="a\"b;c";lr;q=0.5"#);
    }

    #[test]
    fn one_is_found_as_if_all_were_looked_at() {
        for text in [
            r#";a="x;tag=1";tag=2"#,
            r#";ab=1; ;tag = 2 ;tag=3"#,
            r#";TAG="2""#,
            r#"; tag=2"#,
            ";t;ta=1;tagg=1;tag;x",
            ";x=;y",
            ";tag",
            "",
        ] {
            let params = Params::checked(text);
            for name in ["tag", "a", "t", "x", "y", "nothing"] {
                let found = params
                    .iter()
                    .find(|(own, _)| own.eq_ignore_ascii_case(name));
                let value = found.map(|(_, value)| value.map_or("", unquoted));
                assert_eq!(params.get(name), value, "{name} in {text}");
            }
        }
    }

    #[test]
    fn spacing_does_not_matter_to_equality_but_values_do() {
        assert_eq!(params("; a = 1;b"), params(";a=1 ; b"));
        assert_ne!(params(";a=1"), params(";a=2"));
    }

    #[test]
    fn what_follows_the_list_is_handed_back() {
        let (params, rest) = Params::take(" ;a=1 , next").unwrap();
        assert_eq!((params.get("a"), rest), (Some("1"), ", next"));
    }

    #[test]
    fn rfc4475_section_3_1_2_1_stray_semicolons_are_refused() {
        for bad in [";;", ";", ";a;", ";a=;b", ";a=\"x", ";=1"] {
            assert!(Params::take(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rfc5118_section_4_5_addresses_stand_with_and_without_brackets() {
        assert_eq!(
            params(";received=[2001:db8::9:255]").get("received"),
            Some("[2001:db8::9:255]")
        );
        assert_eq!(
            params(";received=2001:db8::9:255").get("received"),
            Some("2001:db8::9:255")
        );
    }

    #[test]
    fn rfc3261_section_20_19_odd_seconds() {
        assert_eq!(seconds_or_an_hour("0"), 0);
        assert_eq!(seconds_or_an_hour("10000000000000"), u32::MAX);
        assert_eq!(seconds_or_an_hour("soon"), 3600);
        assert_eq!(seconds_or_an_hour("-1"), 3600);
    }
}
