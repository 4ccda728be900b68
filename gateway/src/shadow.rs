//! What came of asking a second pool: how often both answered alike, and the last times they did not.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use holdover_config::{PoolName, RuleName};
use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use jiff::Timestamp;
use serde::Serialize;

/// How many differences are remembered.
const KEPT: usize = 1000;

/// How the answers of two pools differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// By what is in them. Nothing missing and nothing extra: by the order.
    Items {
        /// Of the first answer, how much the second lacks.
        missing: usize,
        /// Of the second answer, how much the first lacks.
        extra: usize,
    },
    /// By the result.
    Codes {
        /// Of the first.
        first: u16,
        /// Of the second.
        second: u16,
    },
}

/// One time that two pools did not answer alike.
#[derive(Clone, Debug, Serialize)]
pub struct Differed {
    /// When.
    #[serde(serialize_with = "displayed")]
    pub at: Timestamp,
    /// Whose command it was.
    #[serde(serialize_with = "displayed")]
    pub user: UserUri,
    /// Which command.
    pub command: Box<str>,
    /// The room as the client knows it; absent for a search.
    #[serde(serialize_with = "maybe_displayed")]
    pub room: Option<RoomUri>,
    /// The second pool.
    #[serde(serialize_with = "displayed")]
    pub pool: PoolName,
    /// The rule that has it asked.
    #[serde(serialize_with = "displayed")]
    pub rule: RuleName,
    /// How the answers differed.
    pub difference: Difference,
}

fn displayed<T: std::fmt::Display, S: serde::Serializer>(
    value: &T,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

fn maybe_displayed<T: std::fmt::Display, S: serde::Serializer>(
    value: &Option<T>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => to.collect_str(value),
        None => to.serialize_none(),
    }
}

/// How often a rule's pools were compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// How often both answered alike.
    pub agreed: u64,
    /// How often they did not.
    pub differed: u64,
}

/// The report of all comparisons since the start.
#[derive(Debug, Default)]
pub struct ShadowReport(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    counts: BTreeMap<RuleName, Counts>,
    last: VecDeque<Differed>,
}

/// The report at one time.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// By the rule's name.
    pub rules: BTreeMap<String, Counts>,
    /// The last differences, the newest first.
    pub differences: Vec<Differed>,
}

impl ShadowReport {
    /// Both answered alike.
    pub fn agreed(&self, rule: &RuleName) {
        self.inner().counts.entry(rule.clone()).or_default().agreed += 1;
    }

    /// They did not.
    pub fn differed(&self, difference: Differed) {
        let mut inner = self.inner();
        let rule = difference.rule.clone();
        inner.counts.entry(rule).or_default().differed += 1;
        if inner.last.len() >= KEPT {
            inner.last.pop_front();
        }
        inner.last.push_back(difference);
    }

    /// The report so far, with at most so many differences.
    #[must_use]
    pub fn summary(&self, limit: usize) -> Summary {
        let inner = self.inner();
        Summary {
            rules: inner
                .counts
                .iter()
                .map(|(rule, counts)| (rule.to_string(), *counts))
                .collect(),
            differences: inner.last.iter().rev().take(limit).cloned().collect(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // It is whole after every panic: each change is a single one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
