//! The identity of a person: `sip:user@domain`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::fold::fold;

/// The longest user identity that is accepted, in bytes of its URI.
pub const MAX_LENGTH: usize = 512;

/// Why a text is no user identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// There is a scheme, and it is neither `sip` nor `sips`.
    #[error("expected `sip:user@domain`")]
    Scheme,
    /// Nothing stands before the `@`, or there is no `@`.
    #[error("the address has no user part")]
    NoUser,
    /// Nothing stands behind the `@`.
    #[error("the address has no domain")]
    NoDomain,
    /// A character that no address of a person holds.
    #[error("an address cannot contain {0:?}")]
    Character(char),
    /// The text is longer than [`MAX_LENGTH`].
    #[error("the address has {0} bytes, more than {MAX_LENGTH}")]
    TooLong(usize),
}

/// A signed-in person: `sip:user@domain` without parameters and without port, in one normal form.
///
/// Two spellings of one person are equal: escapes of characters that need none are undone (RFC 3261 section 19.1.4), and
/// case is folded, because Active Directory compares these addresses ignoring it. What a peer wrote is kept elsewhere
/// where it matters, for example in a dialog.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserUri {
    /// The URI; behind it the address as people write it, if that is another text.
    text: Arc<str>,
    /// Offset of the `@` in the URI. This and the next are bounded by [`MAX_LENGTH`].
    at: u16,
    /// Length of the URI.
    end: u16,
}

impl UserUri {
    const SCHEME: &'static str = "sip:";

    /// Reads `sip:user@domain`, `sips:user@domain` or `user@domain`. Parameters, headers, a password and a port are
    /// dropped.
    ///
    /// # Errors
    /// [`UserError`] when a part is missing or the text cannot be an address.
    pub fn parse(text: &str) -> Result<Self, UserError> {
        if text.len() > MAX_LENGTH {
            return Err(UserError::TooLong(text.len()));
        }
        let address = without_scheme(text)?;
        let (user, rest) = address.split_once('@').ok_or(UserError::NoUser)?;
        // A password is part of the user part (RFC 3261 section 19.1.1) and no part of an identity.
        let user = user.split(':').next().unwrap_or_default();
        let host = rest.split([';', '?']).next().unwrap_or_default();
        let domain = without_port(host);
        // A name of DNS may end in the dot of its root.
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        if user.is_empty() {
            return Err(UserError::NoUser);
        }
        if domain.is_empty() {
            return Err(UserError::NoDomain);
        }
        let foreign = |c: char| {
            c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"' | '@' | ',')
        };
        if let Some(character) = user.chars().chain(domain.chars()).find(|&c| foreign(c)) {
            return Err(UserError::Character(character));
        }
        let user = unescape(user);
        let (user, domain) = (fold(&user), fold(domain));
        let mut text = String::with_capacity(Self::SCHEME.len() + user.len() + 1 + domain.len());
        text.push_str(Self::SCHEME);
        escape(&user, &mut text);
        let at = text.len();
        text.push('@');
        text.push_str(&domain);
        let end = text.len();
        if end > MAX_LENGTH {
            return Err(UserError::TooLong(end));
        }
        if at - Self::SCHEME.len() != user.len() {
            text.push_str(&user);
            text.push('@');
            text.push_str(&domain);
        }
        let offset = |offset: usize| u16::try_from(offset).map_err(|_| UserError::TooLong(offset));
        Ok(Self {
            at: offset(at)?,
            end: offset(end)?,
            text: text.into(),
        })
    }

    /// The part before the `@`, as people write it.
    pub fn user(&self) -> &str {
        let address = self.address();
        address.split_once('@').map_or(address, |(user, _)| user)
    }

    /// The part behind the `@`.
    pub fn domain(&self) -> &str {
        self.text
            .get(usize::from(self.at) + 1..usize::from(self.end))
            .unwrap_or_default()
    }

    /// The whole URI, with its `sip:`, as it goes over the wire: what is no ASCII in its user part is escaped.
    pub fn as_str(&self) -> &str {
        self.text.get(..usize::from(self.end)).unwrap_or_default()
    }

    /// `user@domain`, as people and directories write it: without escapes, but of characters that mean something else
    /// in a URI.
    pub fn address(&self) -> &str {
        match self.text.get(usize::from(self.end)..) {
            None | Some("") => self.text.get(Self::SCHEME.len()..).unwrap_or_default(),
            Some(address) => address,
        }
    }
}

/// Undoes the escapes in a user part that RFC 3261 section 19.1.4 finds equal to the characters themselves: all but those
/// of reserved characters, of `%`, of what cannot stand in an address, and of octets that are no UTF-8. What stays is in
/// lower case.
pub fn unescape(user: &str) -> Cow<'_, str> {
    if !user.contains('%') {
        return user.into();
    }
    let mut octets = Vec::with_capacity(user.len());
    let mut rest = user;
    // Escapes that follow one another may be one character.
    while let Some((before, behind)) = rest.split_once('%') {
        octets.extend_from_slice(before.as_bytes());
        rest = behind;
        let mut run = Vec::new();
        let mut next = Some(behind);
        while let Some(digits) = next {
            let Some(octet) = digits.get(..2).and_then(hex_octet) else {
                break;
            };
            run.push(octet);
            rest = digits.get(2..).unwrap_or_default();
            next = rest.strip_prefix('%');
        }
        if run.is_empty() {
            octets.push(b'%');
        }
        for chunk in run.utf8_chunks() {
            for character in chunk.valid().chars() {
                let mut utf8 = [0; 4];
                let utf8 = character.encode_utf8(&mut utf8);
                if is_plain(character) {
                    octets.extend_from_slice(utf8.as_bytes());
                } else {
                    utf8.bytes()
                        .for_each(|octet| push_escape(octet, &mut octets));
                }
            }
            for octet in chunk.invalid() {
                push_escape(*octet, &mut octets);
            }
        }
    }
    octets.extend_from_slice(rest.as_bytes());
    match String::from_utf8(octets) {
        Ok(text) => text.into(),
        // Only whole characters are copied, so this cannot be.
        Err(_) => user.into(),
    }
}

fn hex_octet(digits: &str) -> Option<u8> {
    // A sign would be read as a number too.
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    are_digits.then(|| u8::from_str_radix(digits, 16).ok())?
}

fn push_escape(octet: u8, octets: &mut Vec<u8>) {
    octets.extend_from_slice(format!("%{octet:02x}").as_bytes());
}

/// Whether a character means the same with and without an escape, and can be written without.
fn is_plain(character: char) -> bool {
    match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        '-' | '_' | '.' | '!' | '~' | '*' | '\'' | '(' | ')' => true,
        _ => !character.is_ascii() && !character.is_whitespace() && !character.is_control(),
    }
}

/// Writes a user part for the wire: only ASCII can stand in a URI.
fn escape(user: &str, text: &mut String) {
    for character in user.chars() {
        if character.is_ascii() {
            text.push(character);
            continue;
        }
        let mut utf8 = [0; 4];
        for octet in character.encode_utf8(&mut utf8).bytes() {
            text.push_str(&format!("%{octet:02X}"));
        }
    }
}

/// Drops `sip:` or `sips:`, in any case.
fn without_scheme(text: &str) -> Result<&str, UserError> {
    let Some((scheme, rest)) = text.split_once(':') else {
        return Ok(text);
    };
    if scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips") {
        return Ok(rest);
    }
    // `user@domain:port` and `user:password@domain` hold a colon without any scheme; `tel:+1` holds a scheme and no `@`.
    if text.contains('@') && !rest.starts_with("//") {
        Ok(text)
    } else {
        Err(UserError::Scheme)
    }
}

/// Drops `:port`. The colons inside an IPv6 reference stay.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}

impl FromStr for UserUri {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, UserError> {
        Self::parse(text)
    }
}

impl AsRef<str> for UserUri {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for UserUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for UserUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_person_are_equal() {
        let plain = UserUri::parse("sip:ann@contoso.com").unwrap();
        for spelling in [
            "ann@contoso.com",
            "SIP:Ann@Contoso.COM",
            "sips:ann@contoso.com;transport=tls",
            "sip:ann@contoso.com:5061",
            "sip:ann@contoso.com.",
            "sip:ann@Contoso.com.:5061;user=phone",
            "sip:ann:secret@contoso.com;user=phone?subject=x",
        ] {
            assert_eq!(UserUri::parse(spelling).unwrap(), plain, "{spelling}");
        }
        assert_eq!(plain.as_str(), "sip:ann@contoso.com");
        assert_eq!(plain.user(), "ann");
        assert_eq!(plain.domain(), "contoso.com");
        assert_eq!(plain.address(), "ann@contoso.com");
    }

    #[test]
    fn escapes_and_case_make_no_other_person() {
        for (one, other) in [
            ("sip:%61nn@contoso.com", "ann@contoso.com"),
            ("sip:%41NN@contoso.com", "ann@contoso.com"),
            ("sip:j%C3%BCrgen@contoso.com", "jürgen@contoso.com"),
            ("sip:J%c3%9cRGEN@contoso.com", "jürgen@contoso.com"),
            ("JÜRGEN@contoso.com", "jürgen@contoso.com"),
            ("sip:%D0%98%d0%92ан@contoso.com", "иван@contoso.com"),
            ("sip:a%2Fb@contoso.com", "a%2fb@contoso.com"),
            ("sip:a%2eb@contoso.com", "a.b@contoso.com"),
        ] {
            let other = UserUri::parse(other).unwrap();
            assert_eq!(UserUri::parse(one).unwrap(), other, "{one}");
        }
        for (one, other) in [
            ("a%2Fb@contoso.com", "a/b@contoso.com"),
            ("a%252Fb@contoso.com", "a%2fb@contoso.com"),
            ("a%FFb@contoso.com", "aÿb@contoso.com"),
            ("a%40b@contoso.com", "a@contoso.com"),
            ("a%20b@contoso.com", "ab@contoso.com"),
            ("%zz@contoso.com", "%25zz@contoso.com"),
        ] {
            assert_ne!(UserUri::parse(one).unwrap(), UserUri::parse(other).unwrap());
        }
    }

    #[test]
    fn a_uri_is_ascii_and_an_address_is_what_people_write() {
        let user = UserUri::parse("Jürgen%2f@Contoso.com").unwrap();
        assert_eq!(user.as_str(), "sip:j%C3%BCrgen%2f@contoso.com");
        assert_eq!(user.address(), "jürgen%2f@contoso.com");
        assert_eq!(user.user(), "jürgen%2f");
        assert_eq!(user.domain(), "contoso.com");
        assert_eq!(UserUri::parse(user.as_str()).unwrap(), user);
        let long = |count| format!("{}@d", "ü".repeat(count));
        assert_eq!(UserUri::parse(&long(80)).unwrap().address(), long(80));
        // Its URI has six bytes for each.
        assert_eq!(
            UserUri::parse(&long(90)).unwrap_err(),
            UserError::TooLong(546)
        );
    }

    #[test]
    fn a_literal_address_keeps_its_colons() {
        assert_eq!(
            UserUri::parse("sip:ann@[2001:db8::1]:5060")
                .unwrap()
                .domain(),
            "[2001:db8::1]"
        );
        assert_eq!(
            UserUri::parse("sip:ann@[2001:db8::1]").unwrap().domain(),
            "[2001:db8::1]"
        );
    }

    #[test]
    fn faults_are_told_apart() {
        let parse = |text: &str| UserUri::parse(text).unwrap_err();
        assert_eq!(parse("tel:+4930"), UserError::Scheme);
        assert_eq!(parse("http://ann@contoso.com"), UserError::Scheme);
        assert_eq!(parse("sip:contoso.com"), UserError::NoUser);
        assert_eq!(parse("sip:@contoso.com"), UserError::NoUser);
        assert_eq!(parse("sip:ann@"), UserError::NoDomain);
        assert_eq!(parse("sip:ann@;x"), UserError::NoDomain);
        assert_eq!(parse("sip:an n@contoso.com"), UserError::Character(' '));
        assert_eq!(parse("sip:ann@b@contoso.com"), UserError::Character('@'));
        assert_eq!(parse("<sip:ann@contoso.com>"), UserError::Character('<'));
        assert_eq!(
            parse(&format!("sip:{}@d", "a".repeat(MAX_LENGTH))),
            UserError::TooLong(518)
        );
    }
}
