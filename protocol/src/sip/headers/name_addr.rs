//! Addresses with a display name and parameters: From, To, Contact, Route.

use std::borrow::Cow;
use std::fmt;

use super::params::{Params, seconds_or_an_hour};
use crate::sip::grammar::{
    cut, is_space, split_before, strip, take_quoted, trim, trim_start, unquoted,
};
use crate::sip::uri::Uri;

/// `name-addr` or `addr-spec`, and the parameters behind it (RFC 3261 §20.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// As written, quotes included.
    display: Option<&'a str>,
    uri_text: &'a str,
    uri: Uri<'a>,
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
        let uri = Uri::parse(uri_text).map_err(|error| error.problem())?;
        let (params, rest) = Params::take(rest)?;
        let address = Self {
            display,
            uri_text,
            uri,
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

    /// The URI.
    #[must_use]
    pub const fn uri(&self) -> &Uri<'a> {
        &self.uri
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
