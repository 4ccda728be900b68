//! `holdover pool`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use holdover_config::settings::{Embedded, PoolKind};
use jiff::Timestamp;

use super::files;
#[cfg(feature = "lab")]
use super::{on_runtime, pool_serve};
use crate::pool::embedded::{LoadError, RoomRow, list, load_file};

/// What can be done with an embedded pool.
#[derive(Debug, Subcommand)]
pub(super) enum PoolCommand {
    /// Put categories, rooms and their people into a pool, from a TOML file
    ///
    /// Loading the same file again changes nothing. Nothing is ever removed. A gateway that serves the pool sees the
    /// change at once.
    Load {
        /// The rooms
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        pool: Which,
    },
    /// Show the rooms of a pool
    List {
        #[command(flatten)]
        pool: Which,
        /// Print one JSON line per room
        #[arg(long)]
        json: bool,
    },
    /// Serve a pool over SIP as a Persistent Chat server of its own, for labs, until told to stop
    ///
    /// Its configuration is a file of its own kind; `config/examples/pool-serve.toml` shows all of it.
    #[cfg(feature = "lab")]
    Serve(pool_serve::ServeArgs),
}

/// Which pool.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub(super) struct Which {
    /// The pool's database
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "name"])]
    database: Option<PathBuf>,
    /// The configuration that names the pool
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The pool's name, if the configuration has several
    #[arg(long, value_name = "POOL", requires = "config")]
    name: Option<String>,
}

/// Fills, shows and serves pools.
pub(super) fn pool(command: PoolCommand) -> anyhow::Result<ExitCode> {
    match command {
        #[cfg(feature = "lab")]
        PoolCommand::Serve(args) => on_runtime(pool_serve::serve(args)),
        PoolCommand::Load { file, pool } => {
            let Some(database) = pool.database()? else {
                return Ok(ExitCode::FAILURE);
            };
            load(&database, &file)
        }
        PoolCommand::List { pool, json } => {
            let Some(database) = pool.database()? else {
                return Ok(ExitCode::FAILURE);
            };
            show(&database, json)
        }
    }
}

impl Which {
    /// The pool's database. `None`: the configuration is faulty, which was told.
    fn database(&self) -> anyhow::Result<Option<PathBuf>> {
        let Some(config) = &self.config else {
            return Ok(self.database.clone());
        };
        let loaded = match holdover_config::load(config) {
            Ok(loaded) => loaded,
            Err(faults) => {
                files::tell(&faults);
                return Ok(None);
            }
        };
        let pools = &loaded.settings.fixed.pools;
        let names = || {
            pools
                .iter()
                .map(|pool| pool.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let pool = match (&self.name, pools.as_slice()) {
            (Some(name), _) => pools.iter().find(|pool| pool.name.as_str() == name),
            (None, [only]) => Some(only),
            (None, _) => anyhow::bail!("there are several pools; choose with --name: {}", names()),
        };
        let pool = pool.with_context(|| format!("no such pool; there is {}", names()))?;
        let PoolKind::Embedded(Embedded { database, .. }) = &pool.kind else {
            anyhow::bail!(
                "the rooms of the pool `{}` are kept by its own servers",
                pool.name
            );
        };
        Ok(Some(database.clone()))
    }
}

fn load(database: &Path, file: &Path) -> anyhow::Result<ExitCode> {
    match load_file(database, file, Timestamp::now()) {
        Ok(report) => {
            files::tell(&report.warnings);
            println!(
                "{}: {} categories and {} rooms are as {} says",
                database.display(),
                report.categories,
                report.rooms,
                file.display()
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(LoadError::Faults(faults)) => {
            files::tell(&faults);
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(error.into()),
    }
}

fn show(database: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let rooms = list(database)?;
    for room in &rooms {
        if json {
            println!("{}", to_json(room));
        } else {
            print(room);
        }
    }
    if !json {
        println!("{} rooms", rooms.len());
    }
    Ok(ExitCode::SUCCESS)
}

fn print(room: &RoomRow) {
    let RoomRow {
        value,
        name,
        category,
        members,
        managers,
        presenters,
        messages,
        ..
    } = room;
    let state = if room.disabled { ", disabled" } else { "" };
    println!(
        "{value}  {name}  ({category}; {}, {}{state})",
        room.privacy.as_str(),
        room.room_type.as_str()
    );
    println!(
        "    members {members}, managers {managers}, presenters {presenters}, messages {messages}"
    );
}

fn to_json(room: &RoomRow) -> serde_json::Value {
    serde_json::json!({
        "value": room.value,
        "name": room.name,
        "description": room.description,
        "category": room.category,
        "privacy": room.privacy.as_str(),
        "type": room.room_type.as_str(),
        "disabled": room.disabled,
        "invitations": room.invitations,
        "members": room.members,
        "managers": room.managers,
        "presenters": room.presenters,
        "messages": room.messages,
        "last_message": room.last_message,
    })
}
