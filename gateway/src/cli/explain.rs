//! `holdover explain`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use holdover_config::suggest;
use jiff::Timestamp;

use super::{files, running};
use crate::history::History;
use crate::reload::Reader;
use crate::routing::explain::Words;
use crate::routing::{KnownPools, Routing};

/// Arguments of `holdover explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The user: ann@contoso.com
    #[arg(long, value_name = "USER")]
    user: String,
    /// The room as legacy clients know it: ma-chan://domain/value
    #[arg(long, value_name = "URI")]
    room: Option<String>,
    /// What is done: sign-in, read, post, search, download, upload or manage [default: read with a room, else sign-in]
    #[arg(long, value_name = "ACT")]
    act: Option<String>,
    /// The client's build: its User-Agent
    #[arg(long, value_name = "TEXT")]
    client: Option<String>,
    /// The client's address
    #[arg(long, value_name = "IP")]
    from_ip: Option<String>,
    /// The listener that the client came to
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// When, with offset or zone: 2026-12-05T18:00[Europe/Berlin] [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The configuration with the rules and the directory
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Decides as the gateway would, by the same code, and says why. Exit code 1: refused.
pub(super) fn explain(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let words = Words {
        user: args.user.clone(),
        room: args.room.clone(),
        client: args.client.clone(),
        from_ip: args.from_ip.clone(),
        listener: args.listener.clone(),
        at: args.at.clone(),
        act: args.act.clone(),
    };
    let asked = words.read(Timestamp::now()).map_err(|bad| {
        let option = bad.name.replace('_', "-");
        anyhow::anyhow!("--{option}: {}; {}", bad.problem, bad.help)
    })?;
    let version = match Reader::new(&args.config).read().version {
        Ok(version) => version,
        Err(faults) => {
            files::tell(&faults);
            return Ok(ExitCode::FAILURE);
        }
    };
    files::tell(&version.warnings);
    let settings = &version.settings;
    if let Some(name) = &asked.caller.listener {
        let listeners = settings.fixed.listeners.iter();
        let names: Vec<&str> = listeners.map(|listener| listener.name.as_str()).collect();
        if !names.contains(&name.as_str()) {
            let help = suggest::help(name.as_str(), &names, "the listeners are");
            anyhow::bail!("--listener: there is no listener `{name}`; {help}");
        }
    }
    let known = Arc::new(KnownPools::new(&settings.fixed));
    let Some(routing) = Routing::new(1, &settings.live, Arc::clone(&version.directory), known)
    else {
        anyhow::bail!("the configuration has no pool");
    };
    let mut explanation = routing.explain(&asked);
    let history = settings.fixed.history.as_ref().map(History::new);
    let running = running::find(&args.config, Some(settings), history.as_ref()).ok();
    let running = running.map(|(_, running)| running);
    // Only what is in use has a generation.
    explanation.generation = running
        .as_ref()
        .filter(|running| running.hash == version.hash())
        .map(|running| running.generation);
    match (&running, explanation.generation) {
        (Some(_), Some(generation)) => eprintln!("by generation {generation}, which is in use"),
        (Some(running), None) => eprintln!(
            "by the files as they are now; the running gateway uses generation {}, which says something else",
            running.generation
        ),
        (None, _) => {}
    }
    if args.json {
        println!("{}", serde_json::to_string(&explanation)?);
    } else {
        println!("{explanation}");
    }
    Ok(if explanation.allowed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
