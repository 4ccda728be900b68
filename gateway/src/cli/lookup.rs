//! `holdover lookup`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use holdover_protocol::room::RoomUri;

use super::files;
use crate::directory::{Answer, Query};

/// Arguments of `holdover lookup`.
#[derive(Debug, Args)]
pub(super) struct LookupArgs {
    /// The room's identifier: ma-chan://domain/value
    #[arg(value_name = "URI")]
    room: String,
    /// The configuration that names the directory's files
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// URI is the room's identifier on its pool; ask which legacy rooms lead to it
    #[arg(long)]
    migrated: bool,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Asks the directory, by the same code that clients and the admin server use. Exit code 1: no such room.
pub(super) fn lookup(args: &LookupArgs) -> anyhow::Result<ExitCode> {
    let room: RoomUri = match args.room.parse() {
        Ok(room) => room,
        Err(error) => {
            anyhow::bail!(
                "`{}` is no room: {error}; use ma-chan://domain/value",
                args.room
            )
        }
    };
    let Some(loaded) = files::load(&args.config) else {
        return Ok(ExitCode::FAILURE);
    };
    let settings = loaded.settings;
    let Some(directory) = files::directory(&settings) else {
        return Ok(ExitCode::FAILURE);
    };
    let query = if args.migrated {
        Query::Migrated(room)
    } else {
        Query::Legacy(room)
    };
    let explanation = directory.explain(&query, 1);
    if args.json {
        println!("{}", serde_json::to_string(&explanation)?);
    } else {
        println!("{explanation}");
    }
    let found = !matches!(explanation.answer, Answer::Unlisted);
    Ok(if found {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
