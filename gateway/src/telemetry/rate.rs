//! How many log lines one source may cause: a rate per source and event, so that no peer writes more log than it sends.
//!
//! The first lines of a source are written as they come, later ones as the rate allows. The rest are counted and summed
//! up in `log.suppressed`. Metrics count every event all the same.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use holdover_config::PoolName;
use holdover_protocol::user::UserUri;

use super::catalogue::Kind;
use crate::address;

/// Sources and events that are told apart. What comes beyond shares one rate per event.
const SERIES: usize = 4_096;

/// Time from the first line that is suppressed to the line that says how many were.
const SUMMARY: Duration = Duration::from_secs(10);

/// Pause between two looks for series that can be forgotten.
const TIDY: Duration = Duration::from_secs(1);

/// Who caused an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A peer, by its address. IPv6 addresses are told apart by their network, of which a peer has all addresses.
    Address(IpAddr),
    /// A user who has signed in.
    User(UserUri),
    /// A pool.
    Pool(PoolName),
    /// All those that are too many to be told apart.
    Others,
}

impl Source {
    /// The peer at this address.
    #[must_use]
    pub fn of_address(address: IpAddr) -> Self {
        Self::Address(address::source(address))
    }

    /// Lines at once, and the time until there may be another one.
    ///
    /// Anybody can be a peer, and its messages are short: it gets the least.
    fn allowance(&self) -> (u32, Duration) {
        match self {
            Self::Address(_) => (10, Duration::from_secs(10)),
            Self::User(_) | Self::Pool(_) => (50, Duration::from_secs(1)),
            Self::Others => (50, Duration::from_millis(100)),
        }
    }

    /// Which of the sources that an event names is the one that counts: a user, before the address they come from, before
    /// the pool they use.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Others => 0,
            Self::Pool(_) => 1,
            Self::Address(_) => 2,
            Self::User(_) => 3,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::User(user) => user.fmt(f),
            Self::Pool(pool) => write!(f, "pool {pool}"),
            Self::Others => f.write_str("others"),
        }
    }
}

/// Lines of one source about one event.
#[derive(Debug)]
struct Series {
    left: u32,
    /// When the next line was earned.
    earned: Instant,
    suppressed: u64,
    /// Since when lines are suppressed without a summary.
    since: Instant,
}

/// Lines that were suppressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) source: Source,
    pub(super) kind: Kind,
    pub(super) lines: u64,
}

/// The rate of every source and event.
#[derive(Debug, Default)]
pub(super) struct Rate {
    series: HashMap<(Source, Kind), Series>,
    tidied: Option<Instant>,
}

impl Rate {
    /// Whether a line may be written now.
    pub(super) fn admits(&mut self, now: Instant, source: Source, kind: Kind) -> bool {
        let mut key = (source, kind);
        if self.series.len() >= SERIES && !self.series.contains_key(&key) {
            self.tidy(now);
            if self.series.len() >= SERIES {
                key.0 = Source::Others;
            }
        }
        let (most, pause) = key.0.allowance();
        let series = self.series.entry(key).or_insert(Series {
            left: most,
            earned: now,
            suppressed: 0,
            since: now,
        });
        series.earn(now, most, pause);
        if series.left > 0 {
            series.left -= 1;
            return true;
        }
        if series.suppressed == 0 {
            series.since = now;
        }
        series.suppressed += 1;
        false
    }

    /// What was suppressed long enough ago to be summed up; with `all`, everything.
    pub(super) fn summaries(&mut self, now: Instant, all: bool) -> Vec<Summary> {
        let mut summaries = Vec::new();
        for ((source, kind), series) in &mut self.series {
            let is_due = all || now.saturating_duration_since(series.since) >= SUMMARY;
            if series.suppressed > 0 && is_due {
                summaries.push(Summary {
                    source: source.clone(),
                    kind: *kind,
                    lines: std::mem::take(&mut series.suppressed),
                });
            }
        }
        summaries
    }

    /// Forgets the series that would be no different if they were new.
    fn tidy(&mut self, now: Instant) {
        if self
            .tidied
            .is_some_and(|at| now.saturating_duration_since(at) < TIDY)
        {
            return;
        }
        self.tidied = Some(now);
        self.series.retain(|(source, _), series| {
            let (most, pause) = source.allowance();
            series.earn(now, most, pause);
            series.left < most || series.suppressed > 0
        });
    }
}

impl Series {
    fn earn(&mut self, now: Instant, most: u32, pause: Duration) {
        let since = now.saturating_duration_since(self.earned);
        let earned = since.as_millis() / pause.as_millis().max(1);
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(earned).min(most);
        self.earned = if self.left == most {
            now
        } else {
            self.earned + pause * earned
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Source {
        Source::of_address([192, 0, 2, last].into())
    }

    fn admitted(rate: &mut Rate, now: Instant, source: &Source, kind: Kind) -> usize {
        (0..100)
            .filter(|_| rate.admits(now, source.clone(), kind))
            .count()
    }

    #[test]
    fn a_flood_is_cut_for_its_source_and_event_alone() {
        let mut rate = Rate::default();
        let now = Instant::now();
        let fault = Kind::ProtocolFault;
        assert_eq!(admitted(&mut rate, now, &address(1), fault), 10);
        assert_eq!(admitted(&mut rate, now, &address(2), fault), 10);
        assert_eq!(admitted(&mut rate, now, &address(1), Kind::TlsFailed), 10);
        let later = now + Duration::from_secs(25);
        assert_eq!(admitted(&mut rate, later, &address(1), fault), 2);
        let much_later = now + Duration::from_secs(3600);
        assert_eq!(admitted(&mut rate, much_later, &address(1), fault), 10);
    }

    #[test]
    fn what_was_suppressed_is_summed_up_once() {
        let mut rate = Rate::default();
        let now = Instant::now();
        admitted(&mut rate, now, &address(1), Kind::ProtocolFault);
        assert_eq!(rate.summaries(now, false), []);
        let due = now + SUMMARY;
        let summary = Summary {
            source: address(1),
            kind: Kind::ProtocolFault,
            lines: 90,
        };
        assert_eq!(rate.summaries(due, false), [summary]);
        assert_eq!(rate.summaries(due, true), []);
    }

    #[test]
    fn sources_without_end_share_one_rate() {
        let mut rate = Rate::default();
        let now = Instant::now();
        let sources = (0..20_000_u32)
            .map(|n| Source::of_address(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into()));
        let written = sources
            .filter(|source| rate.admits(now, source.clone(), Kind::ProtocolFault))
            .count();
        assert!(rate.series.len() <= SERIES + 1, "{}", rate.series.len());
        assert_eq!(written, SERIES + 50);
        // Whoever is forgotten makes room for others.
        let later = now + Duration::from_secs(60);
        assert!(rate.admits(later, address(1), Kind::ProtocolFault));
        assert!(rate.series.len() < 10, "{}", rate.series.len());
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let of = |text: &str| Source::of_address(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), address(1));
    }
}
