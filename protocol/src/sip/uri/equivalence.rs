//! When two SIP URIs mean the same (RFC 3261 §19.1.4).

use super::{Params, SipUri};

/// Parameters that must be in both or in neither. The text of the RFC names the first four; its examples count
/// `transport` among them too.
const NEVER_IGNORED: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

impl SipUri<'_> {
    /// Whether this URI and `other` are equivalent.
    ///
    /// It is no equivalence relation: a parameter that only one of two URIs has is ignored, so two URIs may both be
    /// equivalent to a third and not to each other.
    #[must_use]
    pub fn equivalent(&self, other: &SipUri<'_>) -> bool {
        self.scheme == other.scheme
            && same_text(self.user, other.user)
            && same_text(self.password, other.password)
            && self.host.as_str().eq_ignore_ascii_case(other.host.as_str())
            && self.port == other.port
            && params_match(self.params, other.params)
            && params_match(other.params, self.params)
            && same_headers(self.headers, other.headers)
    }
}

fn params_match(these: Params<'_>, those: Params<'_>) -> bool {
    these.iter().all(|(name, value)| {
        let mut known = false;
        let same_value = those
            .iter()
            .filter(|(other, _)| same(name, other, u8::to_ascii_lowercase))
            .any(|(_, other)| {
                known = true;
                let (value, other) = (value.unwrap_or_default(), other.unwrap_or_default());
                same(value, other, u8::to_ascii_lowercase)
            });
        let ignored = !NEVER_IGNORED
            .iter()
            .any(|never| name.eq_ignore_ascii_case(never));
        same_value || (!known && ignored)
    })
}

fn same_text(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => same(one, other, |&byte| byte),
        (one, other) => one == other,
    }
}

/// Each header field of one is among those of the other. Order does not matter.
fn same_headers(one: Option<&str>, other: Option<&str>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return one == other;
    };
    let contains = |fields: &str, wanted: &str| {
        let (name, value) = wanted.split_once('=').unwrap_or((wanted, ""));
        fields
            .split('&')
            .filter_map(|field| field.split_once('='))
            .any(|(own, text)| {
                same(own, name, u8::to_ascii_lowercase) && same(text, value, |&byte| byte)
            })
    };
    one.split('&').all(|field| contains(other, field))
        && other.split('&').all(|field| contains(one, field))
}

/// Compares two texts, a character being the same as its escape unless it is a reserved one.
fn same(one: &str, other: &str, fold: impl Fn(&u8) -> u8) -> bool {
    let units = |text| Units(text).map(|(byte, reserved)| (fold(&byte), reserved));
    units(one.as_bytes()).eq(units(other.as_bytes()))
}

/// The bytes of a text without their escapes. The flag is set on a reserved byte that was escaped, and so does not mean
/// what it would mean unescaped.
struct Units<'a>(&'a [u8]);

impl Iterator for Units<'_> {
    type Item = (u8, bool);

    fn next(&mut self) -> Option<Self::Item> {
        if let [b'%', high, low, rest @ ..] = self.0 {
            let digit = |byte: &u8| char::from(*byte).to_digit(16);
            let byte = digit(high)
                .zip(digit(low))
                .and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
            if let Some(byte) = byte {
                self.0 = rest;
                return Some((byte, is_reserved(byte)));
            }
        }
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some((byte, false))
    }
}

const fn is_reserved(byte: u8) -> bool {
    matches!(
        byte,
        b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b','
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equivalent(one: &str, other: &str) -> bool {
        let one = SipUri::parse(one).unwrap();
        let other = SipUri::parse(other).unwrap();
        assert_eq!(one.equivalent(&other), other.equivalent(&one));
        assert!(one.equivalent(&one) && other.equivalent(&other));
        one.equivalent(&other)
    }

    #[test]
    fn rfc3261_section_19_1_4_equivalent_uris() {
        for (one, other) in [
            (
                "sip:%61lice@atlanta.com;transport=TCP",
                "sip:alice@AtlanTa.CoM;Transport=tcp",
            ),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            ("sip:a@b;x=1;x=2", "sip:a@b;x=2;x=1"),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
        ] {
            assert!(equivalent(one, other), "{one} {other}");
        }
    }

    #[test]
    fn rfc3261_section_19_1_4_uris_that_differ() {
        for (one, other) in [
            (
                "SIP:ALICE@AtLanTa.CoM;Transport=udp",
                "sip:alice@AtLanTa.CoM;Transport=UDP",
            ),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            (
                "sip:bob@biloxi.com",
                "sip:bob@biloxi.com:6000;transport=tcp",
            ),
            (
                "sip:carol@chicago.com",
                "sip:carol@chicago.com?Subject=next%20meeting",
            ),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            (
                "sip:carol@chicago.com;security=on",
                "sip:carol@chicago.com;security=off",
            ),
            ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
            ("sip:biloxi.com", "sip:bob@biloxi.com"),
            ("sip:a;b@biloxi.com", "sip:a%3Bb@biloxi.com"),
            ("sip:a@biloxi.com;maddr=h", "sip:a@biloxi.com"),
        ] {
            assert!(!equivalent(one, other), "{one} {other}");
        }
    }
}
