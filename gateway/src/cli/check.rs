//! `holdover check`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use holdover_config::settings::Tls;
use holdover_config::{
    Diagnostic, Diagnostics, Loaded, PoolName, Severity, check_environment, review,
};

use super::files;
use crate::directory;
use crate::transport::tls::{Acceptor, TlsError};

/// Stable code of a certificate and a key that do not make a pair.
const UNUSABLE_CERTIFICATE: &str = "HT001";

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
    let (found, summary) = match holdover_config::load(&args.config) {
        Ok(loaded) => check_files(&loaded),
        Err(faults) => (faults, String::new()),
    };
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

fn check_files(loaded: &Loaded) -> (Diagnostics, String) {
    let mut found = loaded.warnings.clone();
    found.append(review(loaded, jiff::Timestamp::now()));
    found.append(check_environment(loaded));
    let fixed = &loaded.settings.fixed;
    let pools: Vec<PoolName> = fixed.pools.iter().map(|pool| pool.name.clone()).collect();
    let mut rooms = 0;
    // Files that are not there were told already.
    if !found.has_errors() {
        for listener in &fixed.listeners {
            if let (Some(tls), Err(error)) = (listener.tls(), Acceptor::of(&listener.peers)) {
                found.push(unusable(tls, error));
            }
        }
    }
    let directory = &loaded.settings.live.directory;
    if directory.rooms.iter().all(|file| file.is_file()) {
        match directory::load(directory, &pools) {
            Ok(directory) => rooms = directory.len(),
            Err(faults) => found.append(faults),
        }
    }
    let summary = format!(
        "good. {} listener(s), {} pool(s), {rooms} room(s) in the directory",
        fixed.listeners.len(),
        fixed.pools.len(),
    );
    (found, summary)
}

/// Each file is fine, but no TLS server can be made of the two: the gateway would refuse to start.
fn unusable(tls: &Tls, error: TlsError) -> Diagnostic {
    // With its causes: the file alone does not help.
    let error = anyhow::Error::new(error);
    let file = tls.certificate.display().to_string();
    Diagnostic::whole_file(
        Severity::Error,
        UNUSABLE_CERTIFICATE,
        file,
        format!("the certificate cannot be used: {error:#}"),
    )
    .help("give the private key that the certificate was made for")
}
