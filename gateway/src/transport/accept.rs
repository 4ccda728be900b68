//! What to do when the system hands over no connection.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

/// First pause; each further failure in a row doubles it.
const FIRST: Duration = Duration::from_millis(50);

/// Longest pause.
const LONGEST: Duration = Duration::from_secs(1);

/// Least time between two log lines of one listener.
const QUIET: Duration = Duration::from_secs(60);

/// The failures of one listener: how long to pause after each, and when to say so.
///
/// A failure that goes on, most often for want of file descriptors, is said once a minute, however often it is tried again.
#[derive(Debug, Default)]
pub(crate) struct AcceptFailures {
    in_a_row: u32,
    untold: u64,
    told: Option<Instant>,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Consequence {
    /// How long to wait before the next try.
    pub(crate) pause: Duration,
    /// The number of failures to tell about now, if any.
    pub(crate) tell: Option<u64>,
}

impl AcceptFailures {
    /// A connection was taken.
    pub(crate) fn accepted(&mut self) {
        self.in_a_row = 0;
    }

    /// A connection could not be taken.
    pub(crate) fn failed(&mut self, now: Instant, error: &io::Error) -> Consequence {
        if is_of_the_peer(error) {
            return Consequence {
                pause: Duration::ZERO,
                tell: None,
            };
        }
        let pause = FIRST
            .saturating_mul(1 << self.in_a_row.min(10))
            .min(LONGEST);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.untold += 1;
        let is_quiet = self
            .told
            .is_some_and(|told| now.saturating_duration_since(told) < QUIET);
        let tell = (!is_quiet).then(|| {
            self.told = Some(now);
            std::mem::take(&mut self.untold)
        });
        Consequence { pause, tell }
    }
}

/// Whether only the connection that was to be taken is lost, so that the next one can be taken at once.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_goes_on_is_told_once_a_minute() {
        let no_descriptors = io::Error::from_raw_os_error(24);
        let mut failures = AcceptFailures::default();
        let begun = Instant::now();
        let mut now = begun;
        let mut told = Vec::new();
        while now < begun + Duration::from_secs(125) {
            // A peer that leaves now and then frees a descriptor, which does not begin it anew.
            let consequence = failures.failed(now, &no_descriptors);
            if consequence.tell.is_some() {
                told.push((now - begun).as_secs());
            }
            if told.len() == 1 {
                failures.accepted();
            }
            assert!(consequence.pause >= FIRST && consequence.pause <= LONGEST);
            now += consequence.pause;
        }
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[1] >= 60 && told[2] >= 120, "{told:?}");
    }

    #[test]
    fn a_peer_that_left_costs_nothing() {
        let mut failures = AcceptFailures::default();
        let gone = io::Error::from(ErrorKind::ConnectionAborted);
        let consequence = failures.failed(Instant::now(), &gone);
        assert_eq!(
            (consequence.pause, consequence.tell),
            (Duration::ZERO, None)
        );
    }
}
