//! The lookup dialogs that came through front ends, over whichever connection.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use holdover_protocol::sip::dialog::{Dialog, DialogKey};
use holdover_protocol::user::UserUri;

use crate::listener::lookup::Lookup;

/// Lookup dialogs of one user. Real clients have one; the rest is for users with several.
const MOST_OF_USER: usize = 8;

/// A lookup takes two round trips; one that is older was given up by its client.
const LIFETIME: Duration = Duration::from_secs(60);

/// Users after which old dialogs are looked for, at the least.
const FIRST_SWEEP: usize = 256;

/// Lookup dialogs, bounded for each user and in age.
#[derive(Debug, Default)]
pub(super) struct Lookups(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    users: HashMap<UserUri, Vec<Kept>>,
    sweep_at: usize,
}

#[derive(Debug)]
struct Kept {
    since: Instant,
    lookup: Lookup,
}

impl Lookups {
    /// Adds a dialog. The user's oldest makes room for it.
    pub(super) fn open(&self, now: Instant, user: UserUri, dialog: Dialog) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.users.len() >= table.sweep_at.max(FIRST_SWEEP) {
            table.users.retain(|_, of_user| {
                of_user.retain(|it| now.saturating_duration_since(it.since) < LIFETIME);
                !of_user.is_empty()
            });
            // Twice as many as are in use: a sweep costs a dialog that is opened no more than a step.
            table.sweep_at = table.users.len() * 2;
        }
        let of_user = table.users.entry(user).or_default();
        if of_user.len() >= MOST_OF_USER {
            of_user.remove(0);
        }
        of_user.push(Kept {
            since: now,
            lookup: Lookup::new(dialog),
        });
    }

    /// Does something with a dialog of the user, if there is such a one. It ends if `step` answers true.
    pub(super) fn with<T>(
        &self,
        user: &UserUri,
        key: &DialogKey,
        step: impl FnOnce(&mut Lookup) -> (T, bool),
    ) -> Option<T> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_user = table.users.get_mut(user)?;
        let at = of_user.iter().position(|it| it.lookup.key() == key)?;
        let (result, is_over) = step(&mut of_user.get_mut(at)?.lookup);
        if is_over {
            of_user.remove(at);
            if of_user.is_empty() {
                table.users.remove(user);
            }
        }
        Some(result)
    }

    #[cfg(test)]
    pub(super) fn users(&self) -> usize {
        self.0.lock().unwrap().users.len()
    }
}
