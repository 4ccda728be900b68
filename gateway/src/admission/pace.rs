//! A maintenance that is over: those it kept out come back at its pace.

use std::sync::Arc;

use holdover_config::rules::{Maintenance, Rule, Test, Then};
use jiff::Timestamp;

use super::Turned;
use crate::decide::{Refusal, RefusalReason};
use crate::peer::Caller;
use crate::routing;

/// When nobody was turned away for so long, everybody is back. Longer than clients wait between two attempts.
const IDLE_MILLIS: i64 = 180_000;

/// One maintenance that is over.
#[derive(Debug)]
pub(super) struct Pace {
    rule: Arc<Rule>,
    per_second: u32,
    /// Thousandths of a sign-in that may be spent; at most those of one second.
    budget: i64,
    refilled_at: Timestamp,
    turned_at: Timestamp,
}

impl Pace {
    /// The pace after this rule; `None` if it has none.
    pub(super) fn after(rule: &Arc<Rule>, at: Timestamp) -> Option<Self> {
        let Then::Maintenance(Maintenance {
            sign_ins_per_sec: Some(per_second),
            ..
        }) = &rule.then
        else {
            return None;
        };
        let per_second = per_second.get();
        Some(Self {
            rule: Arc::clone(rule),
            per_second,
            budget: i64::from(per_second) * 1000,
            refilled_at: at,
            turned_at: at,
        })
    }

    /// The rule of the maintenance.
    pub(super) fn rule(&self) -> &Arc<Rule> {
        &self.rule
    }

    pub(super) fn per_second(&self) -> u32 {
        self.per_second
    }

    /// Whether it kept this user out, whatever the time.
    pub(super) fn concerns(&self, caller: &Caller, at: Timestamp) -> bool {
        let question = routing::question(caller, at, holdover_config::rules::Act::SignIn, None);
        self.rule.when.iter().all(|condition| match condition.test {
            Test::Time(_) => true,
            _ => condition.holds(&question),
        })
    }

    /// Whether everybody is back.
    pub(super) fn is_idle(&self, at: Timestamp) -> bool {
        at.as_millisecond() - self.turned_at.as_millisecond() > IDLE_MILLIS
    }

    /// Lets one in, or turns it away.
    pub(super) fn take(&mut self, at: Timestamp) -> Result<(), Turned> {
        let full = i64::from(self.per_second) * 1000;
        let passed = at.as_millisecond() - self.refilled_at.as_millisecond();
        // A clock that was set back refills nothing, and one that was set forward no more than a second's worth.
        let refill = passed.clamp(0, 1000) * i64::from(self.per_second);
        self.budget = (self.budget + refill).min(full);
        // Two may take their times in one order and come here in the other: what was given stays given.
        if !(-1000..0).contains(&passed) {
            self.refilled_at = at;
        }
        if self.budget >= 1000 {
            self.budget -= 1000;
            return Ok(());
        }
        self.turned_at = at;
        Err(Turned {
            refusal: Refusal {
                reason: RefusalReason::Maintenance,
                text: "Many people are coming back right now. Please try again in a moment.".into(),
            },
            retry_after: Some(1),
        })
    }
}
