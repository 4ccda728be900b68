//! Networks in CIDR notation.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network: an address and the length of its prefix. The bits behind the prefix are zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    /// What stands before the slash is no IP address.
    Address,
    /// What stands behind the slash is no length of a prefix.
    Prefix,
    /// The address has bits behind the prefix. Holds the network that it is in.
    HostBits(Network),
}

impl Network {
    /// Whether an address is in it. An IPv4 address that is mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        mask(address.to_canonical(), self.prefix) == Some(self.address)
    }

    /// The network of this prefix that an address is in.
    pub(super) fn of(address: IpAddr, prefix: u8) -> Option<Self> {
        let address = mask(address, prefix)?;
        Some(Self { address, prefix })
    }

    /// Its first address.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The length of its prefix.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether each address of `other` is in it.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }
}

/// The address without the bits behind the prefix. `None`: its family has no prefix of this length, or the prefix is of
/// another family's.
fn mask(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            let bits = u32::MAX
                .checked_shl(32_u32.checked_sub(prefix.into())?)
                .unwrap_or(0);
            Some(IpAddr::V4((address.to_bits() & bits).into()))
        }
        IpAddr::V6(address) => {
            let bits = u128::MAX
                .checked_shl(128_u32.checked_sub(prefix.into())?)
                .unwrap_or(0);
            Some(IpAddr::V6((address.to_bits() & bits).into()))
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Reads `192.0.2.0/24`, `2001:db8::/32`, or one address.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| NetworkError::Prefix)?
            }
            Some(_) => return Err(NetworkError::Prefix),
        };
        let masked = mask(address, prefix).ok_or(NetworkError::Prefix)?;
        let network = Self {
            address: masked,
            prefix,
        };
        if masked == address {
            Ok(network)
        } else {
            Err(NetworkError::HostBits(network))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_hold_their_addresses() {
        let network: Network = "192.0.2.0/24".parse().unwrap();
        assert!(network.contains("192.0.2.255".parse().unwrap()));
        assert!(network.contains("::ffff:192.0.2.1".parse().unwrap()));
        assert!(!network.contains("192.0.3.0".parse().unwrap()));
        assert!(!network.contains("2001:db8::1".parse().unwrap()));
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("203.0.113.1".parse().unwrap()) && all.covers(network));
        let one: Network = "2001:db8::1".parse().unwrap();
        assert_eq!(one.to_string(), "2001:db8::1/128");
        let wide: Network = "::/0".parse().unwrap();
        assert!(wide.contains("2001:db8::1".parse().unwrap()));
        assert!(
            !wide.contains("192.0.2.1".parse().unwrap()),
            "of another family"
        );
    }

    #[test]
    fn what_is_no_network_is_told() {
        let read = |text: &str| text.parse::<Network>();
        assert_eq!(read("contoso.com/8"), Err(NetworkError::Address));
        assert_eq!(read("192.0.2.0/33"), Err(NetworkError::Prefix));
        assert_eq!(read("192.0.2.0/+8"), Err(NetworkError::Prefix));
        assert_eq!(read("192.0.2.0/"), Err(NetworkError::Prefix));
        assert_eq!(
            read("192.0.2.7/24"),
            Err(NetworkError::HostBits("192.0.2.0/24".parse().unwrap()))
        );
    }
}
