//! The queue between sessions and the pool's thread.
//!
//! Senders never block. Documents are bounded per leg, so that one session that floods cannot take the others' room, and
//! in bytes over all. Opening and closing a leg is always accepted: there is one of each per leg.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use holdover_protocol::user::UserUri;

use super::LegId;
use crate::pool::{LegClosed, LegSink, SendId};

/// Documents of one leg that may wait.
const PER_LEG: usize = 128;
/// Bytes of documents that may wait, all legs together.
const BYTES: usize = 64 << 20;

/// What the pool's thread is asked to do.
pub(super) enum Task {
    /// A session opened a leg.
    Open {
        leg: LegId,
        user: UserUri,
        sink: Arc<dyn LegSink>,
        gate: Arc<Gate>,
    },
    /// A session sent a document.
    Document {
        leg: LegId,
        id: SendId,
        document: Bytes,
        gate: Arc<Gate>,
    },
    /// A session dropped its leg.
    Close { leg: LegId },
    /// To show that the pool works.
    Look,
}

/// What the two ends of a leg share.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Number of its documents that wait. Written only under the queue's lock.
    waiting: AtomicUsize,
    /// The pool dropped the leg, because the session did not keep up.
    overflowed: AtomicBool,
}

impl Gate {
    /// Lets nothing through any more.
    pub(super) fn overflow(&self) {
        self.overflowed.store(true, Ordering::Relaxed);
    }
}

struct State {
    tasks: VecDeque<Task>,
    bytes: usize,
    /// No more tasks are taken: the pool shuts down, or its thread has ended.
    closed: bool,
}

/// See the module's text.
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                tasks: VecDeque::new(),
                bytes: 0,
                closed: false,
            }),
            filled: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under this lock, and the state is valid between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a task that opens or closes a leg. Dropped once the queue is closed.
    pub(super) fn control(&self, task: Task) {
        let mut state = self.lock();
        if !state.closed {
            state.tasks.push_back(task);
            self.filled.notify_one();
        }
    }

    /// Adds a document.
    ///
    /// # Errors
    ///
    /// [`LegClosed::Overflow`] when the leg or the pool has too much waiting or the pool dropped the leg,
    /// [`LegClosed::Pool`] when it is shut down.
    pub(super) fn document(
        &self,
        leg: LegId,
        id: SendId,
        document: Bytes,
        gate: &Arc<Gate>,
    ) -> Result<(), LegClosed> {
        let mut state = self.lock();
        if state.closed {
            return Err(LegClosed::Pool);
        }
        let bytes = state.bytes.saturating_add(document.len());
        if bytes > BYTES
            || gate.waiting.load(Ordering::Relaxed) >= PER_LEG
            || gate.overflowed.load(Ordering::Relaxed)
        {
            return Err(LegClosed::Overflow);
        }
        gate.waiting.fetch_add(1, Ordering::Relaxed);
        state.bytes = bytes;
        state.tasks.push_back(Task::Document {
            leg,
            id,
            document,
            gate: Arc::clone(gate),
        });
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for tasks and moves at most `most` of them into `batch`, in order. `false`: closed and empty.
    pub(super) fn take(&self, batch: &mut Vec<Task>, most: usize) -> bool {
        let state = self
            .filled
            .wait_while(self.lock(), |state| state.tasks.is_empty() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        Self::move_into(state, batch, most)
    }

    /// As [`Queue::take`], without waiting. `false`: empty.
    pub(super) fn try_take(&self, batch: &mut Vec<Task>, most: usize) -> bool {
        Self::move_into(self.lock(), batch, most)
    }

    fn move_into(mut state: MutexGuard<'_, State>, batch: &mut Vec<Task>, most: usize) -> bool {
        let count = state.tasks.len().min(most);
        let mut freed = 0_usize;
        for task in state.tasks.drain(..count) {
            if let Task::Document { document, gate, .. } = &task {
                freed += document.len();
                gate.waiting.fetch_sub(1, Ordering::Relaxed);
            }
            batch.push(task);
        }
        state.bytes -= freed;
        count > 0
    }

    /// Takes no more tasks; those that wait are still done.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(queue: &Queue, leg: u64, gate: &Arc<Gate>, size: usize) -> Result<(), LegClosed> {
        queue.document(LegId(leg), SendId(0), vec![b' '; size].into(), gate)
    }

    #[test]
    fn one_leg_cannot_take_the_others_room() {
        let queue = Queue::new();
        let (greedy, modest) = (Arc::default(), Arc::default());
        for _ in 0..PER_LEG {
            send(&queue, 1, &greedy, 10).unwrap();
        }
        assert_eq!(send(&queue, 1, &greedy, 10), Err(LegClosed::Overflow));
        send(&queue, 2, &modest, 10).unwrap();
        let mut batch = Vec::new();
        assert!(queue.take(&mut batch, 1));
        send(&queue, 1, &greedy, 10).unwrap();
    }

    #[test]
    fn bytes_are_bounded_and_freed() {
        let queue = Queue::new();
        let gate = Arc::default();
        send(&queue, 1, &gate, BYTES).unwrap();
        assert_eq!(send(&queue, 1, &gate, 1), Err(LegClosed::Overflow));
        let mut batch = Vec::new();
        assert!(queue.take(&mut batch, 10));
        send(&queue, 1, &gate, BYTES).unwrap();
    }

    #[test]
    fn a_dropped_leg_sends_nothing() {
        let queue = Queue::new();
        let gate: Arc<Gate> = Arc::default();
        gate.overflow();
        assert_eq!(send(&queue, 1, &gate, 1), Err(LegClosed::Overflow));
    }

    #[test]
    fn a_closed_queue_takes_nothing_and_gives_what_it_has() {
        let queue = Queue::new();
        let gate = Arc::default();
        send(&queue, 1, &gate, 1).unwrap();
        queue.close();
        assert_eq!(send(&queue, 1, &gate, 1), Err(LegClosed::Pool));
        let mut batch = Vec::new();
        assert!(queue.take(&mut batch, 10));
        assert_eq!(batch.len(), 1);
        assert!(!queue.take(&mut batch, 10));
    }
}
