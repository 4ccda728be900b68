//! What is odd about rules that are right: those that never match, never win, or overlap where it is likely a mistake.
//!
//! It needs all rules at once, and the time. A reload does without; `holdover check` does not.

mod dead;
mod overlap;
mod single;
mod witness;

use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;

use crate::codes;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::load::Loaded;
use crate::names::PoolName;
use crate::rulefile::{Block, Draft, RuleFile};
use crate::rules::{Rule, RuleSet};

/// A rule, with what is needed to tell something about it.
struct Reviewed<'l> {
    rule: &'l Arc<Rule>,
    file: &'l RuleFile,
    block: &'l Block,
    draft: &'l Draft,
}

impl Reviewed<'_> {
    fn warning(
        &self,
        code: &'static str,
        span: &Range<usize>,
        message: impl Into<String>,
    ) -> Diagnostic {
        self.file
            .source(self.block)
            .warning(code, span.clone(), message)
    }

    /// Where a condition stands.
    fn condition(&self, number: usize) -> &Range<usize> {
        self.draft
            .conditions
            .get(number)
            .map_or(&self.draft.heading, |spans| &spans.value)
    }

    /// Where an alternative of a condition stands.
    fn element(&self, condition: usize, number: usize) -> &Range<usize> {
        self.draft
            .conditions
            .get(condition)
            .and_then(|spans| spans.elements.get(number))
            .unwrap_or_else(|| self.condition(condition))
    }
}

/// Warns of what is probably not meant: rules that can never match or win, values of conditions that change nothing, time
/// windows that are over at `now`, and rules to different pools that match some of the same. Rules that are not enabled are
/// left alone.
#[must_use]
pub fn review(loaded: &Loaded, now: Timestamp) -> Diagnostics {
    let rules = reviewed(loaded);
    let mut found = Diagnostics::new();
    let mut sound = vec![false; rules.len()];
    for (reviewed, sound) in rules.iter().zip(&mut sound) {
        if reviewed.rule.enabled {
            *sound = single::review(reviewed, now, &mut found);
        }
    }
    let set = RuleSet::new(loaded.settings.live.rules.clone());
    dead::review(&rules, &sound, &set, &mut found);
    overlap::review(&rules, &sound, &mut found);
    found.sort();
    found
}

/// Warns of rules that name a pool on which no listed room has an identifier, so that all they route is refused.
#[must_use]
pub fn review_pools(loaded: &Loaded, has_rooms: impl Fn(&PoolName) -> bool) -> Diagnostics {
    let mut found = Diagnostics::new();
    for reviewed in reviewed(loaded) {
        for (pool, span) in &reviewed.draft.pools {
            if reviewed.rule.enabled && !has_rooms(pool) {
                let message = format!("no room has an identifier on the pool `{pool}`");
                let warning = reviewed.warning(codes::POOL_WITHOUT_ROOMS, span, message);
                found.push(warning.help(
                    "rooms that the rule sends there are refused: add their identifiers on it to the files of rooms",
                ));
            }
        }
    }
    found.sort();
    found
}

/// The rules with the files that they are from.
fn reviewed(loaded: &Loaded) -> Vec<Reviewed<'_>> {
    let drafts = loaded
        .rule_files
        .iter()
        .flat_map(|file| file.rules().map(move |(block, draft)| (file, block, draft)));
    let rules = loaded.settings.live.rules.iter().zip(drafts);
    rules
        .map(|(rule, (file, block, draft))| Reviewed {
            rule,
            file,
            block,
            draft,
        })
        .collect()
}
