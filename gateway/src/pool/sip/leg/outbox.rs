//! Documents on their way to the pool: a window of them is under way, the rest waits, in order.
//!
//! A 503 is a definite refusal and may be tried again ("a Microsoft client is expected to send the message again",
//! `facts/xccos.md` §1.3), but not without end and never so that a document overtakes another: while one is held back,
//! none is sent, and if a later one was accepted meanwhile, the held one is refused for good.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_protocol::sip::call::Window;
use holdover_protocol::sip::{Method, Status};

use crate::pool::{LegClosed, Receipt, SendId};
use crate::random::Random;

/// Documents of one leg that may be in here.
const DOCUMENTS: usize = 128;

/// Bytes of documents of one leg that may be in here, beyond the first.
const BYTES: usize = 4 << 20;

/// How often one document is sent at most.
const TRIES: u8 = 4;

/// Wait before the first repetition; doubled for each further one.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Seconds of a `Retry-After` beyond which it counts as this.
const LONGEST_RETRY_AFTER: u32 = 60;

#[derive(Debug)]
struct Document {
    id: SendId,
    body: Bytes,
    /// When its fate must be told.
    deadline: Instant,
    tries: u8,
    /// Refused with 503 under this CSeq, and to be sent again.
    held: Option<u32>,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Those that are under way.
    sent: Window<Document>,
    /// Those that are not, in the order in which they go: first those that are held, then those that never left.
    waiting: VecDeque<Document>,
    bytes: usize,
    /// How many may be under way.
    window: usize,
    /// How long until a document's fate must be told.
    limit: Duration,
    /// The highest CSeq that was accepted.
    accepted: u32,
    /// When held documents may be sent again. `None`: none is held.
    retry_at: Option<Instant>,
}

/// A fate.
pub(super) type Told = (SendId, Receipt);

impl Outbox {
    pub(super) fn new(window: usize, limit: Duration) -> Self {
        Self {
            sent: Window::default(),
            waiting: VecDeque::new(),
            bytes: 0,
            window: window.max(1),
            limit,
            accepted: 0,
            retry_at: None,
        }
    }

    /// Adds a document.
    ///
    /// # Errors
    ///
    /// [`LegClosed::Overflow`] when too much waits.
    pub(super) fn push(&mut self, now: Instant, id: SendId, body: Bytes) -> Result<(), LegClosed> {
        let bytes = self.bytes.saturating_add(body.len());
        let documents = self.sent.len() + self.waiting.len();
        if documents >= DOCUMENTS || (bytes > BYTES && documents > 0) {
            return Err(LegClosed::Overflow);
        }
        self.bytes = bytes;
        self.waiting.push_back(Document {
            id,
            body,
            deadline: now + self.limit,
            tries: 0,
            held: None,
        });
        Ok(())
    }

    /// The next document to send now, if there is one. Tell [`sent`](Self::sent) then.
    pub(super) fn next(&mut self, now: Instant) -> Option<Bytes> {
        if let Some(retry_at) = self.retry_at {
            if !self.sent.is_empty() || now < retry_at {
                return None;
            }
            self.retry_at = None;
            for document in &mut self.waiting {
                document.held = None;
            }
        }
        if self.sent.len() >= self.window {
            return None;
        }
        self.waiting.front().map(|document| document.body.clone())
    }

    /// Notes that what [`next`](Self::next) gave went out under this CSeq.
    pub(super) fn sent(&mut self, now: Instant, cseq: u32) {
        if let Some(mut document) = self.waiting.pop_front() {
            document.tries += 1;
            self.sent.push(cseq, Method::Info, now, document);
        }
    }

    /// The pool accepted what went out under `cseq`.
    pub(super) fn accepted(&mut self, cseq: u32, told: &mut Vec<Told>) {
        let Some(document) = self.sent.take(cseq, &Method::Info) else {
            return;
        };
        self.tell(document, Receipt::Accepted, told);
        self.accepted = self.accepted.max(cseq);
        // Those held back would now come too late for their place. They are the first, by their numbers.
        let is_late = |document: &Document| document.held.is_some_and(|held| held < cseq);
        while self.waiting.front().is_some_and(is_late)
            && let Some(late) = self.waiting.pop_front()
        {
            self.tell(late, busy(), told);
        }
    }

    /// The pool refused what went out under `cseq`, for good.
    pub(super) fn refused(
        &mut self,
        cseq: u32,
        status: Status,
        reason: &str,
        told: &mut Vec<Told>,
    ) {
        if let Some(document) = self.sent.take(cseq, &Method::Info) {
            let (status, reason) = (status.code(), reason.into());
            self.tell(document, Receipt::Refused { status, reason }, told);
        }
    }

    /// The pool was too busy for what went out under `cseq`. `retry_after` is what it says of the time to wait, in
    /// seconds.
    pub(super) fn too_busy(
        &mut self,
        now: Instant,
        cseq: u32,
        retry_after: Option<u32>,
        random: &mut Random,
        told: &mut Vec<Told>,
    ) {
        let Some(mut document) = self.sent.take(cseq, &Method::Info) else {
            return;
        };
        let wait = FIRST_WAIT * (1 << document.tries.min(TRIES).saturating_sub(1));
        let asked = retry_after.unwrap_or(0).min(LONGEST_RETRY_AFTER);
        let wait = random.jitter(wait) + Duration::from_secs(asked.into());
        let retry_at = now + wait;
        if document.tries >= TRIES || retry_at >= document.deadline || self.accepted > cseq {
            return self.tell(document, busy(), told);
        }
        document.held = Some(cseq);
        let is_before = |other: &&Document| other.held.is_some_and(|held| held < cseq);
        let at = self.waiting.iter().take_while(is_before).count();
        self.waiting.insert(at, document);
        self.retry_at = Some(self.retry_at.map_or(retry_at, |other| other.max(retry_at)));
    }

    /// Gives up documents whose time is over, and says so. Returns whether any of them was under way.
    pub(super) fn expire(&mut self, now: Instant, told: &mut Vec<Told>) -> bool {
        let mut unanswered = false;
        // All have the same limit, so they expire in order, those that are under way and those that are not.
        loop {
            let is_over = |document: &Document| document.deadline <= now;
            let sent = self.sent.iter().next().map(|sent| &sent.what);
            let waiting = self.waiting.front().filter(|document| is_over(document));
            let sent = sent.filter(|document| is_over(document));
            let is_sent = match (sent, waiting) {
                (None, None) => return unanswered,
                (Some(sent), Some(waiting)) => sent.id.0 < waiting.id.0,
                (sent, _) => sent.is_some(),
            };
            let (document, receipt) = if is_sent {
                unanswered = true;
                (self.sent.take_where(|_| true), Receipt::Unknown)
            } else {
                let document = self.waiting.pop_front();
                let is_held = document
                    .as_ref()
                    .is_some_and(|document| document.held.is_some());
                let receipt = match is_held {
                    true => busy(),
                    // It never left: that is a refusal, not a doubt.
                    false => Receipt::Refused {
                        status: Status::SERVER_TIMEOUT.code(),
                        reason: "the pool did not take it in time".into(),
                    },
                };
                (document, receipt)
            };
            if let Some(document) = document {
                self.tell(document, receipt, told);
            }
        }
    }

    /// When [`expire`](Self::expire) or [`next`](Self::next) has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let sent = self.sent.iter().next().map(|sent| sent.what.deadline);
        let waiting = self.waiting.front().map(|document| document.deadline);
        let retry = self.retry_at.filter(|_| self.sent.is_empty());
        sent.into_iter().chain(waiting).chain(retry).min()
    }

    /// Says what became of a document that was taken out.
    fn tell(&mut self, document: Document, receipt: Receipt, told: &mut Vec<Told>) {
        self.bytes -= document.body.len();
        told.push((document.id, receipt));
        if self
            .waiting
            .front()
            .is_none_or(|first| first.held.is_none())
        {
            self.retry_at = None;
        }
        // An idle leg keeps no memory for documents.
        self.sent.release();
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }
}

fn busy() -> Receipt {
    let status = Status::SERVICE_UNAVAILABLE;
    Receipt::Refused {
        status: status.code(),
        reason: status.phrase().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    struct Bench {
        now: Instant,
        outbox: Outbox,
        random: Random,
        told: Vec<Told>,
        cseq: u32,
    }

    impl Bench {
        fn new(window: usize, documents: u64) -> Self {
            let now = Instant::now();
            let mut outbox = Outbox::new(window, LIMIT);
            for id in 1..=documents {
                let body = Bytes::from(id.to_string());
                outbox.push(now, SendId(id), body).unwrap();
            }
            Self {
                now,
                outbox,
                random: Random::new(1),
                told: Vec::new(),
                cseq: 1,
            }
        }

        /// Sends what may be sent; the bodies.
        fn pump(&mut self) -> Vec<String> {
            let mut sent = Vec::new();
            while let Some(body) = self.outbox.next(self.now) {
                self.cseq += 1;
                self.outbox.sent(self.now, self.cseq);
                sent.push(String::from_utf8(body.to_vec()).unwrap());
            }
            sent
        }

        fn busy(&mut self, cseq: u32, retry_after: Option<u32>) {
            let Self {
                now,
                outbox,
                random,
                told,
                ..
            } = self;
            outbox.too_busy(*now, cseq, retry_after, random, told);
        }

        fn accept(&mut self, cseq: u32) {
            self.outbox.accepted(cseq, &mut self.told);
        }

        fn wait(&mut self, time: Duration) {
            self.now += time;
            self.outbox.expire(self.now, &mut self.told);
        }

        fn told(&mut self) -> Vec<(u64, &'static str)> {
            let name = |receipt: &Receipt| match receipt {
                Receipt::Accepted => "accepted",
                Receipt::Refused { status: 503, .. } => "busy",
                Receipt::Refused { .. } => "refused",
                Receipt::Unknown => "unknown",
            };
            std::mem::take(&mut self.told)
                .iter()
                .map(|(id, receipt)| (id.0, name(receipt)))
                .collect()
        }
    }

    #[test]
    fn a_window_is_under_way_and_order_is_kept() {
        let mut bench = Bench::new(2, 4);
        assert_eq!(bench.pump(), ["1", "2"]);
        assert!(bench.pump().is_empty());
        bench.accept(3);
        assert_eq!(bench.pump(), ["3"]);
        bench.accept(2);
        bench.accept(2);
        assert_eq!(bench.told(), [(2, "accepted"), (1, "accepted")]);
        assert_eq!(bench.pump(), ["4"]);
    }

    #[test]
    fn fact_busy_is_tried_again_after_a_growing_while_and_not_without_end() {
        let mut bench = Bench::new(1, 2);
        assert_eq!(bench.pump(), ["1"]);
        let mut waits = Vec::new();
        for _ in 1..TRIES {
            let cseq = bench.cseq;
            bench.busy(cseq, None);
            assert!(bench.pump().is_empty(), "at once");
            let wait = bench.outbox.poll_timeout().unwrap() - bench.now;
            waits.push(wait);
            bench.wait(wait);
            assert_eq!(bench.pump(), ["1"]);
        }
        assert!(waits.iter().zip([125, 250, 500]).all(|(wait, least)| {
            (least..=2 * least).contains(&u64::try_from(wait.as_millis()).unwrap())
        }));
        let cseq = bench.cseq;
        bench.busy(cseq, None);
        assert_eq!(bench.told(), [(1, "busy")]);
        assert_eq!(bench.pump(), ["2"]);
    }

    #[test]
    fn rfc3261_20_33_retry_after_is_kept_and_one_beyond_the_limit_is_a_refusal() {
        let mut bench = Bench::new(1, 1);
        bench.pump();
        bench.busy(2, Some(3));
        let wait = bench.outbox.poll_timeout().unwrap() - bench.now;
        assert!(wait >= Duration::from_secs(3), "{wait:?}");
        bench.wait(wait);
        assert_eq!(bench.pump(), ["1"]);
        bench.busy(3, Some(u32::MAX));
        assert_eq!(bench.told(), [(1, "busy")]);
    }

    #[test]
    fn a_repetition_overtakes_nothing_and_is_overtaken_by_nothing() {
        // Both are refused: both come again, in order.
        let mut bench = Bench::new(3, 3);
        assert_eq!(bench.pump(), ["1", "2", "3"]);
        bench.busy(3, None);
        bench.busy(4, None);
        bench.wait(Duration::from_secs(1));
        assert!(bench.pump().is_empty(), "1 is still under way");
        bench.accept(2);
        assert_eq!(bench.pump(), ["2", "3"]);
        // The second is accepted: the first has lost its place.
        bench.busy(5, None);
        bench.accept(6);
        assert_eq!(
            bench.told(),
            [(1, "accepted"), (3, "accepted"), (2, "busy")]
        );
        // The other way around.
        let mut bench = Bench::new(2, 2);
        bench.pump();
        bench.accept(3);
        bench.busy(2, None);
        assert_eq!(bench.told(), [(2, "accepted"), (1, "busy")]);
        assert_eq!(bench.outbox.poll_timeout(), None);
    }

    #[test]
    fn what_is_not_answered_in_time_is_unknown_and_what_was_not_sent_is_refused() {
        let mut bench = Bench::new(1, 2);
        bench.pump();
        bench.wait(LIMIT);
        assert_eq!(bench.told(), [(1, "unknown"), (2, "refused")]);
        // Its answer comes late.
        bench.accept(2);
        assert_eq!(bench.told(), []);
    }

    #[test]
    fn too_much_does_not_fit() {
        let mut bench = Bench::new(1, DOCUMENTS as u64);
        let push = |bench: &mut Bench, size| {
            let body = Bytes::from(vec![0; size]);
            bench.outbox.push(bench.now, SendId(999), body)
        };
        assert_eq!(push(&mut bench, 1), Err(LegClosed::Overflow));
        let mut bench = Bench::new(1, 0);
        assert_eq!(push(&mut bench, BYTES + 1), Ok(()), "one always fits");
        assert_eq!(push(&mut bench, 1), Err(LegClosed::Overflow));
        bench.pump();
        bench.accept(2);
        assert_eq!(push(&mut bench, 1), Ok(()));
    }
}
