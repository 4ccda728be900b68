//! Numbers that nobody can guess from outside and that a test can repeat.

use std::time::Duration;

/// The SplitMix64 sequence: a counter, scrambled. It repeats nothing within 2^64 draws, which is what branches need; the
/// seed is what makes tags and Call-IDs hard to guess.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From half of `span` to all of it: those who failed together do not come back together.
    pub(crate) fn jitter(&mut self, span: Duration) -> Duration {
        let thousandths = u32::try_from(500 + self.draw() % 501).unwrap_or(1000);
        span * thousandths / 1000
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_seed_decides_the_sequence() {
        let drawn = |seed| {
            let mut random = Random::new(seed);
            [random.draw(), random.draw()]
        };
        // The first numbers of SplitMix64 from 0, as its authors' own program prints them.
        assert_eq!(drawn(0), [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
        assert_ne!(drawn(1), drawn(2));
    }

    #[test]
    fn jitter_stays_within_half_and_all() {
        let mut random = Random::new(7);
        let spans: HashSet<Duration> = (0..100)
            .map(|_| random.jitter(Duration::from_secs(8)))
            .collect();
        assert!(spans.len() > 50);
        assert!(
            spans
                .iter()
                .all(|span| (4..=8).contains(&span.as_secs()) && *span <= Duration::from_secs(8))
        );
    }
}
