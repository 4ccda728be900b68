//! `holdover pool serve`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use holdover_config::{check_environment, serve};

use super::files;
use super::run::stop_on_signal;
use crate::serve::PoolServer;
use crate::telemetry::events::process::{ConfigLoaded, ProcessStarted};
use crate::telemetry::{self, Detail, Emit as _, Telemetry};

/// Arguments of `holdover pool serve`.
#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    /// The configuration of the pool
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print the line that says what is served as JSON
    #[arg(long)]
    json: bool,
}

/// Serves until a signal comes.
pub(super) async fn serve(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let loaded = match serve::load(&args.config) {
        Ok(loaded) => loaded,
        Err(faults) => {
            files::tell(&faults);
            return Ok(ExitCode::FAILURE);
        }
    };
    let mut found = loaded.warnings.clone();
    found.append(check_environment(&loaded));
    files::tell(&found);
    if found.has_errors() {
        return Ok(ExitCode::FAILURE);
    }
    let settings = loaded.settings;
    let telemetry = Telemetry::new();
    let _last_lines = telemetry::init(&settings.log, &telemetry)?;
    ProcessStarted {
        version: env!("CARGO_PKG_VERSION"),
    }
    .emit(&telemetry);
    ConfigLoaded {
        file: Detail::new(args.config.display()),
        generation: 1,
    }
    .emit(&telemetry);
    // Taken before anything is open: a signal during the start is not lost.
    let stop = stop_on_signal()?;
    let pool = settings.pool.clone();
    let server = PoolServer::build(settings, telemetry).await?;
    let line = if args.json {
        ready_json(&pool, &server)
    } else {
        ready_text(&pool, &server)
    };
    // Whoever started this waits for the line, and may be behind a pipe.
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()?;
    drop(stdout);
    server.run(stop).await;
    Ok(ExitCode::SUCCESS)
}

fn ready_text(pool: &serve::Pool, server: &PoolServer) -> String {
    let places: Vec<_> = server
        .listeners()
        .map(|(_, address, tls)| format!("{} {address}", transport(tls)))
        .collect();
    format!(
        "{} is served as {} on {}",
        pool.name,
        pool.uri,
        places.join(", ")
    )
}

fn ready_json(pool: &serve::Pool, server: &PoolServer) -> String {
    let listeners: Vec<_> = server
        .listeners()
        .map(|(name, address, tls)| {
            serde_json::json!({ "name": name, "address": address.to_string(), "transport": transport(tls) })
        })
        .collect();
    serde_json::json!({
        "pool": pool.name.as_str(),
        "uri": pool.uri.as_str(),
        "listeners": listeners,
    })
    .to_string()
}

fn transport(tls: bool) -> &'static str {
    if tls { "tls" } else { "tcp" }
}
