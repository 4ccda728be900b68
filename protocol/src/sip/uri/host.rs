//! The host of a URI or a Via.

use std::fmt;

use crate::sip::grammar::{number, take_while};

/// A host as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host<'a> {
    /// A domain name.
    Name(&'a str),
    /// A dotted IPv4 address.
    V4(&'a str),
    /// An IPv6 address, without its brackets.
    V6(&'a str),
}

impl<'a> Host<'a> {
    /// Cuts a host off the start of `text`.
    pub(in crate::sip) fn take(text: &'a str) -> Option<(Self, &'a str)> {
        if let Some(text) = text.strip_prefix('[') {
            let (address, rest) = take_while(text, |byte| {
                byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')
            });
            return is_v6(address)
                .then_some(Self::V6(address))
                .zip(rest.strip_prefix(']'));
        }
        let (name, rest) = take_while(text, |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
        });
        // A name's last label starts with a letter, which tells it from an address (RFC 3261 §25.1, `toplabel`).
        let last = name.strip_suffix('.').unwrap_or(name).rsplit('.').next()?;
        let host = if last.starts_with(|first: char| first.is_ascii_digit()) {
            is_v4(name).then_some(Self::V4(name))
        } else {
            is_name(name).then_some(Self::Name(name))
        };
        Some((host?, rest))
    }

    /// The text, without brackets.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        match self {
            Self::Name(text) | Self::V4(text) | Self::V6(text) => text,
        }
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(text) | Self::V4(text) => f.write_str(text),
            Self::V6(text) => write!(f, "[{text}]"),
        }
    }
}

/// Letters, digits, hyphens, and the underscore that Windows names have, in labels that are not empty.
fn is_name(text: &str) -> bool {
    let labels = text.strip_suffix('.').unwrap_or(text);
    labels.split('.').all(|label| !label.is_empty())
}

fn is_v4(text: &str) -> bool {
    let mut octets = 0;
    let sound = text.split('.').all(|octet| {
        octets += 1;
        octet.len() <= 3 && number::<u8>(octet).is_some()
    });
    sound && octets == 4
}

/// Groups of up to four hexadecimal digits, the last perhaps an IPv4 address. How many there are, and how often they
/// are cut short by `::`, is not checked: RFC 5118 §4.10 wants the `:::` of RFC 3261's faulty grammar tolerated, and
/// nothing here connects to the address.
fn is_v6(text: &str) -> bool {
    let mut groups = 0;
    let sound = text.split(':').all(|group| {
        groups += 1;
        (group.len() <= 4 && !group.contains('.')) || is_v4(group)
    });
    sound && (3..=10).contains(&groups)
}
