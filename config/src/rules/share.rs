//! Percentages: which users are on which side, and stay there.

use std::fmt;

use holdover_protocol::user::UserUri;

use crate::names::PoolName;

/// A whole number from 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// `None` beyond 100.
    #[must_use]
    pub fn new(percent: u32) -> Option<Self> {
        u8::try_from(percent)
            .ok()
            .filter(|percent| *percent <= 100)
            .map(Self)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }

    /// Whether a user is among them. Who is among the first ten is among the first twenty too.
    #[must_use]
    pub fn holds(self, user: &UserUri) -> bool {
        bucket(user) < self.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A number from 0 to 99 that a user always has, on every machine and in every version (FNV-1a, mixed as in MurmurHash3's
/// finaliser, because the low bits of FNV of texts that differ in their last letters are not even).
#[must_use]
pub fn bucket(user: &UserUri) -> u8 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in user.address().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    u8::try_from(hash % 100).unwrap_or_default()
}

/// A pool and how many of the users it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The pool.
    pub pool: PoolName,
    /// Of a hundred users.
    pub percent: Percent,
}

/// Pools among which users are divided. The shares make a hundred together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares(Box<[Share]>);

impl Shares {
    /// All users to one pool.
    #[must_use]
    pub fn one(pool: PoolName) -> Self {
        let percent = Percent(100);
        Self(Box::new([Share { pool, percent }]))
    }

    /// `None` if the shares do not make a hundred.
    #[must_use]
    pub fn new(shares: Vec<Share>) -> Option<Self> {
        let sum: u32 = shares.iter().map(|share| u32::from(share.percent.0)).sum();
        (sum == 100).then(|| Self(shares.into()))
    }

    /// The pool, if there is only one.
    #[must_use]
    pub fn only(&self) -> Option<&PoolName> {
        match &*self.0 {
            [share] => Some(&share.pool),
            _ => None,
        }
    }

    /// A user's pool. A share that grows at the cost of the next one takes its users and moves nobody else.
    #[must_use]
    pub fn pool(&self, user: &UserUri) -> Option<&PoolName> {
        if let Some(only) = self.only() {
            return Some(only);
        }
        let bucket = bucket(user);
        let mut upper = 0;
        self.0
            .iter()
            .find(|share| {
                upper += share.percent.0;
                bucket < upper
            })
            .map(|share| &share.pool)
    }

    /// Each of them, as the file has them.
    #[must_use]
    pub fn as_slice(&self) -> &[Share] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: usize) -> UserUri {
        UserUri::parse(&format!("user{n}@contoso.com")).unwrap()
    }

    #[test]
    fn a_user_keeps_a_number_for_ever() {
        let ann = UserUri::parse("SIP:Ann@Contoso.com").unwrap();
        assert_eq!(
            bucket(&ann),
            bucket(&UserUri::parse("ann@contoso.com").unwrap())
        );
        // Never to change: users would change sides with an upgrade.
        assert_eq!([bucket(&ann), bucket(&user(1)), bucket(&user(2))], EVER);
    }

    const EVER: [u8; 3] = [88, 92, 28];

    #[test]
    fn users_are_spread_evenly() {
        let mut counts = [0_u32; 100];
        for n in 0..100_000 {
            counts[usize::from(bucket(&user(n)))] += 1;
        }
        assert!(
            counts.iter().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_share_that_grows_moves_nobody_back() {
        let share = |pool: &str, percent| Share {
            pool: pool.parse().unwrap(),
            percent: Percent::new(percent).unwrap(),
        };
        let before = Shares::new(vec![share("new", 10), share("old", 90)]).unwrap();
        let after = Shares::new(vec![share("new", 30), share("old", 70)]).unwrap();
        assert_eq!(Shares::new(vec![share("new", 10), share("old", 91)]), None);
        for n in 0..1000 {
            let user = user(n);
            let was_new = before.pool(&user).unwrap().as_str() == "new";
            assert!(!was_new || after.pool(&user).unwrap().as_str() == "new");
        }
    }
}
