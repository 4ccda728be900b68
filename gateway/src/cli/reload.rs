//! `holdover reload`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::config::history_of;
use super::running::{self, ACCEPT_FEWER, Answer};

/// Arguments of `holdover reload`.
#[derive(Debug, Args)]
pub(super) struct ReloadArgs {
    /// The configuration of the running gateway
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Apply files that may be cut short: with far fewer rooms or users than before, or a last line without a line end
    #[arg(long)]
    accept_fewer: bool,
    /// Say what would come of it, and apply nothing
    #[arg(long, conflicts_with = "accept_fewer")]
    dry_run: bool,
}

/// Has the running gateway read its files again, and says what it did with them.
pub(super) fn reload(args: &ReloadArgs) -> anyhow::Result<ExitCode> {
    let (settings, history) = history_of(&args.config);
    let (settings, history) = (settings.as_ref(), history.as_ref());
    let answer = match args.dry_run {
        true => running::try_out(&args.config, settings, history),
        false if args.accept_fewer => {
            running::reload(&args.config, settings, history, &[ACCEPT_FEWER])
        }
        false => running::reload(&args.config, settings, history, &[]),
    };
    Ok(match answer {
        Answer::InUse(generation) if args.dry_run => {
            println!("the gateway would use the files as generation {generation}");
            ExitCode::SUCCESS
        }
        Answer::InUse(generation) => {
            println!("the gateway uses the files as generation {generation}");
            ExitCode::SUCCESS
        }
        Answer::Refused(refusal) => {
            for line in refusal.lines() {
                eprintln!("{line}");
            }
            let (error, generation) = (refusal.error, refusal.generation);
            eprintln!("error: {error}; the gateway goes on with generation {generation}");
            ExitCode::FAILURE
        }
        Answer::Silent(address) => anyhow::bail!("no gateway answers on {address}"),
        Answer::Unknown => anyhow::bail!(
            "the configuration has no `[admin]` with a port, and no gateway runs that said where it is; send it SIGHUP"
        ),
    })
}
