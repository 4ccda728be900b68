//! Invariant 1: each post of the client goes to its pool at most once, and the client is told the truth about it, once and in
//! time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::pool::{PoolId, Receipt, SendId};

/// Names an INFO of the client: its dialog and its CSeq.
pub(super) type InfoId = (u64, u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact {
    Accepted,
    Refused,
    Unknown,
}

#[derive(Debug)]
struct Post {
    text: String,
    /// Where it has to go; `None` for a room that is refused.
    pool: Option<PoolId>,
    connection: u64,
    sent: Option<(SendId, Instant)>,
    stored: usize,
    fact: Option<Fact>,
    answers: Vec<u16>,
}

#[derive(Debug, Default)]
pub(super) struct Posts {
    posts: BTreeMap<InfoId, Post>,
    /// INFOs that are no posts: whether they are answered.
    others: BTreeMap<InfoId, Vec<u16>>,
    /// The connection on which answers still arrive.
    connection: Option<u64>,
    is_over: bool,
    /// The front end is away: answers wait for it.
    is_held: bool,
}

impl Posts {
    pub(super) fn connected(&mut self, connection: u64) {
        self.connection = Some(connection);
    }

    /// Nothing arrives any more of what is under way.
    pub(super) fn disconnected(&mut self) {
        self.connection = None;
        self.others.clear();
    }

    /// Whether answers wait for the front end.
    pub(super) fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    /// The session ends: it may give up what it waits for.
    pub(super) fn over(&mut self) {
        self.is_over = true;
    }

    pub(super) fn asked(&mut self, info: InfoId) {
        self.others.insert(info, Vec::new());
    }

    pub(super) fn written(&mut self, info: InfoId, text: &str, pool: Option<PoolId>) {
        let post = Post {
            text: text.to_owned(),
            pool,
            connection: self.connection.unwrap(),
            sent: None,
            stored: 0,
            fact: None,
            answers: Vec::new(),
        };
        self.posts.insert(info, post);
    }

    /// A document with this text was sent to a pool.
    pub(super) fn sent(&mut self, now: Instant, pool: PoolId, id: SendId, body: &str) {
        for post in self.posts.values_mut() {
            if !body.contains(&format!("<chat>{}</chat>", post.text)) {
                continue;
            }
            assert_eq!(post.pool, Some(pool), "to another pool: {body}");
            assert!(post.sent.is_none(), "sent twice: {body}");
            assert!(
                post.answers.is_empty(),
                "sent after it was answered: {body}"
            );
            post.sent = Some((id, now));
        }
    }

    pub(super) fn stored(&mut self, text: &str) {
        if let Some(post) = self.posts.values_mut().find(|post| post.text == text) {
            post.stored += 1;
            assert_eq!(post.stored, 1, "{text} was delivered twice");
        }
    }

    /// The core is told what became of a document.
    pub(super) fn receipt(&mut self, pool: PoolId, id: SendId, receipt: &Receipt) {
        let fact = match receipt {
            Receipt::Accepted => Fact::Accepted,
            Receipt::Refused { .. } => Fact::Refused,
            Receipt::Unknown => Fact::Unknown,
        };
        for post in self.posts.values_mut() {
            let is_it = post.pool == Some(pool) && post.sent.is_some_and(|(sent, _)| sent == id);
            if is_it {
                post.fact.get_or_insert(fact);
            }
        }
    }

    /// The leg is gone as far as the core knows.
    pub(super) fn leg_gone(&mut self, pool: PoolId) {
        for post in self.posts.values_mut() {
            if post.pool == Some(pool) && post.sent.is_some() {
                post.fact.get_or_insert(Fact::Unknown);
            }
        }
    }

    pub(super) fn time_passed(&mut self, now: Instant, pool_timeout: Duration) {
        for post in self.posts.values_mut() {
            if post.sent.is_some_and(|(_, at)| at + pool_timeout <= now) {
                post.fact.get_or_insert(Fact::Unknown);
            }
        }
    }

    /// Whether the INFO was a post.
    pub(super) fn answered(&mut self, info: InfoId, status: u16) -> bool {
        if self.connection.is_none() {
            return false;
        }
        // A client survives only these (facts/sipe-client.md).
        assert!(status == 200 || (400..600).contains(&status), "{status}");
        assert!(!matches!(status, 401 | 407 | 408 | 481), "{status}");
        if let Some(answers) = self.others.get_mut(&info) {
            answers.push(status);
            assert_eq!(answers.len(), 1, "answered twice: {answers:?}");
            return false;
        }
        let connection = self.connection;
        let post = self.posts.get_mut(&info);
        let post = post.unwrap_or_else(|| panic!("an answer to nothing: {info:?} {status}"));
        assert_eq!(Some(post.connection), connection, "on another connection");
        post.answers.push(status);
        assert_eq!(post.answers.len(), 1, "answered twice: {post:?}");
        let is_known = post.fact.is_some() || post.sent.is_none() || self.is_over;
        assert!(is_known, "{status} though nothing is known: {post:?}");
        true
    }

    /// What must hold whenever the core has nothing more to say.
    pub(super) fn check(&mut self) {
        if self.is_held {
            return;
        }
        let connection = self.connection;
        for post in self.posts.values() {
            if Some(post.connection) != connection {
                continue;
            }
            let expected = match (post.sent, post.fact) {
                (None, _) => Some(Fact::Refused),
                (Some(_), fact) => fact,
            };
            let Some(expected) = expected else { continue };
            let [status] = post.answers[..] else {
                panic!("its fate is known, and the client was not told: {post:?}")
            };
            let is_true = match expected {
                Fact::Accepted => status == 200 && post.stored == 1,
                Fact::Refused => status >= 400 && status != 504 && post.stored == 0,
                Fact::Unknown => status == 504,
            };
            assert!(is_true, "not the truth: {post:?}");
        }
        let open = self.others.iter().find(|(_, answers)| answers.is_empty());
        assert!(open.is_none(), "not answered: {open:?}");
        self.others.clear();
    }

    /// How the client was answered.
    pub(super) fn status(&self, info: InfoId) -> Option<u16> {
        self.posts.get(&info)?.answers.first().copied()
    }
}
