//! Taking a changed configuration into use while everything goes on.
//!
//! Read all, check all, build aside, swap. Whatever is wrong, nothing changes: the running configuration goes on and the faults
//! are told. One reload runs at a time; what asks for one meanwhile is answered by the next, together.

mod aside;
mod engine;
mod live;
mod look;
mod read;
mod signal;
mod stamp;
mod troubles;
mod watch;
mod whole;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdover_config::{Diagnostic, Diagnostics, Severity};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use engine::{Doubts, Engine, Publish};
pub use live::{Live, Retired};
pub(crate) use live::{message_limits, occupancy_limits, sip_limits};
pub use read::{Amount, FileKind, Read, ReadFile, Reader, Version};
pub use signal::on_hangup;
pub use troubles::Troubles;
pub use watch::watch;

use aside::Aside;

use crate::audit::Who;
use crate::hash::Hash;
use crate::telemetry::events::config::ConfigStalled;
use crate::telemetry::{Emit as _, Telemetry};

/// Reloads that may wait. They are answered together, so a queue that is full loses nothing.
const WAITING: usize = 64;

/// How long a reload may take before those who wait for it are told that it stalls.
const STALLED: Duration = Duration::from_secs(60);

/// What became of a reload.
#[derive(Clone, Debug)]
pub enum Report {
    /// Another version is in use.
    Applied {
        /// Its generation.
        generation: u64,
        /// Its hash.
        hash: Hash,
        /// From the first look at the files until it was in use.
        took: Duration,
    },
    /// The files say what is in use already.
    Unchanged {
        /// The generation in use.
        generation: u64,
        /// Its hash.
        hash: Hash,
    },
    /// A fault of the program ended it. What was in use goes on, and the next reload puts everything in use anew.
    Failed {
        /// The generation that goes on.
        generation: u64,
    },
    /// The files are at fault; nothing changed.
    Rejected {
        /// The generation that goes on.
        generation: u64,
        /// What is wrong.
        faults: Arc<Diagnostics>,
    },
}

/// What is in use, since when and by whom, and what was rejected since.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The configuration file.
    pub config: String,
    /// The generation in use.
    pub generation: u64,
    /// Its hash.
    pub hash: Hash,
    /// Since when it is in use.
    pub since: String,
    /// Who put it in use.
    pub who: String,
    /// The files it is made of.
    pub files: Vec<StatusFile>,
    /// Whether the last reload went well.
    pub last_reload_successful: bool,
    /// The last reload that did not, if none has gone well since.
    pub rejected: Option<Rejected>,
    /// The files whose change is a reason to reload.
    #[serde(skip)]
    pub watched: Vec<PathBuf>,
    /// The folder of files of rules.
    #[serde(skip)]
    pub rules: PathBuf,
}

/// A file of a [`Status`].
#[derive(Clone, Debug, Serialize)]
pub struct StatusFile {
    /// Its path as seen from the folder of the configuration.
    pub file: String,
    /// Hash of its content; none if it is secret.
    pub hash: Option<Hash>,
}

/// A reload that changed nothing.
#[derive(Clone, Debug, Serialize)]
pub struct Rejected {
    /// When.
    pub at: String,
    /// Who asked for it.
    pub who: String,
    /// Every fault.
    pub diagnostics: Value,
}

/// Asks for reloads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reloader {
    requests: mpsc::Sender<Request>,
    status: Arc<Mutex<Arc<Status>>>,
    troubles: Troubles,
}

/// What is asked for.
#[derive(Clone, Debug)]
enum Job {
    /// Apply the files.
    Reload { who: Who, doubts: Doubts },
    /// Say what would come of that.
    TryOut,
}

#[derive(Debug)]
struct Request {
    job: Job,
    answer: oneshot::Sender<Report>,
}

impl Reloader {
    /// What is in use.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What keeps files from being read again.
    #[must_use]
    pub fn troubles(&self) -> &Troubles {
        &self.troubles
    }

    /// Reads the configuration again and takes it into use, if it is right. `None`: the gateway goes down, or there are
    /// [troubles](Self::troubles).
    pub async fn reload(&self, who: Who) -> Option<Report> {
        self.reload_with(who, Doubts::Refused).await
    }

    /// As [`Reloader::reload`]; files that may be cut short are applied if `doubts` are accepted.
    pub async fn reload_with(&self, who: Who, doubts: Doubts) -> Option<Report> {
        self.ask(Job::Reload { who, doubts }).await
    }

    /// What would come of a reload now; of [`Report::Applied`] nothing is. `None`: the gateway goes down.
    pub async fn try_out(&self) -> Option<Report> {
        self.ask(Job::TryOut).await
    }

    async fn ask(&self, job: Job) -> Option<Report> {
        let (answer, report) = oneshot::channel();
        self.requests.send(Request { job, answer }).await.ok()?;
        report.await.ok()
    }
}

/// Reloads waiting to be carried out by [`Reloads::serve`].
#[derive(Debug)]
pub struct Reloads {
    aside: Aside,
    requests: mpsc::Receiver<Request>,
    status: Arc<Mutex<Arc<Status>>>,
    telemetry: Telemetry,
    troubles: Troubles,
}

impl Reloads {
    /// Those of `engine`, and the way to ask for them.
    ///
    /// # Errors
    ///
    /// The system has no further thread.
    pub fn new(engine: Engine) -> io::Result<(Self, Reloader)> {
        let (sender, requests) = mpsc::channel(WAITING);
        let status = Arc::new(Mutex::new(Arc::new(engine.status())));
        let reloader = Reloader {
            requests: sender,
            status: Arc::clone(&status),
            troubles: Troubles::default(),
        };
        let reloads = Self {
            telemetry: engine.telemetry(),
            aside: Aside::start(engine)?,
            requests,
            status,
            troubles: reloader.troubles.clone(),
        };
        Ok((reloads, reloader))
    }

    /// Carries out reloads until `stop` is cancelled.
    pub async fn serve(mut self, stop: CancellationToken) {
        let _ended = self.troubles.unless(stop.clone());
        loop {
            let first = tokio::select! {
                () = stop.cancelled() => return,
                request = self.requests.recv() => request,
            };
            let Some(first) = first else { return };
            let mut requests = vec![first];
            while let Ok(request) = self.requests.try_recv() {
                requests.push(request);
            }
            let (trials, reloads) = requests
                .into_iter()
                .partition(|request| matches!(request.job, Job::TryOut));
            for requests in [reloads, trials] {
                // The disk may keep the thread for ever: that must not keep the program from ending.
                let served = tokio::select! {
                    () = stop.cancelled() => return,
                    served = self.answer(requests) => served,
                };
                if served.is_none() {
                    return;
                }
            }
        }
    }

    /// Does what all `requests` ask for, and tells them what came of it. `None`: the thread is gone.
    async fn answer(&mut self, mut requests: Vec<Request>) -> Option<()> {
        let Some(job) = together(&requests) else {
            return Some(());
        };
        let Self {
            aside,
            requests: queue,
            status,
            telemetry,
            troubles,
        } = self;
        let running = Arc::clone(&status.lock().unwrap_or_else(PoisonError::into_inner));
        let mut done = std::pin::pin!(aside.carry_out(job));
        let (report, now) = match timeout(STALLED, &mut done).await {
            Ok(done) => done?,
            Err(_) => {
                let (faults, after) = (Arc::new(stalled(&running.config)), STALLED);
                let generation = running.generation;
                ConfigStalled { generation, after }.emit(telemetry);
                let report = || Report::Rejected {
                    generation,
                    faults: Arc::clone(&faults),
                };
                loop {
                    for request in requests.drain(..) {
                        let _gone = request.answer.send(report());
                    }
                    // Who asks meanwhile is not kept waiting.
                    tokio::select! {
                        done = &mut done => break done?,
                        Some(request) = queue.recv() => requests.push(request),
                    }
                }
            }
        };
        troubles.reloaded(&report);
        *status.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(now);
        for request in requests {
            // Whoever does not wait any more does not want to know.
            let _gone = request.answer.send(report.clone());
        }
        Some(())
    }
}

/// The one job that does what all requests ask for. `None`: there are none.
fn together(requests: &[Request]) -> Option<Job> {
    let reloads = || {
        requests.iter().filter_map(|request| match &request.job {
            Job::Reload { who, doubts } => Some((who, *doubts)),
            Job::TryOut => None,
        })
    };
    // A person who asked is named rather than the file that they saved before.
    let who = reloads()
        .map(|(who, _)| who)
        .find(|who| !matches!(who, Who::FileChange { .. }))
        .or_else(|| reloads().map(|(who, _)| who).next());
    let Some(who) = who.cloned() else {
        return requests.first().map(|_| Job::TryOut);
    };
    let is_accepted = reloads().any(|(_, doubts)| doubts == Doubts::Accepted);
    let doubts = if is_accepted {
        Doubts::Accepted
    } else {
        Doubts::Refused
    };
    Some(Job::Reload { who, doubts })
}

/// The fault of files that cannot be read to their end.
fn stalled(config: &str) -> Diagnostics {
    let seconds = STALLED.as_secs();
    let message = format!(
        "the files could not be read within {seconds} s: the disk or share does not answer"
    );
    Diagnostic::whole_file(Severity::Error, "HT005", config, message).into()
}
