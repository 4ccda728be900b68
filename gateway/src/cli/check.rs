//! `holdover check`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use holdover_config::{Remark, remark, review};
use jiff::Timestamp;

use super::files;
use crate::reload::{Reader, Version};
use crate::routing::{self, KnownPools, Routing};

/// Arguments of `holdover check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The configuration
    #[arg(value_name = "FILE")]
    config: PathBuf,
    /// Take warnings for errors
    #[arg(long)]
    deny_warnings: bool,
    /// How the findings are printed: text on standard error, the others on standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// SARIF 2.1.0, for code hosts and editors
    Sarif,
}

/// Finds every fault of a configuration and of the files it names.
pub(super) fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let read = Reader::new(&args.config).read();
    let now = Timestamp::now();
    let (mut found, summary) = match read.version {
        Ok(version) => {
            let summary = summary(&version);
            let remarks = review_rooms(&version, now);
            let mut found = version.warnings;
            if let Some(loaded) = &read.loaded {
                found.append(remark(loaded, remarks));
            }
            (found, summary)
        }
        Err(faults) => (faults, String::new()),
    };
    if let Some(loaded) = &read.loaded {
        found.append(review(loaded, now));
    }
    let format = if args.json { Format::Json } else { args.format };
    match format {
        Format::Text => files::tell(&found),
        Format::Json => println!("{}", found.to_json()),
        Format::Sarif => println!("{:#}", found.to_sarif(env!("CARGO_PKG_VERSION"))),
    }
    let failed = found.has_errors() || (args.deny_warnings && !found.is_empty());
    if failed {
        return Ok(ExitCode::FAILURE);
    }
    if format == Format::Text {
        println!("{}: {summary}", args.config.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// What is odd about rules and directory together.
fn review_rooms(version: &Version, now: Timestamp) -> Vec<Remark> {
    let Version {
        settings,
        directory,
        ..
    } = version;
    let pools = Arc::new(KnownPools::new(&settings.fixed));
    let routing = Routing::new(1, &settings.live, Arc::clone(directory), pools);
    routing.map_or_else(Vec::new, |routing| routing::review::review(&routing, now))
}

fn summary(version: &Version) -> String {
    let fixed = &version.settings.fixed;
    format!(
        "good. {} listener(s), {} pool(s), {} room(s) in the directory",
        fixed.listeners.len(),
        fixed.pools.len(),
        version.directory.rooms(),
    )
}
