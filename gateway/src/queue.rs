//! A bounded queue between tasks, for what there are many of and what is mostly empty.
//!
//! Tokio's channel keeps room for 32 messages from its first moment and more after a burst: with two of them a session that
//! does nothing took 3.5 KiB of its 8 (docs/benchmarks.md). This one is a deque behind a lock that is never held for longer
//! than a push or a pop, and an empty one keeps room for few messages at most. It behaves as Tokio's does: it takes part
//! in cooperative scheduling, receiving is cancel safe, and each side is told when the other is gone.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::sync::Notify;

/// Messages that an empty queue keeps room for.
const KEPT: usize = 4;

/// A queue of at most so many messages; at least one.
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            items: VecDeque::new(),
            receiver: None,
            is_closed: false,
        }),
        senders: AtomicUsize::new(1),
        capacity: capacity.max(1),
        changed: Notify::new(),
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    senders: AtomicUsize,
    capacity: usize,
    /// Tells senders that there is room, or that nobody receives any more.
    changed: Notify,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    /// The receiver, while it waits.
    receiver: Option<Waker>,
    is_closed: bool,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that is done under the lock can leave it half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_receiver(&self) {
        let receiver = self.lock().receiver.take();
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }
}

/// Why a message was not taken. It is handed back.
#[derive(Debug)]
pub enum TrySendError<T> {
    /// There is no room.
    Full(T),
    /// Nobody receives any more.
    Closed(T),
}

impl<T> TrySendError<T> {
    /// The message.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(message) | Self::Closed(message) => message,
        }
    }
}

/// The end that puts messages in.
#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    /// Puts a message in, if there is room.
    ///
    /// # Errors
    ///
    /// There is none, or nobody receives any more.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.put(message, self.0.capacity)
    }

    /// Puts a message in, whether or not there is room: for the few that must arrive, and in their order.
    ///
    /// # Errors
    ///
    /// Nobody receives any more. The message is handed back.
    pub fn push(&self, message: T) -> Result<(), T> {
        self.put(message, usize::MAX)
            .map_err(TrySendError::into_inner)
    }

    fn put(&self, message: T, capacity: usize) -> Result<(), TrySendError<T>> {
        let mut state = self.0.lock();
        if state.is_closed {
            return Err(TrySendError::Closed(message));
        }
        if state.items.len() >= capacity {
            return Err(TrySendError::Full(message));
        }
        state.items.push_back(message);
        let receiver = state.receiver.take();
        drop(state);
        if let Some(receiver) = receiver {
            receiver.wake();
        }
        Ok(())
    }

    /// Puts a message in, once there is room.
    ///
    /// # Errors
    ///
    /// Nobody receives any more. The message is handed back.
    pub async fn send(&self, message: T) -> Result<(), T> {
        let mut message = message;
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            // Before the try: what changes after it is not missed.
            changed.as_mut().enable();
            match self.try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(unsent)) => return Err(unsent),
                Err(TrySendError::Full(unsent)) => message = unsent,
            }
            changed.await;
        }
    }

    /// Messages that fit at the moment.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.0.capacity.saturating_sub(self.0.lock().items.len())
    }

    /// Messages that fit when it is empty.
    #[must_use]
    pub fn max_capacity(&self) -> usize {
        self.0.capacity
    }

    /// Whether nobody receives any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.lock().is_closed
    }

    /// Waits until nobody receives any more.
    pub async fn closed(&self) {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            changed.as_mut().enable();
            if self.is_closed() {
                return;
            }
            changed.await;
        }
    }

    /// A sender that does not keep the queue open.
    #[must_use]
    pub fn downgrade(&self) -> WeakSender<T> {
        WeakSender(Arc::clone(&self.0))
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.wake_receiver();
        }
    }
}

/// See [`Sender::downgrade`].
#[derive(Debug)]
pub struct WeakSender<T>(Arc<Shared<T>>);

impl<T> WeakSender<T> {
    /// A sender, if there is still another one.
    #[must_use]
    pub fn upgrade(&self) -> Option<Sender<T>> {
        let more = |senders: usize| (senders > 0).then_some(senders + 1);
        self.0
            .senders
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()?;
        Some(Sender(Arc::clone(&self.0)))
    }
}

/// The end that takes messages out.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Shared<T>>);

impl<T> Receiver<T> {
    /// The next message; `None` once all senders are gone and none is left.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let turn = ready!(tokio::task::coop::poll_proceed(cx));
        let mut state = self.0.lock();
        if let Some(message) = self.take(&mut state) {
            drop(state);
            self.0.changed.notify_waiters();
            turn.made_progress();
            return Poll::Ready(Some(message));
        }
        if self.0.senders.load(Ordering::Acquire) == 0 {
            turn.made_progress();
            return Poll::Ready(None);
        }
        match &mut state.receiver {
            Some(waiting) => waiting.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Takes nothing more in. What is in it can still be taken out.
    pub fn close(&mut self) {
        self.0.lock().is_closed = true;
        self.0.changed.notify_waiters();
    }

    /// The next message, if there is one.
    pub fn try_recv(&mut self) -> Option<T> {
        let message = self.take(&mut self.0.lock())?;
        self.0.changed.notify_waiters();
        Some(message)
    }

    fn take(&self, state: &mut State<T>) -> Option<T> {
        let message = state.items.pop_front();
        if state.items.is_empty() && state.items.capacity() > KEPT {
            state.items = VecDeque::new();
        }
        message
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_closed = true;
        // What is in them may have a sender of this very queue: dropped when the lock is free again.
        let unread = std::mem::take(&mut state.items);
        drop(state);
        drop(unread);
        self.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_come_in_order_and_no_more_fit_than_were_asked_for() {
        let (sender, mut receiver) = bounded(3);
        for number in 1..=3 {
            sender.try_send(number).unwrap();
        }
        assert_eq!((sender.capacity(), sender.max_capacity()), (0, 3));
        assert!(matches!(sender.try_send(4), Err(TrySendError::Full(4))));
        assert_eq!(receiver.recv().await, Some(1));
        sender.try_send(4).unwrap();
        let rest: Vec<i32> = std::iter::from_fn(|| receiver.try_recv()).collect();
        assert_eq!(rest, [2, 3, 4]);
    }

    #[tokio::test]
    async fn what_must_arrive_is_taken_beyond_the_bound_and_in_order() {
        let (sender, mut receiver) = bounded(1);
        sender.try_send(1).unwrap();
        sender.push(2).unwrap();
        sender.push(3).unwrap();
        assert_eq!(sender.capacity(), 0);
        assert!(matches!(sender.try_send(4), Err(TrySendError::Full(4))));
        let all: Vec<i32> = std::iter::from_fn(|| receiver.try_recv()).collect();
        assert_eq!(all, [1, 2, 3]);
        drop(receiver);
        assert_eq!(sender.push(5), Err(5));
    }

    #[tokio::test]
    async fn a_waiting_receiver_is_woken_by_a_message_and_by_the_last_sender() {
        let (sender, mut receiver) = bounded(1);
        let other = sender.clone();
        let received = tokio::spawn(async move {
            let first = receiver.recv().await;
            (first, receiver.recv().await)
        });
        tokio::task::yield_now().await;
        sender.try_send(7).unwrap();
        drop(sender);
        tokio::task::yield_now().await;
        assert!(!received.is_finished(), "there is another sender");
        drop(other);
        assert_eq!(received.await.unwrap(), (Some(7), None));
    }

    #[tokio::test]
    async fn a_waiting_sender_has_its_turn_and_hears_of_the_end() {
        let (sender, mut receiver) = bounded(1);
        sender.try_send(1).unwrap();
        let waiting = tokio::spawn({
            let sender = sender.clone();
            async move {
                sender.send(2).await.unwrap();
                sender.send(3).await
            }
        });
        tokio::task::yield_now().await;
        assert_eq!(receiver.recv().await, Some(1));
        assert_eq!(receiver.recv().await, Some(2));
        while sender.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(waiting.await.unwrap(), Ok(()));
        let waiting = tokio::spawn({
            let sender = sender.clone();
            async move { (sender.send(4).await, sender.closed().await) }
        });
        tokio::task::yield_now().await;
        drop(receiver);
        assert_eq!(waiting.await.unwrap(), (Err(4), ()));
        assert!(sender.is_closed());
        assert!(matches!(sender.try_send(5), Err(TrySendError::Closed(5))));
    }

    #[tokio::test]
    async fn a_weak_sender_keeps_nothing_open() {
        let (sender, mut receiver) = bounded(1);
        let weak = sender.downgrade();
        weak.upgrade().unwrap().try_send(1).unwrap();
        drop(sender);
        assert!(weak.upgrade().is_none());
        assert_eq!(receiver.recv().await, Some(1));
        assert_eq!(receiver.recv().await, None);
    }

    #[tokio::test]
    async fn an_empty_queue_gives_its_memory_back() {
        let (sender, mut receiver) = bounded(1_000);
        for number in 0..1_000 {
            sender.try_send(number).unwrap();
        }
        while receiver.try_recv().is_some() {}
        assert!(receiver.0.lock().items.capacity() <= KEPT);
    }

    #[test]
    fn threads_lose_nothing() {
        const EACH: usize = 10_000;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .build()
            .unwrap();
        let sum = runtime.block_on(async {
            let (sender, mut receiver) = bounded(8);
            for _ in 0..4 {
                let sender = sender.clone();
                tokio::spawn(async move {
                    for number in 0..EACH {
                        sender.send(number).await.unwrap();
                    }
                });
            }
            drop(sender);
            tokio::spawn(async move {
                let mut sum = 0;
                while let Some(number) = receiver.recv().await {
                    sum += number;
                }
                sum
            })
            .await
            .unwrap()
        });
        assert_eq!(sum, 4 * EACH * (EACH - 1) / 2);
    }
}
