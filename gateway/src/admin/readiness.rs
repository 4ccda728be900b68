//! Whether the gateway takes clients, and what it lacks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::telemetry::events::process::{ConditionFailed, ConditionMet};
use crate::telemetry::{Detail, Emit as _, Telemetry};

/// The conditions under which the gateway is ready, and those that are only remarked. Going down is
/// [`Readiness::drain`], and from there is no way back.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    status: Arc<Mutex<Status>>,
    telemetry: Telemetry,
}

/// Where readiness stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Whether new clients are taken: every condition that is required is met and the gateway is not going down.
    pub ready: bool,
    /// Whether the gateway is going down.
    pub draining: bool,
    /// Every condition, in the order in which they were named.
    pub conditions: Vec<Named>,
}

/// One condition of a [`Status`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Whether it is met.
    pub met: bool,
    /// Whether the gateway is not ready without it.
    #[serde(rename = "required", skip_serializing_if = "Clone::clone")]
    pub is_required: bool,
    /// Why it is not met, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Readiness {
    /// Without conditions, and therefore ready. Changes of conditions are told to nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::telling(Telemetry::new())
    }

    /// Likewise. Changes of conditions are told here.
    #[must_use]
    pub fn telling(telemetry: Telemetry) -> Self {
        let readiness = Self {
            status: Arc::default(),
            telemetry,
        };
        readiness.change(|_| ());
        readiness
    }

    /// Names a condition without which the gateway is not ready, and that is still to be met.
    #[must_use = "the gateway does not become ready before the condition is met"]
    pub fn condition(&self, name: impl Into<String>) -> Condition {
        self.name(name.into(), false, true)
    }

    /// Names a condition that is shown and told, and no more. It is met until something else is said.
    #[must_use = "nobody says whether it is met"]
    pub fn remark(&self, name: impl Into<String>) -> Condition {
        self.name(name.into(), true, false)
    }

    fn name(&self, name: String, met: bool, is_required: bool) -> Condition {
        let number = self.change(|status| {
            status.conditions.push(Named {
                name,
                met,
                is_required,
                reason: None,
            });
            status.conditions.len() - 1
        });
        Condition {
            readiness: self.clone(),
            number,
        }
    }

    /// Says that the gateway is going down.
    pub fn drain(&self) {
        self.change(|status| status.draining = true);
    }

    /// Where readiness stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.lock().clone()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Status) -> T) -> T {
        let mut status = self.lock();
        let changed = change(&mut status);
        let is_met = |named: &Named| named.met || !named.is_required;
        status.ready = !status.draining && status.conditions.iter().all(is_met);
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A condition. Dropping it leaves it as it is, so that a part that failed to start is not taken for ready.
#[derive(Clone, Debug)]
pub struct Condition {
    readiness: Readiness,
    number: usize,
}

impl Condition {
    /// Says that it is met.
    pub fn met(&self) {
        self.set(Ok(()));
    }

    /// Says that it is not met yet: that is shown and not logged. One that failed stays failed.
    pub fn pending(&self) {
        self.readiness.change(|status| {
            if let Some(named) = status.conditions.get_mut(self.number) {
                named.met = false;
            }
        });
    }

    /// Says whether it is met, or why not. What changes is told: that it is not met any more at once, that it is met only
    /// if it was said before that it is not.
    pub fn set(&self, met: Result<(), String>) {
        let changed = self.readiness.change(|status| {
            let named = status.conditions.get_mut(self.number)?;
            let is_news = match &met {
                Ok(()) => named.reason.is_some(),
                Err(_) => named.met || named.reason.is_none(),
            };
            named.met = met.is_ok();
            named.reason = met.err();
            is_news.then(|| named.clone())
        });
        let Some(named) = changed else { return };
        let condition = Detail::new(&named.name);
        let required = named.is_required;
        match named.reason {
            None => ConditionMet { condition }.emit(&self.readiness.telemetry),
            Some(reason) => ConditionFailed {
                condition,
                required,
                reason: Detail::new(reason),
            }
            .emit(&self.readiness.telemetry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_every_condition_and_not_draining() {
        let readiness = Readiness::new();
        assert!(readiness.status().ready);
        let (listeners, pool) = (
            readiness.condition("listeners"),
            readiness.condition("pool hq"),
        );
        listeners.met();
        assert!(!readiness.status().ready);
        pool.met();
        assert!(readiness.status().ready);
        pool.set(Err("the disk is full".to_owned()));
        assert!(!readiness.status().ready);
        pool.met();
        assert!(readiness.status().ready);
        readiness.drain();
        assert!(!readiness.status().ready);
        let met: Vec<_> = readiness
            .status()
            .conditions
            .iter()
            .map(|named| named.met)
            .collect();
        assert_eq!(met, [true, true]);
    }

    #[test]
    fn a_condition_that_is_dropped_stays_unmet() {
        let readiness = Readiness::new();
        drop(readiness.condition("listeners"));
        assert!(!readiness.status().ready);
    }

    #[test]
    fn a_remark_is_shown_and_told_once_and_takes_no_readiness() {
        let telemetry = Telemetry::new();
        let readiness = Readiness::telling(telemetry.clone());
        let reload = readiness.remark("reload");
        reload.met();
        for _ in 0..3 {
            reload.set(Err("its thread failed".to_owned()));
        }
        let status = readiness.status();
        assert!(status.ready);
        assert_eq!(
            serde_json::to_value(&status.conditions).unwrap(),
            serde_json::json!([
                {"name": "reload", "met": false, "required": false, "reason": "its thread failed"}
            ])
        );
        reload.met();
        reload.met();
        // What is pending is not logged, nor is that it came.
        reload.pending();
        assert!(!readiness.status().conditions[0].met);
        reload.met();
        let exposition = telemetry.exposition();
        assert!(
            exposition.contains("holdover_conditions_failed_total 1\n")
                && exposition.contains("holdover_conditions_met_total 1\n"),
            "{exposition}"
        );
    }
}
