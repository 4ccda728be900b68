//! What keeps files from being read again, for `/readyz` and for those who ask for a reload.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::Report;

/// What is said when there will be no reload any more.
const ENDED: &str =
    "a fault of the program ended reloads: restart Holdover to have files read again";

/// What is said when a reload failed and the next may not.
const FAILED: &str = "a fault of the program ended the last reload: correct the files and reload, or restart Holdover";

/// Shared by all who have a part in it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Troubles(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    reload: Option<&'static str>,
    watch: Option<&'static str>,
}

impl Troubles {
    /// Whether reloads are carried out.
    ///
    /// # Errors
    ///
    /// Why not, in words for an operator.
    pub fn of_reload(&self) -> Result<(), String> {
        self.lock().reload.map_or(Ok(()), |why| Err(why.to_owned()))
    }

    /// Whether changes of files are noticed.
    ///
    /// # Errors
    ///
    /// Why not, in words for an operator.
    pub fn of_watch(&self) -> Result<(), String> {
        self.lock().watch.map_or(Ok(()), |why| Err(why.to_owned()))
    }

    /// Changes of files are not noticed any more.
    pub fn watching(&self, why: &'static str) {
        self.lock().watch = Some(why);
    }

    /// What became of a reload.
    pub(super) fn reloaded(&self, report: &Report) {
        self.lock().reload = matches!(report, Report::Failed { .. }).then_some(FAILED);
    }

    /// When what this returns is dropped before `stop` is cancelled, reloads have ended.
    pub(super) fn unless(&self, stop: CancellationToken) -> Unless {
        Unless {
            troubles: self.clone(),
            stop,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Unless {
    troubles: Troubles,
    stop: CancellationToken,
}

impl Drop for Unless {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            self.troubles.lock().reload = Some(ENDED);
        }
    }
}
