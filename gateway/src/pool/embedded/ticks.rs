//! Server time as messages carry it: UTC in steps of 100 ns, the resolution of seven fraction digits.

use std::fmt;

use jiff::Timestamp;

/// A point in time in units of 100 ns since the Unix epoch.
///
/// `Display` is the form the server sends: `2010-09-14T14:26:17.6206356Z`, always seven digits and always `Z`
/// (clients take any other offset for "now").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticks(i64);

impl Ticks {
    /// The stored number.
    pub(super) const fn new(ticks: i64) -> Self {
        Self(ticks)
    }

    /// The number to store.
    pub(super) const fn get(self) -> i64 {
        self.0
    }

    /// The earliest moment after this one.
    pub(super) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl From<Timestamp> for Ticks {
    fn from(at: Timestamp) -> Self {
        // A Timestamp ends with the year 9999, which is well within 64 bits of 100 ns.
        Self(i64::try_from(at.as_nanosecond().div_euclid(100)).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Ticks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Timestamp::from_nanosecond(i128::from(self.0) * 100).unwrap_or(Timestamp::MAX);
        write!(f, "{}", at.strftime("%Y-%m-%dT%H:%M:%S%.7fZ"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_fraction_digits_and_z() {
        let at: Timestamp = "2010-09-14T14:26:17.620635699Z".parse().unwrap();
        assert_eq!(Ticks::from(at).to_string(), "2010-09-14T14:26:17.6206356Z");
        let whole: Timestamp = "2010-09-14T14:26:17Z".parse().unwrap();
        assert_eq!(
            Ticks::from(whole).to_string(),
            "2010-09-14T14:26:17.0000000Z"
        );
    }

    #[test]
    fn next_is_one_step_later() {
        let at = Ticks::from(Timestamp::UNIX_EPOCH).next();
        assert_eq!(at.to_string(), "1970-01-01T00:00:00.0000001Z");
        assert_eq!(Ticks::new(at.get()), at);
    }
}
