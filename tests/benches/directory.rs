//! The directory with a million rooms: reading it, its memory, and looking rooms up in it.
//!
//! The budget: a lookup within 1 µs, loaded in 2 s, 300 MiB.

#[path = "support/process.rs"]
mod process;
#[path = "support/report.rs"]
mod report;

use std::hint::black_box;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use holdover::directory::{self, Directory};
use holdover_config::PoolName;
use holdover_config::settings::{Directory as Settings, Unlisted};
use holdover_protocol::room::RoomUri;

/// Identifiers that are looked up, in turn. Enough that neither they nor what they lead to stay in a processor's cache.
const PROBES: usize = 200_000;

fn main() -> Result<()> {
    let rooms = if process::is_measured() {
        1_000_000
    } else {
        1_000
    };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("rooms.csv");
    write_rooms(&file, rooms)?;
    let bytes = std::fs::metadata(&file)?.len();
    let pool: PoolName = "here"
        .parse()
        .map_err(|_| anyhow::anyhow!("the pool's name"))?;
    let settings = Settings {
        rooms: vec![file],
        unlisted: Unlisted::Refuse,
        default_pool: Some(pool.clone()),
        preferences_pool: None,
    };

    let before = process::resident()?;
    let (started, processor) = (Instant::now(), process::processor_time("")?);
    let loaded = directory::load(&settings, std::slice::from_ref(&pool))
        .map_err(|faults| anyhow::anyhow!("{} faults", faults.iter().count()))?;
    let took = started.elapsed();
    let worked = process::processor_time("")?.saturating_sub(processor);
    let directory = Directory::new(loaded);
    let after = process::resident()?;
    let peak = process::peak()?;

    let step = 1_000_003_usize;
    let probes = (0..PROBES).map(|probe| probe.wrapping_mul(step) % rooms);
    let keys: Vec<(RoomUri, RoomUri)> = probes
        .map(|room| Ok((uri(room, false)?, uri(room, true)?)))
        .collect::<Result<_>>()?;
    let absent = uri(rooms, true)?;

    let mut criterion = report::criterion();
    let mut group = criterion.benchmark_group("directory");
    let mut next = 0;
    let mut probe = move || {
        next = (next + 1) % PROBES;
        next
    };
    group.bench_function("resolve", |bench| {
        bench.iter(|| {
            keys.get(probe())
                .map(|(legacy, _)| directory.resolve(black_box(legacy)))
        });
    });
    group.bench_function("legacy_of", |bench| {
        bench.iter(|| {
            keys.get(probe())
                .map(|(_, migrated)| directory.legacy_of(&pool, black_box(migrated)))
        });
    });
    group.bench_function("absent", |bench| {
        bench.iter(|| directory.resolve(black_box(&absent)));
    });
    group.finish();

    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    println!(
        "\ndirectory of {rooms} rooms ({:.0} MiB of CSV)",
        mib(bytes)
    );
    println!(
        "{:<24}{:>10.2} s{:>22}",
        "load",
        took.as_secs_f64(),
        "budget 2 s"
    );
    println!(
        "{:<24}{:>10.2} s",
        "of it processor time",
        worked as f64 / 1e9
    );
    let held = mib(after.saturating_sub(before));
    println!("{:<24}{held:>10.0} MiB{:>20}", "resident", "budget 300 MiB");
    println!("{:<24}{:>10.0} MiB", "peak of the process", mib(peak));
    for name in ["resolve", "legacy_of", "absent"] {
        if let Some(time) = report::nanoseconds("directory", name) {
            println!("{name:<24}{time:>10.0} ns{:>21}", "budget 1000 ns");
        }
    }
    Ok(())
}

fn write_rooms(file: &Path, rooms: usize) -> Result<()> {
    let mut out = BufWriter::new(std::fs::File::create(file)?);
    writeln!(out, "legacy,pool,migrated,state,name,note,category")?;
    for room in 0..rooms {
        let (legacy, migrated) = (uri(room, false)?, uri(room, true)?);
        writeln!(
            out,
            "{legacy},here,{migrated},migrated,Desk of region {room} and its friends,,Category {}",
            room % 64
        )?;
    }
    out.flush()?;
    Ok(())
}

/// The identifier of a room: a GUID whose digits look drawn by lot.
fn uri(room: usize, migrated: bool) -> Result<RoomUri> {
    let seed = (room as u128 * 2 + u128::from(migrated) + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let digits = format!("{seed:032x}");
    let mut value = String::with_capacity(36);
    for (at, digit) in digits.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            value.push('-');
        }
        value.push(digit);
    }
    RoomUri::new("contoso.com", &value).context("a room's identifier")
}
