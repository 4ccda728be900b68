//! Why a question has its answer: the deciding rule, what of it held, and which other rule was nearest.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use super::decide::{Decision, RuleSet};
use super::{Aspect, Question, Rule};

/// Why a decision is what it is.
#[derive(Clone, Debug)]
pub struct Explanation<'s> {
    /// The decision, by the code that decides.
    pub decision: Decision<'s>,
    /// The conditions of its rule, all of which held. Empty where no rule matched.
    pub held: Vec<Held>,
    /// Of the rules that were tried before (of all, where none matched), the one that lacked least.
    pub nearest: Option<Miss<'s>>,
}

/// A condition that held, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held(pub String);

/// A rule that did not match.
#[derive(Clone, Debug)]
pub struct Miss<'s> {
    /// The rule.
    pub rule: &'s Arc<Rule>,
    /// How many of its conditions held.
    pub held: usize,
    /// Those that failed, as they are written. Empty: the rule is not about such an act.
    pub failed: Vec<String>,
}

impl fmt::Display for Explanation<'_> {
    /// In lines: what was decided by which rule, what of it held, and the nearest rule with what it lacked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.decision.outcome)?;
        match self.decision.rule {
            Some(rule) => write!(f, " by `{}` ({})", rule.name, rule.place)?,
            None => f.write_str(": no rule matches")?,
        }
        for Held(condition) in &self.held {
            write!(f, "\n  holds: {condition}")?;
        }
        if let Some(Miss { rule, failed, .. }) = &self.nearest {
            write!(f, "\nnearest: `{}` ({})", rule.name, rule.place)?;
            if failed.is_empty() {
                write!(f, "\n  is not about this: {}", rule.then.key())?;
            }
            for condition in failed {
                write!(f, "\n  fails: {condition}")?;
            }
        }
        Ok(())
    }
}

impl RuleSet {
    /// Decides, and says why.
    #[must_use]
    pub fn explain(&self, question: &Question<'_>) -> Explanation<'_> {
        let decision = self.decide(question);
        let held = decision.rule.map_or_else(Vec::new, |rule| {
            rule.when
                .iter()
                .map(|condition| Held(condition.to_string()))
                .collect()
        });
        let before = self.rules().iter().take_while(|rule| {
            decision
                .rule
                .is_none_or(|winner| !Arc::ptr_eq(rule, winner))
        });
        // The least number of failures; of several the one of which most held, and of these the first. Exceptions do not
        // count: most rules hold as far as these go.
        let nearest = before
            .filter(|rule| rule.enabled && rule.then.aspect() == Aspect::Access)
            .map(|rule| miss(rule, question))
            .filter(|miss| miss.held > 0 || miss.failed.len() <= 1)
            .min_by_key(|miss| {
                let held = miss
                    .rule
                    .when
                    .iter()
                    .filter(|condition| !condition.negated && condition.holds(question));
                (miss.failed.len().max(1), Reverse(held.count()))
            });
        Explanation {
            decision,
            held,
            nearest,
        }
    }
}

fn miss<'s>(rule: &'s Arc<Rule>, question: &Question<'_>) -> Miss<'s> {
    let (held, failed): (Vec<_>, Vec<_>) = rule
        .when
        .iter()
        .partition(|condition| condition.holds(question));
    Miss {
        rule,
        held: held.len(),
        failed: failed.into_iter().map(ToString::to_string).collect(),
    }
}
