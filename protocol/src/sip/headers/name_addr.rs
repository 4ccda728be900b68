//! Addresses with a display name and parameters: From, To, Contact, Route.

use std::borrow::Cow;
use std::fmt;

use super::params::{Params, seconds_or_an_hour};
use crate::sip::grammar::{
    cut, is_space, split_before, strip, take_quoted, trim, trim_start, unquoted,
};
use crate::sip::plain;
use crate::sip::uri::Uri;

/// `name-addr` or `addr-spec`, and the parameters behind it (RFC 3261 §20.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// As written, quotes included.
    display: Option<&'a str>,
    uri_text: &'a str,
    params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads a value that holds one address.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &'a str) -> Result<Self, &'static str> {
        match Self::take(text)? {
            (address, "") => Ok(address),
            _ => Err("text after the address"),
        }
    }

    /// The addresses of a comma-separated list. Ends after the first fault.
    pub fn list(text: &'a str) -> impl Iterator<Item = Result<Self, &'static str>> {
        list(text, Self::take)
    }

    fn take(text: &'a str) -> Result<(Self, &'a str), &'static str> {
        match plain::address(text) {
            Some((uri_text, params)) => Ok((Self::found(None, uri_text, params), "")),
            None => Self::take_by_grammar(text),
        }
    }

    fn take_by_grammar(text: &'a str) -> Result<(Self, &'a str), &'static str> {
        let text = trim_start(text);
        let (display, uri_text, rest) = if text.starts_with('"') {
            let (name, rest) = take_quoted(text).ok_or("unterminated quoted string")?;
            let rest =
                strip(trim_start(rest), b'<').ok_or("display name without an address in <>")?;
            let (uri, rest) = take_bracketed(rest)?;
            (Some(name), uri, rest)
        } else {
            take_unquoted(text)?
        };
        Uri::parse(uri_text).map_err(|error| error.problem())?;
        let (params, rest) = Params::take(rest)?;
        let address = Self {
            display,
            uri_text,
            params,
        };
        Ok((address, rest))
    }

    /// The display name, without quotes and escapes.
    #[must_use]
    pub fn display_name(&self) -> Option<Cow<'a, str>> {
        let name = unquoted(self.display?);
        if !name.contains('\\') {
            return Some(Cow::Borrowed(name));
        }
        let mut escaped = false;
        Some(Cow::Owned(
            name.chars()
                .filter(|&letter| {
                    escaped = letter == '\\' && !escaped;
                    !escaped
                })
                .collect(),
        ))
    }

    /// An address whose parts were found before.
    pub(super) const fn found(
        display: Option<&'a str>,
        uri_text: &'a str,
        params: &'a str,
    ) -> Self {
        Self {
            display,
            uri_text,
            params: Params::checked(params),
        }
    }

    /// The texts that [`found`](Self::found) makes it of again.
    pub(super) const fn texts(&self) -> (Option<&'a str>, &'a str, &'a str) {
        (self.display, self.uri_text, self.params.text())
    }

    /// The URI. It is read once more for that: most who ask for an address want its text or its tag.
    #[must_use]
    pub fn uri(&self) -> Uri<'a> {
        Uri::parse(self.uri_text).unwrap_or_else(|_| Uri::unread(self.uri_text))
    }

    /// The URI exactly as it was written. Real clients want theirs back to the letter.
    #[must_use]
    pub const fn uri_text(&self) -> &'a str {
        self.uri_text
    }

    /// The parameters of the address, not those of its URI.
    #[must_use]
    pub const fn params(&self) -> Params<'a> {
        self.params
    }

    /// One parameter's value, without quotes; empty if it has none.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.get(name)
    }

    /// The dialog tag.
    #[must_use]
    pub fn tag(&self) -> Option<&'a str> {
        self.param("tag")
    }

    /// The endpoint identifier that Office Communications Server's clients put beside the tag.
    #[must_use]
    pub fn epid(&self) -> Option<&'a str> {
        self.param("epid")
    }
}

/// Without brackets, a `;`, `,` or `?` would not belong to the URI (RFC 3261 §20), so they are always written.
impl fmt::Display for NameAddr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = self.display {
            write!(f, "{display} ")?;
        }
        write!(f, "<{}>{}", self.uri_text, self.params)
    }
}

type Parts<'a> = (Option<&'a str>, &'a str, &'a str);

/// An address that starts with no quote: display name, URI and the rest.
fn take_unquoted(text: &str) -> Result<Parts<'_>, &'static str> {
    let (before, rest) = split_before(text, |byte| matches!(byte, b'<' | b';' | b','));
    let before = trim(before);
    let Some(bracketed) = strip(rest, b'<') else {
        // RFC 3261 §20, RFC 4475 §3.1.2.13: a URI with headers must stand in brackets.
        return match cut(before, b'?') {
            Some(_) => Err("a URI with '?' outside of <>"),
            None => Ok((None, before, rest)),
        };
    };
    if !before.bytes().all(is_display_byte) {
        return Err("display name needs quotes");
    }
    let (uri, rest) = take_bracketed(bracketed)?;
    Ok((Some(before).filter(|name| !name.is_empty()), uri, rest))
}

fn take_bracketed(text: &str) -> Result<(&str, &str), &'static str> {
    cut(text, b'>').ok_or("'<' without '>'")
}

/// Bytes of an unquoted display name. The grammar has tokens; letters beyond ASCII and harmless marks are taken too, as
/// they mislead nobody.
const fn is_display_byte(byte: u8) -> bool {
    is_space(byte)
        || byte >= 0x80
        || (byte.is_ascii_graphic()
            && !matches!(byte, b'"' | b'<' | b'>' | b',' | b';' | b':' | b'@' | b'\\'))
}

/// One contact of a Contact header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact<'a> {
    /// `*`: all of them, in a REGISTER that removes them.
    All,
    /// One address.
    Address(NameAddr<'a>),
}

impl<'a> Contact<'a> {
    /// The contacts of a comma-separated list. Ends after the first fault.
    pub fn list(text: &'a str) -> impl Iterator<Item = Result<Self, &'static str>> {
        list(text, Self::take)
    }

    fn take(text: &'a str) -> Result<(Self, &'a str), &'static str> {
        match strip(trim_start(text), b'*').map(trim_start) {
            Some("") => Ok((Self::All, "")),
            _ => NameAddr::take(text).map(|(address, rest)| (Self::Address(address), rest)),
        }
    }

    /// The address, unless this is `*`.
    #[must_use]
    pub const fn address(&self) -> Option<&NameAddr<'a>> {
        match self {
            Self::All => None,
            Self::Address(address) => Some(address),
        }
    }

    /// Seconds of the contact's `expires`; odd values as [`Headers::expires`](super::Headers::expires) takes them.
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        self.address()?.param("expires").map(seconds_or_an_hour)
    }
}

/// The elements of a list, each cut off by `take`. An empty text has none; an empty element is a fault.
pub(super) fn list<'a, T>(
    text: &'a str,
    take: impl Fn(&'a str) -> Result<(T, &'a str), &'static str>,
) -> impl Iterator<Item = Result<T, &'static str>> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let (element, after) = match take(rest.take()?) {
            Ok(taken) => taken,
            Err(problem) => return Some(Err(problem)),
        };
        match strip(after, b',') {
            Some(next) => rest = Some(next),
            None if after.is_empty() => {}
            None => return Some(Err("text after the address")),
        }
        Some(Ok(element))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sip::plain::tests::pieces;
    use crate::sip::uri::tests::sip_uri;

    proptest! {
        #[test]
        fn what_is_read_in_one_pass_is_what_the_grammar_says(text in pieces()) {
            prop_assert_eq!(NameAddr::take(&text), NameAddr::take_by_grammar(&text));
        }
    }

    #[test]
    fn what_real_clients_write_in_from() {
        let from =
            NameAddr::parse("<sip:alice@contoso.com>;tag=3735928559;epid=0123456789ab").unwrap();
        assert_eq!(from.display_name(), None);
        assert_eq!(from.uri_text(), "sip:alice@contoso.com");
        assert_eq!(
            (from.tag(), from.epid()),
            (Some("3735928559"), Some("0123456789ab"))
        );
    }

    #[test]
    fn rfc4475_section_3_1_1_6_no_blank_is_needed_before_the_bracket() {
        let from = NameAddr::parse("caller<sip:caller@example.com>;tag=323").unwrap();
        assert_eq!(from.display_name().as_deref(), Some("caller"));
        assert_eq!(from.tag(), Some("323"));
    }

    #[test]
    fn rfc3261_section_20_without_brackets_parameters_are_of_the_header() {
        let to = NameAddr::parse("sip:user@example.com ; tag=1").unwrap();
        assert_eq!(to.tag(), Some("1"));
        assert!(to.uri().as_sip().unwrap().params().is_empty());
        let to = NameAddr::parse("<sip:user@example.com;tag=1>").unwrap();
        assert_eq!(to.tag(), None);
    }

    #[test]
    fn rfc3261_section_25_1_escapes_in_display_names() {
        let to = NameAddr::parse(r#""a \"b\" \\ c" <sip:user@example.com>"#).unwrap();
        assert_eq!(to.display_name().as_deref(), Some(r#"a "b" \ c"#));
        let to = NameAddr::parse("\"\" <sip:user@example.com>").unwrap();
        assert_eq!(to.display_name().as_deref(), Some(""));
        let to = NameAddr::parse("Jörg Müller <sip:user@example.com>").unwrap();
        assert_eq!(to.display_name().as_deref(), Some("Jörg Müller"));
    }

    #[test]
    fn rfc4475_sections_3_1_2_6_and_on_faulty_addresses() {
        for bad in [
            "",
            "\"Mr. J. User <sip:j.user@example.com>", // §3.1.2.6
            "sip:user@example.com?Route=%3Csip:x%3E", // §3.1.2.13
            "\"Watson, Thomas\" < sip:t@example.org >", // §3.1.2.14
            "Bell, Alexander <sip:a.g.bell@example.com>", // §3.1.2.15
            "\"Joe\" <sip:joe@example.org>;;;;",      // §3.1.2.1
            "\"Joe\" sip:joe@example.org",
            "<sip:joe@example.org",
            "<>",
            "Joe",
            "<sip:joe@example.org> x",
            "<sip:joe@example.org>, <sip:ann@example.org>",
        ] {
            assert!(NameAddr::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rfc3261_section_20_10_lists_of_contacts() {
        let text = r#""A, <b>" <sip:a@example.com;x=1,2>;q=0.5 , sip:b@example.com;expires=10,<sip:c@example.com>;proxy=replace"#;
        // ',' is no character of a URI parameter.
        assert!(Contact::list(text).any(|contact| contact.is_err()));
        let text = text.replace("1,2", "1");
        let contacts: Vec<_> = Contact::list(&text).collect::<Result<_, _>>().unwrap();
        let address = |at: usize| contacts[at].address().unwrap();
        assert_eq!(contacts.len(), 3);
        assert_eq!(address(0).display_name().as_deref(), Some("A, <b>"));
        assert_eq!(address(0).param("q"), Some("0.5"));
        assert_eq!(contacts[1].expires(), Some(10));
        assert_eq!(contacts[2].expires(), None);
        assert_eq!(address(2).param("proxy"), Some("replace"));
    }

    #[test]
    fn rfc3261_section_10_2_2_the_star_stands_alone() {
        let contacts: Vec<_> = Contact::list(" * ").collect();
        assert_eq!(contacts, [Ok(Contact::All)]);
        assert!(Contact::list("*, <sip:a@b>").any(|contact| contact.is_err()));
    }

    #[test]
    fn a_list_with_an_empty_element_is_faulty() {
        for bad in ["<sip:a@b>,", ",<sip:a@b>", "<sip:a@b>,,<sip:c@d>"] {
            assert!(NameAddr::list(bad).any(|address| address.is_err()), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same(
            display in proptest::option::of(r#"([a-zA-Z.]{1,8} ?){1,3}|"([a-zä,;<>@ ]|\\["\\])*""#),
            uri in sip_uri(),
            params in r#"( ?; ?[a-z]{1,6}( ?= ?([a-z0-9.:]{1,8}|"[a-z;, ]*"))?){0,3}"#,
        ) {
            let display = display.map(|name| name.trim().to_owned() + " ").unwrap_or_default();
            let text = format!("{display}<{uri}>{params}");
            let address = NameAddr::parse(&text).unwrap();
            prop_assert_eq!(address.uri_text(), &uri);
            let printed = address.to_string();
            prop_assert_eq!(NameAddr::parse(&printed).unwrap(), address);
            let twice = format!("{printed} ,{text}");
            let list: Vec<_> = NameAddr::list(&twice).collect();
            prop_assert_eq!(list, [Ok(address), Ok(address)]);
        }

        #[test]
        fn any_text_is_read_without_panic_and_prints_to_the_same(text in r#"[ -~ä]{0,60}|[a-z"<>;=:@, \\]{0,40}"#) {
            if let Ok(address) = NameAddr::parse(&text) {
                let printed = address.to_string();
                prop_assert_eq!(NameAddr::parse(&printed).unwrap(), address);
            }
        }
    }
}
