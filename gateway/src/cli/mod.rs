//! The command line: one file per subcommand.
//!
//! Exit codes: 0 done; 1 no, or a fault in what was given; 2 wrong usage; 3 written, but no running gateway has applied it.

// First, so that its macros are known to the others.
#[macro_use]
mod output;

mod audit;
#[cfg(feature = "lab")]
mod chat;
mod check;
mod config;
#[cfg(feature = "lab")]
mod demo;
mod explain;
mod files;
mod http;
mod lookup;
mod pool;
#[cfg(feature = "lab")]
mod pool_serve;
mod record;
mod reload;
mod rules;
mod run;
mod running;
mod trace;
mod user;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Keeps legacy Group Chat clients working after their rooms moved to Persistent Chat.
#[derive(Debug, Parser)]
#[command(name = "holdover", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve clients until told to stop (Ctrl-C or SIGTERM)
    Run(run::RunArgs),
    /// Check a configuration and every file it names; change nothing
    Check(check::CheckArgs),
    /// Have the running gateway read its files again, and say what it did with them
    Reload(reload::ReloadArgs),
    /// Show a whole installation at work: a pool, migrated rooms, users, and how to connect
    #[cfg(feature = "lab")]
    Demo(demo::DemoArgs),
    /// Talk like a legacy client, in a terminal or by a script
    #[cfg(feature = "lab")]
    Chat(chat::ChatArgs),
    /// Ask the directory where a room went
    Lookup(lookup::LookupArgs),
    /// Decide as the gateway would for a user, and say why
    Explain(explain::ExplainArgs),
    /// Show, switch and test routing rules
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// Manage the users of a digest listener
    #[command(subcommand)]
    User(user::UserCommand),
    /// Show the generations of a configuration that were in use, and go back to one
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Find out whether the record of who changed what is as it was written
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Read logs of Microsoft's servers and clients, and report what in them Holdover does not know
    #[command(subcommand)]
    Trace(trace::TraceCommand),
    /// Fill, show and serve an embedded pool
    #[command(subcommand)]
    Pool(pool::PoolCommand),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Run(args) => on_runtime(run::run(args)),
        #[cfg(feature = "lab")]
        Command::Chat(args) => on_runtime(chat::run(args)),
        Command::Check(args) => check::check(&args),
        Command::Reload(args) => reload::reload(&args),
        #[cfg(feature = "lab")]
        Command::Demo(args) => on_runtime(demo::demo(args)),
        Command::Lookup(args) => lookup::lookup(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Rules(command) => rules::rules(command),
        Command::User(command) => user::user(&command),
        Command::Config(command) => config::config(command),
        Command::Audit(command) => audit::audit(command),
        Command::Trace(command) => trace::trace(&command),
        Command::Pool(command) => pool::pool(command),
    };
    let code = result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    });
    match output::failure() {
        Some(error) => {
            eprintln!("error: cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
        None => code,
    }
}

fn on_runtime(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(command);
    // What still waits for a disk or a resolver must not hold up the end.
    runtime.shutdown_background();
    result
}
