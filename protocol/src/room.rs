//! The identifiers of rooms, categories and files, and nothing else.
//!
//! All three have the shape `scheme://domain/value`. The value is opaque: a GUID in every capture, a small number in one
//! sample, and whatever a migration made of it. Clients compare these identifiers byte for byte, so neither case nor
//! anything else is normalised here. Whoever finds a room by what a person or a database wrote asks
//! [`RoomUri::is_same_room`], to which the spellings of one GUID are equal.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest identifier that is accepted, in bytes of its whole text.
pub const MAX_LENGTH: usize = 1024;

/// Why a text is no identifier of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// The text does not start with the scheme of this kind of identifier.
    #[error("expected an identifier that starts with `{expected}`")]
    Scheme {
        /// The scheme with its `://`.
        expected: &'static str,
    },
    /// Nothing stands between the scheme and the first slash.
    #[error("the identifier has no domain")]
    NoDomain,
    /// Nothing stands behind the domain.
    #[error("the identifier has no value after its domain")]
    NoValue,
    /// A slash inside a domain would move the border between domain and value.
    #[error("the domain of an identifier cannot contain `/`")]
    SlashInDomain,
    /// White space, control characters and `<`, `>`, `"` end an identifier in running text.
    #[error("an identifier cannot contain {0:?}")]
    Character(char),
    /// The text is longer than [`MAX_LENGTH`].
    #[error("the identifier has {0} bytes, more than {MAX_LENGTH}")]
    TooLong(usize),
}

/// True for a character that cannot be part of an identifier, hence ends one in running text.
pub fn ends_identifier(character: char) -> bool {
    character.is_whitespace() || character.is_control() || matches!(character, '<' | '>' | '"')
}

fn check_characters(text: &str) -> Result<(), IdError> {
    // Nearly all identifiers are of these, and without an early exit the loop runs over many bytes at a time.
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"');
    if text
        .bytes()
        .fold(true, |plain, byte| plain & is_plain(byte))
    {
        return Ok(());
    }
    match text.chars().find(|&character| ends_identifier(character)) {
        Some(character) => Err(IdError::Character(character)),
        None => Ok(()),
    }
}

/// The text of an identifier and where its value starts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Id {
    text: Arc<str>,
    /// Offset of the first byte of the value. Bounded by [`MAX_LENGTH`]. Equal texts have equal offsets, so the derived
    /// comparisons are those of the text.
    value_at: u16,
}

impl Id {
    fn new(scheme: &'static str, domain: &str, value: &str) -> Result<Self, IdError> {
        if domain.is_empty() {
            return Err(IdError::NoDomain);
        }
        if domain.contains('/') {
            return Err(IdError::SlashInDomain);
        }
        let length = scheme.len() + domain.len() + 1 + value.len();
        if length > MAX_LENGTH {
            return Err(IdError::TooLong(length));
        }
        check_characters(domain)?;
        let mut text = String::with_capacity(length);
        text.push_str(scheme);
        text.push_str(domain);
        text.push('/');
        text.push_str(value);
        Self::checked(text.into(), scheme.len() + domain.len() + 1)
    }

    fn parse(scheme: &'static str, text: &str) -> Result<Self, IdError> {
        if text.len() > MAX_LENGTH {
            return Err(IdError::TooLong(text.len()));
        }
        let rest = text
            .strip_prefix(scheme)
            .ok_or(IdError::Scheme { expected: scheme })?;
        let slash = memchr::memchr(b'/', rest.as_bytes()).ok_or(match rest {
            "" => IdError::NoDomain,
            _ => IdError::NoValue,
        })?;
        let domain = rest.get(..slash).unwrap_or_default();
        if domain.is_empty() {
            return Err(IdError::NoDomain);
        }
        check_characters(domain)?;
        Self::checked(text.into(), scheme.len() + domain.len() + 1)
    }

    fn checked(text: Arc<str>, value_at: usize) -> Result<Self, IdError> {
        let id = Self {
            value_at: u16::try_from(value_at).map_err(|_| IdError::TooLong(text.len()))?,
            text,
        };
        if id.value().is_empty() {
            return Err(IdError::NoValue);
        }
        check_characters(id.value())?;
        Ok(id)
    }

    fn value(&self) -> &str {
        self.text
            .get(usize::from(self.value_at)..)
            .unwrap_or_default()
    }

    fn domain(&self, scheme: &str) -> &str {
        let end = usize::from(self.value_at).saturating_sub(1);
        self.text.get(scheme.len()..end).unwrap_or_default()
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $scheme:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Id);

        impl $name {
            /// How every identifier of this kind starts.
            pub const SCHEME: &'static str = $scheme;

            /// Puts an identifier together from its domain and its value.
            ///
            /// # Errors
            /// [`IdError`] when one of the two is empty, holds a character that would end the identifier, or when the
            /// whole is longer than [`MAX_LENGTH`].
            pub fn new(domain: &str, value: &str) -> Result<Self, IdError> {
                Id::new(Self::SCHEME, domain, value).map(Self)
            }

            /// The domain, between the scheme and the first slash.
            pub fn domain(&self) -> &str {
                self.0.domain(Self::SCHEME)
            }

            /// Everything behind the domain and its slash; may itself hold slashes.
            pub fn value(&self) -> &str {
                self.0.value()
            }

            /// The whole text.
            pub fn as_str(&self) -> &str {
                &self.0.text
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Id::parse(Self::SCHEME, text).map(Self)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
    };
}

identifier! {
    /// A room: `ma-chan://domain/value`.
    RoomUri, "ma-chan://"
}
identifier! {
    /// A category of rooms: `ma-cat://domain/value`.
    CategoryUri, "ma-cat://"
}
identifier! {
    /// A file posted to a room: `ma-filelink://domain/value[/rest]`, where the first part of the value is the room's.
    FileLink, "ma-filelink://"
}

impl RoomUri {
    /// Whether both name one room: domains compare ignoring ASCII case, GUIDs by their number, other values exactly.
    pub fn is_same_room(&self, other: &Self) -> bool {
        self.domain().eq_ignore_ascii_case(other.domain())
            && (self.value() == other.value()
                || guid(self.value()).is_some_and(|own| guid(other.value()) == Some(own)))
    }
}

/// The number of a GUID in one of the spellings that tools print: groups of 8, 4, 4, 4 and 12 hexadecimal digits of
/// either case with hyphens between them, alone, in braces or parentheses, or behind `urn:uuid:`; or all 32 digits without
/// hyphens. `None` for any other text.
pub fn guid(value: &str) -> Option<[u8; 16]> {
    const URN: &str = "urn:uuid:";
    let bare = match value.len() {
        32 | 36 => value,
        38 => value
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .or_else(|| value.strip_prefix('(')?.strip_suffix(')'))?,
        45 => {
            let (urn, rest) = value.split_at_checked(URN.len())?;
            urn.eq_ignore_ascii_case(URN).then_some(rest)?
        }
        _ => return None,
    };
    let has_hyphens = bare.len() == 36;
    let mut number = [0; 16];
    let mut rest = bare.as_bytes();
    for (at, octet) in number.iter_mut().enumerate() {
        if has_hyphens && matches!(at, 4 | 6 | 8 | 10) {
            rest = rest.strip_prefix(b"-")?;
        }
        let (pair, behind) = rest.split_first_chunk::<2>()?;
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *octet = u8::try_from(high? << 4 | low?).ok()?;
        rest = behind;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_text_agree() {
        let room: RoomUri = "ma-chan://contoso.com/deals/2009".parse().unwrap();
        assert_eq!(room.domain(), "contoso.com");
        assert_eq!(room.value(), "deals/2009");
        assert_eq!(room.to_string(), "ma-chan://contoso.com/deals/2009");
        assert_eq!(RoomUri::new("contoso.com", "deals/2009").unwrap(), room);
    }

    #[test]
    fn comparison_is_byte_for_byte() {
        let lower: RoomUri = "ma-chan://contoso.com/a".parse().unwrap();
        let upper: RoomUri = "ma-chan://contoso.com/A".parse().unwrap();
        let domain: RoomUri = "ma-chan://Contoso.com/a".parse().unwrap();
        assert_ne!(lower, upper);
        assert_ne!(lower, domain);
        assert!(upper < lower);
    }

    #[test]
    fn faults_are_told_apart() {
        let parse = |text: &str| text.parse::<RoomUri>().unwrap_err();
        assert_eq!(
            parse("ma-cat://d/v"),
            IdError::Scheme {
                expected: "ma-chan://"
            }
        );
        assert_eq!(
            parse("MA-CHAN://d/v"),
            IdError::Scheme {
                expected: "ma-chan://"
            }
        );
        assert_eq!(parse("ma-chan://"), IdError::NoDomain);
        assert_eq!(parse("ma-chan:///v"), IdError::NoDomain);
        assert_eq!(parse("ma-chan://d"), IdError::NoValue);
        assert_eq!(parse("ma-chan://d/"), IdError::NoValue);
        for character in [
            ' ', '\t', '\n', '\u{1}', '\u{7f}', '<', '>', '"', '\u{2028}',
        ] {
            let expected = IdError::Character(character);
            assert_eq!(parse(&format!("ma-chan://d/v{character}w")), expected);
            assert_eq!(parse(&format!("ma-chan://d{character}/v")), expected);
            assert_eq!(
                RoomUri::new("d", &format!("v{character}")).unwrap_err(),
                expected
            );
            assert_eq!(
                RoomUri::new(&format!("{character}d"), "v").unwrap_err(),
                expected
            );
        }
        assert_eq!(RoomUri::new("", "v").unwrap_err(), IdError::NoDomain);
        assert_eq!(RoomUri::new("d", "").unwrap_err(), IdError::NoValue);
        assert_eq!(
            RoomUri::new("d/e", "v").unwrap_err(),
            IdError::SlashInDomain
        );
    }

    #[test]
    fn spellings_of_a_guid_are_one_room() {
        const GUID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
        let room = |domain: &str, value: &str| RoomUri::new(domain, value).unwrap();
        let lower = room("contoso.com", GUID);
        for same in [
            GUID.to_uppercase(),
            format!("{{{GUID}}}"),
            format!("{{{}}}", GUID.to_uppercase()),
            GUID.replacen("fad", "fAd", 1),
            GUID.replace('-', ""),
            GUID.replace('-', "").to_uppercase(),
            format!("({GUID})"),
            format!("urn:uuid:{GUID}"),
            format!("URN:UUID:{}", GUID.to_uppercase()),
        ] {
            assert!(lower.is_same_room(&room("Contoso.COM", &same)), "{same}");
        }
        for other in [
            format!("{{{GUID}"),
            format!("{GUID}}}"),
            GUID.replacen('-', "", 1),
            format!("{{{GUID})"),
            format!("urn:guid:{GUID}"),
            GUID.replacen('0', "1", 1),
            GUID.replacen('0', "+", 1),
            GUID.replacen("fad5b-", "fad-5b", 1),
        ] {
            assert!(!lower.is_same_room(&room("contoso.com", &other)), "{other}");
        }
        assert!(!lower.is_same_room(&room("fabrikam.com", GUID)));
        assert!(!room("d", "deals").is_same_room(&room("d", "Deals")));
    }

    #[test]
    fn length_is_bounded() {
        let prefix = "ma-chan://d/";
        let longest = format!("{prefix}{}", "v".repeat(MAX_LENGTH - prefix.len()));
        assert_eq!(longest.parse::<RoomUri>().unwrap().as_str(), longest);
        let longer = format!("{longest}v");
        let expected = IdError::TooLong(MAX_LENGTH + 1);
        assert_eq!(longer.parse::<RoomUri>().unwrap_err(), expected);
        assert_eq!(
            RoomUri::new("d", longer.strip_prefix(prefix).unwrap()).unwrap_err(),
            expected
        );
    }
}
