//! `holdover run`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::files;
use crate::reload::{self, Reader};
use crate::run::{BuildError, Gateway};
use crate::telemetry::events::process::ProcessStarted;
use crate::telemetry::{self, Emit as _, Telemetry};

/// Arguments of `holdover run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Serves until a signal comes.
pub(super) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let mut reader = Reader::new(&args.config);
    let version = match reader.read().version {
        Ok(version) => version,
        Err(faults) => {
            files::tell(&faults);
            return Ok(ExitCode::FAILURE);
        }
    };
    files::tell(&version.warnings);
    let telemetry = Telemetry::new();
    let _last_lines = telemetry::init(&version.settings.fixed.log, &telemetry)?;
    ProcessStarted {
        version: env!("CARGO_PKG_VERSION"),
    }
    .emit(&telemetry);
    // Taken before anything is open: a signal during the start is not lost.
    let stop = stop_on_signal()?;
    let gateway = match Gateway::open(reader, version, telemetry).await {
        Ok(gateway) => gateway,
        Err(BuildError::Files(faults)) => {
            files::tell(&faults);
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(reloader) = gateway.reloader() {
        reload::on_hangup(reloader, stop.clone()).context("cannot listen for SIGHUP")?;
    }
    gateway.run(stop).await;
    Ok(ExitCode::SUCCESS)
}

/// Cancelled by Ctrl-C or SIGTERM. A second signal ends the process at once.
pub(super) fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        for last in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if last {
                std::process::exit(130);
            }
            token.cancel();
        }
    });
    Ok(stop)
}
