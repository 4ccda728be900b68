//! How fast the requests of a client are read. Each costs the gateway time that others want as well, so a client that asks
//! faster than it may is not refused: what it sends waits in its socket.

use std::time::{Duration, Instant};

/// Requests for which a new connection counts: accepting one and a TLS handshake cost more than a request does.
pub(crate) const CONNECTION: u32 = 4;

/// How many requests may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// In a second, in the long run.
    pub(crate) per_second: u32,
    /// For how many seconds a client may be ahead of that.
    pub(crate) burst: Duration,
}

impl Rate {
    /// Of one connection: a client that begins asks for each of its rooms.
    pub(crate) fn of_connection(per_second: u32) -> Self {
        Self {
            per_second,
            burst: Duration::from_secs(5),
        }
    }

    /// Of all connections from one address.
    pub(crate) fn of_address(per_second: u32) -> Self {
        Self {
            per_second,
            burst: Duration::from_secs(1),
        }
    }
}

/// What one client or one address has asked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// When all that it asked would have come, had it kept to the rate. `None`: it has asked nothing.
    even_at: Option<Instant>,
}

impl Pace {
    /// Counts `requests` more. Returns when the next may be read, if that is not now.
    pub(crate) fn count(&mut self, now: Instant, requests: u32, rate: Rate) -> Option<Instant> {
        let cost = Duration::from_secs(requests.into()) / rate.per_second.max(1);
        let even_at = self.even_at.map_or(now, |even_at| even_at.max(now)) + cost;
        self.even_at = Some(even_at);
        let ahead = even_at.saturating_duration_since(now);
        let over = ahead.saturating_sub(rate.burst);
        (!over.is_zero()).then(|| now + over)
    }

    /// Whether it would be no different if it were new.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.even_at.is_none_or(|even_at| even_at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_read_at_once_and_what_follows_by_the_rate() {
        let rate = Rate::of_connection(200);
        let mut pace = Pace::default();
        let begun = Instant::now();
        for _ in 0..1_000 {
            assert_eq!(pace.count(begun, 1, rate), None);
        }
        let next = pace.count(begun, 1, rate).unwrap();
        assert_eq!(next - begun, Duration::from_millis(5));
        // Who waits as told gets on at the rate.
        let mut now = next;
        for _ in 0..1_000 {
            now = pace.count(now, 1, rate).unwrap();
        }
        assert_eq!(now - begun, Duration::from_millis(5_005));
        // Who was quiet may be quick again.
        now += Duration::from_secs(10);
        assert!(pace.is_over(now));
        assert_eq!(pace.count(now, 1_000, rate), None);
        assert!(pace.count(now, 1, rate).is_some());
        assert!(!pace.is_over(now));
    }
}
