//! The host of a URI or a Via.

use core::net::IpAddr;
use std::fmt;

use crate::sip::grammar::{LABEL, cut, strip};

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
        if let Some(text) = strip(text, b'[') {
            let (address, rest) = cut(text, b']')?;
            return is_v6(address).then_some((Self::V6(address), rest));
        }
        let (last_label, name, rest) = take_labels(text)?;
        let host = match last_label {
            // A name's last label starts with a letter, an address' with a digit (RFC 3261 §25.1, `toplabel`).
            b'0'..=b'9' => is_v4(name).then_some(Self::V4(name))?,
            _ => Self::Name(name),
        };
        Some((host, rest))
    }

    /// The text, without brackets.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        match self {
            Self::Name(text) | Self::V4(text) | Self::V6(text) => text,
        }
    }

    /// The address, if it is one; an IPv4 address in IPv6 form is the IPv4 address.
    #[must_use]
    pub fn as_ip(&self) -> Option<IpAddr> {
        let address: IpAddr = match self {
            Self::Name(_) => return None,
            Self::V4(text) => IpAddr::V4(text.parse().ok()?),
            Self::V6(text) => IpAddr::V6(text.parse().ok()?),
        };
        Some(address.to_canonical())
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

/// Cuts labels and the dots between them off the start of `text`, and says what the last one starts with. A dot may end
/// the name.
fn take_labels(text: &str) -> Option<(u8, &str, &str)> {
    let mut start = None;
    let mut is_in_label = false;
    let mut length = text.len();
    for (at, byte) in text.bytes().enumerate() {
        if LABEL.has(byte) {
            if !is_in_label {
                start = Some(byte);
            }
            is_in_label = true;
        } else if byte == b'.' && is_in_label {
            is_in_label = false;
        } else {
            length = at;
            break;
        }
    }
    let (name, rest) = text.split_at_checked(length)?;
    Some((start?, name, rest))
}

/// Four numbers from 0 to 255, three digits each at most.
fn is_v4(text: &str) -> bool {
    let (mut octets, mut digits, mut octet) = (1, 0, 0_u16);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' if digits < 3 => {
                digits += 1;
                octet = octet * 10 + u16::from(byte - b'0');
            }
            b'.' if digits > 0 && octet <= 255 => {
                octets += 1;
                (digits, octet) = (0, 0);
            }
            _ => return false,
        }
    }
    octets == 4 && digits > 0 && octet <= 255
}

/// Groups of up to four hexadecimal digits, the last perhaps an IPv4 address. How many there are, and how often they
/// are cut short by `::`, is not checked: RFC 5118 §4.10 wants the `:::` of RFC 3261's faulty grammar tolerated, and
/// nothing here connects to the address.
fn is_v6(text: &str) -> bool {
    let mut groups = 0;
    let sound = text.split(':').all(|group| {
        groups += 1;
        (group.len() <= 4 && group.bytes().all(|byte| byte.is_ascii_hexdigit())) || is_v4(group)
    });
    sound && (3..=10).contains(&groups)
}
