//! What is odd about rules that are right: those that never match, never win, or overlap where it is likely a mistake.
//!
//! It needs all rules at once, and the time. A reload does without; `holdover check` does not.

mod dead;
mod fences;
mod foreign;
mod overlap;
mod passed;
mod single;
mod witness;

use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;

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
/// windows that are over at `now`, rules to different pools that match some of the same, maintenances and refusals that earlier
/// rules pass by, and users who cannot sign in. Rules that are not enabled are left alone.
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
    passed::review(&rules, &sound, &mut found);
    let domain = &loaded.settings.fixed.gateway.domain;
    foreign::review(&rules, &sound, domain, &mut found);
    let pools = &loaded.settings.fixed.pools;
    fences::review(&rules, &sound, pools, &mut found);
    found.sort();
    found
}

/// Something odd about a rule that is not to be seen in the configuration alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The number of the rule among all rules.
    pub rule: usize,
    /// The pool that it is about, if it is about one that the rule names.
    pub pool: Option<PoolName>,
    /// One of [`codes`](crate::codes).
    pub code: &'static str,
    /// What is odd.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// The remarks as warnings, with their places in the files.
#[must_use]
pub fn remark(loaded: &Loaded, remarks: Vec<Remark>) -> Diagnostics {
    let rules = reviewed(loaded);
    let mut found = Diagnostics::new();
    for remark in remarks {
        let Some(reviewed) = rules.get(remark.rule) else {
            continue;
        };
        let mut pools = reviewed.draft.pools.iter();
        let span = match pools.find(|(name, _)| Some(name) == remark.pool.as_ref()) {
            Some((_, span)) => span,
            None => &reviewed.draft.then,
        };
        let warning = reviewed.warning(remark.code, span, remark.message);
        found.push(warning.help(remark.help));
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
