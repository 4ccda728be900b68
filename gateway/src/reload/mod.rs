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
mod watch;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdover_config::Diagnostics;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use engine::{Engine, Publish};
pub use live::{Live, Retired};
pub(crate) use live::{message_limits, occupancy_limits, queue_limits, sip_limits, xccos_limits};
pub use read::{FileKind, Read, ReadFile, Reader, Version};
pub use signal::on_hangup;
pub use watch::watch;

use aside::Aside;

use crate::audit::Who;
use crate::hash::Hash;

/// Reloads that may wait. They are answered together, so a queue that is full loses nothing.
const WAITING: usize = 64;

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
}

#[derive(Debug)]
struct Request {
    who: Who,
    answer: oneshot::Sender<Report>,
}

impl Reloader {
    /// What is in use.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the configuration again and takes it into use, if it is right. `None`: the gateway goes down.
    pub async fn reload(&self, who: Who) -> Option<Report> {
        let (answer, report) = oneshot::channel();
        self.requests.send(Request { who, answer }).await.ok()?;
        report.await.ok()
    }
}

/// Reloads waiting to be carried out by [`Reloads::serve`].
#[derive(Debug)]
pub struct Reloads {
    aside: Aside,
    requests: mpsc::Receiver<Request>,
    status: Arc<Mutex<Arc<Status>>>,
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
        };
        let reloads = Self {
            aside: Aside::start(engine)?,
            requests,
            status,
        };
        Ok((reloads, reloader))
    }

    /// Carries out reloads until `stop` is cancelled.
    pub async fn serve(mut self, stop: CancellationToken) {
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
            // A person who asked is named rather than the file that they saved before.
            let who = requests.iter().map(|request| &request.who);
            let who = who
                .clone()
                .find(|who| !matches!(who, Who::FileChange { .. }))
                .or_else(|| who.clone().next());
            let Some(who) = who.cloned() else { continue };
            let Some((report, status)) = self.aside.reload(who).await else {
                return;
            };
            *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(status);
            for request in requests {
                // Whoever does not wait any more does not want to know.
                let _gone = request.answer.send(report.clone());
            }
        }
    }
}
