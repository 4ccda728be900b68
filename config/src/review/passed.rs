//! Maintenances and refusals that some users pass by, because an earlier rule decides about them.
//!
//! Whoever writes a maintenance means everybody it matches. An exception before a refusal is a common idiom, so there only
//! rules are named that cross it; the same before a maintenance is hardly ever meant.

use super::Reviewed;
use crate::codes;
use crate::diagnostic::Diagnostics;
use crate::rules::relate::{acts, covers, exclude, rule_covers};
use crate::rules::{Condition, Rule, Then};

/// Pairs of rules that are compared at most.
const COMPARED: usize = 250_000;

pub(super) fn review(rules: &[Reviewed<'_>], sound: &[bool], found: &mut Diagnostics) {
    let sound: Vec<&Reviewed<'_>> = rules
        .iter()
        .zip(sound)
        .filter_map(|(reviewed, sound)| sound.then_some(reviewed))
        .collect();
    let mut left = COMPARED;
    for (at, later) in sound.iter().enumerate() {
        let strictness = strictness(&later.rule.then);
        if strictness == Some(0) || strictness.is_none() {
            continue;
        }
        let before = sound.iter().take(at);
        let mut passed = before.filter(|earlier| {
            left = left.saturating_sub(1);
            left > 0
                && self::strictness(&earlier.rule.then) < strictness
                && self::strictness(&earlier.rule.then).is_some()
                && is_passed(earlier.rule, later.rule)
        });
        let Some(first) = passed.next() else {
            continue;
        };
        let more = match passed.count() {
            0 => String::new(),
            1 => " and one more rule".to_owned(),
            more => format!(" and {more} more rules"),
        };
        let what = later.rule.then.key();
        let message = format!(
            "this `{what}` does not apply to whom `{}` ({}){more} matches: that rule comes first, and it wins",
            first.rule.name, first.rule.place
        );
        let warning = later.warning(codes::PASSED_BY, &later.draft.then, message);
        found.push(warning.label("passed by").help(format!(
            "move this rule before `{}`; if that is meant, except those users here with `not = {{ … }}`",
            first.rule.name
        )));
    }
}

/// How much a rule keeps users from. `None`: it is not about access.
fn strictness(then: &Then) -> Option<u8> {
    match then {
        Then::Route(_) => Some(0),
        Then::ReadOnly { .. } => Some(1),
        Then::Maintenance(_) => Some(2),
        Then::Refuse { .. } => Some(3),
        Then::Fence { .. } | Then::Notice { .. } | Then::Shadow { .. } => None,
    }
}

fn is_passed(earlier: &Rule, later: &Rule) -> bool {
    let both = acts(earlier).any(|act| later.concerns(act));
    // A rule that takes everything from the other is reported as such.
    if !both
        || apart(&earlier.when, &later.when)
        || rule_covers(earlier, &later.when, &later.then, later)
    {
        return false;
    }
    // A maintenance before a refusal is over some day; what is refused for good stays so.
    match (&earlier.then, &later.then) {
        (Then::Maintenance(_), Then::Refuse { .. }) => false,
        (_, Then::Maintenance(_)) => true,
        _ => !rule_covers(later, &earlier.when, &earlier.then, earlier),
    }
}

/// Whether two rules never match the same, as far as can be told.
fn apart(a: &[Condition], b: &[Condition]) -> bool {
    a.iter().any(|a| {
        b.iter().any(|b| match (a.negated, b.negated) {
            (false, false) => exclude(&a.test, &b.test),
            (false, true) => covers(&b.test, &a.test),
            (true, false) => covers(&a.test, &b.test),
            (true, true) => false,
        })
    })
}
