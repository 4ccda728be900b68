//! Whether the pool does what it is there for: its thread lives and answers, and its database takes what is written.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::store::StoreError;

/// How long the thread may be at one thing. A batch is a second's work at the worst.
const SILENCE: Duration = Duration::from_secs(10);

/// What the pool's thread says of itself, for others to look at.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Why nothing is written; none while the database works.
    failed: Option<Box<str>>,
    /// What the database last failed at.
    cause: Box<str>,
    /// Since when the thread is asked whether it works, without an answer.
    asked: Option<Instant>,
    /// The thread ended by a fault of the program.
    ended: bool,
}

impl Health {
    /// The database failed at something, in words for an operator.
    pub(super) fn note(&self, cause: &str) {
        // What follows from a failure is not its cause.
        if !cause.ends_with(&StoreError::BatchFailed.to_string()) {
            self.lock().cause = cause.into();
        }
    }

    /// A transaction failed, and nothing of it was kept.
    pub(super) fn failed(&self, error: &StoreError) {
        let mut state = self.lock();
        state.failed = Some(match error {
            // What it failed at was noted then.
            StoreError::BatchFailed if !state.cause.is_empty() => state.cause.clone(),
            error => match std::error::Error::source(error) {
                Some(cause) => format!("{error}: {cause}").into(),
                None => error.to_string().into(),
            },
        });
    }

    /// Whether the last transaction failed, so that it is to be tried whether one does not.
    pub(super) fn is_failed(&self) -> bool {
        self.lock().failed.is_some()
    }

    /// The thread answers, and with `written` wrote something to the disk.
    pub(super) fn answered(&self, written: bool) {
        let mut state = self.lock();
        state.asked = None;
        if written {
            state.failed = None;
        }
    }

    /// The thread ended by a fault of the program.
    pub(super) fn ended(&self) {
        self.lock().ended = true;
    }

    /// Whether all is well, and whether the thread is to be asked for an answer.
    ///
    /// # Errors
    ///
    /// What is not well, in words for an operator.
    pub(super) fn look(&self, now: Instant) -> (Result<(), String>, bool) {
        let mut state = self.lock();
        if state.ended {
            let what = "its thread ended by a fault of the program: restart Holdover";
            return (Err(what.to_owned()), false);
        }
        let asked = *state.asked.get_or_insert(now);
        let is_new = asked == now;
        let silent = now.saturating_duration_since(asked);
        let verdict = match &state.failed {
            _ if silent >= SILENCE => {
                Err(format!("it has not answered for {} s", silent.as_secs()))
            }
            Some(failed) => Err(failed.to_string()),
            None => Ok(()),
        };
        (verdict, is_new)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_does_not_answer_is_noticed_and_asked_once() {
        let health = Health::default();
        let now = Instant::now();
        assert_eq!(health.look(now), (Ok(()), true));
        assert_eq!(health.look(now + SILENCE / 2), (Ok(()), false));
        let (verdict, _) = health.look(now + SILENCE);
        assert_eq!(verdict.unwrap_err(), "it has not answered for 10 s");
        health.answered(false);
        assert_eq!(health.look(now + SILENCE), (Ok(()), true));
    }

    #[test]
    fn a_failure_lasts_until_something_is_written() {
        let health = Health::default();
        health.note("cannot use its database: the disk is full");
        health.failed(&StoreError::BatchFailed);
        health.answered(false);
        let (verdict, _) = health.look(Instant::now());
        assert_eq!(
            verdict.unwrap_err(),
            "cannot use its database: the disk is full"
        );
        health.answered(true);
        assert_eq!(health.look(Instant::now()).0, Ok(()));
    }
}
