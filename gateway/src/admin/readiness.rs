//! Whether the gateway takes clients.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// The conditions under which the gateway is ready. A condition that was met stays met; the way back is
/// [`Readiness::drain`], and from there is none.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Status>>);

/// Where readiness stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Whether new clients are taken: every condition is met and the gateway is not going down.
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
}

impl Readiness {
    /// Without conditions, and therefore ready. Name the conditions before anyone can ask.
    #[must_use]
    pub fn new() -> Self {
        let readiness = Self::default();
        readiness.change(|_| ());
        readiness
    }

    /// Names a condition that is still to be met.
    #[must_use = "the gateway does not become ready before the condition is met"]
    pub fn condition(&self, name: impl Into<String>) -> Condition {
        let named = Named {
            name: name.into(),
            met: false,
        };
        let number = self.change(|status| {
            status.conditions.push(named);
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
        status.ready = !status.draining && status.conditions.iter().all(|named| named.met);
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A condition that is still to be met. Dropping it leaves it unmet, so that a part that failed to start is not taken for
/// ready.
#[derive(Debug)]
pub struct Condition {
    readiness: Readiness,
    number: usize,
}

impl Condition {
    /// Says that it is met.
    pub fn met(self) {
        self.readiness.change(|status| {
            if let Some(named) = status.conditions.get_mut(self.number) {
                named.met = true;
            }
        });
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
}
