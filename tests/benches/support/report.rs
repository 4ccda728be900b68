//! Criterion's measurements as a table: beside each other, with the ratio to a baseline.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::Criterion;
use serde_json::Value;

/// Criterion as all benches here use it: short enough to run them all in minutes.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .output_directory(&folder())
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(50)
        .configure_from_args()
}

/// Where Criterion keeps its measurements: beside the program that is running, in the target folder.
fn folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program
        .ancestors()
        .nth(3)
        .unwrap_or_else(|| Path::new("target"))
        .join("criterion")
}

/// The time of one iteration of `group/name` in nanoseconds, by the least disturbed of its samples: whatever else a
/// machine does can only add to it. `None` when it was not measured.
pub(crate) fn nanoseconds(group: &str, name: &str) -> Option<f64> {
    let file = folder().join(group).join(name).join("new/sample.json");
    let sample: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    let numbers = |key| {
        Some(
            sample
                .get(key)?
                .as_array()?
                .iter()
                .filter_map(Value::as_f64),
        )
    };
    let each = numbers("times")?
        .zip(numbers("iters")?)
        .map(|(time, iters)| time / iters);
    each.min_by(f64::total_cmp)
}

/// Prints what was measured in `group`, whose iterations treat `bytes` bytes, beside its baselines.
pub(crate) fn print(group: &str, bytes: usize, names: &[&str], baselines: &[&str]) {
    let mut header = format!("{group:<18}{bytes:>8} B{:>12}{:>12}", "ns", "MB/s");
    for baseline in baselines {
        header.push_str(&format!("{:>16}", format!("/ {baseline}")));
    }
    println!("\n{header}");
    for name in names {
        let Some(time) = nanoseconds(group, name) else {
            continue;
        };
        let mut line = format!("{name:<28}{time:>12.0}{:>12.0}", bytes as f64 * 1e3 / time);
        for baseline in baselines {
            match nanoseconds(group, baseline) {
                Some(base) => line.push_str(&format!("{:>16.2}", time / base)),
                None => line.push_str(&format!("{:>16}", "-")),
            }
        }
        println!("{line}");
    }
}
