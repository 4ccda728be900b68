//! How many may be connected at a time, how much memory their unfinished messages may take, and how fast their requests are
//! read: in all, and from one source (an IPv4 address, or a /64 network over IPv6).

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Instant;

use dashmap::DashMap;

use super::pace::{Pace, Rate};
use crate::address::source;
use crate::descriptors::Descriptors;
use crate::telemetry::events::connection::{ConnectionEnd, ConnectionRefusal};

/// Bytes of each connection's unfinished message that are not counted: heads that come in two pieces are nobody's fault, and
/// must not be refused because others fill the memory.
const FREE: usize = 2048;

/// Sources without a connection that are remembered for how much they asked.
const REMEMBERED: usize = 1_024;

/// The memory for messages that have come in part, of all connections of all listeners.
#[derive(Debug)]
pub struct UnfinishedBytes {
    most: AtomicUsize,
    /// Of those that have not signed in.
    of_strangers: AtomicUsize,
    /// Of all others.
    of_users: AtomicUsize,
}

impl UnfinishedBytes {
    /// At most so many; a quarter of it for those that have not signed in.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            most: AtomicUsize::new(most),
            of_strangers: AtomicUsize::new(0),
            of_users: AtomicUsize::new(0),
        }
    }

    /// Sets another bound. What is held stays.
    fn limit(&self, most: usize) {
        self.most.store(most, Ordering::Release);
    }

    fn take(&self, held: Held) -> bool {
        let most = self.most.load(Ordering::Acquire);
        let (taken, bytes, most) = match held {
            Held::Nothing => return true,
            Held::Stranger(bytes) => (&self.of_strangers, bytes, most / 4),
            Held::User(bytes) => (&self.of_users, bytes, most - most / 4),
        };
        let fits = taken.fetch_add(bytes, Ordering::AcqRel) + bytes <= most;
        if !fits {
            self.give_back(held);
        }
        fits
    }

    fn give_back(&self, held: Held) {
        match held {
            Held::Nothing => {}
            Held::Stranger(bytes) => {
                self.of_strangers.fetch_sub(bytes, Ordering::AcqRel);
            }
            Held::User(bytes) => {
                self.of_users.fetch_sub(bytes, Ordering::AcqRel);
            }
        }
    }
}

/// What is counted of a connection's unfinished message, and for whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Held {
    #[default]
    Nothing,
    Stranger(usize),
    User(usize),
}

/// How much there may be at a time.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// Connections.
    pub connections: usize,
    /// Connections from one source.
    pub per_address: usize,
    /// Bytes of unfinished messages from one source, before sign-in.
    pub bytes_per_address: usize,
    /// Bytes of unfinished messages in all.
    pub unfinished_bytes: usize,
    /// Requests from one source that are read in a second.
    pub requests_per_address: u32,
}

/// Counts the connections of all listeners.
#[derive(Debug)]
pub struct Occupancy {
    most: AtomicUsize,
    most_per_address: AtomicUsize,
    bytes_per_address: AtomicUsize,
    requests_per_address: AtomicU32,
    all: AtomicUsize,
    /// Sources without a connection in `by_address`, at most.
    remembered: AtomicUsize,
    by_address: DashMap<IpAddr, OfAddress>,
    unfinished: Arc<UnfinishedBytes>,
    /// What clients and front ends share.
    descriptors: Arc<Descriptors>,
}

#[derive(Debug, Default)]
struct OfAddress {
    connections: usize,
    /// Of unfinished messages, before sign-in.
    bytes: usize,
    pace: Pace,
}

/// The right to be connected; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    occupancy: Arc<Occupancy>,
    /// The address that it counts for.
    address: Option<IpAddr>,
    held: Held,
}

impl Permit {
    /// The peer has shown who it is: others from its address may come for their own, however many it brings.
    pub(crate) fn trust(&mut self) {
        if let Some(address) = self.address.take() {
            self.occupancy.leave(address);
        }
    }
}

impl Permit {
    /// Counts requests for the source. Returns when the next may be read, if that is not now. Who is trusted has no limit.
    pub(crate) fn pace(&self, now: Instant, requests: u32) -> Option<Instant> {
        let mut of_address = self.occupancy.by_address.get_mut(&self.address?)?;
        let per_second = self.occupancy.requests_per_address.load(Ordering::Acquire);
        of_address
            .pace
            .count(now, requests, Rate::of_address(per_second))
    }

    /// Counts what the connection's unfinished message takes now, instead of what it took before.
    ///
    /// # Errors
    ///
    /// There is no memory for it: the connection is to be closed.
    pub(crate) fn hold(&mut self, bytes: usize, is_signed_in: bool) -> Result<(), ConnectionEnd> {
        let held = match bytes {
            0..=FREE => Held::Nothing,
            _ if is_signed_in => Held::User(bytes),
            _ => Held::Stranger(bytes),
        };
        if held == self.held {
            return Ok(());
        }
        self.give_back();
        self.occupancy.take(self.address, held)?;
        self.held = held;
        Ok(())
    }

    fn give_back(&mut self) {
        self.occupancy
            .give_back(self.address, std::mem::take(&mut self.held));
    }
}

impl Occupancy {
    /// With these limits, and this memory for unfinished messages.
    #[must_use]
    pub fn new(
        most: Most,
        unfinished: Arc<UnfinishedBytes>,
        descriptors: Arc<Descriptors>,
    ) -> Self {
        descriptors.wanted(most.connections);
        Self {
            descriptors,
            most: AtomicUsize::new(most.connections),
            most_per_address: AtomicUsize::new(most.per_address),
            bytes_per_address: AtomicUsize::new(most.bytes_per_address),
            requests_per_address: AtomicU32::new(most.requests_per_address),
            all: AtomicUsize::new(0),
            remembered: AtomicUsize::new(0),
            by_address: DashMap::new(),
            unfinished,
        }
    }

    /// Sets other limits. Whoever is connected stays.
    pub fn limit(&self, most: Most) {
        self.descriptors.wanted(most.connections);
        self.most.store(most.connections, Ordering::Release);
        self.most_per_address
            .store(most.per_address, Ordering::Release);
        self.bytes_per_address
            .store(most.bytes_per_address, Ordering::Release);
        self.requests_per_address
            .store(most.requests_per_address, Ordering::Release);
        self.unfinished.limit(most.unfinished_bytes);
    }

    fn take(&self, address: Option<IpAddr>, held: Held) -> Result<(), ConnectionEnd> {
        if let (Held::Stranger(bytes), Some(address)) = (held, address)
            && let Some(mut of_address) = self.by_address.get_mut(&address)
        {
            let after = of_address.bytes.saturating_add(bytes);
            if after > self.bytes_per_address.load(Ordering::Acquire) {
                return Err(ConnectionEnd::AddressMemory);
            }
            of_address.bytes = after;
        }
        if self.unfinished.take(held) {
            return Ok(());
        }
        self.give_back_of(address, held);
        Err(ConnectionEnd::Memory)
    }

    fn give_back(&self, address: Option<IpAddr>, held: Held) {
        self.unfinished.give_back(held);
        self.give_back_of(address, held);
    }

    fn give_back_of(&self, address: Option<IpAddr>, held: Held) {
        if let (Held::Stranger(bytes), Some(address)) = (held, address)
            && let Some(mut of_address) = self.by_address.get_mut(&address)
        {
            of_address.bytes = of_address.bytes.saturating_sub(bytes);
        }
    }

    /// The limits.
    #[cfg(test)]
    pub(crate) fn limits(&self) -> Most {
        Most {
            connections: self.most.load(Ordering::Acquire),
            per_address: self.most_per_address.load(Ordering::Acquire),
            bytes_per_address: self.bytes_per_address.load(Ordering::Acquire),
            unfinished_bytes: self.unfinished.most.load(Ordering::Acquire),
            requests_per_address: self.requests_per_address.load(Ordering::Acquire),
        }
    }

    /// Admits a client, if there is room.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Permit, ConnectionRefusal> {
        let address = source(address);
        if self.all.fetch_add(1, Ordering::AcqRel) >= self.most.load(Ordering::Acquire) {
            self.all.fetch_sub(1, Ordering::AcqRel);
            return Err(ConnectionRefusal::Limit);
        }
        let mut of_address = self.by_address.entry(address).or_default();
        if of_address.connections >= self.most_per_address.load(Ordering::Acquire) {
            self.all.fetch_sub(1, Ordering::AcqRel);
            return Err(ConnectionRefusal::AddressLimit);
        }
        if !self.descriptors.take() {
            self.all.fetch_sub(1, Ordering::AcqRel);
            if of_address.connections == 0 {
                drop(of_address);
                self.forget(address);
            }
            return Err(ConnectionRefusal::Descriptors);
        }
        of_address.connections += 1;
        Ok(Permit {
            occupancy: Arc::clone(self),
            address: Some(address),
            held: Held::Nothing,
        })
    }

    fn leave(&self, address: IpAddr) {
        if let Some(mut of_address) = self.by_address.get_mut(&address) {
            of_address.connections = of_address.connections.saturating_sub(1);
        }
        self.forget(address);
    }

    /// Forgets a source without a connection, unless it would gain by coming again.
    fn forget(&self, address: IpAddr) {
        let now = Instant::now();
        let is_gone = |of_address: &OfAddress| of_address.connections == 0;
        let Some(of_address) = self.by_address.get(&address) else {
            return;
        };
        let stays = is_gone(&of_address) && !of_address.pace.is_over(now);
        drop(of_address);
        if !stays {
            self.by_address
                .remove_if(&address, |_, of_address| is_gone(of_address));
        } else if self.remembered.fetch_add(1, Ordering::AcqRel) >= REMEMBERED {
            self.remembered.store(0, Ordering::Release);
            self.by_address
                .retain(|_, of_address| !is_gone(of_address) || !of_address.pace.is_over(now));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.occupancy.descriptors.give_back();
        self.give_back();
        self.occupancy.all.fetch_sub(1, Ordering::AcqRel);
        self.trust();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn most(connections: usize, per_address: usize) -> Most {
        Most {
            connections,
            per_address,
            bytes_per_address: 10_000,
            unfinished_bytes: 100_000,
            requests_per_address: 100,
        }
    }

    fn occupancy(connections: usize, per_address: usize) -> Arc<Occupancy> {
        let most = most(connections, per_address);
        let unfinished = Arc::new(UnfinishedBytes::new(most.unfinished_bytes));
        let descriptors = Arc::new(Descriptors::new(None, 0));
        Arc::new(Occupancy::new(most, unfinished, descriptors))
    }

    #[test]
    fn memory_for_unfinished_messages_is_bounded_for_each_address_and_in_all() {
        let occupancy = occupancy(99, 99);
        let admit = |last| occupancy.admit(address(last)).unwrap();
        let mut full = admit(1);
        full.hold(6_000, false).unwrap();
        full.hold(10_000, false).unwrap();
        let mut second = admit(1);
        // Another of the address has what nobody is charged for, and what users have.
        second.hold(FREE, false).unwrap();
        let refused = second.hold(FREE + 1, false);
        assert_eq!(refused, Err(ConnectionEnd::AddressMemory));
        second.hold(60_000, true).unwrap();
        // A quarter is for strangers.
        let mut other = admit(2);
        other.hold(9_000, false).unwrap();
        let mut third = admit(3);
        let refused = third.hold(9_000, false);
        assert_eq!(refused, Err(ConnectionEnd::Memory));
        third.hold(6_000, false).unwrap();
        // The rest is for users, whatever strangers do.
        let mut user = admit(3);
        user.hold(15_000, true).unwrap();
        assert_eq!(user.hold(15_001, true), Err(ConnectionEnd::Memory));
        // What was refused is not held, and what ends is given back.
        user.hold(15_000, true).unwrap();
        drop((full, second, other, third, user));
        let unfinished = &occupancy.unfinished;
        assert_eq!(unfinished.of_strangers.load(Ordering::Acquire), 0);
        assert_eq!(unfinished.of_users.load(Ordering::Acquire), 0);
        assert!(occupancy.by_address.is_empty());
    }

    #[test]
    fn descriptors_are_shared_and_given_back() {
        let descriptors = Arc::new(Descriptors::new(Some(8), 6));
        let unfinished = || Arc::new(UnfinishedBytes::new(9));
        let clients = Arc::new(Occupancy::new(
            most(9, 9),
            unfinished(),
            Arc::clone(&descriptors),
        ));
        let front_ends = Arc::new(Occupancy::new(most(9, 9), unfinished(), descriptors));
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
        let occupancy = occupancy(3, 2);
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
        let occupancy = occupancy(3, 2);
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
    fn connections_of_an_address_share_its_rate_and_coming_again_is_no_way_around_it() {
        let occupancy = occupancy(3, 2);
        let now = Instant::now();
        let first = occupancy.admit(address(1)).unwrap();
        assert_eq!(first.pace(now, 100), None);
        let second = occupancy.admit(address(1)).unwrap();
        let at = second.pace(now, 1).unwrap();
        assert_eq!((at - now).as_millis(), 10);
        drop((first, second));
        let mut again = occupancy.admit(address(1)).unwrap();
        assert!(again.pace(now, 1).is_some());
        let other = occupancy.admit(address(2)).unwrap();
        assert_eq!(other.pace(now, 1), None);
        again.trust();
        assert_eq!(again.pace(now, 1_000), None, "a front end");
    }

    #[test]
    fn addresses_that_left_are_forgotten_once_their_rate_is_even() {
        let occupancy = occupancy(3, 2);
        let long_ago = Instant::now() - std::time::Duration::from_secs(60);
        for number in 0..5_000_u32 {
            let ahead = Instant::now() + std::time::Duration::from_secs(60);
            let at = if number == 7 { ahead } else { long_ago };
            let permit = occupancy.admit(IpAddr::from(number.to_be_bytes())).unwrap();
            let _later = permit.pace(at, 1);
        }
        let left: Vec<u32> = occupancy
            .by_address
            .iter()
            .map(|entry| match entry.key() {
                IpAddr::V4(address) => address.to_bits(),
                IpAddr::V6(_) => 0,
            })
            .collect();
        assert_eq!(left, [7]);
    }

    #[test]
    fn an_address_that_left_is_forgotten() {
        let occupancy = occupancy(3, 2);
        drop(occupancy.admit(address(1)).unwrap());
        assert!(occupancy.by_address.is_empty());
    }

    #[test]
    fn who_is_trusted_does_not_count_for_its_address() {
        let occupancy = occupancy(3, 1);
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
        let occupancy = occupancy(3, 1);
        let _first = occupancy.admit(address(1)).unwrap();
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(
            occupancy.admit(mapped).unwrap_err(),
            ConnectionRefusal::AddressLimit
        );
    }
}
