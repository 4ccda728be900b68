//! What is to be measured.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::attack::Attack;

/// What two users who chat notice while others attack the gateway.
#[derive(Clone, Debug, Parser)]
#[command(name = "bystander")]
pub(crate) struct Options {
    /// Attacks whose name starts with one of these; default: all
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Print the names of the attacks and what they do
    #[arg(long)]
    pub(crate) list: bool,
    /// Exit with 1 if a budget is missed
    #[arg(long)]
    pub(crate) check: bool,
    /// Seconds that each attack goes on
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Seconds of undisturbed chat before each attack
    #[arg(long, default_value_t = 8.0)]
    pub(crate) idle_seconds: f64,
    /// Seconds after an attack in which memory must be back
    #[arg(long, default_value_t = 20.0)]
    pub(crate) back_seconds: f64,
    /// Measurements of an attack that misses a budget; the best one counts
    #[arg(long, default_value_t = 1)]
    pub(crate) repeat: usize,
    /// Posts a second of the two users together
    #[arg(long, default_value_t = 200)]
    pub(crate) pace: u32,
    /// Another gateway to measure, such as an older build
    #[arg(long)]
    pub(crate) gateway: Option<PathBuf>,
    /// Shorter phases: 3 seconds each
    #[arg(long)]
    pub(crate) quick: bool,
    /// What `cargo bench` says
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Returns what the command line says. A run that only has to work (`cargo test`) has one attack, and no budget.
    pub(crate) fn read(is_measured: bool) -> Self {
        // `cargo test` has arguments of its own.
        let mut options = match is_measured {
            true => Self::parse(),
            false => Self::parse_from(["bystander"]),
        };
        if options.quick {
            options.seconds = options.seconds.min(3.0);
            options.idle_seconds = options.idle_seconds.min(3.0);
        }
        if !is_measured {
            options.only = vec!["a12".to_owned()];
            options.seconds = 0.3;
            options.idle_seconds = 0.3;
            options.back_seconds = 0.1;
        }
        options
    }

    /// Returns the attacks to measure.
    pub(crate) fn attacks(&self) -> impl Iterator<Item = Attack> {
        let is_wanted = |attack: &Attack| {
            let name = attack.name();
            self.only.is_empty() || self.only.iter().any(|only| name.starts_with(only.as_str()))
        };
        Attack::ALL.iter().copied().filter(is_wanted)
    }
}

/// Returns a time that an option gives in seconds.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.05, 600.0))
}
