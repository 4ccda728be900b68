//! Documents on their way to the pool: a window of them is under way, the rest waits, in order.
//!
//! A 503 is a definite refusal and may be tried again ("a Microsoft client is expected to send the message again",
//! `facts/xccos.md` §1.3), but not without end and never so that a document overtakes another: while one is held back,
//! none is sent, and if a later one was accepted meanwhile, the held one is refused for good.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdover_protocol::sip::Status;

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
    stage: Delivery,
    tries: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    /// Not under way. → `Sent`
    Waiting,
    /// Under way with this CSeq. → `Held`, or its fate is known.
    Sent(u32),
    /// Refused with 503 under this CSeq; will be sent again. → `Waiting`
    Held(u32),
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Outbox {
    documents: VecDeque<Document>,
    bytes: usize,
    /// How many may be under way.
    window: usize,
    /// How long until a document's fate must be told.
    limit: Duration,
    /// The highest CSeq that was accepted.
    accepted: u32,
    /// When held documents may be sent again.
    retry_at: Option<Instant>,
}

/// A fate.
pub(super) type Told = (SendId, Receipt);

impl Outbox {
    pub(super) fn new(window: usize, limit: Duration) -> Self {
        Self {
            documents: VecDeque::new(),
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
        if self.documents.len() >= DOCUMENTS || (bytes > BYTES && !self.documents.is_empty()) {
            return Err(LegClosed::Overflow);
        }
        self.bytes = bytes;
        self.documents.push_back(Document {
            id,
            body,
            deadline: now + self.limit,
            stage: Delivery::Waiting,
            tries: 0,
        });
        Ok(())
    }

    /// The next document to send now, if there is one. Tell [`sent`](Self::sent) then.
    pub(super) fn next(&mut self, now: Instant) -> Option<Bytes> {
        let under_way = self.under_way();
        if let Some(retry_at) = self.retry_at {
            if under_way > 0 || now < retry_at {
                return None;
            }
            self.retry_at = None;
            for document in &mut self.documents {
                document.stage = Delivery::Waiting;
            }
        }
        if under_way >= self.window {
            return None;
        }
        self.waiting().map(|document| document.body.clone())
    }

    /// Notes that what [`next`](Self::next) gave went out under this CSeq.
    pub(super) fn sent(&mut self, cseq: u32) {
        if let Some(document) = self.waiting() {
            document.stage = Delivery::Sent(cseq);
            document.tries += 1;
        }
    }

    /// The pool accepted what went out under `cseq`.
    pub(super) fn accepted(&mut self, cseq: u32, told: &mut Vec<Told>) {
        let Some(document) = self.take(Delivery::Sent(cseq)) else {
            return;
        };
        told.push((document.id, Receipt::Accepted));
        self.accepted = self.accepted.max(cseq);
        // Those held back would now come too late for their place.
        while let Some(late) = self
            .documents
            .iter()
            .find_map(|document| match document.stage {
                Delivery::Held(held) if held < cseq => Some(document.stage),
                _ => None,
            })
            .and_then(|stage| self.take(stage))
        {
            told.push((late.id, busy()));
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
        if let Some(document) = self.take(Delivery::Sent(cseq)) {
            let (status, reason) = (status.code(), reason.into());
            told.push((document.id, Receipt::Refused { status, reason }));
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
        let Some(document) = self
            .documents
            .iter_mut()
            .find(|document| document.stage == Delivery::Sent(cseq))
        else {
            return;
        };
        let wait = FIRST_WAIT * (1 << document.tries.min(TRIES).saturating_sub(1));
        let asked = retry_after.unwrap_or(0).min(LONGEST_RETRY_AFTER);
        let wait = random.jitter(wait) + Duration::from_secs(asked.into());
        let retry_at = now + wait;
        if document.tries >= TRIES || retry_at >= document.deadline || self.accepted > cseq {
            if let Some(document) = self.take(Delivery::Sent(cseq)) {
                told.push((document.id, busy()));
            }
            return;
        }
        document.stage = Delivery::Held(cseq);
        self.retry_at = Some(self.retry_at.map_or(retry_at, |other| other.max(retry_at)));
    }

    /// Tells the fate of documents whose time is over. Returns whether any of them was under way.
    pub(super) fn expire(&mut self, now: Instant, told: &mut Vec<Told>) -> bool {
        let mut unanswered = false;
        // All have the same limit, so they expire in order.
        while let Some(document) = self
            .documents
            .front()
            .filter(|document| document.deadline <= now)
        {
            let stage = document.stage;
            let Some(document) = self.take(stage) else {
                break;
            };
            let receipt = match stage {
                Delivery::Sent(_) => {
                    unanswered = true;
                    Receipt::Unknown
                }
                Delivery::Held(_) => busy(),
                // It never left: that is a refusal, not a doubt.
                Delivery::Waiting => Receipt::Refused {
                    status: Status::SERVER_TIMEOUT.code(),
                    reason: "the pool did not take it in time".into(),
                },
            };
            told.push((document.id, receipt));
        }
        unanswered
    }

    /// When [`expire`](Self::expire) or [`next`](Self::next) has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let expiry = self.documents.front().map(|document| document.deadline);
        let retry = self.retry_at.filter(|_| self.under_way() == 0);
        expiry.into_iter().chain(retry).min()
    }

    fn under_way(&self) -> usize {
        self.documents
            .iter()
            .filter(|document| matches!(document.stage, Delivery::Sent(_)))
            .count()
    }

    fn waiting(&mut self) -> Option<&mut Document> {
        self.documents
            .iter_mut()
            .find(|document| document.stage == Delivery::Waiting)
    }

    /// Takes out the first document in this stage.
    fn take(&mut self, stage: Delivery) -> Option<Document> {
        let at = self
            .documents
            .iter()
            .position(|document| document.stage == stage)?;
        let document = self.documents.remove(at)?;
        self.bytes -= document.body.len();
        let held = |document: &Document| matches!(document.stage, Delivery::Held(_));
        if !self.documents.iter().any(held) {
            self.retry_at = None;
        }
        if self.documents.is_empty() {
            // An idle leg keeps no memory for documents.
            self.documents = VecDeque::new();
        }
        Some(document)
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
                self.outbox.sent(self.cseq);
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
