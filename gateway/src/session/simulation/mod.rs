//! Seeded runs of the session core between a model client and model pools, on a clock of their own.
//!
//! Every run is told by its seed. `HOLDOVER_SEED=17` replays one and prints what happened, `HOLDOVER_SEEDS=100000` runs
//! that many.

mod many;
mod random;
mod single;
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// One kind of run.
trait Run {
    const NAME: &str;
    /// Runs where nobody says how many.
    const SEEDS: u64;
    const STEPS: usize;

    fn begin(seed: u64, is_traced: bool) -> Self;
    fn run(&mut self);
    fn trace(&self) -> &[String];
}

impl Run for single::World {
    const NAME: &str = "simulation::a_session_and_its_pool";
    const SEEDS: u64 = 256;
    const STEPS: usize = 160;

    fn begin(seed: u64, _: bool) -> Self {
        Self::new(seed)
    }

    fn run(&mut self) {
        self.run(Self::STEPS);
    }

    fn trace(&self) -> &[String] {
        &self.trace
    }
}

impl Run for many::World {
    const NAME: &str = "simulation::a_session_and_several_pools";
    const SEEDS: u64 = 1_000;
    const STEPS: usize = 180;

    fn begin(seed: u64, is_traced: bool) -> Self {
        Self::new(seed, is_traced)
    }

    fn run(&mut self) {
        self.run(Self::STEPS);
    }

    fn trace(&self) -> &[String] {
        &self.trace
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
    )
}

fn try_one<R: Run>(world: &mut R) -> std::thread::Result<()> {
    catch_unwind(AssertUnwindSafe(|| world.run()))
}

fn run<R: Run>() {
    let replayed = number("HOLDOVER_SEED");
    let seeds = match replayed {
        Some(seed) => seed..seed + 1,
        None => 0..number("HOLDOVER_SEEDS").unwrap_or(R::SEEDS),
    };
    let mut failing = Vec::new();
    for seed in seeds {
        if try_one(&mut R::begin(seed, false)).is_err() {
            failing.push(seed);
        }
    }
    let Some(seed) = failing.first().copied() else {
        return;
    };
    let mut world = R::begin(seed, true);
    let Err(failure) = try_one(&mut world) else {
        panic!("seed {seed} fails only at times");
    };
    let trace = world.trace();
    let shown = if replayed.is_some() { trace.len() } else { 30 };
    let from = trace.len().saturating_sub(shown);
    eprintln!("{}", trace[from..].join("\n"));
    let name = R::NAME;
    eprintln!(
        "These fail: {failing:?}. To see all of one: HOLDOVER_SEED={seed} cargo test -p holdover {name}"
    );
    resume_unwind(failure);
}

/// Every step is known in advance: the oracle keeps the session's books itself.
#[test]
fn a_session_and_its_pool() {
    run::<single::World>();
}

/// Legs break, pools freeze, refuse and repeat themselves: what the client and the pools see must still add up.
#[test]
fn a_session_and_several_pools() {
    run::<many::World>();
}
