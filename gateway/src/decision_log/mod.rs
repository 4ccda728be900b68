//! The record of decisions: the last ones that were made for users, each with the rule that made it.
//!
//! It is bounded by the number of decisions and by the size of each, and it is no log: the event log has them all. Message
//! text is not among what is decided by and never in it.

mod answer;
mod tell;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdover_config::rules::{Act, Place, Rule};
use holdover_config::{ListenerName, PoolName, RuleName};
use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use jiff::Timestamp;

pub use answer::{DecisionList, Shown, ShownQuestion, ShownRule};

use crate::decide::RefusalReason;

/// How many decisions a gateway remembers.
pub const KEPT: usize = 10_000;

/// Longest name of a client's build that is remembered, in bytes. Clients choose it.
const CLIENT_BYTES: usize = 256;

/// A decision: what was decided by, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// Who asked.
    pub user: UserUri,
    /// From where.
    pub network: Option<IpAddr>,
    /// On which listener.
    pub listener: Option<ListenerName>,
    /// With which client, as that says itself.
    pub client: Option<Arc<str>>,
    /// To do what.
    pub act: Act,
    /// In which room, as the client knows it. None for what concerns no room.
    pub room: Option<RoomUri>,
    /// What was decided.
    pub outcome: Verdict,
    /// By which rule. None: by the directory alone.
    pub rule: Option<DecidedBy>,
    /// By which version of the configuration.
    pub generation: u64,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Allowed {
        /// Where. None for what concerns no single pool.
        pool: Option<PoolName>,
        /// The room as that pool knows it.
        migrated: Option<RoomUri>,
    },
    /// No, before any pool was asked.
    Refused {
        /// Why.
        reason: RefusalReason,
        /// What the user was told.
        text: Box<str>,
    },
}

/// The rule that decided. Not the rule itself: a record must not keep what a reload replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedBy {
    /// Its name.
    pub name: RuleName,
    /// Where it stood.
    pub place: Place,
}

impl From<&Rule> for DecidedBy {
    fn from(rule: &Rule) -> Self {
        Self {
            name: rule.name.clone(),
            place: rule.place.clone(),
        }
    }
}

/// Which decisions are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this user's.
    pub user: Option<UserUri>,
    /// Only those about this room.
    pub room: Option<RoomUri>,
}

impl Filter {
    fn fits(&self, record: &Record) -> bool {
        self.user.as_ref().is_none_or(|user| *user == record.user)
            && self.room.as_ref().is_none_or(|wanted| {
                record
                    .room
                    .as_ref()
                    .is_some_and(|room| room.is_same_room(wanted))
            })
    }
}

/// The last decisions of a gateway.
///
/// Whoever decides takes the next slot by one atomic addition and locks that slot alone: two wait for one another only if one
/// of them was overtaken by a whole round. Questions look through all slots, which costs less than an index by user would
/// cost every decision.
#[derive(Debug)]
pub struct DecisionLog {
    slots: Box<[Slot]>,
    next: AtomicU64,
}

/// A record with its number, once there is one.
type Slot = Mutex<Option<(u64, Arc<Record>)>>;

impl Default for DecisionLog {
    fn default() -> Self {
        Self::new(KEPT)
    }
}

impl DecisionLog {
    /// Remembers so many decisions, at least one.
    #[must_use]
    pub fn new(kept: usize) -> Self {
        Self {
            slots: (0..kept.max(1)).map(|_| Slot::default()).collect(),
            next: AtomicU64::new(0),
        }
    }

    /// Remembers a decision, in the place of the oldest one.
    pub fn push(&self, mut record: Record) {
        if let Some(client) = &mut record.client
            && client.len() > CLIENT_BYTES
        {
            let cut = (0..=CLIENT_BYTES).rev().find_map(|end| client.get(..end));
            *client = cut.unwrap_or_default().into();
        }
        let record = Arc::new(record);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let count = u64::try_from(self.slots.len()).unwrap_or(u64::MAX);
        let slot = usize::try_from(number % count).unwrap_or_default();
        let Some(slot) = self.slots.get(slot) else {
            return;
        };
        let mut kept = lock(slot);
        // Who was overtaken by a whole round brings what is old already.
        if kept.as_ref().is_none_or(|(newest, _)| *newest < number) {
            let old = kept.replace((number, record));
            drop(kept);
            drop(old);
        }
    }

    /// The last decisions that fit, at most so many, the newest first.
    #[must_use]
    pub fn last(&self, filter: &Filter, limit: usize) -> Vec<Arc<Record>> {
        let mut found: Vec<(u64, Arc<Record>)> = self
            .slots
            .iter()
            .filter_map(|slot| lock(slot).clone())
            .filter(|(_, record)| filter.fits(record))
            .collect();
        found.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        found.truncate(limit);
        found.into_iter().map(|(_, record)| record).collect()
    }
}

/// A slot is whole after every panic: it is written by one assignment.
fn lock(slot: &Slot) -> MutexGuard<'_, Option<(u64, Arc<Record>)>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
