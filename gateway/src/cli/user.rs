//! `holdover user`.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use holdover_config::file;
use holdover_config::users::{self, Upserted};
use holdover_protocol::sip::digest::Ha1;
use holdover_protocol::user::UserUri;

use super::files;

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user, or change their password
    ///
    /// The password is asked for, or read from standard input if that is no terminal. The file keeps hashes of it
    /// (Digest HA1), which are as good as the password to whoever can read them: one for each spelling in which clients
    /// send the name, such as Ann@contoso.com.
    Add {
        /// The user: name@domain
        #[arg(value_name = "USER")]
        user: String,
        /// The users file; made if it does not exist
        #[arg(long, value_name = "FILE")]
        users: PathBuf,
        /// The realm of the listener; its default is the user's domain
        #[arg(long, value_name = "REALM")]
        realm: Option<String>,
    },
}

/// Manages users.
pub(super) fn user(command: &UserCommand) -> anyhow::Result<ExitCode> {
    let UserCommand::Add { user, users, realm } = command;
    let typed = user;
    let user: UserUri = typed
        .parse()
        .with_context(|| format!("`{typed}` is no user; use name@domain"))?;
    let realm = realm.as_deref().unwrap_or_else(|| user.domain());
    let password = password(user.address())?;
    anyhow::ensure!(
        !password.is_empty(),
        "a password must not be empty: clients refuse to send it"
    );
    let mut hashes = Vec::new();
    for spelling in users::spellings(&user, typed) {
        let ha1 = Ha1::new(&spelling, realm, &password).to_hex();
        hashes.push(users::Ha1::parse(&ha1).map_err(|error| anyhow::anyhow!("{error}"))?);
    }
    match users::upsert(users, typed, &hashes) {
        Ok(Upserted::Added) => println!("added {} to {}", user.address(), users.display()),
        Ok(Upserted::Replaced) => {
            println!(
                "changed the password of {} in {}",
                user.address(),
                users.display()
            );
        }
        Err(faults) => {
            files::tell(&faults);
            return Ok(ExitCode::FAILURE);
        }
    }
    println!("a running gateway takes it with its next reload, by itself if it watches its files");
    Ok(ExitCode::SUCCESS)
}

fn password(user: &str) -> anyhow::Result<String> {
    if io::stdin().is_terminal() {
        let password = rpassword::prompt_password(format!("Password for {user}: "))?;
        let again = rpassword::prompt_password("Again: ")?;
        anyhow::ensure!(password == again, "the two are not the same");
        return Ok(password);
    }
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .context("cannot read the password")?;
    // PowerShell writes a byte order mark into pipes.
    let line = file::without_mark(&line);
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
