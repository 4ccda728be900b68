//! Values of header fields as nearly all peers write them: without blanks, quotes, escapes and lists. They are read in one
//! pass.
//!
//! Each function here answers `None` for anything else, be it another spelling or a fault: then the reader by the whole
//! grammar has its turn, and it alone tells faults. What is answered is what that one says; properties hold them to it.

use super::grammar::{Class, DIGIT, TOKEN, URI_PARAM, USER, VALUE, number};
use super::uri::Host;

/// Reads text from its start.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Goes behind `byte`, if that is next.
    fn skip(&mut self, byte: u8) -> bool {
        let is_next = self.rest().first() == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Goes behind all that is of a class: at least one byte.
    fn run(&mut self, class: Class) -> Option<&'a str> {
        let start = self.at;
        let rest = self.rest();
        self.at += rest
            .iter()
            .position(|&byte| !class.has(byte))
            .unwrap_or(rest.len());
        (self.at > start).then(|| self.since(start))
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// A domain name or an IPv4 address.
    fn host(&mut self) -> Option<Host<'a>> {
        let (host, rest) = Host::take(self.text.get(self.at..)?)?;
        self.at = self.text.len() - rest.len();
        Some(host)
    }

    /// `:` and digits, or nothing.
    fn port(&mut self) -> Option<Option<u16>> {
        if !self.skip(b':') {
            return Some(None);
        }
        number(self.run(DIGIT)?).map(Some)
    }

    /// Parameters, of names and values of these classes. Returns their text.
    fn params(&mut self, names: Class, values: Class) -> Option<&'a str> {
        let start = self.at;
        while self.skip(b';') {
            self.run(names)?;
            if self.skip(b'=') {
                self.run(values)?;
            }
        }
        Some(self.since(start))
    }
}

/// A SIP URI.
pub(super) struct SipUri<'a> {
    pub(super) user: Option<&'a str>,
    pub(super) host: Host<'a>,
    pub(super) port: Option<u16>,
    pub(super) params: &'a str,
}

/// Reads `sip:user@host:port;name=value`, of which the host alone must be there.
pub(super) fn sip_uri(text: &str) -> Option<SipUri<'_>> {
    let mut reader = Reader::new(text);
    let uri = uri(&mut reader)?;
    reader.is_at_end().then_some(uri)
}

fn uri<'a>(reader: &mut Reader<'a>) -> Option<SipUri<'a>> {
    if !reader.rest().starts_with(b"sip:") {
        return None;
    }
    reader.at += "sip:".len();
    let start = reader.at;
    let user = reader.run(USER).filter(|_| reader.skip(b'@'));
    if user.is_none() {
        // It was the host, and perhaps what follows it.
        reader.at = start;
    }
    Some(SipUri {
        user,
        host: reader.host()?,
        port: reader.port()?,
        params: reader.params(URI_PARAM, URI_PARAM)?,
    })
}

/// Reads `<sip:user@host>;name=value`: the texts of the URI and of the parameters.
pub(super) fn address(text: &str) -> Option<(&str, &str)> {
    let mut reader = Reader::new(text);
    if !reader.skip(b'<') {
        return None;
    }
    uri(&mut reader)?;
    let uri = text.get("<".len()..reader.at)?;
    if !reader.skip(b'>') {
        return None;
    }
    let params = reader.params(TOKEN, VALUE)?;
    reader.is_at_end().then_some((uri, params))
}

/// One hop.
pub(super) struct Via<'a> {
    pub(super) transport: &'a str,
    pub(super) host: Host<'a>,
    pub(super) port: Option<u16>,
    pub(super) params: &'a str,
}

/// Reads `SIP/2.0/TCP host:port;name=value`.
pub(super) fn via(text: &str) -> Option<Via<'_>> {
    let mut reader = Reader::new(text);
    if !text.starts_with("SIP/2.0/") {
        return None;
    }
    reader.at = "SIP/2.0/".len();
    let transport = reader.run(TOKEN)?;
    if !reader.skip(b' ') {
        return None;
    }
    let via = Via {
        transport,
        host: reader.host()?,
        port: reader.port()?,
        params: reader.params(TOKEN, VALUE)?,
    };
    reader.is_at_end().then_some(via)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces of values, so that many of the texts made of them are values, plain ones or not, or nearly so.
    pub(in crate::sip) fn pieces() -> impl Strategy<Value = String> {
        const PIECES: &[&str] = &[
            "<sip:alice@contoso.com",
            "<sip:",
            "sip:",
            "sips:",
            "SIP:",
            ">",
            "<",
            "alice",
            "@",
            "contoso.com",
            "10.0.0.1",
            "256.0.0.1",
            "1.2.3",
            "[2001:db8::1]",
            ".",
            ":",
            ":5061",
            ":70000",
            ":05061",
            ";tag=1a",
            ";epid=",
            ";lr",
            ";transport=tcp",
            ";",
            "=",
            "%41",
            "%4",
            "?",
            "&a=b",
            " ",
            "\t",
            ",",
            "\"",
            "\"a b\" ",
            "\\",
            "SIP/2.0/TCP ",
            "SIP/2.0/TLS",
            "SIP / 2.0 / UDP ",
            "sip/2.0/TCP ",
            "SIP/2.1/TCP ",
            ";branch=z9hG4bK1",
            ";received=[::1]",
            "*",
            "\u{e9}",
            "\u{7f}",
            "-",
            "_",
            "a;b?c",
            "x:y",
        ];
        let start = prop::sample::select(
            &[
                "",
                "<sip:alice@contoso.com>",
                "<sip:alice@contoso.com",
                "sip:10.0.0.1:5060",
                "SIP/2.0/TCP 10.0.0.1:5060",
            ][..],
        );
        let rest = prop::collection::vec(prop::sample::select(PIECES), 0..6);
        (start, rest).prop_map(|(start, rest)| format!("{start}{}", rest.concat()))
    }

    #[test]
    fn what_peers_write_every_day_is_plain() {
        for value in [
            "<sip:alice@contoso.com>;tag=3735928559;epid=0123456789ab",
            "<sip:10.20.31.17:49152;transport=tcp>",
            "<sip:contoso.com>",
        ] {
            assert!(address(value).is_some(), "{value}");
        }
        assert!(sip_uri("sip:alice@contoso.com;opaque=user:epid:x-_1;gruu").is_some());
        for value in [
            "SIP/2.0/tcp 10.20.31.17:49152;branch=z9hG4bK1x2",
            "SIP/2.0/TLS pool.contoso.com;branch=z9hG4bK1;received=192.0.2.1",
        ] {
            assert!(via(value).is_some(), "{value}");
        }
        assert!(address("<sip:alice@contoso.com>;tag=1,<sip:bob@contoso.com>").is_none());
        assert!(via("SIP/2.0/TCP a, SIP/2.0/TCP b").is_none());
    }
}
