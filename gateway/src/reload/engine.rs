//! One reload after the other. No task and no socket: what it does can be called from a test or a bench.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdover_config::{Diagnostics, fixed_changes};
use jiff::Timestamp;

use super::look::Look;
use super::read::{FileKind, Read, ReadFile, Reader, Version};
use super::{Rejected, Report, Retired, Status, StatusFile, whole};
use crate::audit::{Act, ActResult, AuditLog, Entry, FileChange, Who};
use crate::directory::Difference;
use crate::hash::Hash;
use crate::history::{Generation, History};
use crate::telemetry::events::config::{
    AuditFailed, AuditRecorded, AuditTampered, ConfigApplied, ConfigRejected, ConfigUnchanged,
    HistoryFailed, ReloadFailed,
};
use crate::telemetry::{Detail, Emit as _, Telemetry};

/// How long a reload waits for files that go on changing.
const UNSETTLED: Duration = Duration::from_secs(10);

/// Puts a version in use, at once and whole.
pub trait Publish: Send {
    /// From here on `version` counts, as the generation of this number. Returns what does not count any more.
    fn publish(&self, generation: u64, version: &Version) -> Retired;
}

/// What becomes of a version whose files may be cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubts {
    /// It is refused.
    Refused,
    /// It is put in use: somebody said that it is meant.
    Accepted,
}

/// What reads configurations and puts them in use.
pub struct Engine {
    reader: Reader,
    running: Running,
    rejected: Option<(Vec<ReadFile>, Rejected)>,
    /// Files that the last read came upon, beside those in use.
    named: Vec<PathBuf>,
    publish: Box<dyn Publish>,
    audit: Option<AuditLog>,
    history: Option<History>,
    telemetry: Telemetry,
    /// The last reload ended in the middle: nobody knows how much of it is in use.
    is_unsure: bool,
}

/// What is in use.
struct Running {
    generation: u64,
    since: Timestamp,
    who: String,
    hash: Hash,
    version: Version,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generation = self.running.generation;
        f.debug_struct("Engine")
            .field("generation", &generation)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Begins with a version that `reader` read and that is in use as of now.
    #[must_use]
    pub fn start(
        reader: Reader,
        generation: u64,
        version: Version,
        who: &Who,
        publish: Box<dyn Publish>,
        telemetry: Telemetry,
    ) -> Self {
        let audit = version.settings.fixed.audit.as_ref();
        let mut engine = Self {
            audit: audit.map(|audit| AuditLog::new(&audit.file)),
            history: version.settings.fixed.history.as_ref().map(History::new),
            running: Running {
                generation,
                since: Timestamp::now(),
                who: who.to_string(),
                hash: version.hash(),
                version,
            },
            reader,
            rejected: None,
            named: Vec::new(),
            publish,
            telemetry,
            is_unsure: false,
        };
        let files = changes(&[], &engine.running.version.files);
        engine.record(Act::Start, who, files, ActResult::Applied);
        engine.keep();
        engine
    }

    /// What is in use, and what was rejected.
    #[must_use]
    pub fn status(&self) -> Status {
        let running = &self.running;
        let file = |file: &ReadFile| StatusFile {
            file: file.name.clone(),
            hash: told_hash(file),
        };
        let rejected = self.rejected.as_ref().map(|(_, rejected)| rejected.clone());
        Status {
            config: self.reader.config().display().to_string(),
            generation: running.generation,
            hash: running.hash,
            since: running.since.to_string(),
            who: running.who.clone(),
            files: running.version.files.iter().map(file).collect(),
            last_reload_successful: rejected.is_none() && !self.is_unsure,
            rejected,
            watched: self.watched(),
            rules: self.reader.rules_folder(),
        }
    }

    /// The version in use.
    #[cfg(test)]
    pub(super) fn running(&self) -> &Version {
        &self.running.version
    }

    /// Where what happens is told.
    pub(super) fn telemetry(&self) -> Telemetry {
        self.telemetry.clone()
    }

    /// The files whose change is a reason to reload.
    fn watched(&self) -> Vec<PathBuf> {
        let files = self.running.version.files.iter().map(|file| &file.path);
        let mut watched: Vec<PathBuf> = files.chain(&self.named).cloned().collect();
        watched.sort_unstable();
        watched.dedup();
        watched
    }

    /// A reload panicked: what was read is forgotten, and the next reload puts what it reads in use whatever it is.
    pub(super) fn recover(&mut self, who: &str) -> Report {
        self.reader = Reader::new(self.reader.config());
        self.is_unsure = true;
        let generation = self.running.generation;
        ReloadFailed {
            generation,
            who: Detail::new(who),
        }
        .emit(&self.telemetry);
        Report::Failed { generation }
    }

    /// Reads everything again when the files have settled and takes it into use, if it is right and whole. Blocks.
    pub fn reload(&mut self, who: &Who) -> Report {
        self.reload_with(who, Doubts::Refused)
    }

    /// As [`Engine::reload`]; files that may be cut short are applied if `doubts` are accepted. Blocks.
    pub fn reload_with(&mut self, who: &Who, doubts: Doubts) -> Report {
        let begun = Instant::now();
        let read = self.read_settled();
        let generation = self.running.generation;
        let (files, version) = match read {
            Some(read) => (read.files, self.judged(read.version, doubts)),
            None => {
                let config = self.reader.config().display().to_string();
                (
                    self.running.version.files.clone(),
                    Err(whole::unsettled(config)),
                )
            }
        };
        let version = match version {
            Ok(version) => version,
            Err(faults) => return self.reject(who, files, faults),
        };
        let was_rejected = self.rejected.take().is_some();
        if version.files == self.running.version.files && !self.is_unsure {
            if was_rejected || !matches!(who, Who::FileChange { .. }) {
                ConfigUnchanged {
                    generation,
                    who: Detail::new(who),
                }
                .emit(&self.telemetry);
            }
            return Report::Unchanged {
                generation,
                hash: self.running.hash,
            };
        }
        let generation = generation + 1;
        let retired = self.publish.publish(generation, &version);
        self.is_unsure = false;
        let took = begun.elapsed();
        let hash = version.hash();
        ConfigApplied {
            generation,
            hash: Detail::new(hash),
            who: Detail::new(who),
            took,
        }
        .emit(&self.telemetry);
        let files = changes(&self.running.version.files, &version.files);
        let running = Running {
            generation,
            since: Timestamp::now(),
            who: who.to_string(),
            hash,
            version,
        };
        let before = std::mem::replace(&mut self.running, running).version;
        self.record(Act::Reload, who, files, ActResult::Applied);
        self.record_rooms(who, &before);
        self.keep();
        retired.take_apart();
        Report::Applied {
            generation,
            hash,
            took,
        }
    }

    /// What would come of a reload now, of which nothing is applied and nobody is told. Blocks.
    pub fn try_out(&mut self) -> Report {
        let generation = self.running.generation;
        let hash = self.running.hash;
        let version = match self.read_settled() {
            Some(read) => self.judged(read.version, Doubts::Refused),
            None => Err(whole::unsettled(self.reader.config().display().to_string())),
        };
        match version {
            Err(faults) => Report::Rejected {
                generation,
                faults: Arc::new(faults),
            },
            Ok(version) if version.files == self.running.version.files => {
                Report::Unchanged { generation, hash }
            }
            Ok(version) => Report::Applied {
                generation: generation + 1,
                hash: version.hash(),
                took: Duration::ZERO,
            },
        }
    }

    /// Reads everything when no file has changed for a while. `None`: they go on changing.
    fn read_settled(&mut self) -> Option<Read> {
        let settle = self.running.version.settings.live.whole.settle;
        let until = Instant::now() + UNSETTLED;
        let rules = self.reader.rules_folder();
        loop {
            let watched = self.watched();
            let before = Look::settled(&watched, &rules, settle, until)?;
            // Nobody puts files in place meanwhile. Who cannot lock a history has none that could be put in place.
            let lock = self
                .history
                .as_ref()
                .and_then(|history| history.lock().ok());
            let read = self.reader.read();
            drop(lock);
            self.named.clone_from(&read.named);
            let files = read.files.iter().map(|file| file.path.clone());
            self.named.extend(files);
            // What was written meanwhile, or is named for the first time, may not be whole.
            if self.watched() == watched && Look::at(&watched, &rules) == before {
                return Some(read);
            }
        }
    }

    /// A version that can be put in use, or what keeps it from that.
    fn judged(
        &self,
        version: Result<Version, Diagnostics>,
        doubts: Doubts,
    ) -> Result<Version, Diagnostics> {
        let version = self.keeps_fixed(version?)?;
        let found = match doubts {
            Doubts::Refused => whole::doubts(&self.running.version, &version),
            Doubts::Accepted => Diagnostics::new(),
        };
        if found.is_empty() {
            Ok(version)
        } else {
            Err(found)
        }
    }

    /// Refuses a version that changes what holds from start to stop.
    fn keeps_fixed(&self, version: Version) -> Result<Version, Diagnostics> {
        let running = &self.running.version.settings.fixed;
        let name = self.reader.config().display().to_string();
        let faults = fixed_changes(running, &version.settings.fixed, &name, &version.text);
        if faults.is_empty() {
            Ok(version)
        } else {
            Err(faults)
        }
    }

    fn reject(&mut self, who: &Who, files: Vec<ReadFile>, faults: Diagnostics) -> Report {
        let generation = self.running.generation;
        // An editor writes a file more than once, and a watcher tells of it more than once.
        let is_known = matches!(who, Who::FileChange { .. })
            && self.rejected.as_ref().is_some_and(|(known, rejected)| {
                *known == files && rejected.diagnostics == faults.to_json()
            });
        if !is_known {
            let first = faults
                .iter()
                .find(|fault| fault.severity() == holdover_config::Severity::Error);
            ConfigRejected {
                generation,
                faults: faults.error_count(),
                first: Detail::new(first.map(ToString::to_string).unwrap_or_default()),
                who: Detail::new(who),
            }
            .emit(&self.telemetry);
            let changed = changes(&self.running.version.files, &files);
            self.record(Act::Reload, who, changed, ActResult::refused(&faults));
            let rejected = Rejected {
                at: Timestamp::now().to_string(),
                who: who.to_string(),
                diagnostics: faults.to_json(),
            };
            self.rejected = Some((files, rejected));
        }
        Report::Rejected {
            generation,
            faults: Arc::new(faults),
        }
    }

    /// Keeps what is in use for those who want to go back to it.
    fn keep(&self) {
        let Some(history) = &self.history else { return };
        let Running {
            generation,
            since,
            who,
            version,
            ..
        } = &self.running;
        let kept = Generation::new(*generation, *since, who.clone(), version);
        if let Err(error) = history.keep(kept, &version.files) {
            HistoryFailed {
                generation: *generation,
                error: Detail::new(error),
            }
            .emit(&self.telemetry);
        }
    }

    /// Writes down that there is another directory than that of `before`, so that who looks for such changes need not tell the
    /// files of rooms from others.
    fn record_rooms(&mut self, who: &Who, before: &Version) {
        let now = &self.running.version;
        let rooms = |version: &Version| {
            let files = version.files.iter();
            let rooms = files.filter(|file| file.kind == FileKind::Rooms);
            rooms.cloned().collect::<Vec<ReadFile>>()
        };
        let files = changes(&rooms(before), &rooms(now));
        let is_same = before.settings.live.directory == now.settings.live.directory;
        if self.audit.is_none() || (files.is_empty() && is_same) {
            return;
        }
        let difference = Difference::between(&before.directory, &now.directory);
        self.add(
            Act::DirectoryChange,
            who,
            files,
            Some(difference),
            ActResult::Applied,
        );
    }

    /// Writes an act down. That it cannot be written stops nobody: who may change files may stop a disk as well.
    fn record(&mut self, act: Act, who: &Who, files: Vec<FileChange>, result: ActResult) {
        self.add(act, who, files, None, result);
    }

    fn add(
        &mut self,
        act: Act,
        who: &Who,
        files: Vec<FileChange>,
        rooms: Option<Difference>,
        result: ActResult,
    ) {
        let Some(audit) = &self.audit else { return };
        let entry = Entry {
            act,
            who: who.clone(),
            files,
            rooms,
            generation: Some(self.running.generation),
            result,
        };
        match audit.record(Timestamp::now(), &entry) {
            Ok(recorded) => {
                if let Some(missing) = recorded.missing {
                    AuditTampered {
                        n: recorded.n,
                        what: Detail::new(missing),
                    }
                    .emit(&self.telemetry);
                }
                AuditRecorded {
                    n: recorded.n,
                    hash: Detail::new(recorded.hash),
                    torn: recorded.torn,
                }
                .emit(&self.telemetry);
            }
            Err(error) => {
                let file = Detail::new(audit.path().display());
                AuditFailed {
                    file,
                    error: Detail::new(error),
                }
                .emit(&self.telemetry);
            }
        }
    }
}

/// The hash of a file, for others. That of a file with few secrets would help in guessing them.
fn told_hash(file: &ReadFile) -> Option<Hash> {
    (file.kind != FileKind::Users).then_some(file.hash)
}

/// The files that differ.
fn changes(before: &[ReadFile], after: &[ReadFile]) -> Vec<FileChange> {
    let find = |files: &[ReadFile], name: &str| {
        let found = files.iter().find(|file| file.name == name);
        found.cloned()
    };
    let mut names: Vec<&str> = Vec::new();
    for file in before.iter().chain(after) {
        if !names.contains(&file.name.as_str()) {
            names.push(&file.name);
        }
    }
    let change = |name: &str| {
        let (before, after) = (find(before, name), find(after, name));
        (before != after).then(|| FileChange {
            file: name.to_owned(),
            before: before.as_ref().and_then(told_hash),
            after: after.as_ref().and_then(told_hash),
        })
    };
    names.into_iter().filter_map(change).collect()
}
