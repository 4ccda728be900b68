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
    field_of(&fs::read_to_string("/proc/self/status")?, field)
}

/// Bytes, where the file has them in KiB.
fn field_of(text: &str, field: &str) -> Result<u64> {
    let line = text
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

// === Other processes ===

/// A process and its children, and theirs.
///
/// # Errors
///
/// Where there is no `/proc`.
pub(crate) fn family(pid: u32) -> Result<Vec<u32>> {
    let mut parents: Vec<(u32, u32)> = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(child) = entry?.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        // A process may end between these lines.
        let Ok(stat) = fs::read_to_string(format!("/proc/{child}/stat")) else {
            continue;
        };
        // The name, in parentheses, may hold anything.
        let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
        if let Some(Ok(parent)) = after.split(' ').nth(1).map(str::parse) {
            parents.push((child, parent));
        }
    }
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(child, _)| *child),
        );
        next += 1;
    }
    Ok(family)
}

/// Processor time of these processes, nanoseconds. Threads that ended do not count.
///
/// # Errors
///
/// When one of them is gone.
pub(crate) fn processor_time_of(pids: &[u32]) -> Result<u64> {
    let mut sum = 0;
    for pid in pids {
        let tasks = format!("/proc/{pid}/task");
        for thread in fs::read_dir(&tasks).with_context(|| tasks.clone())? {
            if let Ok(times) = fs::read_to_string(thread?.path().join("schedstat")) {
                sum += times.split(' ').next().context("no time")?.parse::<u64>()?;
            }
        }
    }
    Ok(sum)
}

/// Bytes of memory of these processes. What they share counts once.
///
/// # Errors
///
/// When one of them is gone.
pub(crate) fn memory_of(pids: &[u32]) -> Result<u64> {
    let mut sum = 0;
    for pid in pids {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        sum += field_of(&rollup, "Pss:")?;
    }
    Ok(sum)
}
