//! What this process costs, as Linux counts it.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::fs;

use anyhow::{Context, Result};

/// Whether this program was started to measure (`cargo bench`) and not only to see that it works (`cargo test`).
pub(crate) fn is_measured() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Bytes of memory in use.
///
/// # Errors
///
/// Where there is no `/proc`.
pub(crate) fn resident() -> Result<u64> {
    status("VmRSS:")
}

/// The most bytes of memory that were in use at one time.
///
/// # Errors
///
/// Where there is no `/proc`.
pub(crate) fn peak() -> Result<u64> {
    status("VmHWM:")
}

fn status(field: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .context("no such field")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim_end().parse()?;
    Ok(kib * 1024)
}

/// Processor time of the threads of this process whose name starts with `name`, nanoseconds. Threads that ended do not
/// count.
///
/// # Errors
///
/// Where there is no `/proc`.
pub(crate) fn processor_time(name: &str) -> Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir("/proc/self/task")? {
        let folder = thread?.path();
        // A thread may end between these lines.
        let Ok(found) = fs::read_to_string(folder.join("comm")) else {
            continue;
        };
        let Ok(times) = fs::read_to_string(folder.join("schedstat")) else {
            continue;
        };
        if found.starts_with(name) {
            sum += times.split(' ').next().context("no time")?.parse::<u64>()?;
        }
    }
    Ok(sum)
}
