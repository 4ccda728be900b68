//! Seeded runs of the session core between a model client and a model pool, on a clock of their own.
//!
//! Every run is told by its seed. `HOLDOVER_SEED=17` replays one and prints what happened, `HOLDOVER_SEEDS=100000` runs
//! that many.

mod random;
mod single;
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use single::World;

const SEEDS: u64 = 256;
const STEPS: usize = 160;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
    )
}

#[test]
fn whatever_happens_the_session_keeps_its_promises() {
    let replayed = number("HOLDOVER_SEED");
    let seeds = match replayed {
        Some(seed) => seed..seed + 1,
        None => 0..number("HOLDOVER_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let mut world = World::new(seed);
        let run = catch_unwind(AssertUnwindSafe(|| world.run(STEPS)));
        let Err(failure) = run else { continue };
        let shown = if replayed.is_some() {
            world.trace.len()
        } else {
            30
        };
        let from = world.trace.len().saturating_sub(shown);
        eprintln!("{}", world.trace[from..].join("\n"));
        eprintln!(
            "Seed {seed} fails. To see all of it: HOLDOVER_SEED={seed} cargo test -p holdover simulation"
        );
        resume_unwind(failure);
    }
}
