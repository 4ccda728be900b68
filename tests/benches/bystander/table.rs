//! What was measured, as ratios, and which budgets are missed.

use std::time::Duration;

use crate::measure::{Row, is_back};

/// How much later the 99th percentile may be during an attack.
const LATE: f64 = 2.0;

/// How long a health check may take during an attack.
const HEALTH: Duration = Duration::from_secs(1);

impl Row {
    fn late(&self) -> f64 {
        self.attacked.late.as_secs_f64() / self.idle.late.as_secs_f64().max(1e-6)
    }

    /// Returns the budgets that were missed, in words.
    pub(crate) fn misses(&self) -> Vec<String> {
        let mut misses = Vec::new();
        if self.attacked.posts == 0 || self.idle.posts == 0 {
            misses.push("nothing was measured".to_owned());
        }
        if self.late() > LATE {
            misses.push(format!("p99 {:.2} times idle", self.late()));
        }
        let lost = self.idle.lost + self.attacked.lost;
        if lost > 0 {
            misses.push(format!("{lost} posts lost"));
        }
        if !is_back(self.before, self.after) {
            misses.push(format!(
                "memory {:.2} times",
                ratio(self.after, self.before)
            ));
        }
        if self.health > HEALTH {
            misses.push(format!("health check {} ms", self.health.as_millis()));
        }
        if !self.has_ended {
            misses.push("does not end when asked to".to_owned());
        }
        misses
    }
}

fn ratio(now: u64, before: u64) -> f64 {
    now as f64 / before.max(1) as f64
}

/// Prints the names of the columns.
pub(crate) fn print_header() {
    println!(
        "{:<20}{:>8}{:>9}{:>9}{:>9}{:>8}{:>8}{:>6}{:>9}{:>7}{:>7}{:>10}",
        "",
        "idle p50",
        "idle p99",
        "p50",
        "p99",
        "p50 /",
        "p99 /",
        "lost",
        "memory",
        "peak /",
        "after /",
        "health ms"
    );
}

/// Prints a row: microseconds, MiB, ratios, and what is missed.
pub(crate) fn print(row: &Row) {
    let Row { idle, attacked, .. } = row;
    println!(
        "{:<20}{:>8}{:>9}{:>9}{:>9}{:>8.2}{:>8.2}{:>6}{:>9.1}{:>7.2}{:>7.2}{:>10}  {}",
        row.name,
        idle.median.as_micros(),
        idle.late.as_micros(),
        attacked.median.as_micros(),
        attacked.late.as_micros(),
        attacked.median.as_secs_f64() / idle.median.as_secs_f64().max(1e-6),
        row.late(),
        idle.lost + attacked.lost,
        row.before as f64 / 1024.0 / 1024.0,
        ratio(row.peak, row.before),
        ratio(row.after, row.before),
        row.health.as_millis(),
        row.note
    );
    let misses = row.misses();
    if !misses.is_empty() {
        println!("{:<20}MISSED: {}", "", misses.join("; "));
    }
}
