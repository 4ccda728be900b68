//! `holdover demo`: a whole installation at work, to look at and to try clients on.

mod install;
mod show;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use holdover_config::LogFilter;
use holdover_config::settings::{Log, LogFormat};

use super::files;
use super::run::stop_on_signal;
use crate::run::{BuildError, Gateway};
use crate::telemetry::{self, Telemetry};
use install::Addresses;

/// Arguments of `holdover demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Keep everything in this folder, and go on with what is there [default: a temporary folder]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Where to take clients over TCP; port 0 takes any
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5060")]
    tcp: SocketAddr,
    /// Where to take clients over TLS; port 0 takes any
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5061")]
    tls: SocketAddr,
    /// Where the admin server listens; port 0 takes any
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    admin: SocketAddr,
    /// What to log, on standard error: a level or a filter
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    log: LogFilter,
    /// Print one line of JSON once it is ready, instead of words
    #[arg(long)]
    json: bool,
}

/// Installs, serves, and stops on a signal.
pub(super) async fn demo(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let telemetry = Telemetry::new();
    let log = Log {
        format: LogFormat::Text,
        level: args.log.clone(),
    };
    let _last_lines = telemetry::init(&log, &telemetry)?;
    let stop = stop_on_signal()?;
    let temporary = match &args.dir {
        Some(_) => None,
        None => Some(tempfile::tempdir().context("cannot make a temporary folder")?),
    };
    let dir = match (&args.dir, &temporary) {
        (Some(dir), _) => dir.clone(),
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => anyhow::bail!("no folder"),
    };
    let addresses = Addresses {
        tcp: args.tcp,
        tls: args.tls,
        admin: args.admin,
    };
    let Some(installed) = install::install(&dir, &addresses)? else {
        return Ok(ExitCode::FAILURE);
    };
    let gateway = match Gateway::build(installed.settings, telemetry).await {
        Ok(gateway) => gateway,
        Err(BuildError::Files(faults)) => {
            files::tell(&faults);
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    };
    let demo = show::Demo::new(&gateway, &dir, temporary.is_some())?;
    let served = tokio::spawn(gateway.run(stop));
    if args.json {
        println!("{}", demo.to_json());
    } else {
        println!("{demo}");
    }
    served.await?;
    Ok(ExitCode::SUCCESS)
}
