//! The identity of a person: `sip:user@domain`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest user identity that is accepted, in bytes.
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

/// A signed-in person: `sip:user@domain` in ASCII lower case, without parameters and without port.
///
/// Active Directory compares these addresses ignoring case, so the canonical form is lower case and two spellings of one
/// person are equal. What a peer wrote is kept elsewhere where it matters, for example in a dialog.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserUri {
    text: Arc<str>,
    /// Offset of the `@`. Bounded by [`MAX_LENGTH`].
    at: u16,
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
        let mut canonical = format!("{}{user}@{domain}", Self::SCHEME);
        canonical.make_ascii_lowercase();
        let at = Self::SCHEME.len() + user.len();
        Ok(Self {
            at: u16::try_from(at).map_err(|_| UserError::TooLong(text.len()))?,
            text: canonical.into(),
        })
    }

    /// The part before the `@`.
    pub fn user(&self) -> &str {
        self.text
            .get(Self::SCHEME.len()..usize::from(self.at))
            .unwrap_or_default()
    }

    /// The part behind the `@`.
    pub fn domain(&self) -> &str {
        self.text
            .get(usize::from(self.at) + 1..)
            .unwrap_or_default()
    }

    /// The whole text, with its `sip:`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `user@domain`, as people and directories write it.
    pub fn address(&self) -> &str {
        self.text.get(Self::SCHEME.len()..).unwrap_or_default()
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
    fn only_ascii_is_folded() {
        let user = UserUri::parse("sip:Émile@contoso.com").unwrap();
        assert_eq!(user.user(), "Émile");
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
