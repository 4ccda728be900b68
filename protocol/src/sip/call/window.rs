//! Requests of one dialog that wait for their final responses.

use std::collections::VecDeque;
use std::time::Instant;

use crate::sip::message::Method;

/// The requests that were sent in a dialog and are not answered, oldest first. How many there may be is the caller's to
/// say; an empty one has no memory of its own until the first, and gives it back by [`release`](Self::release).
#[derive(Debug)]
pub struct Window<T>(VecDeque<Sent<T>>);

/// One request.
#[derive(Debug)]
pub struct Sent<T> {
    /// Its CSeq number, which no other request of this side in the dialog has.
    cseq: u32,
    method: Method,
    /// When it was sent, last.
    pub sent_at: Instant,
    /// What the caller remembers of it.
    pub what: T,
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Window<T> {
    /// Adds the request that was sent under this number.
    pub fn push(&mut self, cseq: u32, method: Method, sent_at: Instant, what: T) {
        self.0.push_back(Sent {
            cseq,
            method,
            sent_at,
            what,
        });
    }

    /// Takes out the request that a response with this CSeq is to. `None`: there is none.
    pub fn take(&mut self, cseq: u32, method: &Method) -> Option<T> {
        let at = self.position(cseq, method)?;
        self.0.remove(at).map(|sent| sent.what)
    }

    /// The place of the request that a response with this CSeq is to, from 0 for the oldest.
    pub fn position(&self, cseq: u32, method: &Method) -> Option<usize> {
        let is_it = |sent: &Sent<T>| sent.cseq == cseq && sent.method == *method;
        self.0.iter().position(is_it)
    }

    /// Takes out the oldest request of which this is wanted, as something else than a response answered it.
    pub fn take_where(&mut self, mut is_wanted: impl FnMut(&T) -> bool) -> Option<T> {
        let at = self.0.iter().position(|sent| is_wanted(&sent.what))?;
        self.0.remove(at).map(|sent| sent.what)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether all are answered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When the oldest was sent. A limit on top of it says when to stop waiting: the outcome counts as 408 then (RFC 3261
    /// §8.1.3.1). Some clients leave an INFO without any answer for ever.
    pub fn oldest(&self) -> Option<Instant> {
        self.0.front().map(|sent| sent.sent_at)
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Sent<T>> {
        self.0.iter()
    }

    /// All of them, oldest first, to change what is remembered or to send them again.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Sent<T>> {
        self.0.iter_mut()
    }

    /// Gives all of them up, oldest first.
    pub fn drain(&mut self) -> impl DoubleEndedIterator<Item = T> {
        self.0.drain(..).map(|sent| sent.what)
    }

    /// Gives back memory, if all are answered.
    pub fn release(&mut self) {
        if self.0.is_empty() {
            self.0 = VecDeque::new();
        }
    }
}
