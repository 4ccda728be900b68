//! Wrong passwords, and for how long nobody listens to the next one.
//!
//! Whoever guesses comes back on new connections, for many users, or from many addresses. So wrong passwords are counted
//! by user and address together, by address, and by user. Each count lets some pass and then makes a pause that doubles
//! with each further one. That of a user holds back only addresses from which there were wrong passwords of that user, over
//! IPv6 with all of their site: she still signs in from everywhere else.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use holdover_protocol::sip::digest::Verdict;
use holdover_protocol::user::UserUri;

use crate::address::{site, source};

/// How many wrong passwords of one user from one address are let pass.
const FREE_OF_PAIR: u32 = 3;
/// How many from one address.
const FREE_OF_ADDRESS: u32 = 20;
/// How many of one user.
const FREE_OF_USER: u32 = 10;
/// The first pause; each further wrong password doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// After how many seconds without a pause one wrong password of one user from one address is forgotten.
const FORGET_OF_PAIR: u64 = 3600;
/// The same of one address, behind which many people may be who mistype now and then.
const FORGET_OF_ADDRESS: u64 = 60;
/// The same of one user.
const FORGET_OF_USER: u64 = 60;
/// How many wrong passwords of a user a site has had that is held back by the user's pause.
const SUSPECT: u32 = 2;
/// Counts of each kind that are kept.
const KEPT: usize = 4096;

/// The wrong passwords of a gateway. Takes a few hundred kilobytes at most.
#[derive(Debug, Default)]
pub struct Guesses(Mutex<Counts>);

/// Password not looked at: too many were wrong before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paused {
    /// How long it lasts still.
    pub(super) left: Duration,
    /// Whether it is the first request that is refused in this pause.
    pub(super) is_first: bool,
}

#[derive(Debug, Default)]
struct Counts {
    /// Makes keys of users and addresses that nobody can aim at.
    hasher: RandomState,
    pairs: Table<FREE_OF_PAIR, FORGET_OF_PAIR>,
    /// By user and site. They make no pause of their own.
    sites: Table<{ u32::MAX }, FORGET_OF_PAIR>,
    addresses: Table<FREE_OF_ADDRESS, FORGET_OF_ADDRESS>,
    users: Table<FREE_OF_USER, FORGET_OF_USER>,
}

/// Counts of one kind, by hash.
#[derive(Debug, Default)]
struct Table<const FREE: u32, const FORGET: u64>(HashMap<u64, Count>);

#[derive(Clone, Copy, Debug)]
struct Count {
    wrong: u32,
    /// When the next password is looked at.
    open_at: Instant,
    /// When the next wrong one is forgotten.
    forget_at: Instant,
    /// Whether somebody was refused in this pause.
    was_refused: bool,
}

impl Guesses {
    /// Looks at a password with `verify`, unless there were too many wrong ones from `address` or of `user`.
    ///
    /// # Errors
    ///
    /// There were; nothing was looked at, and the attempt does not count.
    pub(super) fn attempt(
        &self,
        now: Instant,
        user: &UserUri,
        address: IpAddr,
        verify: impl FnOnce() -> Verdict,
    ) -> Result<Verdict, Paused> {
        // One after the other: what is under way on another connection is known before the next is let in.
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (address, site) = (source(address), site(address));
        let keys = [
            counts.hasher.hash_one((user, site)),
            counts.hasher.hash_one((user, address)),
            counts.hasher.hash_one(address),
            counts.hasher.hash_one(user),
        ];
        let Counts {
            pairs,
            sites,
            addresses,
            users,
            ..
        } = &mut *counts;
        let [site, pair, address, user] = keys;
        pairs.pause(now, pair)?;
        addresses.pause(now, address)?;
        if sites.left(now, site) >= SUSPECT {
            users.pause(now, user)?;
        }
        let verdict = verify();
        match verdict {
            Verdict::Refused => {
                pairs.add(now, pair);
                sites.add(now, site);
                addresses.add(now, address);
                users.add(now, user);
            }
            // The address keeps its count: whoever guesses may have a password of their own.
            Verdict::Accepted => {
                pairs.forget(pair);
                sites.forget(site);
            }
            Verdict::Stale => {}
        }
        Ok(verdict)
    }
}

impl<const FREE: u32, const FORGET: u64> Table<FREE, FORGET> {
    fn pause(&mut self, now: Instant, key: u64) -> Result<(), Paused> {
        match self.0.get_mut(&key) {
            Some(count) if now < count.open_at => Err(Paused {
                left: count.open_at - now,
                is_first: !std::mem::replace(&mut count.was_refused, true),
            }),
            _ => Ok(()),
        }
    }

    /// How many wrong passwords are not forgotten yet.
    fn left(&self, now: Instant, key: u64) -> u32 {
        self.0
            .get(&key)
            .map_or(0, |count| count.left::<FORGET>(now))
    }

    fn forget(&mut self, key: u64) {
        self.0.remove(&key);
    }

    fn add(&mut self, now: Instant, key: u64) {
        let before = self.left(now, key);
        if before == 0 && self.0.len() >= KEPT {
            self.make_room(now);
        }
        let wrong = before.saturating_add(1);
        let pause = match wrong.checked_sub(FREE) {
            Some(over @ 1..) => FIRST_PAUSE
                .saturating_mul(1 << (over - 1).min(16))
                .min(LONGEST_PAUSE),
            _ => Duration::ZERO,
        };
        let count = Count {
            wrong,
            open_at: now + pause,
            forget_at: now + pause + Duration::from_secs(FORGET),
            was_refused: false,
        };
        self.0.insert(key, count);
    }

    /// Forgets what is over, or else what says least.
    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, count| count.left::<FORGET>(now) > 0);
        if self.0.len() < KEPT {
            return;
        }
        // A quarter at once: the next ones find room.
        let mut counts: Vec<u32> = self.0.values().map(|count| count.wrong).collect();
        let quarter = counts.len() / 4;
        let (_, limit, _) = counts.select_nth_unstable(quarter);
        let (limit, mut left) = (*limit, quarter);
        self.0.retain(|_, count| {
            let goes = left > 0 && count.wrong <= limit;
            left -= usize::from(goes);
            !goes
        });
    }
}

impl Count {
    fn left<const FORGET: u64>(&self, now: Instant) -> u32 {
        if now < self.forget_at {
            return self.wrong;
        }
        let since = now.duration_since(self.forget_at).as_secs();
        let forgotten = 1 + since / FORGET;
        self.wrong
            .saturating_sub(forgotten.try_into().unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: [u8; 4] = [10, 0, 0, 1];
    const THERE: [u8; 4] = [10, 0, 0, 2];

    fn user(name: &str) -> UserUri {
        UserUri::parse(&format!("{name}@contoso.com")).unwrap()
    }

    struct Gateway {
        guesses: Guesses,
        now: Instant,
        looked: u32,
    }

    impl Gateway {
        fn new() -> Self {
            Self {
                guesses: Guesses::default(),
                now: Instant::now(),
                looked: 0,
            }
        }

        fn attempt(&mut self, name: &str, from: impl Into<IpAddr>, is_right: bool) -> bool {
            let looked = &mut self.looked;
            let verdict = self
                .guesses
                .attempt(self.now, &user(name), from.into(), || {
                    *looked += 1;
                    match is_right {
                        true => Verdict::Accepted,
                        false => Verdict::Refused,
                    }
                });
            verdict == Ok(Verdict::Accepted)
        }

        fn guess(&mut self, name: &str, from: impl Into<IpAddr>) {
            self.attempt(name, from, false);
        }
    }

    #[test]
    fn guesses_are_few_however_often_somebody_asks() {
        let mut gateway = Gateway::new();
        // An hour, ten in each second.
        for _ in 0..36_000 {
            gateway.guess("ann", HERE);
            gateway.now += Duration::from_millis(100);
        }
        assert!(gateway.looked < 30, "{}", gateway.looked);
        assert!(
            !gateway.attempt("ann", HERE, true),
            "not even the right one"
        );
        assert!(gateway.attempt("ann", THERE, true), "she is elsewhere");
        assert!(gateway.attempt("bob", THERE, true));
    }

    #[test]
    fn many_users_from_one_address_are_one_that_guesses() {
        let mut gateway = Gateway::new();
        for number in 0..3600 {
            gateway.guess(&format!("user{number}"), HERE);
            gateway.now += Duration::from_secs(1);
        }
        assert!(gateway.looked < 60, "{}", gateway.looked);
        assert!(gateway.attempt("user1", THERE, true));
    }

    #[test]
    fn many_addresses_get_few_guesses_each_and_the_user_gets_in() {
        let mut gateway = Gateway::new();
        for _ in 0..30 {
            for address in 0..100 {
                gateway.guess("ann", [10, 1, 0, address]);
            }
            gateway.now += Duration::from_secs(60);
        }
        // Of 3000 that were tried in half an hour.
        assert!(gateway.looked < 300, "{}", gateway.looked);
        assert!(gateway.attempt("ann", HERE, true));
    }

    #[test]
    fn a_few_mistakes_cost_nothing() {
        let mut gateway = Gateway::new();
        for _ in 0..FREE_OF_PAIR {
            gateway.guess("ann", HERE);
        }
        assert!(gateway.attempt("ann", HERE, true));
        // Once in a while, for ever.
        for _ in 0..1000 {
            gateway.guess("bob", THERE);
            gateway.now += Duration::from_secs(FORGET_OF_PAIR);
        }
        assert!(gateway.attempt("bob", THERE, true));
    }

    #[test]
    fn an_office_of_people_who_mistype_now_and_then_is_not_held_back() {
        let mut gateway = Gateway::new();
        for number in 0..1000 {
            gateway.guess(&format!("user{number}"), HERE);
            gateway.now += Duration::from_secs(FORGET_OF_ADDRESS);
            assert!(gateway.attempt(&format!("user{number}"), HERE, true));
        }
    }

    #[test]
    fn a_pause_doubles_and_its_first_refusal_is_known() {
        let mut gateway = Gateway::new();
        for _ in 0..FREE_OF_PAIR {
            gateway.guess("ann", HERE);
        }
        for seconds in [1, 2, 4, 8, 16] {
            gateway.guess("ann", HERE);
            let refused = || {
                let ask = || Verdict::Accepted;
                let (ann, here) = (user("ann"), HERE.into());
                gateway.guesses.attempt(gateway.now, &ann, here, ask)
            };
            let left = Duration::from_secs(seconds);
            let paused = |is_first| Err(Paused { left, is_first });
            assert_eq!(refused(), paused(true));
            assert_eq!(refused(), paused(false));
            gateway.now += left;
        }
        assert!(gateway.attempt("ann", HERE, true));
    }

    #[test]
    fn what_is_kept_is_bounded_and_who_guesses_most_stays() {
        let mut gateway = Gateway::new();
        for _ in 0..FREE_OF_PAIR + 8 {
            gateway.guess("ann", HERE);
            gateway.now += Duration::from_secs(1);
        }
        for number in 0..20_000_u32 {
            gateway.guess(&format!("user{number}"), IpAddr::from(number.to_be_bytes()));
        }
        let counts = gateway.guesses.0.lock().unwrap();
        assert!(counts.pairs.0.len() <= KEPT);
        assert!(counts.sites.0.len() <= KEPT);
        assert!(counts.addresses.0.len() <= KEPT);
        assert!(counts.users.0.len() <= KEPT);
        drop(counts);
        let looked = gateway.looked;
        gateway.guess("ann", HERE);
        assert_eq!(gateway.looked, looked, "the pause is still known");
    }

    #[test]
    fn addresses_of_one_subscriber_are_one() {
        let mut gateway = Gateway::new();
        let address = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
        for host in 0..100 {
            gateway.guess("ann", address(host));
        }
        assert_eq!(gateway.looked, FREE_OF_PAIR + 1);
        assert!(!gateway.attempt("ann", address(200), true));
    }
    #[test]
    fn the_networks_of_one_site_get_no_guesses_each() {
        let mut gateway = Gateway::new();
        let address = |network: u16| IpAddr::from([0x2001, 0xdb8, 1, network, 0, 0, 0, 1]);
        for network in 0..2_000 {
            gateway.guess("ann", address(network));
            gateway.now += Duration::from_millis(100);
        }
        assert!(gateway.looked < 30, "{}", gateway.looked);
        assert!(!gateway.attempt("ann", address(5_000), true));
        assert!(gateway.attempt("bob", address(5_000), true));
        assert!(gateway.attempt("ann", HERE, true), "she is elsewhere");
    }
}
