//! What is odd about a rule by itself.

use std::collections::HashMap;

use holdover_protocol::fold::fold;
use jiff::Timestamp;

use super::Reviewed;
use crate::codes;
use crate::diagnostic::Diagnostics;
use crate::rules::relate::{acts, always, covers, exclude, never, pattern_covers, room_covers};
use crate::rules::{Act, Condition, Test, Then};

/// Tells what is odd. Whether the rule can match at all.
pub(super) fn review(reviewed: &Reviewed<'_>, now: Timestamp, found: &mut Diagnostics) -> bool {
    if never_matches(reviewed, found) {
        return false;
    }
    expired(reviewed, now, found);
    without_effect(reviewed, found);
    for number in 0..reviewed.rule.when.len() {
        repeated(reviewed, number, found);
    }
    true
}

/// Tells the first reason for which the rule can never match.
fn never_matches(reviewed: &Reviewed<'_>, found: &mut Diagnostics) -> bool {
    let when = &reviewed.rule.when;
    let mut tell = |span, why: String, help: &str| {
        let warning = reviewed.warning(
            codes::NEVER_MATCHES,
            span,
            format!("the rule can never match: {why}"),
        );
        found.push(warning.help(help));
        true
    };
    for (number, condition) in when.iter().enumerate() {
        let span = reviewed.condition(number);
        match (&condition.test, condition.negated) {
            (Test::Percent(_), false) if never(&condition.test) => {
                return tell(
                    span,
                    "0 percent is nobody".to_owned(),
                    "write `enabled = false` to switch the rule off",
                );
            }
            (Test::User(users), false) if never(&condition.test) => {
                let file = users.file.as_ref().map_or("", |file| &*file.place.file);
                return tell(
                    span,
                    format!("nobody stands in `{file}`"),
                    "write one user in each line",
                );
            }
            (test, true) if always(test) => {
                return tell(
                    span,
                    format!("`not` excludes everybody by `{}`", test.key()),
                    "remove it",
                );
            }
            _ => {}
        }
    }
    for (number, condition) in when.iter().enumerate() {
        for (before, earlier) in when.iter().enumerate().take(number) {
            if let Some(why) = contradict(earlier, condition) {
                let span = reviewed.condition(number.max(before));
                return tell(span, why, "remove one of the two conditions");
            }
        }
    }
    if acts(reviewed.rule).next().is_none() {
        // Without a condition on commands every action is about something.
        let number = when
            .iter()
            .position(|condition| matches!(condition.test, Test::Command(_)))
            .unwrap_or_default();
        let key = reviewed.rule.then.key();
        let about: Vec<&str> = crate::rules::Class::ALL
            .into_iter()
            .filter(|class| {
                Act::ALL
                    .into_iter()
                    .any(|act| act.class() == *class && reviewed.rule.then.concerns(act))
            })
            .map(crate::rules::Class::as_str)
            .collect();
        let help = format!("`{key}` is about {}", crate::suggest::list(&about));
        return tell(
            reviewed.condition(number),
            format!("`{key}` has nothing to do with these commands"),
            &help,
        );
    }
    if acts(reviewed.rule).all(|act| act == Act::SignIn)
        && let Some(number) = when.iter().position(|condition| {
            !condition.negated
                && matches!(
                    condition.test,
                    Test::Room(_) | Test::RoomName(_) | Test::Category(_)
                )
        })
    {
        return tell(
            reviewed.condition(number),
            "nobody signs in to a room".to_owned(),
            "remove the condition, or add other commands",
        );
    }
    false
}

/// Why two conditions never hold both.
fn contradict(a: &Condition, b: &Condition) -> Option<String> {
    let keys = (a.test.key(), b.test.key());
    let excluded = match (a.negated, b.negated) {
        (false, false) => exclude(&a.test, &b.test),
        (false, true) => covers(&b.test, &a.test),
        (true, false) => covers(&a.test, &b.test),
        (true, true) => false,
    };
    excluded.then(|| match (a.negated, b.negated) {
        (false, false) => format!("`{}` and `{}` exclude one another", keys.0, keys.1),
        (true, _) => format!("`not` excludes all of `{}` by `{}`", keys.1, keys.0),
        (false, true) => format!("`not` excludes all of `{}` by `{}`", keys.0, keys.1),
    })
}

fn expired(reviewed: &Reviewed<'_>, now: Timestamp, found: &mut Diagnostics) {
    for (number, condition) in reviewed.rule.when.iter().enumerate() {
        if let Test::Time(window) = &condition.test
            && let Some(until) = window.until
            && until <= now
        {
            let span = reviewed.condition(number);
            let warning = if condition.negated {
                reviewed.warning(
                    codes::EXPIRED,
                    span,
                    format!("this exception is over since {until}"),
                )
            } else {
                reviewed.warning(
                    codes::EXPIRED,
                    span,
                    format!("the rule is over since {until}"),
                )
            };
            found.push(warning.help("remove it, or write `enabled = false`"));
        }
    }
}

/// Tells conditions that change nothing.
fn without_effect(reviewed: &Reviewed<'_>, found: &mut Diagnostics) {
    let when = &reviewed.rule.when;
    for (number, condition) in when.iter().enumerate() {
        let span = reviewed.condition(number);
        let told = match (&condition.test, condition.negated) {
            (Test::Percent(percent), false) if percent.get() == 100 => {
                Some("100 percent is everybody".to_owned())
            }
            (test, true) if never(test) => {
                Some(format!("`not` excludes nobody by `{}`", test.key()))
            }
            (test, true) => when
                .iter()
                .find(|other| !other.negated && exclude(&other.test, test))
                .map(|other| {
                    format!(
                        "`not` excludes by `{}` what `{}` does not let in anyway",
                        test.key(),
                        other.test.key()
                    )
                }),
            _ => None,
        };
        if let Some(message) = told {
            let warning = reviewed.warning(codes::NO_EFFECT, span, message);
            found.push(warning.label("no effect").help("remove the condition"));
        }
    }
    if let Then::Route(shares) = &reviewed.rule.then {
        for (share, (pool, span)) in shares.as_slice().iter().zip(&reviewed.draft.pools) {
            if share.percent.get() == 0 {
                let warning = reviewed.warning(
                    codes::NO_EFFECT,
                    span,
                    format!("nobody is sent to `{pool}`"),
                );
                found.push(warning.help("give it a share, or remove it"));
            }
        }
    }
}

/// Tells alternatives that another one of the list covers.
fn repeated(reviewed: &Reviewed<'_>, number: usize, found: &mut Diagnostics) {
    let Some(condition) = reviewed.rule.when.get(number) else {
        return;
    };
    match &condition.test {
        Test::User(users) => covered(reviewed, number, &users.patterns, pattern_covers, found),
        Test::Domain(list) => covered(reviewed, number, list, |a, b| a == b, found),
        Test::Network(list) => covered(reviewed, number, list, |a, b| a.covers(*b), found),
        Test::Listener(list) => covered(reviewed, number, list, |a, b| a == b, found),
        Test::Client(list) | Test::RoomName(list) | Test::Category(list) => {
            covered(reviewed, number, list, |a, b| a.covers(b), found);
        }
        Test::Room(list) => covered(reviewed, number, list, room_covers, found),
        Test::Command(_) | Test::Time(_) | Test::Percent(_) => {}
    }
}

/// In longer lists only what is written twice is told: comparing each with each would take too long.
const COMPARED: usize = 200;

fn covered<T: ToString>(
    reviewed: &Reviewed<'_>,
    condition: usize,
    list: &[T],
    covers: impl Fn(&T, &T) -> bool,
    found: &mut Diagnostics,
) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (number, item) in list.iter().enumerate() {
        let text = item.to_string();
        let by = if let Some(first) = seen.get(&*fold(&text)) {
            list.get(*first).filter(|first| covers(first, item))
        } else if list.len() <= COMPARED {
            list.iter()
                .enumerate()
                .find(|(other, wide)| {
                    *other != number
                        && covers(wide, item)
                        && !(covers(item, wide) && number < *other)
                })
                .map(|(_, wide)| wide)
        } else {
            None
        };
        if let Some(by) = by {
            let message = if fold(&by.to_string()) == fold(&text) {
                format!("`{text}` is listed twice")
            } else {
                format!("`{text}` is in `{}` already", by.to_string())
            };
            let span = reviewed.element(condition, number);
            let warning = reviewed.warning(codes::NO_EFFECT, span, message);
            found.push(warning.label("no effect").help("remove it"));
        }
        seen.entry(fold(&text).into_owned()).or_insert(number);
    }
}
