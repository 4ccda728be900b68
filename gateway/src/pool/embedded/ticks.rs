//! Server time as messages carry it: UTC in steps of 100 ns, the resolution of seven fraction digits.

use std::fmt;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Clock;

/// How far ahead of the clock a room's times may run to stay in order: more than clocks are set back by when they are
/// corrected, and little enough that nobody takes one of them for another day.
const MOST_AHEAD: Duration = Duration::from_secs(300);

/// A jump ahead by more than this is no sleep of the machine.
const JUMP: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long the clock has to stay where it jumped to before it is believed.
const SETTLED: Duration = Duration::from_secs(60);

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

    /// The time of what happens now and follows on what happened at `last`: later than that, unless `last` lies so far
    /// ahead that the clock must have been wrong.
    pub(super) fn following(self, last: Self) -> Self {
        if last > self.after(MOST_AHEAD) {
            self
        } else {
            self.max(last.next())
        }
    }

    fn after(self, time: Duration) -> Self {
        let ticks = i64::try_from(time.as_nanos() / 100).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(ticks))
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

/// The clock that stamps messages. It follows the system's clock, but for a jump of months ahead: what was said meanwhile
/// would be found years away, so that is believed only once it has lasted.
pub(super) struct SteadyClock {
    wall: Clock,
    last: Option<(Ticks, Instant)>,
    /// When the clock was first seen where it has jumped to.
    jumped: Option<Instant>,
}

impl SteadyClock {
    pub(super) const fn new(wall: Clock) -> Self {
        Self {
            wall,
            last: None,
            jumped: None,
        }
    }

    /// The time.
    pub(super) fn now(&mut self) -> Ticks {
        let wall = Ticks::from((self.wall)());
        self.read(wall, Instant::now())
    }

    fn read(&mut self, wall: Ticks, at: Instant) -> Ticks {
        if let Some((last, seen)) = self.last {
            let expected = last.after(at.saturating_duration_since(seen));
            if wall > expected.after(JUMP) {
                let jumped = *self.jumped.get_or_insert(at);
                if at.saturating_duration_since(jumped) < SETTLED {
                    return expected;
                }
            }
        }
        self.jumped = None;
        self.last = Some((wall, at));
        wall
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    #[test]
    fn a_clock_that_goes_back_by_a_little_keeps_the_order() {
        let at = Ticks::new(10_000_000_000);
        assert_eq!(at.following(Ticks::default()), at);
        for ahead in [Duration::ZERO, Duration::from_secs(60), MOST_AHEAD] {
            assert_eq!(at.following(at.after(ahead)), at.after(ahead).next());
        }
    }

    #[test]
    fn a_room_from_years_ahead_comes_back_to_the_time_it_is() {
        let at = Ticks::new(10_000_000_000);
        let back = at.following(at.after(10 * YEAR));
        assert_eq!(back, at);
        assert_eq!(at.following(back), back.next());
    }

    #[test]
    fn a_jump_of_years_is_believed_once_it_has_lasted() {
        let mut clock = SteadyClock::new(Arc::new(Timestamp::now));
        let (wall, start) = (Ticks::new(10_000_000_000), Instant::now());
        let second = Duration::from_secs(1);
        assert_eq!(clock.read(wall, start), wall);
        let ahead = wall.after(10 * YEAR);
        assert_eq!(clock.read(ahead, start + second), wall.after(second));
        // Back again, and the next jump is a new one.
        let later = start + SETTLED;
        assert_eq!(clock.read(wall.after(SETTLED), later), wall.after(SETTLED));
        let jumped = later + second;
        let held = clock.read(ahead, jumped);
        assert_eq!(held, wall.after(SETTLED + second));
        assert_eq!(clock.read(ahead, jumped + SETTLED), ahead);
        // A machine that slept for a week, and a clock that is set back, are believed at once.
        let slept = ahead.after(Duration::from_secs(7 * 24 * 3600));
        assert_eq!(clock.read(slept, jumped + SETTLED), slept);
        assert_eq!(clock.read(wall, jumped + SETTLED), wall);
    }

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
