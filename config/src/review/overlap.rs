//! Rules that send to different pools and match some of the same, neither taking all from the other.
//!
//! Most overlaps are meant: the special case stands before the general one. What is told is only the pair whose patterns
//! cross, with everything else about both the same, because then the order of two rules that look independent decides.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::Reviewed;
use crate::codes;
use crate::diagnostic::Diagnostics;
use crate::rules::relate::acts;
use crate::rules::{Glob, RoomPattern, Test, Then, UserPattern};

/// Pairs of patterns that are compared at most: enough for any list that people write.
const COMPARED: usize = 250_000;

/// Patterns of one condition.
struct Patterns<'l> {
    rule: usize,
    condition: usize,
    /// With the number of each in its list.
    globs: Vec<(usize, &'l Glob)>,
}

pub(super) fn review(rules: &[Reviewed<'_>], sound: &[bool], found: &mut Diagnostics) {
    let mut groups: HashMap<String, Vec<Patterns<'_>>> = HashMap::new();
    for (number, (reviewed, sound)) in rules.iter().zip(sound).enumerate() {
        if !sound || !matches!(reviewed.rule.then, Then::Route(_)) {
            continue;
        }
        for (condition, asked) in reviewed.rule.when.iter().enumerate() {
            let globs = globs(&asked.test);
            if asked.negated || globs.is_empty() {
                continue;
            }
            groups
                .entry(others(reviewed, condition))
                .or_default()
                .push(Patterns {
                    rule: number,
                    condition,
                    globs,
                });
        }
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by_key(|group| group.first().map(|patterns| patterns.rule));
    let mut left = COMPARED;
    for group in &groups {
        for (at, later) in group.iter().enumerate() {
            for earlier in group.iter().take(at) {
                left = left.saturating_sub(earlier.globs.len() * later.globs.len());
                if left == 0 {
                    return;
                }
                // One is enough to look at the rule.
                if tell(rules, earlier, later, found) {
                    break;
                }
            }
        }
    }
}

/// Tells whether two rules overlap, once for each pattern of the later one.
fn tell(
    rules: &[Reviewed<'_>],
    earlier: &Patterns<'_>,
    later: &Patterns<'_>,
    found: &mut Diagnostics,
) -> bool {
    let (Some(first), Some(second)) = (rules.get(earlier.rule), rules.get(later.rule)) else {
        return false;
    };
    if earlier.rule == later.rule || first.rule.then == second.rule.then {
        return false;
    }
    let meets = acts(first.rule).any(|act| second.rule.concerns(act));
    if !meets {
        return false;
    }
    let mut told = false;
    for (number, glob) in &later.globs {
        let crossing = earlier
            .globs
            .iter()
            .find(|(_, other)| !other.covers(glob) && !glob.covers(other) && other.meets(glob));
        if let Some((_, other)) = crossing {
            let message = format!(
                "what matches both `{glob}` and `{other}` goes where `{}` ({}) sends it",
                first.rule.name, first.rule.place
            );
            let span = second.element(later.condition, *number);
            let key = second
                .rule
                .when
                .get(later.condition)
                .map_or("", |condition| condition.test.key());
            let help = format!(
                "if that is meant, say so here with `not = {{ {key} = \"{other}\" }}`; else make the patterns narrower"
            );
            let warning = second.warning(codes::OVERLAP, span, message);
            found.push(warning.label("overlaps").help(help));
            told = true;
        }
    }
    told
}

/// All conditions but one, and the key of that one.
fn others(reviewed: &Reviewed<'_>, but: usize) -> String {
    let mut text = String::new();
    for (number, condition) in reviewed.rule.when.iter().enumerate() {
        let written = if number == but {
            write!(text, "{};", condition.test.key())
        } else {
            write!(text, "{condition:?};")
        };
        // Writing to a string does not fail.
        debug_assert!(written.is_ok());
    }
    text
}

/// The patterns of a test that begin or end with something. Two that only have something in their midst always cross, and
/// nobody can help it.
fn globs(test: &Test) -> Vec<(usize, &Glob)> {
    let mut globs = all_globs(test);
    globs.retain(|(_, glob)| {
        let text = glob.as_str();
        !(text.starts_with(['*', '?']) && text.ends_with(['*', '?']))
    });
    globs
}

fn all_globs(test: &Test) -> Vec<(usize, &Glob)> {
    match test {
        Test::User(users) => {
            let globs = users.patterns.iter().enumerate();
            globs
                .filter_map(|(number, pattern)| match pattern {
                    UserPattern::Many(glob) => Some((number, glob)),
                    UserPattern::One(_) => None,
                })
                .collect()
        }
        Test::Room(rooms) => {
            let globs = rooms.iter().enumerate();
            globs
                .filter_map(|(number, pattern)| match pattern {
                    RoomPattern::Many(glob) => Some((number, glob)),
                    RoomPattern::One(_) => None,
                })
                .collect()
        }
        Test::RoomName(list) | Test::Category(list) | Test::Client(list) => list
            .iter()
            .enumerate()
            .filter(|(_, glob)| glob.literal().is_none())
            .collect(),
        _ => Vec::new(),
    }
}
