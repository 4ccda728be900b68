//! The sample set of rules: its tests pass, reach every rule, and notice every change of a rule.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests may, like tests

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use holdover_config::rules::{
    Access, Case, Condition, Glob, Percent, RoomPattern, Rule, RuleSet, Share, Shares, Test, Then,
    UserPattern, Users, Window,
};
use holdover_config::{Loaded, load, review};
use jiff::{SignedDuration, Timestamp};

/// Changes that change nothing: the rule, what is done to it, and why no test can tell.
const EQUIVALENT: &[(&str, &str, &str)] = &[
    (
        "please install the new client",
        "swap",
        "the rules about notices and shadows decide different things",
    ),
    (
        "europe stays in europe",
        "swap",
        "the rules about regions and notices decide different things",
    ),
    (
        "branches stay",
        "swap",
        "the rules about pools and regions decide different things",
    ),
    (
        "some compare the new pool",
        "swap",
        "the rules about shadows and refusals decide different things",
    ),
    (
        "pilots",
        "swap",
        "no pilot is of sales: the addresses differ at their end",
    ),
];

fn sample() -> Loaded {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/rules/holdover.toml");
    load(&path).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The first case that fails.
fn failing(rules: Vec<Arc<Rule>>, cases: &[Arc<Case>]) -> Option<&Arc<Case>> {
    let set = RuleSet::new(rules);
    let domain = "contoso.com".parse().unwrap();
    cases
        .iter()
        .find(|case| case.run(&set, &domain).failure.is_some())
}

#[test]
fn the_tests_of_the_sample_pass_and_reach_every_rule() {
    let loaded = sample();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let found = review(&loaded, "2026-11-25T00:00Z".parse().unwrap());
    assert!(found.is_empty(), "{found}");
    let set = RuleSet::new(loaded.settings.live.rules.clone());
    let mut winners = HashSet::new();
    for case in loaded.tests() {
        let ran = case.run(&set, &loaded.settings.fixed.gateway.domain);
        if let Some(failure) = ran.failure {
            panic!(
                "{}: {}: expected {}, got {}\n{}",
                case.place, case.name, failure.expected, failure.got, failure.explanation
            );
        }
        winners.extend(ran.winners.iter().map(|rule| rule.name.clone()));
    }
    let unreached: Vec<&Arc<Rule>> = set
        .rules()
        .iter()
        .filter(|rule| rule.enabled && !winners.contains(&rule.name))
        .collect();
    assert!(unreached.is_empty(), "{unreached:?}");
    assert!(set.rules().len() >= 12);
}

#[test]
fn the_tests_of_the_full_example_pass() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/full.toml");
    let loaded = load(&path).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(!loaded.tests().is_empty());
    let failing = failing(loaded.settings.live.rules.clone(), loaded.tests());
    assert!(failing.is_none(), "{failing:?}");
}

#[test]
fn the_tests_notice_every_change_of_a_rule() {
    let loaded = sample();
    let rules = &loaded.settings.live.rules;
    let (mut told, mut used) = (Vec::new(), HashSet::new());
    let mut count = 0;
    for (number, rule) in rules.iter().enumerate() {
        for (what, changed) in mutants(rule) {
            let mut mutated = rules.clone();
            mutated[number] = Arc::new(changed);
            count += 1;
            judge(
                rule.name.as_str(),
                &what,
                mutated,
                loaded.tests(),
                &mut told,
                &mut used,
            );
        }
        if number + 1 < rules.len() {
            let mut mutated = rules.clone();
            mutated.swap(number, number + 1);
            count += 1;
            judge(
                rule.name.as_str(),
                "swap",
                mutated,
                loaded.tests(),
                &mut told,
                &mut used,
            );
        }
    }
    assert!(told.is_empty(), "no test notices:\n{}", told.join("\n"));
    assert!(count > 100, "only {count} changes");
    for (rule, what, why) in EQUIVALENT {
        assert!(
            used.contains(&(*rule, *what)),
            "not needed: {rule}, {what}: {why}"
        );
    }
}

fn judge(
    name: &str,
    what: &str,
    mutated: Vec<Arc<Rule>>,
    cases: &[Arc<Case>],
    told: &mut Vec<String>,
    used: &mut HashSet<(&'static str, &'static str)>,
) {
    if failing(mutated, cases).is_some() {
        return;
    }
    match EQUIVALENT
        .iter()
        .find(|(rule, mutation, _)| *rule == name && *mutation == what)
    {
        Some((rule, mutation, _)) => {
            used.insert((*rule, *mutation));
        }
        None => told.push(format!("`{name}`: {what}")),
    }
}

/// Every change of one rule that is tried, in words.
fn mutants(rule: &Rule) -> Vec<(String, Rule)> {
    let mut mutants = Vec::new();
    let mut add = |what: String, change: &dyn Fn(&mut Rule)| {
        let mut changed = rule.clone();
        change(&mut changed);
        mutants.push((what, changed));
    };
    add("flipped".to_owned(), &|rule| rule.enabled = !rule.enabled);
    // What else is changed in a rule that is not enabled changes nothing, until it is.
    if rule.enabled {
        for (number, condition) in rule.when.iter().enumerate() {
            add(format!("condition {number} dropped"), &|rule| {
                rule.when.remove(number);
            });
            add(format!("condition {number} negated"), &|rule| {
                rule.when[number].negated ^= true;
            });
            for (what, test) in other_tests(&condition.test) {
                let negated = condition.negated;
                let changed = Condition { negated, test };
                add(format!("condition {number} {what}"), &|rule| {
                    rule.when[number] = changed.clone();
                });
            }
        }
        for (what, then) in other_actions(&rule.then) {
            add(what, &|rule| rule.then = then.clone());
        }
    }
    mutants
}

/// Each list with one value less, and with each pattern matching everything; each window and percentage a little different.
fn other_tests(test: &Test) -> Vec<(String, Test)> {
    fn without<T: Clone>(list: &[T], make: impl Fn(Box<[T]>) -> Test) -> Vec<(String, Test)> {
        let less = (0..list.len()).filter(|_| list.len() > 1).map(|left_out| {
            let mut list = list.to_vec();
            list.remove(left_out);
            (format!("without value {left_out}"), make(list.into()))
        });
        less.collect()
    }
    fn widened<T: Clone>(
        list: &[T],
        all: &T,
        make: impl Fn(Box<[T]>) -> Test,
    ) -> Vec<(String, Test)> {
        let wide = (0..list.len()).map(|widened| {
            let mut list = list.to_vec();
            list[widened] = all.clone();
            (format!("with value {widened} widened"), make(list.into()))
        });
        wide.collect()
    }
    let everything = Glob::new("*");
    let mut tests = match test {
        Test::User(users) => {
            let file = users.file.clone();
            let make = |patterns| {
                Test::User(Users {
                    patterns,
                    file: file.clone(),
                })
            };
            let mut tests = without(&users.patterns, make);
            let all = UserPattern::Many(everything);
            tests.extend(widened(&users.patterns, &all, make));
            if let Some(list) = &users.file {
                let alone = Users {
                    patterns: users.patterns.clone(),
                    file: None,
                };
                tests.push(("without its file".to_owned(), Test::User(alone)));
                let alone = Users {
                    patterns: Box::default(),
                    file: Some(list.clone()),
                };
                tests.push(("without its patterns".to_owned(), Test::User(alone)));
            }
            tests
        }
        Test::Domain(list) => without(list, Test::Domain),
        Test::Network(list) => {
            let all = "0.0.0.0/0".parse().unwrap();
            let mut tests = without(list, Test::Network);
            tests.extend(widened(list, &all, Test::Network));
            tests
        }
        Test::Listener(list) => without(list, Test::Listener),
        Test::Client(list) => {
            let mut tests = without(list, Test::Client);
            tests.extend(widened(list, &everything, Test::Client));
            tests
        }
        Test::RoomName(list) => {
            let mut tests = without(list, Test::RoomName);
            tests.extend(widened(list, &everything, Test::RoomName));
            tests
        }
        Test::Category(list) => {
            let mut tests = without(list, Test::Category);
            tests.extend(widened(list, &everything, Test::Category));
            tests
        }
        Test::Room(list) => {
            let mut tests = without(list, Test::Room);
            tests.extend(widened(list, &RoomPattern::Many(everything), Test::Room));
            tests
        }
        Test::Command(classes) => {
            let classes: Vec<_> = classes.iter().collect();
            without(&classes, |list| {
                Test::Command(list.iter().copied().collect())
            })
        }
        Test::Time(window) => windows(*window),
        Test::Percent(percent) => [percent.get() - 1, percent.get() + 1]
            .into_iter()
            .map(|other| {
                let test = Test::Percent(Percent::new(other.into()).unwrap());
                (format!("with {other} percent"), test)
            })
            .collect(),
    };
    tests.dedup_by(|a, b| a.1 == b.1);
    tests
}

fn windows(window: Window) -> Vec<(String, Test)> {
    let moved =
        |end: Option<Timestamp>, seconds| end.map(|end| end + SignedDuration::from_secs(seconds));
    let mut windows = Vec::new();
    for seconds in [-1, 1] {
        windows.push((
            format!("begins {seconds} s later"),
            Window {
                from: moved(window.from, seconds),
                ..window
            },
        ));
        windows.push((
            format!("ends {seconds} s later"),
            Window {
                until: moved(window.until, seconds),
                ..window
            },
        ));
    }
    windows.push((
        "without begin".to_owned(),
        Window {
            from: None,
            ..window
        },
    ));
    windows.push((
        "without end".to_owned(),
        Window {
            until: None,
            ..window
        },
    ));
    windows
        .into_iter()
        .map(|(what, window)| (what, Test::Time(window)))
        .collect()
}

/// Each action with another pool, region, share or text, and another action in its place.
fn other_actions(then: &Then) -> Vec<(String, Then)> {
    let mut others = Vec::new();
    let mut add = |what: &str, then: Then| others.push((what.to_owned(), then));
    match then {
        Then::Route(shares) => {
            let pools = ["old", "new", "overseas"].map(|pool| pool.parse().unwrap());
            for pool in pools {
                if shares.only() != Some(&pool) {
                    add(&format!("sent to {pool}"), Then::Route(Shares::one(pool)));
                }
            }
            if let [a, b] = shares.as_slice() {
                let shift = |a: &Share, b: &Share, by: i32| {
                    let percent = |share: &Share, by: i32| {
                        let percent = u32::try_from(i32::from(share.percent.get()) + by).unwrap();
                        Share {
                            pool: share.pool.clone(),
                            percent: Percent::new(percent).unwrap(),
                        }
                    };
                    Then::Route(Shares::new(vec![percent(a, by), percent(b, -by)]).unwrap())
                };
                add("first share more", shift(a, b, 1));
                add("first share less", shift(a, b, -1));
                add("shares swapped", shift(b, a, 0));
            }
        }
        Then::Maintenance(maintenance) => {
            let mut open = maintenance.clone();
            open.access = Access::ReadOnly;
            add("read-only", Then::Maintenance(open));
        }
        Then::Fence { .. } => add(
            "another region",
            Then::Fence {
                region: "us".parse().unwrap(),
            },
        ),
        Then::Notice { every, .. } => add(
            "another text",
            Then::Notice {
                text: "Hello.".into(),
                every: *every,
            },
        ),
        Then::Shadow { .. } => add(
            "another pool",
            Then::Shadow {
                pool: "old".parse().unwrap(),
            },
        ),
        Then::Refuse { .. } | Then::ReadOnly { .. } => {}
    }
    let text = || Box::from("no");
    for other in [
        Then::Refuse { text: text() },
        Then::ReadOnly { text: text() },
        Then::Route(Shares::one("overseas".parse().unwrap())),
    ] {
        if other.key() != then.key() {
            add(&format!("{} instead", other.key()), other);
        }
    }
    others
}
