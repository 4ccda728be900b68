//! A decision told everywhere: to the record, the event log and the counters.

use super::{DecisionLog, Record, Verdict};
use crate::decide::RefusalReason;
use crate::telemetry::events::decision::{Decision, DecisionMade};
use crate::telemetry::{Detail, Emit as _, Telemetry};

impl DecisionLog {
    /// Tells the event log of a decision and remembers it.
    pub fn record(&self, telemetry: &Telemetry, record: Record) {
        let (pool, migrated, outcome) = match &record.outcome {
            Verdict::Allowed { pool, migrated } => {
                (pool.clone(), migrated.clone(), Decision::Allowed)
            }
            Verdict::Refused { reason, .. } => (None, None, (*reason).into()),
        };
        DecisionMade {
            user: record.user.clone(),
            act: record.act.as_str(),
            legacy: record.room.clone(),
            pool,
            migrated,
            outcome,
            rule: record.rule.as_ref().map(|rule| Detail::new(&rule.name)),
            place: record.rule.as_ref().map(|rule| Detail::new(&rule.place)),
            generation: record.generation,
        }
        .emit(telemetry);
        self.push(record);
    }
}

impl From<RefusalReason> for Decision {
    fn from(reason: RefusalReason) -> Self {
        match reason {
            RefusalReason::Retired => Self::Retired,
            RefusalReason::Pending => Self::Pending,
            RefusalReason::Unlisted => Self::Unlisted,
            RefusalReason::Rule => Self::Rule,
            RefusalReason::Maintenance => Self::Maintenance,
            RefusalReason::ReadOnly => Self::ReadOnly,
            RefusalReason::NoTarget => Self::NoTarget,
            RefusalReason::Region => Self::Region,
        }
    }
}
