//! The thread that owns the pool: it drains the queue into batches, and each batch is one transaction.
//!
//! Group commit: what a batch brings about is gathered first, then the transaction is committed, and only then do
//! receipts, replies and messages leave. Where the commit fails, everything that rested on it is refused, and nobody is
//! told of it.
//!
//! Between two batches one portion of a list of rooms is made, so that whoever searches delays others by no more than that.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use super::core::{Core, Effect, Performed};
use super::health::Health;
use super::queue::{Gate, Queue, Task};
use super::ticks::SteadyClock;
use super::{LegId, OnFailure};
use crate::pool::{LegClosed, LegEvent, LegSink, Receipt, SendId};

/// Most tasks in one transaction: enough to share a flush, few enough to answer the first of them soon.
const BATCH: usize = 256;

/// The session's end of a leg.
struct Line {
    sink: Arc<dyn LegSink>,
    gate: Arc<Gate>,
}

/// The pool's thread.
pub(super) struct Worker {
    core: Core,
    queue: Arc<Queue>,
    clock: SteadyClock,
    lines: HashMap<LegId, Line>,
    /// Legs whose session did not keep up, to be closed.
    overflowed: Vec<LegId>,
    /// Keeps other processes from serving the same database.
    _lock: File,
    health: Arc<Health>,
    on_failure: OnFailure,
}

impl Worker {
    pub(super) fn new(
        core: Core,
        queue: Arc<Queue>,
        clock: SteadyClock,
        lock: File,
        health: Arc<Health>,
        on_failure: OnFailure,
    ) -> Self {
        Self {
            core,
            queue,
            clock,
            lines: HashMap::new(),
            overflowed: Vec::new(),
            _lock: lock,
            health,
            on_failure,
        }
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let mut tasks = Vec::with_capacity(BATCH);
        loop {
            let is_listing = self.core.is_listing();
            let is_taken = if is_listing {
                self.queue.try_take(&mut tasks, BATCH)
            } else {
                self.queue.take(&mut tasks, BATCH)
            };
            if is_taken {
                self.batch(&mut tasks);
            } else if !is_listing {
                return;
            }
            let effect = self.core.list_on();
            self.deliver(effect);
            self.close_overflowed();
        }
    }

    fn batch(&mut self, tasks: &mut Vec<Task>) {
        let ejected = self.core.refresh();
        self.deliver(ejected);
        let is_looked_at = tasks.iter().any(|task| matches!(task, Task::Look));
        let outcomes: Vec<Performed> = tasks.drain(..).map(|task| self.perform(task)).collect();
        // After a failure something is written, so that it is known when the database works again.
        let is_tried = is_looked_at && self.health.is_failed();
        if is_tried {
            // Its failure is the commit's.
            let _failed = self.core.try_write();
        }
        let kept = match self.core.commit() {
            Ok(()) => true,
            Err(error) => {
                // A failed try is no news.
                if !is_tried {
                    self.core.tell_failure("cannot write", &error);
                }
                self.health.failed(&error);
                false
            }
        };
        if is_looked_at {
            self.health.answered(is_tried && kept);
        }
        for outcome in outcomes {
            match outcome.rests_on_commit {
                Some((leg, id)) if !kept => self.refuse(leg, id),
                _ => self.deliver(outcome.effects),
            }
        }
        self.close_overflowed();
    }

    /// Closing a leg tells others, which can close further legs.
    fn close_overflowed(&mut self) {
        while let Some(leg) = self.overflowed.pop() {
            let effects = self.core.close_leg(leg);
            self.deliver(effects);
        }
    }

    fn perform(&mut self, task: Task) -> Performed {
        match task {
            Task::Open {
                leg,
                user,
                sink,
                gate,
            } => {
                self.lines.insert(leg, Line { sink, gate });
                self.core.open_leg(leg, user);
                Performed::default()
            }
            Task::Document {
                leg, id, document, ..
            } => self.core.handle(leg, id, document, self.clock.now()),
            Task::Close { leg } => {
                self.lines.remove(&leg);
                Performed::from(self.core.close_leg(leg))
            }
            Task::Look => Performed::default(),
        }
    }

    fn refuse(&mut self, leg: LegId, id: SendId) {
        let receipt = Receipt::Refused {
            status: 500,
            reason: "Storage failed".into(),
        };
        self.tell(leg, LegEvent::Receipt { id, receipt });
    }

    fn deliver(&mut self, effects: impl IntoIterator<Item = Effect>) {
        for effect in effects {
            match effect {
                Effect::Receipt { leg, id, receipt } => {
                    self.tell(leg, LegEvent::Receipt { id, receipt });
                }
                Effect::Document { legs, document } => {
                    for leg in legs {
                        self.tell(leg, LegEvent::Document(document.clone()));
                    }
                }
            }
        }
    }

    fn tell(&mut self, leg: LegId, event: LegEvent) {
        let Some(line) = self.lines.get(&leg) else {
            return;
        };
        if line.sink.deliver(event).is_err() {
            line.gate.overflow();
            self.lines.remove(&leg);
            self.overflowed.push(leg);
        }
    }
}

impl Drop for Worker {
    /// Ends every leg, also when the thread ends by a fault of this program.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.health.ended();
            (self.on_failure)("its thread ended by a fault of the program: restart Holdover");
        }
        self.queue.close();
        for line in self.lines.values() {
            // A session that cannot take this has ended or will find the pool closed at its next send.
            line.sink.deliver(LegEvent::Closed(LegClosed::Pool)).ok();
        }
    }
}
