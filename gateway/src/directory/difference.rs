//! What changed between two versions of the directory, in numbers. Pure.

use std::sync::Arc;

use serde::Serialize;

use super::{Directory, Further};

/// How many rooms became what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Rooms that were not listed before.
    pub added: usize,
    /// Rooms that are not listed any more.
    pub removed: usize,
    /// Rooms of which something else is said: pool, migrated id, state, name, category, note, or further pools.
    pub changed: usize,
}

impl Difference {
    /// From `before` to `after`. Where in the files a room stands makes no difference.
    #[must_use]
    pub fn between(before: &Directory, after: &Directory) -> Self {
        let mut difference = Self::default();
        let mut stayed = 0;
        for entry in after.entries() {
            let Some(old) = before.rooms.index.same(entry) else {
                difference.added += 1;
                continue;
            };
            stayed += 1;
            let (further, new) = (before.further(old), after.further(entry));
            let said = |further: &Arc<Further>| (further.pool().clone(), further.migrated());
            let is_same = old.says_what(entry) && further.iter().map(said).eq(new.iter().map(said));
            difference.changed += usize::from(!is_same);
        }
        difference.removed = before.rooms().saturating_sub(stayed);
        difference
    }
}
