//! The record of control-plane acts: who changed what, when, and what became of it.
//!
//! Each act is one line of JSON that is added to a file and never changed. A line holds the hash of the line before it and
//! its own, so that [`verify`] finds a line that was changed, taken out, put in or moved. Whoever can write the file could make
//! the whole chain anew: keep the hash that the event `audit.recorded` tells elsewhere, as logs are, to find that as well.

mod chain;
mod lock;
mod log;
mod verify;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;

use holdover_config::Diagnostics;
use serde::Serialize;

use crate::directory::Difference;
use crate::hash::Hash;

pub use lock::lock_within;
pub use log::{AuditLog, Recorded};
pub use verify::{Broken, Verified, verify};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// The program started.
    Start,
    /// Files were read again.
    Reload,
    /// An earlier generation was put in place again.
    Rollback,
    /// A rule was enabled or disabled.
    RuleToggle,
    /// Another version of the directory came into use, by the reload that is recorded just before.
    DirectoryChange,
}

/// Who did it, as far as that can be known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Who {
    /// Who runs the program.
    Start {
        /// Name of the system's user.
        user: String,
    },
    /// A signal.
    Signal,
    /// Files changed.
    FileChange {
        /// Name of the system's user who owns the changed file.
        owner: Option<String>,
    },
    /// A request to the admin server.
    Http {
        /// Where it came from.
        peer: SocketAddr,
    },
    /// A command.
    CommandLine {
        /// Name of the system's user who ran it.
        user: String,
    },
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { user } => write!(f, "start by {user}"),
            Self::Signal => f.write_str("signal"),
            Self::FileChange { owner: Some(owner) } => write!(f, "file of {owner}"),
            Self::FileChange { owner: None } => f.write_str("file"),
            Self::Http { peer } => write!(f, "http {peer}"),
            Self::CommandLine { user } => write!(f, "command of {user}"),
        }
    }
}

/// A file, before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Its name.
    pub file: String,
    /// Hash of its content before; none if it was not there, or is secret.
    pub before: Option<Hash>,
    /// Hash of its content after; none if it is not there any more, or is secret.
    pub after: Option<Hash>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum ActResult {
    /// It is in use.
    Applied,
    /// It is written, and no running gateway has said that it is in use.
    Written,
    /// It was refused, and nothing changed.
    Refused {
        /// Number of faults.
        faults: usize,
        /// Code of the first fault.
        code: String,
        /// File, line and column of the first fault.
        place: String,
    },
}

impl ActResult {
    /// The refusal that `faults` are.
    #[must_use]
    pub fn refused(faults: &Diagnostics) -> Self {
        let first = faults
            .iter()
            .find(|fault| fault.severity() == holdover_config::Severity::Error);
        let place = first.map(|fault| match fault.location() {
            Some(location) => {
                let (line, column) = (location.line(), location.column());
                format!("{}:{line}:{column}", fault.file())
            }
            None => fault.file().to_owned(),
        });
        Self::Refused {
            faults: faults.error_count(),
            code: first.map_or("", |fault| fault.code()).to_owned(),
            place: place.unwrap_or_default(),
        }
    }
}

/// One act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// What was done.
    pub act: Act,
    /// Who did it.
    pub who: Who,
    /// To which files.
    pub files: Vec<FileChange>,
    /// How many rooms became what, where the directory changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rooms: Option<Difference>,
    /// The generation that came of it, or that stayed.
    pub generation: Option<u64>,
    /// What became of it.
    pub result: ActResult,
}

/// Name of the system's user as whom this process runs.
#[must_use]
pub fn system_user() -> String {
    // The kernel's word first: variables of the environment are anybody's.
    let process = std::path::Path::new("/proc/self");
    owner(process)
        .or_else(|| std::env::var("USER").ok())
        .or_else(|| std::env::var("USERNAME").ok())
        .unwrap_or_else(|| "unknown".to_owned())
}

/// Name, or else number, of the system's user who owns a file.
#[must_use]
pub fn owner(path: &std::path::Path) -> Option<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let uid = std::fs::metadata(path).ok()?.uid().to_string();
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let name = users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == uid).then(|| name.to_owned())
        });
        Some(name.unwrap_or_else(|| format!("uid {uid}")))
    }
    #[cfg(not(unix))]
    {
        let _unknown = path;
        None
    }
}
