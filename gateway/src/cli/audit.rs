//! `holdover audit`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::files;
use crate::audit::verify;

/// What can be done with the audit file.
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Find out whether somebody changed the audit file
    ///
    /// Names the first record that does not fit, and why. To find a file that was made anew as a whole, compare the hash
    /// that this prints with the one of the event audit.recorded in the log.
    Verify(VerifyArgs),
}

/// Arguments of `holdover audit verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The audit file
    #[arg(value_name = "FILE", required_unless_present = "config")]
    file: Option<PathBuf>,
    /// The configuration that names the audit file
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
}

/// Looks at the audit file.
pub(super) fn audit(command: AuditCommand) -> anyhow::Result<ExitCode> {
    let AuditCommand::Verify(VerifyArgs { file, config }) = command;
    let file = match (file, config) {
        (Some(file), _) => file,
        (None, Some(config)) => {
            let Some(loaded) = files::load(&config) else {
                return Ok(ExitCode::FAILURE);
            };
            let audit = loaded.settings.fixed.audit;
            audit
                .with_context(|| format!("{} has no table `[audit]`", config.display()))?
                .file
        }
        (None, None) => anyhow::bail!("no file is given"),
    };
    let name = file.display();
    match verify(&file).with_context(|| format!("cannot read {name}"))? {
        Ok(verified) => {
            println!(
                "{name}: {} record(s), none was changed. The last has the hash {}",
                verified.records, verified.last
            );
            if !verified.anchored {
                println!("{name}.last is gone: records could be missing at the end");
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(broken) => {
            println!("{name}: {broken}");
            Ok(ExitCode::FAILURE)
        }
    }
}
