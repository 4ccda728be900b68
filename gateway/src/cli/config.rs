//! `holdover config`: what was in use, and back to it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use holdover_config::Settings;
use holdover_config::settings::History as HistorySettings;
use jiff::Timestamp;

use super::running::{self, ACCEPT_FEWER, Answer};
use super::{files, output};
use crate::audit::{self, Act, ActResult, AuditLog, Entry, Who};
use crate::history::{Generation, History, Plan, Problem, diff, rollback};

/// How many lines of the difference of a file are shown before a rollback.
const SHOWN_LINES: usize = 200;

/// What can be done with the generations of a configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// List the generations that were in use
    History(HistoryArgs),
    /// Show what a generation said
    Show(ShowArgs),
    /// Show the lines in which two generations differ
    Diff(DiffArgs),
    /// Put the files of an earlier generation in place again, and have the running gateway take them
    ///
    /// The files are restored as they were, comments too, and become a new generation. Keys, certificates and users are
    /// not touched.
    Rollback(RollbackArgs),
}

/// Where the generations are.
#[derive(Debug, Args)]
struct Of {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Arguments of `holdover config history`.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    #[command(flatten)]
    of: Of,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `holdover config show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The generation
    #[arg(value_name = "N")]
    generation: u64,
    /// Only this file of it; without it, the configuration and the files of rules
    #[arg(long, value_name = "NAME")]
    file: Option<String>,
    #[command(flatten)]
    of: Of,
}

/// Arguments of `holdover config diff`.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The generation
    #[arg(value_name = "N")]
    generation: u64,
    /// The other generation; without it, the last one
    #[arg(value_name = "M")]
    other: Option<u64>,
    #[command(flatten)]
    of: Of,
}

/// Arguments of `holdover config rollback`.
#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// The generation; without it, the one in use if the files say something else (an edit that was refused), otherwise the
    /// one before it
    #[arg(value_name = "N")]
    generation: Option<u64>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    of: Of,
}

/// Shows generations, or goes back to one.
pub(super) fn config(command: ConfigCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::History(args) => list(&args),
        ConfigCommand::Show(args) => show(&args),
        ConfigCommand::Diff(args) => compare(&args),
        ConfigCommand::Rollback(args) => go_back(&args),
    }
}

/// The settings, if they can be read, and the history. A configuration that is broken has a history all the same, where that
/// is by default: it is needed most then.
pub(super) fn history_of(config: &Path) -> (Option<Settings>, Option<History>) {
    let settings = holdover_config::load(config)
        .ok()
        .map(|loaded| loaded.settings);
    let history = match &settings {
        Some(settings) => settings.fixed.history.clone(),
        None => Some(HistorySettings {
            folder: config.with_file_name("history"),
            keep: 50,
        }),
    };
    (settings, history.as_ref().map(History::new))
}

/// The same for a command that needs a history.
fn kept_history_of(config: &Path) -> anyhow::Result<(Option<Settings>, History)> {
    let (settings, history) = history_of(config);
    let history = history.context("no generations are kept: `[history]` says `keep = 0`")?;
    Ok((settings, history))
}

fn all(history: &History) -> anyhow::Result<Vec<Generation>> {
    let all = history
        .list()
        .with_context(|| format!("cannot read the history in {}", history.folder().display()))?;
    anyhow::ensure!(
        !all.is_empty(),
        "there is no generation yet in {}: the gateway keeps what it uses",
        history.folder().display()
    );
    Ok(all)
}

fn find(all: &[Generation], number: u64) -> anyhow::Result<&Generation> {
    let found = all.iter().find(|known| known.generation == number);
    found.with_context(|| format!("generation {number} is not in the history"))
}

fn list(args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    let (_, history) = kept_history_of(&args.of.config)?;
    let all = all(&history)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(ExitCode::SUCCESS);
    }
    println!("generation  when                  who                       changed");
    let mut before: Option<&Generation> = None;
    for generation in &all {
        println!(
            "{:>10}  {:<20}  {:<24}  {}",
            generation.generation,
            generation.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            generation.who,
            what(before, generation),
        );
        before = Some(generation);
    }
    Ok(ExitCode::SUCCESS)
}

/// What a generation brought.
fn what(before: Option<&Generation>, after: &Generation) -> String {
    match after.restores {
        Some(restored) => format!("{} (rollback to {restored})", changed(before, after)),
        None => changed(before, after),
    }
}

/// The files in which a generation differs from the one before it.
fn changed(before: Option<&Generation>, after: &Generation) -> String {
    let Some(before) = before else {
        return "(the first that is kept)".to_owned();
    };
    let names = before
        .files
        .iter()
        .chain(&after.files)
        .map(|file| file.file.as_str());
    let mut changed: Vec<&str> = names
        .filter(|name| before.file(name) != after.file(name))
        .collect();
    changed.sort_unstable();
    changed.dedup();
    if changed.is_empty() {
        "users".to_owned()
    } else {
        changed.join(", ")
    }
}

fn show(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let (_, history) = kept_history_of(&args.of.config)?;
    let all = all(&history)?;
    let generation = find(&all, args.generation)?;
    if let Some(name) = &args.file {
        let hash = generation.file(name).with_context(|| {
            format!("generation {} has no file `{name}`", generation.generation)
        })?;
        output::print_file(&history.content(hash)?);
        return Ok(ExitCode::SUCCESS);
    }
    for file in &generation.files {
        println!("# ==> {}  {}", file.file, file.hash);
        if is_toml(&file.file) {
            output::print_file(&history.content(file.hash)?);
            println!();
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn is_toml(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "toml")
}

fn compare(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let (_, history) = kept_history_of(&args.of.config)?;
    let all = all(&history)?;
    let before = find(&all, args.generation)?;
    let after = match args.other {
        Some(other) => find(&all, other)?,
        None => all.last().context("there is no generation")?,
    };
    let mut names: Vec<&str> = before
        .files
        .iter()
        .chain(&after.files)
        .map(|file| file.file.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let (old, new) = (before.file(name), after.file(name));
        if old == new {
            continue;
        }
        let text = |hash: Option<_>| -> anyhow::Result<String> {
            let content = hash.map(|hash| history.content(hash)).transpose()?;
            Ok(String::from_utf8_lossy(&content.unwrap_or_default()).into_owned())
        };
        println!("--- {name} (generation {})", before.generation);
        println!("+++ {name} (generation {})", after.generation);
        print!("{}", diff(&text(old)?, &text(new)?));
    }
    Ok(ExitCode::SUCCESS)
}

fn go_back(args: &RollbackArgs) -> anyhow::Result<ExitCode> {
    let config = &args.of.config;
    let (settings, history) = kept_history_of(config)?;
    let user = audit::system_user();
    let plan = Plan::new(&history, config, args.generation)?;
    show_plan(&plan);
    if args.dry_run {
        println!("nothing was changed: this is a dry run");
        return Ok(ExitCode::SUCCESS);
    }
    drop(plan);
    let done = match rollback(&history, config, args.generation) {
        Ok(done) => done,
        Err(Problem::Faulty { generation, faults }) => {
            files::tell(&faults);
            eprintln!("error: generation {generation} is not right any more; nothing changed");
            record(
                settings.as_ref(),
                &user,
                Vec::new(),
                generation,
                ActResult::refused(&faults),
            );
            return Ok(ExitCode::FAILURE);
        }
        Err(problem) => return Err(problem.into()),
    };
    let generation = done.to.generation;
    // What is in place is right, whatever was there before.
    let settings = holdover_config::load(config)
        .ok()
        .map(|loaded| loaded.settings)
        .or(settings);
    if done.files.is_empty() {
        println!("the files say what generation {generation} said already");
    } else {
        println!("the files of generation {generation} are in place:");
        for file in &done.files {
            let what = match (&file.before, &file.after) {
                (None, _) => "restored",
                (_, None) => "removed",
                _ => "put back",
            };
            println!("  {} {what}", file.file);
        }
    }
    if let Some(folder) = &done.replaced {
        println!("what was in no generation is kept in {}", folder.display());
    }
    record(
        settings.as_ref(),
        &user,
        done.files,
        generation,
        ActResult::Applied,
    );
    // Whoever goes back means what was there, however little that is.
    let answer = running::reload(config, settings.as_ref(), Some(&history), &[ACCEPT_FEWER]);
    Ok(match answer {
        Answer::InUse(generation) => {
            println!("the gateway uses them as generation {generation}");
            ExitCode::SUCCESS
        }
        Answer::Refused(refusal) => {
            for line in refusal.lines() {
                eprintln!("{line}");
            }
            eprintln!("error: the gateway has not applied them: {}", refusal.error);
            ExitCode::FAILURE
        }
        Answer::Silent(address) => {
            println!("no gateway answers on {address}; the next start uses them");
            ExitCode::SUCCESS
        }
        Answer::Unknown => {
            println!("a running gateway applies them if it watches its files, or on SIGHUP");
            ExitCode::SUCCESS
        }
    })
}

/// Shows how the files will change.
fn show_plan(plan: &Plan) {
    let number = plan.to.generation;
    let why = match plan.is_current {
        true => "the one in use last: what is in place was never applied",
        false => "an earlier one",
    };
    println!("back to generation {number}, {why}");
    for (name, before, after) in plan.files() {
        println!("--- {name} (in place)");
        println!("+++ {name} (generation {number})");
        let text = |content: Option<&[u8]>| {
            String::from_utf8_lossy(content.unwrap_or_default()).into_owned()
        };
        let difference = diff(&text(before), &text(after));
        for line in difference.lines().take(SHOWN_LINES) {
            println!("{line}");
        }
        if let Some(more) = difference.lines().count().checked_sub(SHOWN_LINES + 1) {
            println!("({} more lines)", more + 1);
        }
    }
}

/// Writes the rollback down, if there is a file for that.
fn record(
    settings: Option<&Settings>,
    user: &str,
    files: Vec<audit::FileChange>,
    generation: u64,
    result: ActResult,
) {
    let Some(audit) = settings.and_then(|settings| settings.fixed.audit.as_ref()) else {
        return;
    };
    let entry = Entry {
        act: Act::Rollback,
        who: Who::CommandLine {
            user: user.to_owned(),
        },
        files,
        rooms: None,
        generation: Some(generation),
        result,
    };
    if let Err(error) = AuditLog::new(&audit.file).record(Timestamp::now(), &entry) {
        eprintln!("warning: cannot write {}: {error}", audit.file.display());
    }
}
