//! `holdover check`.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use holdover_config::settings::PoolKind;
use holdover_config::{
    Diagnostic, Diagnostics, PoolName, Remark, Settings, Severity, codes, remark, review,
};
use holdover_protocol::room::RoomUri;
use jiff::Timestamp;

use super::files;
use super::running::{self, Answer, Fault};
use crate::descriptors::{Descriptors, most_allowed, reserve};
use crate::directory;
use crate::history::History;
use crate::pool::embedded;
use crate::reload::{Reader, Version};
use crate::routing::{self, KnownPools, Routing};

/// Code of a limit on open files that is too low.
const DESCRIPTORS_LACKING: &str = "HT006";

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
            let lack = lack_of_descriptors(&version, &args.config);
            let absent = not_on_pools(&version);
            let mut found = version.warnings;
            if let Some(lack) = lack {
                found.push(lack);
            }
            found.append(absent);
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
        if let Some(loaded) = &read.loaded {
            compare(args, &loaded.settings);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The limit on open files is that of whoever asks, which most often is that of the gateway.
fn lack_of_descriptors(version: &Version, config: &Path) -> Option<Diagnostic> {
    let fixed = &version.settings.fixed;
    let connections = version.settings.live.limits.connections;
    let descriptors = Descriptors::new(most_allowed(), reserve(fixed));
    let (limit, usable) = descriptors.lack(connections)?;
    let message = format!(
        "{connections} connections are allowed, but only {limit} open files: {usable} connections can be served"
    );
    let file = config.display().to_string();
    let warning = Diagnostic::whole_file(Severity::Warning, DESCRIPTORS_LACKING, file, message);
    Some(warning.help(
        "raise the hard limit (`LimitNOFILE=` of systemd, `ulimit -Hn`), or lower `connections` in `[limits]`",
    ))
}

/// Says what the running gateway, if there is one, would do with the files.
fn compare(args: &CheckArgs, settings: &Settings) {
    let history = settings.fixed.history.as_ref().map(History::new);
    match running::try_out(&args.config, Some(settings), history.as_ref()) {
        Answer::InUse(generation) => {
            println!("the running gateway uses the files, or would, as generation {generation}");
        }
        Answer::Refused(refusal) => {
            let is_fixed = |fault: &Fault| fault.code == codes::FIXED_CHANGED;
            let mut errors = refusal.faults.iter().filter(|fault| fault.is_error());
            let needs_restart = errors.clone().next().is_some() && errors.all(is_fixed);
            println!(
                "{}; the running gateway goes on with generation {}:",
                match needs_restart {
                    true => "valid, but needs a restart",
                    false => "valid, but a reload does not apply it",
                },
                refusal.generation
            );
            for line in refusal.lines() {
                println!("{line}");
            }
            if refusal.faults.is_empty() {
                println!("{}", refusal.error);
            }
        }
        // Whether one runs cannot be known, and need not be.
        Answer::Silent(_) | Answer::Unknown => {}
    }
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

/// Lines of the directory that lead to rooms which their embedded pool does not have. A database that is not there yet, or
/// cannot be read, says nothing.
fn not_on_pools(version: &Version) -> Diagnostics {
    let fixed = &version.settings.fixed;
    let embedded = fixed.pools.iter().filter_map(|pool| match &pool.kind {
        PoolKind::Embedded(embedded) if embedded.database.exists() => {
            let rooms = embedded::rooms(&embedded.database, embedded.domain.as_str()).ok()?;
            Some((pool.name.clone(), rooms))
        }
        PoolKind::Embedded(_) | PoolKind::Sip(_) => None,
    });
    let known: HashMap<PoolName, HashSet<RoomUri>> = embedded.collect();
    let files = &version.settings.live.directory.rooms;
    directory::missing(&version.directory, files, |pool, room| {
        known.get(pool).is_some_and(|rooms| !rooms.contains(room))
    })
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
