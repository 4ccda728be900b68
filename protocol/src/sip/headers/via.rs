//! Via.

use super::name_addr::list;
use super::params::Params;
use crate::sip::grammar::{DIGIT, TOKEN, number, strip, trim_start};
use crate::sip::plain;
use crate::sip::uri::Host;

/// One hop a request came over (RFC 3261 §20.42). A branch is not demanded: real clients send none inside a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Via<'a> {
    transport: &'a str,
    host: Host<'a>,
    port: Option<u16>,
    params: Params<'a>,
}

impl<'a> Via<'a> {
    /// The hops of a comma-separated list. Ends after the first fault.
    pub fn list(text: &'a str) -> impl Iterator<Item = Result<Self, &'static str>> {
        list(text, Self::take)
    }

    fn take(text: &'a str) -> Result<(Self, &'a str), &'static str> {
        let Some(via) = plain::via(text) else {
            return Self::take_by_grammar(text);
        };
        let via = Self {
            transport: via.transport,
            host: via.host,
            port: via.port,
            params: Params::checked(via.params),
        };
        Ok((via, ""))
    }

    fn take_by_grammar(text: &'a str) -> Result<(Self, &'a str), &'static str> {
        let (protocol, rest) = part(text);
        let (version, rest) = part(slash(rest)?);
        if !protocol.eq_ignore_ascii_case("SIP") || version != "2.0" {
            return Err("not SIP/2.0");
        }
        let (transport, rest) = part(slash(rest)?);
        let sent_by = trim_start(rest);
        if transport.is_empty() || sent_by.len() == rest.len() {
            return Err("not a transport and an address");
        }
        let (host, rest) = Host::take(sent_by).ok_or("bad host")?;
        let (port, rest) = match strip(trim_start(rest), b':') {
            None => (None, rest),
            Some(text) => {
                let (digits, rest) = DIGIT.take(trim_start(text));
                (Some(number(digits).ok_or("bad port")?), rest)
            }
        };
        let (params, rest) = Params::take(rest)?;
        let via = Self {
            transport,
            host,
            port,
            params,
        };
        Ok((via, rest))
    }

    /// The transport in the peer's spelling, which may be `tcp` as well as `TCP`.
    #[must_use]
    pub const fn transport(&self) -> &'a str {
        self.transport
    }

    /// The host the request came from, in the peer's own view.
    #[must_use]
    pub const fn host(&self) -> Host<'a> {
        self.host
    }

    /// The port there, if it is named.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// All parameters.
    #[must_use]
    pub const fn params(&self) -> Params<'a> {
        self.params
    }

    /// The transaction's identifier, if there is one.
    #[must_use]
    pub fn branch(&self) -> Option<&'a str> {
        self.params.get("branch")
    }
}

fn part(text: &str) -> (&str, &str) {
    TOKEN.take(trim_start(text))
}

fn slash(text: &str) -> Result<&str, &'static str> {
    strip(trim_start(text), b'/').ok_or("not a protocol, a version and a transport")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sip::plain::tests::pieces;

    proptest! {
        #[test]
        fn what_is_read_in_one_pass_is_what_the_grammar_says(text in pieces()) {
            prop_assert_eq!(Via::take(&text), Via::take_by_grammar(&text));
        }
    }

    fn one(text: &str) -> Result<Via<'_>, &'static str> {
        let mut list = Via::list(text);
        let via = list.next().unwrap();
        assert!(list.next().is_none());
        via
    }

    #[test]
    fn rfc4475_section_3_1_1_1_white_space_around_every_separator() {
        let text = "SIP  / 2.0  / TCP     spindle.example.com : 5061  ;  branch  =   z9hG4bK9ikj8  ,\
                    SIP  /    2.0   / UDP  192.168.255.111   ; branch= z9hG4bK30239";
        let vias: Vec<_> = Via::list(text).collect::<Result<_, _>>().unwrap();
        assert_eq!(vias.len(), 2);
        assert_eq!(vias[0].transport(), "TCP");
        assert_eq!(vias[0].host(), Host::Name("spindle.example.com"));
        assert_eq!(vias[0].port(), Some(5061));
        assert_eq!(vias[0].branch(), Some("z9hG4bK9ikj8"));
        assert_eq!(vias[1].host(), Host::V4("192.168.255.111"));
        assert_eq!(vias[1].branch(), Some("z9hG4bK30239"));
    }

    #[test]
    fn real_clients_write_tcp_in_small_letters_and_leave_the_branch_out() {
        let via = one("SIP/2.0/tcp 10.0.0.5:50123").unwrap();
        assert_eq!((via.transport(), via.branch()), ("tcp", None));
    }

    #[test]
    fn rfc5118_section_4_9_ipv4_mapped_addresses() {
        let via = one("SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19").unwrap();
        assert_eq!(via.host(), Host::V6("::ffff:192.0.2.10"));
        assert_eq!(via.port(), Some(19823));
    }

    #[test]
    fn rfc4475_section_3_1_2_1_stray_separators_and_other_faults() {
        for bad in [
            "SIP/2.0/UDP 192.0.2.15;;,;,,",
            "SIP/2.0/UDP 192.0.2.15,",
            "SIP/2.0/UDP",
            "SIP/2.0 192.0.2.15",
            "SIP/7.0/UDP c.example.com",
            "SIP/2.0/UDPc.example.com",
            "SIP/2.0/UDP h:70000",
            "SIP/2.0/UDP h:",
            "SIP/2.0/UDP 2001:db8::1",
            "",
        ] {
            assert!(Via::list(bad).any(|via| via.is_err()), "{bad}");
        }
    }
}
