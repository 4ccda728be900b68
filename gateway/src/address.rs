//! Where a peer comes from.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The bits of an IPv6 address that name a network; the others its owner chooses freely (RFC 4291 §2.5.4).
const NETWORK: u128 = !(u64::MAX as u128);

/// The bits that name a site.
const SITE: u128 = NETWORK << 16;

/// Returns an address as the peer has it: a listener on `[::]` shows IPv4 peers as `::ffff:192.0.2.1`.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Returns what limits by address count for one source: the address over IPv4, the /64 network over IPv6, in which one
/// host has as many addresses as it likes.
pub(crate) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Returns what one organization has: the address over IPv4, the /48 over IPv6, of which it gets /64 networks by the thousand
/// (RFC 6177).
pub(crate) fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & SITE).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_peer_of_a_dual_stack_listener_has_its_own_address() {
        let canonical = |address: &str| canonical(address.parse().unwrap()).to_string();
        assert_eq!(canonical("[::ffff:192.0.2.1]:5060"), "192.0.2.1:5060");
        assert_eq!(canonical("[2001:db8::1]:5060"), "[2001:db8::1]:5060");
    }

    #[test]
    fn an_ipv6_network_is_one_source_and_an_ipv4_address_too() {
        let source = |address: &str| source(address.parse().unwrap()).to_string();
        assert_eq!(source("2001:db8:1:2::1"), "2001:db8:1:2::");
        assert_eq!(source("2001:db8:1:2:ffff::9"), "2001:db8:1:2::");
        assert_eq!(source("2001:db8:1:3::1"), "2001:db8:1:3::");
        assert_eq!(source("192.0.2.1"), "192.0.2.1");
        assert_eq!(source("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
