//! One attack after the other, each on a gateway of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use holdover_tests::binary::resident;

use crate::attack::{Attack, Attacker};
use crate::chat::{Chat, Summary};
use crate::health::Health;
use crate::lab::Gateway;
use crate::options::{Options, seconds};
use crate::{table, warm};

/// Time for caches and pools to warm before anything counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// What was measured beside one attack.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// The bystanders before it.
    pub(crate) idle: Summary,
    /// The bystanders during it.
    pub(crate) attacked: Summary,
    /// Bytes of memory before it.
    pub(crate) before: u64,
    /// The most bytes during it.
    pub(crate) peak: u64,
    /// Bytes afterwards, once they were back or time was over.
    pub(crate) after: u64,
    /// The slowest health check during it.
    pub(crate) health: Duration,
    /// Whether the gateway ended when it was asked to.
    pub(crate) has_ended: bool,
    /// What the attacker says.
    pub(crate) note: String,
}

/// Measures what was asked for and prints it. Returns whether all budgets were kept.
pub(crate) fn all(options: &Options) -> Result<bool> {
    if options.list {
        for attack in Attack::ALL {
            println!("{:<20}{}", attack.name(), attack.about());
        }
        return Ok(true);
    }
    table::print_header();
    let (mut is_kept, mut count) = (true, 0);
    for attack in options.attacks() {
        let mut best: Option<Row> = None;
        for _ in 0..options.repeat.max(1) {
            let row = measure(options, attack).with_context(|| attack.name().to_owned())?;
            let is_better = |best: &Row| row.misses().len() < best.misses().len();
            if best.as_ref().is_none_or(is_better) {
                best = Some(row);
            }
            if best.as_ref().is_some_and(|best| best.misses().is_empty()) {
                break;
            }
        }
        if let Some(row) = best {
            table::print(&row);
            is_kept &= row.misses().is_empty();
            count += 1;
        }
    }
    anyhow::ensure!(count > 0, "no attack has such a name; see --list");
    Ok(is_kept)
}

fn measure(options: &Options, attack: Attack) -> Result<Row> {
    let setting = attack.setting();
    let attack_time = seconds(options.seconds);
    let mut attacker = Attacker::start(attack, attack_time)?;
    let mut gateway = Gateway::start(options, &setting, attacker.pool)?;
    let addresses = gateway.addresses;
    warm::up(addresses.open)?;
    let mut chat = Chat::start(addresses.open, options.pace)?;
    std::thread::sleep(WARM_UP);

    let first = chat.mark();
    std::thread::sleep(seconds(options.idle_seconds));
    let idle = chat.settle(first..chat.mark());

    let before = gateway.memory();
    let memory = Memory::watch(gateway.statm());
    // Signing in is what everybody may do: it counts for memory, not for latency.
    attacker.prepare(addresses)?;
    let health = Health::start(addresses.admin);
    let first = chat.mark();
    let note = attacker.attack();
    let last = chat.mark();
    let health = health.stop();
    drop(attacker);
    let attacked = chat.settle(first..last);

    let begun = Instant::now();
    let mut after = gateway.memory();
    while !is_back(before, after) && begun.elapsed() < seconds(options.back_seconds) {
        std::thread::sleep(Duration::from_millis(100));
        after = gateway.memory();
    }
    let peak = memory.stop();
    chat.stop();
    let has_ended = gateway.stop()?.is_some_and(|status| status.success());
    Ok(Row {
        name: attack.name(),
        idle,
        attacked,
        before,
        peak,
        after,
        health,
        has_ended,
        note: note.unwrap_or_else(|error| format!("the attacker failed: {error:#}")),
    })
}

/// Whether memory is back within a tenth. A gateway that is gone has none.
pub(crate) fn is_back(before: u64, after: u64) -> bool {
    after > 0 && after <= before + before / 10
}

/// A look at memory again and again.
struct Memory {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Memory {
    fn watch(statm: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let peak = Arc::new(AtomicU64::new(0));
        let (is_over, most) = (Arc::clone(&stop), Arc::clone(&peak));
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) && std::path::Path::new(&statm).exists() {
                most.fetch_max(resident(&statm), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { stop, peak, thread }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        // If the process went while it looked, what it saw before still counts.
        let _ended = self.thread.join();
        self.peak.load(Ordering::Relaxed)
    }
}
