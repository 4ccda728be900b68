//! How a server is: whether it can be reached, and whether it does its work.
//!
//! Reached: at least one connection to it is up and proved itself. Working: the last calls to it did not fail in a row. A
//! server that fails is ejected: for a while no leg is opened on it, those it has stay. When the while is over it is asked
//! for a sign of life first (half-open), and only an answer brings it back. A server that fails again soon is left alone
//! for longer.

use std::time::{Duration, Instant};

use super::leg::Sign;
use crate::random::Random;

/// Failures in a row after which a server is ejected.
const FAILURES: u32 = 3;

/// Failures further apart than this are not in a row.
const IN_A_ROW: Duration = Duration::from_secs(60);

/// How long the first ejection lasts; each further one twice as long.
const FIRST_EJECTION: Duration = Duration::from_secs(5);

/// How long an ejection lasts at most.
const LONGEST_EJECTION: Duration = Duration::from_secs(300);

/// What became of a server by what was noted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It can be reached.
    Up,
    /// It cannot be reached any more, or not at all.
    Down {
        /// Whether it could before.
        was_up: bool,
    },
    /// It gets no new legs for this long.
    Ejected(Duration),
    /// It gets legs again.
    Restored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Unknown,
    Up,
    Down,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub(super) struct Health {
    reach: Reach,
    /// Connections that are up.
    connections: usize,
    failures: u32,
    failed_at: Option<Instant>,
    /// Ejections since it last took a leg.
    ejections: u32,
    ejected_until: Option<Instant>,
}

impl Health {
    pub(super) fn new() -> Self {
        Self {
            reach: Reach::Unknown,
            connections: 0,
            failures: 0,
            failed_at: None,
            ejections: 0,
            ejected_until: None,
        }
    }

    /// A connection proved itself.
    pub(super) fn connected(&mut self) -> Option<Change> {
        self.connections += 1;
        (std::mem::replace(&mut self.reach, Reach::Up) != Reach::Up).then_some(Change::Up)
    }

    /// A connection ended, or could not be made. `proved`: [`connected`](Self::connected) was told of it.
    pub(super) fn disconnected(&mut self, proved: bool) -> Option<Change> {
        self.connections -= usize::from(proved).min(self.connections);
        if self.connections > 0 {
            return None;
        }
        match std::mem::replace(&mut self.reach, Reach::Down) {
            Reach::Up => Some(Change::Down { was_up: true }),
            Reach::Unknown => Some(Change::Down { was_up: false }),
            Reach::Down => None,
        }
    }

    /// A leg saw something.
    pub(super) fn saw(&mut self, now: Instant, sign: Sign, random: &mut Random) -> Option<Change> {
        if sign == Sign::Good {
            self.failures = 0;
            self.ejections = 0;
            return self
                .ejected_until
                .take()
                .is_some()
                .then_some(Change::Restored);
        }
        let in_a_row = self.failed_at.is_some_and(|last| now < last + IN_A_ROW);
        self.failures = if in_a_row { self.failures + 1 } else { 1 };
        self.failed_at = Some(now);
        let still_ejected = self.ejected_until.is_some_and(|until| now < until);
        if still_ejected || self.failures < FAILURES {
            return None;
        }
        Some(self.eject(now, random))
    }

    /// The sign of life that was asked for came.
    pub(super) fn proved(&mut self, now: Instant) -> Option<Change> {
        if self.ejected_until.is_none_or(|until| until > now) {
            return None;
        }
        self.ejected_until = None;
        // One more failure sends it back.
        self.failures = FAILURES - 1;
        self.failed_at = Some(now);
        Some(Change::Restored)
    }

    /// The sign of life says that it cannot serve.
    pub(super) fn disproved(&mut self, now: Instant, random: &mut Random) -> Option<Change> {
        let still_ejected = self.ejected_until.is_some_and(|until| now < until);
        (!still_ejected).then(|| self.eject(now, random))
    }

    fn eject(&mut self, now: Instant, random: &mut Random) -> Change {
        let longest = FIRST_EJECTION.saturating_mul(1 << self.ejections.min(10));
        let wait = random.jitter(longest.min(LONGEST_EJECTION));
        self.ejections = self.ejections.saturating_add(1);
        self.ejected_until = Some(now + wait);
        Change::Ejected(wait)
    }

    /// Whether it may be given new legs.
    pub(super) fn is_working(&self) -> bool {
        self.ejected_until.is_none()
    }

    /// Until when it is left alone; over or not, it then takes a sign of life.
    pub(super) fn ejected_until(&self) -> Option<Instant> {
        self.ejected_until
    }

    /// Whether nothing is known of it yet.
    pub(super) fn is_untried(&self) -> bool {
        self.reach == Reach::Unknown
    }

    /// For people.
    pub(super) fn name(&self, now: Instant) -> &'static str {
        match (self.reach, self.ejected_until) {
            (Reach::Unknown, _) => "connecting",
            (Reach::Down, _) => "down",
            (Reach::Up, Some(until)) if until <= now => "half-open",
            (Reach::Up, Some(_)) => "ejected",
            (Reach::Up, None) => "up",
        }
    }

    /// Connections that are up.
    pub(super) fn connections(&self) -> usize {
        self.connections
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_up_while_one_connection_is() {
        let mut health = Health::new();
        assert_eq!(health.connected(), Some(Change::Up));
        assert_eq!(health.connected(), None);
        assert_eq!(health.disconnected(true), None);
        assert_eq!(
            health.disconnected(true),
            Some(Change::Down { was_up: true })
        );
        assert_eq!(health.disconnected(false), None, "told once");
        assert_eq!(health.connected(), Some(Change::Up));
        let mut health = Health::new();
        assert_eq!(
            health.disconnected(false),
            Some(Change::Down { was_up: false })
        );
    }

    #[test]
    fn failures_in_a_row_eject_and_a_sign_of_life_restores() {
        let (mut health, mut random) = (Health::new(), Random::new(1));
        let mut now = Instant::now();
        health.connected();
        assert_eq!(health.saw(now, Sign::Silent, &mut random), None);
        assert_eq!(health.saw(now, Sign::Good, &mut random), None);
        assert_eq!(health.saw(now, Sign::Failing, &mut random), None);
        assert_eq!(health.saw(now, Sign::Silent, &mut random), None);
        let Some(Change::Ejected(first)) = health.saw(now, Sign::Failing, &mut random) else {
            panic!("not ejected");
        };
        assert!(!health.is_working());
        assert_eq!(health.name(now), "ejected");
        // What was under way fails as well, which is nothing new; and it is too early for a sign of life.
        assert_eq!(health.saw(now, Sign::Failing, &mut random), None);
        assert_eq!(health.proved(now), None);
        now += first;
        assert!(!health.is_working(), "half-open is not open");
        assert_eq!(health.name(now), "half-open");
        assert_eq!(health.proved(now), Some(Change::Restored));
        assert!(health.is_working());
        // It fails at once again: one failure is enough, and it is left alone for longer.
        let Some(Change::Ejected(second)) = health.saw(now, Sign::Silent, &mut random) else {
            panic!("not ejected again");
        };
        assert!(second >= FIRST_EJECTION && first <= FIRST_EJECTION);
        assert_eq!(
            health.saw(now, Sign::Good, &mut random),
            Some(Change::Restored)
        );
    }

    #[test]
    fn failures_far_apart_are_no_row() {
        let (mut health, mut random) = (Health::new(), Random::new(1));
        let mut now = Instant::now();
        for _ in 0..10 {
            assert_eq!(health.saw(now, Sign::Silent, &mut random), None);
            now += IN_A_ROW;
        }
    }

    #[test]
    fn ejections_grow_to_a_limit() {
        let (mut health, mut random) = (Health::new(), Random::new(1));
        let mut now = Instant::now();
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            let Some(Change::Ejected(wait)) = health.disproved(now, &mut random) else {
                panic!("not ejected");
            };
            last = wait;
            now += wait;
        }
        assert!((LONGEST_EJECTION / 2..=LONGEST_EJECTION).contains(&last));
    }
}
