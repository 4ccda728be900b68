//! `holdover chat`: a legacy client in a terminal, or in a script as a probe.

mod command;
mod conversation;
mod report;
mod rooms;
mod script;
mod terminal;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use holdover_config::file;
use holdover_protocol::sip::{SipUri, Status};
use holdover_protocol::user::{UserError, UserUri};

use crate::client::{Driver, Event, Failure, Password, Profile, Server, Step};
use conversation::Conversation;
use report::{Report, Told};
use script::Script;
use terminal::Terminal;

/// Where a password may be for programs that start this one.
const PASSWORD_VARIABLE: &str = "HOLDOVER_PASSWORD";

/// Exit code when there is nobody to talk to: no connection, or no sign-in.
const NOT_SIGNED_IN: u8 = 2;

/// Sign in as a legacy Group Chat client does, and chat.
///
/// At a terminal it is a chat program. With --command, --script or --json, or when standard input is no terminal, it
/// carries out a script and says with its exit code how that went: 0 when all was done, 1 when something was refused or
/// did not come, 2 when it could not connect or sign in.
///
/// A script has one order a line:
///
///   rooms [WORDS]            list the rooms, or those whose name contains WORDS
///   join ROOM                enter a room, by its name or its ma-chan:// identifier
///   say [ROOM] TEXT          say TEXT in ROOM, else in the room joined last
///   history [ROOM] [COUNT]   show the last messages
///   expect TEXT              wait for a message that contains TEXT
///   who [ROOM]               show who is in the room
///   part [ROOM]              leave a room
///   quit                     sign out
///
/// A name with blanks stands in quotation marks after `say`. Each `expect` looks at the messages that came after the one
/// the last `expect` found, those of a history too.
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct ChatArgs {
    /// The server to connect to.
    #[arg(long, value_name = "HOST:PORT")]
    server: String,

    /// Use TLS.
    #[arg(long, requires = "ca")]
    tls: bool,

    /// The certificates (PEM) one of which must have issued the server's.
    #[arg(long, value_name = "FILE", requires = "tls")]
    ca: Option<PathBuf>,

    /// The name the server's certificate must be for, if it is not the host of --server.
    #[arg(long, value_name = "NAME", requires = "tls")]
    server_name: Option<String>,

    /// Who signs in.
    #[arg(long, value_name = "USER@DOMAIN", value_parser = user)]
    user: UserUri,

    /// A file whose first line is the password. Else HOLDOVER_PASSWORD is used, else it is asked for; it is needed only
    /// if the server wants one.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    /// The address that legacy clients call first. Default: sip:ocschat@DOMAIN of the user.
    #[arg(long, value_name = "URI", value_parser = sip_uri)]
    lookup_uri: Option<String>,

    /// An order of a script; may be given several times.
    #[arg(long = "command", value_name = "ORDER")]
    commands: Vec<String>,

    /// A script; - is standard input.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,

    /// Tell what happens as one JSON object a line.
    #[arg(long)]
    json: bool,

    /// How long, in seconds, to wait for the connection, for each answer and for each expected message.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,
}

fn user(text: &str) -> Result<UserUri, UserError> {
    UserUri::parse(text)
}

fn sip_uri(text: &str) -> Result<String, String> {
    match SipUri::parse(text) {
        Ok(_) => Ok(text.into()),
        Err(fault) => Err(fault.to_string()),
    }
}

/// Runs the subcommand.
///
/// # Errors
///
/// What cannot be told in any other way: the terminal is unusable.
pub(super) async fn run(args: ChatArgs) -> anyhow::Result<ExitCode> {
    let mut report = if args.json {
        Report::Json
    } else {
        Report::Text
    };
    let (driver, script) = match begin(&args, &mut report).await {
        Ok(begun) => begun,
        Err(error) => {
            report.tell(&Told::Error {
                text: &format!("{error:#}"),
            });
            return Ok(ExitCode::from(NOT_SIGNED_IN));
        }
    };
    let patience = args.patience();
    let done = match script {
        Some(script) => {
            script::run(
                Conversation::new(driver, args.user, report, patience),
                script,
            )
            .await
        }
        None => {
            let (terminal, report) = Terminal::open()?;
            terminal::run(
                Conversation::new(driver, args.user, report, patience),
                terminal,
            )
            .await
        }
    };
    Ok(if done {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl ChatArgs {
    fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout.into())
    }

    /// The script, unless a person is to be talked with.
    fn script(&self) -> anyhow::Result<Option<Script>> {
        let is_given = !self.commands.is_empty() || self.script.is_some();
        if is_given {
            return Script::read(&self.commands, self.script.as_deref()).map(Some);
        }
        if self.json || !std::io::stdin().is_terminal() {
            return Script::read(&[], Some(Path::new("-"))).map(Some);
        }
        Ok(None)
    }

    fn server(&self) -> anyhow::Result<Server> {
        Ok(match &self.ca {
            Some(authorities) => {
                Server::tls(&self.server, self.server_name.as_deref(), authorities)?
            }
            None => Server::tcp(&self.server)?,
        })
    }

    fn profile(&self) -> anyhow::Result<Profile> {
        let mut profile = Profile::new(self.user.clone(), rand::random());
        profile.patience = self.patience();
        profile.password = self.password()?;
        if let Some(uri) = &self.lookup_uri {
            profile.lookup_uri = uri.as_str().into();
        }
        Ok(profile)
    }

    fn password(&self) -> anyhow::Result<Option<Password>> {
        if let Some(path) = &self.password_file {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the password file {}", path.display()))?;
            let line = file::without_mark(&text).lines().next().unwrap_or_default();
            if line.is_empty() {
                bail!("the password file {} has no first line", path.display());
            }
            return Ok(Some(Password::new(line)));
        }
        match std::env::var(PASSWORD_VARIABLE) {
            Ok(password) if !password.is_empty() => Ok(Some(Password::new(password))),
            Ok(_) | Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => bail!("{PASSWORD_VARIABLE} is not UTF-8"),
        }
    }
}

/// Reads the script, connects and signs in.
async fn begin(args: &ChatArgs, report: &mut Report) -> anyhow::Result<(Driver, Option<Script>)> {
    let script = args.script()?;
    let profile = args.profile()?;
    let mut driver = match Driver::connect(&args.server()?, &profile).await {
        Ok(driver) => driver,
        Err(error) => {
            let advice = error.advice();
            return Err(advised(anyhow::Error::from(error), advice.as_deref()));
        }
    };
    let mut failure = None;
    while let Some(event) = driver.next().await {
        match event {
            Event::PasswordNeeded => {
                let password = ask_password(args).await?;
                driver.client().set_password(Instant::now(), password);
            }
            Event::SignedIn => {
                let user = args.user.as_str();
                report.tell(&Told::SignedIn {
                    user,
                    server: &args.server,
                });
            }
            Event::Ready { channel } => {
                report.tell(&Told::Ready { channel: &channel });
                return Ok((driver, script));
            }
            Event::Dropped(what) => report.tell(&Told::Dropped { what: &what }),
            Event::Failed(reason) => failure = Some(reason),
            _ => {}
        }
    }
    let failure = failure.unwrap_or(Failure::Disconnected);
    let advice = advice(&failure, args.tls);
    Err(advised(failure.into(), advice))
}

/// What went wrong, and in the next line what to try.
fn advised(error: anyhow::Error, advice: Option<&str>) -> anyhow::Error {
    match advice {
        Some(advice) => anyhow!("{error:#}\n  {advice}"),
        None => error,
    }
}

async fn ask_password(args: &ChatArgs) -> anyhow::Result<Password> {
    if !std::io::stdin().is_terminal() {
        bail!(
            "the server asks for a password: give --password-file FILE, or set {PASSWORD_VARIABLE}"
        );
    }
    let prompt = format!("Password of {}: ", args.user.address());
    let typed = tokio::task::spawn_blocking(move || terminal::ask_password(&prompt)).await??;
    Ok(Password::new(typed))
}

/// What to try after a sign-in that failed.
fn advice(failure: &Failure, tls: bool) -> Option<&'static str> {
    match failure {
        Failure::NotSip(_) | Failure::Disconnected if !tls => {
            Some("if this is a port for TLS, use --tls and --ca FILE")
        }
        Failure::Refused {
            step: Step::SignIn,
            status: Status::NOT_FOUND,
            ..
        } => Some("is the domain of --user the one that this server serves?"),
        Failure::Refused {
            step: Step::Lookup, ..
        } => Some(
            "is the lookup address right? The server's configuration names it; see --lookup-uri",
        ),
        Failure::WrongPassword(_) => {
            Some("a password belongs to one realm: if that was changed, it must be set again")
        }
        _ => None,
    }
}
