//! Rules that an earlier one takes everything from, or everything that one of their values matches.

use std::sync::Arc;

use super::Reviewed;
use super::witness::Witness;
use crate::codes;
use crate::diagnostic::Diagnostics;
use crate::rules::relate::{acts, rule_covers};
use crate::rules::{Condition, Rule, RuleSet, Test, Users};

pub(super) fn review(
    rules: &[Reviewed<'_>],
    sound: &[bool],
    set: &RuleSet,
    found: &mut Diagnostics,
) {
    for (number, (reviewed, sound)) in rules.iter().zip(sound).enumerate() {
        if !sound {
            continue;
        }
        let rule = reviewed.rule;
        if let Some(earlier) = covering(set, number, rule, &rule.when, |_| true) {
            let message = format!(
                "the rule never wins: `{}` ({}) matches everything that it matches",
                earlier.name, earlier.place
            );
            let warning = reviewed.warning(codes::UNREACHABLE, &reviewed.draft.heading, message);
            let help = if earlier.then == rule.then {
                "both do the same: remove one of the two"
            } else {
                "move it before that rule, or give that one more conditions"
            };
            found.push(warning.help(help));
            continue;
        }
        for (condition, element, when) in alternatives(&rule.when) {
            let differs = |earlier: &Rule| earlier.then != rule.then;
            if let Some(earlier) = covering(set, number, rule, &when, differs) {
                let span = reviewed.element(condition, element);
                let text = reviewed.file.source(reviewed.block);
                let value = text.text().get(span.clone()).unwrap_or_default();
                let message = format!(
                    "{value} is unreachable here: `{}` ({}) already matches it",
                    earlier.name, earlier.place
                );
                let warning = reviewed.warning(codes::SHADOWED, span, message);
                found.push(
                    warning
                        .label("shadowed")
                        .help("remove it here, or move the rule before that one"),
                );
            }
        }
    }
}

/// An earlier rule that matches whatever a rule with these conditions matches.
fn covering<'s>(
    set: &'s RuleSet,
    number: usize,
    rule: &Rule,
    when: &[Condition],
    wanted: impl Fn(&Rule) -> bool,
) -> Option<&'s Arc<Rule>> {
    let act = acts(rule).next()?;
    let witness = Witness::new(when, act)?;
    set.before(rule.then.aspect(), &witness.question(), number)
        .find(|earlier| wanted(earlier) && rule_covers(earlier, when, &rule.then, rule))
}

/// The conditions with only one of several values of one of them: its number, the number of the value, and all conditions.
fn alternatives(when: &[Condition]) -> impl Iterator<Item = (usize, usize, Vec<Condition>)> {
    when.iter()
        .enumerate()
        .flat_map(move |(number, condition)| {
            let singles = if condition.negated {
                Vec::new()
            } else {
                singles(&condition.test)
            };
            singles.into_iter().enumerate().map(move |(element, test)| {
                let mut when = when.to_vec();
                if let Some(condition) = when.get_mut(number) {
                    condition.test = test;
                }
                (number, element, when)
            })
        })
}

/// A test for each of the values, if there are several, but not very many.
fn singles(test: &Test) -> Vec<Test> {
    /// Beyond, a list was hardly written by hand.
    const MOST: usize = 256;
    fn each<T: Clone>(list: &[T], make: impl Fn(Box<[T]>) -> Test) -> Vec<Test> {
        if list.len() > MOST {
            return Vec::new();
        }
        list.iter()
            .map(|item| make(Box::from([item.clone()])))
            .collect()
    }
    let tests = match test {
        Test::User(users) => {
            let file = users.file.is_some();
            let tests = each(&users.patterns, |patterns| {
                Test::User(Users {
                    patterns,
                    file: None,
                })
            });
            // Beside a file even a single value is one of several.
            return if file || tests.len() > 1 {
                tests
            } else {
                Vec::new()
            };
        }
        Test::Domain(list) => each(list, Test::Domain),
        Test::Network(list) => each(list, Test::Network),
        Test::Listener(list) => each(list, Test::Listener),
        Test::Client(list) => each(list, Test::Client),
        Test::Room(list) => each(list, Test::Room),
        Test::RoomName(list) => each(list, Test::RoomName),
        Test::Category(list) => each(list, Test::Category),
        Test::Command(_) | Test::Time(_) | Test::Percent(_) => Vec::new(),
    };
    if tests.len() > 1 { tests } else { Vec::new() }
}
