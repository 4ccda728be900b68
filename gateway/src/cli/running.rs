//! Asking the running gateway what it does with the files.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use holdover_config::Settings;
use serde::Deserialize;

use super::http;
use crate::audit::ActResult;
use crate::hash::Hash;
use crate::history::History;

/// Query of a reload that applies files that may be cut short.
pub(super) const ACCEPT_FEWER: (&str, &str) = ("accept_fewer", "true");

/// Query of a reload that applies nothing.
const DRY_RUN: (&str, &str) = ("dry_run", "true");

/// What a running gateway says about the files.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// There is no admin server, or its address cannot be known.
    Unknown,
    /// Nobody answers there.
    Silent(SocketAddr),
    /// It uses them, as this generation; after a dry run: it would.
    InUse(u64),
    /// It refuses them and goes on with what it has.
    Refused(Refusal),
}

/// Why a gateway refuses files.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// The generation that it goes on with.
    pub(super) generation: u64,
    pub(super) error: String,
    pub(super) faults: Vec<Fault>,
}

/// A fault as the admin server shows it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Fault {
    pub(super) severity: String,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) file: String,
    pub(super) line: Option<usize>,
    pub(super) column: Option<usize>,
    pub(super) help: Option<String>,
}

impl Fault {
    pub(super) fn is_error(&self) -> bool {
        self.severity == "error"
    }

    fn place(&self) -> String {
        match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}", self.file),
            _ => self.file.clone(),
        }
    }
}

impl Refusal {
    /// The first errors, a line each with what to do about them.
    pub(super) fn lines(&self) -> Vec<String> {
        const LINES: usize = 10;
        let errors = self.faults.iter().filter(|fault| fault.is_error());
        let mut lines = Vec::new();
        for fault in errors.take(LINES) {
            let (place, code, message) = (fault.place(), &fault.code, &fault.message);
            lines.push(format!("{place}: error[{code}]: {message}"));
            lines.extend(fault.help.as_ref().map(|help| format!("  help: {help}")));
        }
        lines
    }

    /// As the audit log has it.
    pub(super) fn outcome(&self) -> ActResult {
        let errors = || self.faults.iter().filter(|fault| fault.is_error());
        ActResult::Refused {
            faults: errors().count(),
            code: errors()
                .next()
                .map_or_else(String::new, |fault| fault.code.clone()),
            place: errors().next().map(Fault::place).unwrap_or_default(),
        }
    }
}

/// What a gateway says of itself.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Running {
    config: String,
    pub(super) generation: u64,
    pub(super) hash: Hash,
}

#[derive(Deserialize)]
struct Report {
    generation: Option<u64>,
    error: Option<String>,
    diagnostics: Option<Faults>,
}

#[derive(Deserialize)]
struct Faults {
    diagnostics: Vec<Fault>,
}

/// Where the gateway of the configuration file `config` may be asked: where it said so when it started, or where the
/// configuration says. The file may say something else by now.
fn addresses(settings: Option<&Settings>, history: Option<&History>) -> Vec<SocketAddr> {
    let announced = history.and_then(History::announced);
    let configured = settings.and_then(|settings| http::admin_address(settings).ok());
    let mut all: Vec<SocketAddr> = announced.into_iter().chain(configured).collect();
    all.dedup();
    all
}

/// The gateway that runs with the configuration file `config`, and where it answers.
///
/// # Errors
///
/// [`Answer::Unknown`] or [`Answer::Silent`].
pub(super) fn find(
    config: &Path,
    settings: Option<&Settings>,
    history: Option<&History>,
) -> Result<(SocketAddr, Running), Answer> {
    let mut nobody = Answer::Unknown;
    for address in addresses(settings, history) {
        let asked = http::get(address, "/v1/config", &[]);
        let running = asked
            .ok()
            .and_then(|body| serde_json::from_str::<Running>(&body).ok());
        match running {
            Some(running) if is_same(&running.config, config) => return Ok((address, running)),
            // That of another configuration.
            Some(_) => {}
            None => nobody = Answer::Silent(address),
        }
    }
    Err(nobody)
}

/// Whether two paths name one file, as far as can be told.
fn is_same(theirs: &str, ours: &Path) -> bool {
    let theirs = Path::new(theirs);
    if theirs.is_relative() {
        // As seen from a folder that is not known.
        return theirs.file_name() == ours.file_name();
    }
    match (theirs.canonicalize(), ours.canonicalize()) {
        (Ok(theirs), Ok(ours)) => theirs == ours,
        _ => true,
    }
}

/// Has the running gateway apply the files.
pub(super) fn reload(
    config: &Path,
    settings: Option<&Settings>,
    history: Option<&History>,
    query: &[(&str, &str)],
) -> Answer {
    match find(config, settings, history) {
        Ok((address, running)) => ask(address, running.generation, query),
        Err(nobody) => nobody,
    }
}

/// Asks the running gateway what it would do with the files.
pub(super) fn try_out(
    config: &Path,
    settings: Option<&Settings>,
    history: Option<&History>,
) -> Answer {
    reload(config, settings, history, &[DRY_RUN])
}

fn ask(address: SocketAddr, generation: u64, query: &[(&str, &str)]) -> Answer {
    let refused = |error: String| {
        Answer::Refused(Refusal {
            generation,
            error,
            faults: Vec::new(),
        })
    };
    let answer = http::post(address, "/v1/reload", query);
    let report = answer.and_then(|(status, body)| {
        let report: Report = serde_json::from_str(&body).context("its answer cannot be read")?;
        Ok((status, report))
    });
    match report {
        Err(error) => refused(format!("{error:#}")),
        Ok((200, report)) => Answer::InUse(report.generation.unwrap_or(generation)),
        Ok((status, report)) => Answer::Refused(Refusal {
            generation: report.generation.unwrap_or(generation),
            error: report
                .error
                .unwrap_or_else(|| format!("it answers {status}")),
            faults: report
                .diagnostics
                .map(|faults| faults.diagnostics)
                .unwrap_or_default(),
        }),
    }
}
