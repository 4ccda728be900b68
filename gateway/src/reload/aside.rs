//! The thread on which reloads are carried out: beside the sessions' threads, and after them.
//!
//! Reading and checking takes a processor for many milliseconds. A thread of the runtime's would compete with its workers on
//! equal terms, and on two processors every hundredth post would wait for a slice of it to end.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

use super::{Engine, Job, Report, Status};

/// How much nicer than the rest of the program. Where both want a processor, a session's thread gets three times as much of it:
/// enough for posts not to notice, and a reload on a busy machine is late by that and no more.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

/// What is to be done, and who waits for it.
type Asked = (Job, oneshot::Sender<(Report, Status)>);

/// The way to the thread. It ends when this is gone and what was asked for is done.
#[derive(Debug)]
pub(super) struct Aside {
    jobs: mpsc::Sender<Asked>,
}

impl Aside {
    /// Starts the thread, which has `engine` from here on.
    pub(super) fn start(mut engine: Engine) -> io::Result<Self> {
        let (sender, jobs) = mpsc::channel::<Asked>();
        let work = move || {
            step_back();
            for (job, answer) in jobs {
                let who = match &job {
                    Job::Reload { who, .. } => who.to_string(),
                    Job::TryOut => "watch".to_owned(),
                };
                // What the engine holds is whole after a panic, or made anew by it.
                let done = catch_unwind(AssertUnwindSafe(|| match job {
                    Job::Reload { who, doubts } => engine.reload_with(&who, doubts),
                    Job::TryOut => engine.try_out(),
                }));
                let report = done.unwrap_or_else(|_| engine.recover(&who));
                // Whoever does not wait any more does not want to know.
                let _gone = answer.send((report, engine.status()));
            }
        };
        let builder = thread::Builder::new().name("reload".to_owned());
        builder.spawn(work)?;
        Ok(Self { jobs: sender })
    }

    /// Does what is asked for. `None`: the thread is gone.
    pub(super) async fn carry_out(&self, job: Job) -> Option<(Report, Status)> {
        let (answer, done) = oneshot::channel();
        self.jobs.send((job, answer)).ok()?;
        done.await.ok()
    }
}

/// Lets the other threads go first.
fn step_back() {
    // Linux alone counts niceness by thread; elsewhere the sessions would become nicer too.
    #[cfg(target_os = "linux")]
    let _refused = rustix::process::nice(NICE);
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs;

    use super::*;

    /// The niceness of the thread that asks.
    fn niceness() -> i32 {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        // The name, in parentheses, may hold anything.
        let (_, after) = stat.rsplit_once(") ").unwrap();
        after.split(' ').nth(16).unwrap().parse().unwrap()
    }

    #[test]
    fn only_the_thread_that_steps_back_does() {
        let before = niceness();
        let aside = thread::spawn(|| {
            step_back();
            niceness()
        });
        assert_eq!(aside.join().unwrap(), (before + NICE).min(19));
        assert_eq!(niceness(), before);
    }
}
