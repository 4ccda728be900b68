//! From the pool's thread to the task of a connection.
//!
//! One channel per connection, without a bound of its own: each dialog may have so much in it, so no dialog takes
//! another's room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::core::DialogNumber;
use crate::pool::{LegClosed, LegEvent, LegSink};

/// Events of one dialog that may be on the way.
const EVENTS: usize = 512;

/// What a leg said.
pub(super) struct Heard {
    pub(super) dialog: DialogNumber,
    pub(super) event: LegEvent,
    _slot: Slot,
}

/// Where a leg's events go.
pub(super) struct Sink {
    dialog: DialogNumber,
    to: mpsc::UnboundedSender<Heard>,
    on_the_way: Arc<AtomicUsize>,
    closed: AtomicBool,
}

impl Sink {
    pub(super) fn new(dialog: DialogNumber, to: mpsc::UnboundedSender<Heard>) -> Self {
        Self {
            dialog,
            to,
            on_the_way: Arc::default(),
            closed: AtomicBool::new(false),
        }
    }

    fn send(&self, event: LegEvent) -> Result<(), LegClosed> {
        let heard = Heard {
            dialog: self.dialog,
            event,
            _slot: Slot::take(&self.on_the_way),
        };
        self.to.send(heard).map_err(|_| LegClosed::Overflow)
    }
}

impl LegSink for Sink {
    fn deliver(&self, event: LegEvent) -> Result<(), LegClosed> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(LegClosed::Overflow);
        }
        if self.on_the_way.load(Ordering::Relaxed) < EVENTS {
            return self.send(event);
        }
        // The pool drops the leg and says nothing more of it, so this side has to be told here: once.
        if !self.closed.swap(true, Ordering::Relaxed) {
            self.send(LegEvent::Closed(LegClosed::Overflow))?;
        }
        Err(LegClosed::Overflow)
    }
}

/// A place among the events of a dialog; free again when it is dropped.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_dialog_that_is_not_read_is_told_once_and_takes_no_other_dialogs_room() {
        let (to, mut from) = mpsc::unbounded_channel();
        let flooded = Sink::new(DialogNumber(1), to.clone());
        let other = Sink::new(DialogNumber(2), to);
        let document = || LegEvent::Document(Bytes::from_static(b"x"));
        for _ in 0..EVENTS {
            flooded.deliver(document()).unwrap();
        }
        assert_eq!(flooded.deliver(document()), Err(LegClosed::Overflow));
        assert_eq!(flooded.deliver(document()), Err(LegClosed::Overflow));
        other.deliver(document()).unwrap();
        let mut heard = Vec::new();
        while let Ok(one) = from.try_recv() {
            heard.push((one.dialog, one.event));
        }
        assert_eq!(heard.len(), EVENTS + 2);
        assert_eq!(
            heard[EVENTS],
            (DialogNumber(1), LegEvent::Closed(LegClosed::Overflow))
        );
        assert_eq!(heard[EVENTS + 1].0, DialogNumber(2));
    }

    #[test]
    fn what_was_read_makes_room() {
        let (to, mut from) = mpsc::unbounded_channel();
        let sink = Sink::new(DialogNumber(1), to);
        for _ in 0..3 * EVENTS {
            sink.deliver(LegEvent::Document(Bytes::new())).unwrap();
            from.try_recv().unwrap();
        }
    }
}
