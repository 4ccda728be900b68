//! How many may be connected at a time: in all, and from one source (an IPv4 address, or a /64 network over IPv6).

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use crate::address::source;
use crate::descriptors::Descriptors;
use crate::telemetry::events::connection::ConnectionRefusal;

/// Counts the connections of all listeners.
#[derive(Debug)]
pub struct Occupancy {
    most: AtomicUsize,
    most_per_address: AtomicUsize,
    all: AtomicUsize,
    by_address: DashMap<IpAddr, usize>,
    /// What clients and front ends share.
    descriptors: Arc<Descriptors>,
}

/// The right to be connected; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    occupancy: Arc<Occupancy>,
    /// The address that it counts for.
    address: Option<IpAddr>,
}

impl Permit {
    /// The peer has shown who it is: others from its address may come for their own, however many it brings.
    pub(super) fn trust(&mut self) {
        if let Some(address) = self.address.take() {
            self.occupancy.leave(address);
        }
    }
}

impl Occupancy {
    /// With these limits.
    #[must_use]
    pub fn new(most: usize, most_per_address: usize, descriptors: Arc<Descriptors>) -> Self {
        Self {
            descriptors,
            most: AtomicUsize::new(most),
            most_per_address: AtomicUsize::new(most_per_address),
            all: AtomicUsize::new(0),
            by_address: DashMap::new(),
        }
    }

    /// Sets other limits. Whoever is connected stays.
    pub fn limit(&self, most: usize, most_per_address: usize) {
        self.most.store(most, Ordering::Release);
        self.most_per_address
            .store(most_per_address, Ordering::Release);
    }

    /// Admits a client, if there is room.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Permit, ConnectionRefusal> {
        let address = source(address);
        if self.all.fetch_add(1, Ordering::AcqRel) >= self.most.load(Ordering::Acquire) {
            self.all.fetch_sub(1, Ordering::AcqRel);
            return Err(ConnectionRefusal::Limit);
        }
        let mut of_address = self.by_address.entry(address).or_default();
        if *of_address >= self.most_per_address.load(Ordering::Acquire) {
            self.all.fetch_sub(1, Ordering::AcqRel);
            return Err(ConnectionRefusal::AddressLimit);
        }
        if !self.descriptors.take() {
            self.all.fetch_sub(1, Ordering::AcqRel);
            if *of_address == 0 {
                drop(of_address);
                self.by_address.remove_if(&address, |_, count| *count == 0);
            }
            return Err(ConnectionRefusal::Descriptors);
        }
        *of_address += 1;
        Ok(Permit {
            occupancy: Arc::clone(self),
            address: Some(address),
        })
    }

    fn leave(&self, address: IpAddr) {
        if let Some(mut count) = self.by_address.get_mut(&address) {
            *count = count.saturating_sub(1);
        }
        self.by_address.remove_if(&address, |_, count| *count == 0);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.occupancy.descriptors.give_back();
        self.occupancy.all.fetch_sub(1, Ordering::AcqRel);
        self.trust();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occupancy(most: usize, most_per_address: usize) -> Occupancy {
        let descriptors = Arc::new(Descriptors::new(None, 0));
        Occupancy::new(most, most_per_address, descriptors)
    }

    #[test]
    fn descriptors_are_shared_and_given_back() {
        let descriptors = Arc::new(Descriptors::new(Some(8), 6));
        let clients = Arc::new(Occupancy::new(9, 9, Arc::clone(&descriptors)));
        let front_ends = Arc::new(Occupancy::new(9, 9, descriptors));
        let first = clients.admit(address(1)).unwrap();
        let _second = front_ends.admit(address(2)).unwrap();
        assert_eq!(
            clients.admit(address(3)).unwrap_err(),
            ConnectionRefusal::Descriptors
        );
        assert!(!clients.by_address.contains_key(&address(3)));
        drop(first);
        let _third = clients.admit(address(3)).unwrap();
    }

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn limits_hold_and_are_given_back() {
        let occupancy = Arc::new(occupancy(3, 2));
        let first = occupancy.admit(address(1)).unwrap();
        let _second = occupancy.admit(address(1)).unwrap();
        assert_eq!(
            occupancy.admit(address(1)).unwrap_err(),
            ConnectionRefusal::AddressLimit
        );
        let _other = occupancy.admit(address(2)).unwrap();
        assert_eq!(
            occupancy.admit(address(3)).unwrap_err(),
            ConnectionRefusal::Limit
        );
        drop(first);
        let _third = occupancy.admit(address(1)).unwrap();
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_its_limit() {
        let occupancy = Arc::new(occupancy(3, 2));
        let admit = |address: &str| occupancy.admit(address.parse().unwrap());
        let _first = admit("2001:db8::1").unwrap();
        let _second = admit("2001:db8::ffff:0:0:2").unwrap();
        assert_eq!(
            admit("2001:db8::3").unwrap_err(),
            ConnectionRefusal::AddressLimit
        );
        let _other = admit("2001:db8:0:1::1").unwrap();
    }

    #[test]
    fn an_address_that_left_is_forgotten() {
        let occupancy = Arc::new(occupancy(3, 2));
        drop(occupancy.admit(address(1)).unwrap());
        assert!(occupancy.by_address.is_empty());
    }

    #[test]
    fn who_is_trusted_does_not_count_for_its_address() {
        let occupancy = Arc::new(occupancy(3, 1));
        let mut first = occupancy.admit(address(1)).unwrap();
        first.trust();
        let mut second = occupancy.admit(address(1)).unwrap();
        assert_eq!(
            occupancy.admit(address(1)).unwrap_err(),
            ConnectionRefusal::AddressLimit
        );
        second.trust();
        let third = occupancy.admit(address(1)).unwrap();
        assert_eq!(
            occupancy.admit(address(1)).unwrap_err(),
            ConnectionRefusal::Limit
        );
        drop((first, second, third));
        let _again = occupancy.admit(address(1)).unwrap();
        assert_eq!(occupancy.all.load(Ordering::Acquire), 1);
    }

    #[test]
    fn mapped_ipv4_counts_as_ipv4() {
        let occupancy = Arc::new(occupancy(3, 1));
        let _first = occupancy.admit(address(1)).unwrap();
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(
            occupancy.admit(mapped).unwrap_err(),
            ConnectionRefusal::AddressLimit
        );
    }
}
