//! SIP and SIPS URIs (RFC 3261 §19.1), and those of other schemes as far as they must be told apart.

mod equivalence;
mod host;

use std::fmt;

pub use host::Host;

use super::grammar::{
    DIGIT, PASSWORD, URI_HEADER, URI_PARAM, USER, cut, number, split_before, strip,
};
use super::headers::Params;
use super::plain;

/// Why a text is no URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UriError(&'static str);

impl UriError {
    /// The problem, in words that hold nothing of the URI.
    #[must_use]
    pub const fn problem(self) -> &'static str {
        self.0
    }
}

/// A URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uri<'a> {
    /// `sip:` or `sips:`.
    Sip(SipUri<'a>),
    /// Any other scheme. RFC 4475 §3.3.4 has `isbn:`, `http:` and `name:` in address headers.
    Other(OtherUri<'a>),
}

impl<'a> Uri<'a> {
    /// Reads a URI.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &'a str) -> Result<Self, UriError> {
        match plain::sip_uri(text) {
            Some(uri) => Ok(Self::Sip(SipUri {
                scheme: Scheme::Sip,
                user: uri.user,
                password: None,
                host: uri.host,
                port: uri.port,
                params: Params::checked(uri.params),
                headers: None,
            })),
            None => Self::parse_by_grammar(text),
        }
    }

    fn parse_by_grammar(text: &'a str) -> Result<Self, UriError> {
        let (scheme, rest) = cut(text, b':').ok_or(UriError("not a URI"))?;
        if let Some(scheme) = Scheme::of(scheme) {
            return SipUri::parse_rest(scheme, rest).map(Self::Sip);
        }
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
        if !is_scheme || rest.is_empty() {
            return Err(UriError("not a URI"));
        }
        let is_uri_byte = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"');
        if !rest.bytes().all(is_uri_byte) {
            return Err(UriError("a character that no URI has"));
        }
        Ok(Self::Other(OtherUri { scheme, rest }))
    }

    /// A text that is not looked into.
    pub(in crate::sip) const fn unread(text: &'a str) -> Self {
        Self::Other(OtherUri {
            scheme: "",
            rest: text,
        })
    }

    /// The SIP or SIPS URI, if it is one.
    #[must_use]
    pub const fn as_sip(&self) -> Option<&SipUri<'a>> {
        match self {
            Self::Sip(uri) => Some(uri),
            Self::Other(_) => None,
        }
    }

    /// The scheme as written (`sip` and `sips` in small letters).
    #[must_use]
    pub const fn scheme(&self) -> &'a str {
        match self {
            Self::Sip(uri) => uri.scheme.as_str(),
            Self::Other(uri) => uri.scheme,
        }
    }
}

impl fmt::Display for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip(uri) => uri.fmt(f),
            Self::Other(uri) => uri.fmt(f),
        }
    }
}

/// A URI of a scheme that is not SIP's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherUri<'a> {
    scheme: &'a str,
    rest: &'a str,
}

impl fmt::Display for OtherUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme, self.rest)
    }
}

/// `sip` or `sips`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Any transport.
    Sip,
    /// TLS on every hop.
    Sips,
}

impl Scheme {
    fn of(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("sip") {
            Some(Self::Sip)
        } else if text.eq_ignore_ascii_case("sips") {
            Some(Self::Sips)
        } else {
            None
        }
    }

    /// The scheme's text, without the colon.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sip => "sip",
            Self::Sips => "sips",
        }
    }
}

/// A SIP or SIPS URI. `==` compares what is written, part by part; [`equivalent`](Self::equivalent) compares what is
/// meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SipUri<'a> {
    scheme: Scheme,
    user: Option<&'a str>,
    password: Option<&'a str>,
    host: Host<'a>,
    port: Option<u16>,
    params: Params<'a>,
    headers: Option<&'a str>,
}

impl<'a> SipUri<'a> {
    /// Reads a SIP or SIPS URI.
    ///
    /// # Errors
    /// What is wrong with it; also that its scheme is another.
    pub fn parse(text: &'a str) -> Result<Self, UriError> {
        match Uri::parse(text)? {
            Uri::Sip(uri) => Ok(uri),
            Uri::Other(_) => Err(UriError("not a SIP URI")),
        }
    }

    fn parse_rest(scheme: Scheme, text: &'a str) -> Result<Self, UriError> {
        // An unescaped '@' stands nowhere but behind the userinfo, which may itself hold ';' and '?'.
        let (user, password, rest) = match cut(text, b'@') {
            None => (None, None, text),
            Some((userinfo, rest)) => match cut(userinfo, b':') {
                None => (Some(userinfo), None, rest),
                Some((user, password)) => (Some(user), Some(password), rest),
            },
        };
        if user.is_some_and(|user| user.is_empty() || !USER.spells_escaped(user)) {
            return Err(UriError("bad user part"));
        }
        if password.is_some_and(|password| !PASSWORD.spells_escaped(password)) {
            return Err(UriError("bad password"));
        }
        let (host, rest) = Host::take(rest).ok_or(UriError("bad host"))?;
        let (port, rest) = match strip(rest, b':') {
            None => (None, rest),
            Some(text) => {
                let (digits, rest) = DIGIT.take(text);
                (Some(number(digits).ok_or(UriError("bad port"))?), rest)
            }
        };
        let (params, headers) = match cut(rest, b'?') {
            None => (rest, None),
            Some((params, headers)) => (params, Some(headers)),
        };
        if headers.is_some_and(|headers| !headers.split('&').all(is_header)) {
            return Err(UriError("bad headers behind '?'"));
        }
        Ok(Self {
            scheme,
            user,
            password,
            host,
            port,
            params: uri_params(params)?,
            headers,
        })
    }

    /// `sip` or `sips`.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The user part, escapes still in it.
    #[must_use]
    pub const fn user(&self) -> Option<&'a str> {
        self.user
    }

    /// The password, escapes still in it. RFC 3261 advises against it; it must not be logged.
    #[must_use]
    pub const fn password(&self) -> Option<&'a str> {
        self.password
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> Host<'a> {
        self.host
    }

    /// The port, where it is written.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The parameters.
    #[must_use]
    pub const fn params(&self) -> Params<'a> {
        self.params
    }

    /// One parameter's value; empty if it has none.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&'a str> {
        self.params.get(name)
    }

    /// The header fields behind `?`, escapes still in them, as `name=value` joined by `&`.
    #[must_use]
    pub const fn headers(&self) -> Option<&'a str> {
        self.headers
    }
}

impl fmt::Display for SipUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme.as_str())?;
        if let Some(user) = self.user {
            f.write_str(user)?;
            if let Some(password) = self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        self.host.fmt(f)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.fmt(f)?;
        match self.headers {
            Some(headers) => write!(f, "?{headers}"),
            None => Ok(()),
        }
    }
}

fn uri_params(text: &str) -> Result<Params<'_>, UriError> {
    let mut rest = text;
    while let Some(param) = strip(rest, b';') {
        let (param, after) = split_before(param, |byte| byte == b';');
        let (name, value) = cut(param, b'=').unwrap_or((param, "-"));
        let is_part = |part: &str| !part.is_empty() && URI_PARAM.spells_escaped(part);
        if !is_part(name) || !is_part(value) {
            return Err(UriError("bad parameters"));
        }
        rest = after;
    }
    if rest.is_empty() {
        Ok(Params::checked(text))
    } else {
        Err(UriError("bad parameters"))
    }
}

fn is_header(text: &str) -> bool {
    cut(text, b'=').is_some_and(|(name, value)| {
        !name.is_empty() && URI_HEADER.spells_escaped(name) && URI_HEADER.spells_escaped(value)
    })
}

#[cfg(test)]
pub(super) mod tests;
