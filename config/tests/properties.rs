//! What holds for every text, however broken.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests may, like tests

use std::path::Path;
use std::sync::Arc;

use holdover_config::rules::RuleSet;
use holdover_config::{RuleFile, Users, parse, parse_with, review};
use proptest::prelude::*;

const EXAMPLES: &[&str] = &[
    include_str!("../examples/minimal.toml"),
    include_str!("../examples/lab.toml"),
    include_str!("../examples/full.toml"),
    include_str!("../examples/pools.toml"),
    include_str!("../examples/rules/holdover.toml"),
];

/// Files of rules, which stand beside the last of the examples.
const RULES: &[&str] = &[
    include_str!("../examples/rules/rules.d/10-access.toml"),
    include_str!("../examples/rules/rules.d/20-pools.toml"),
    include_str!("../examples/rules/rules.d/30-beside.toml"),
];

/// Pieces that mean something to TOML or to a check.
const PIECES: &[&str] = &[
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "=",
    "\n",
    "#",
    ",",
    ".",
    "\\",
    "\r",
    "\0",
    "é",
    "\"\"\"",
    "[[pool]]\n",
    "[gateway]\n",
    "0x",
    "-1",
    "99999999999999999999",
    "1e9",
    "true",
    "1979-05-27",
    "nan",
    "sip = {}",
    "[[rule]]\n",
    "[[test]]\n",
    "not = { ",
    "percent = 0\n",
    "*",
    "10.0.0.1/8",
    "tls = 1\n",
];

#[derive(Clone, Debug)]
enum Mutation {
    Delete(prop::sample::Index, usize),
    Insert(prop::sample::Index, &'static str),
    Move(prop::sample::Index, prop::sample::Index, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), 1usize..30).prop_map(|(at, length)| Mutation::Delete(at, length)),
        (index(), prop::sample::select(PIECES)).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        (index(), index(), 1usize..40)
            .prop_map(|(from, to, length)| Mutation::Move(from, to, length)),
    ]
}

fn mutate(text: &mut Vec<char>, mutation: &Mutation) {
    let piece: Vec<char>;
    let at = match mutation {
        Mutation::Delete(at, length) => {
            let at = at.index(text.len() + 1);
            let end = (at + length).min(text.len());
            text.drain(at..end);
            return;
        }
        Mutation::Insert(at, inserted) => {
            piece = inserted.chars().collect();
            at
        }
        Mutation::Move(from, to, length) => {
            let from = from.index(text.len() + 1);
            let end = (from + length).min(text.len());
            piece = text.drain(from..end).collect();
            to
        }
    };
    let at = at.index(text.len() + 1);
    text.splice(at..at, piece);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_configuration_is_judged_without_panic(
        example in prop::sample::select(EXAMPLES),
        mutations in prop::collection::vec(mutation(), 1..6),
    ) {
        let mut text: Vec<char> = example.chars().collect();
        for mutation in &mutations {
            mutate(&mut text, mutation);
        }
        let text: String = text.into_iter().collect();
        match parse("mutated.toml", &text, Path::new("/etc/holdover")) {
            Ok(loaded) => {
                prop_assert!(!loaded.warnings.has_errors());
                loaded.warnings.render(true);
            }
            Err(faults) => {
                prop_assert!(faults.has_errors());
                prop_assert!(faults.render(false).starts_with(&faults.iter().next().unwrap().render(false)));
                for fault in &faults {
                    if let Some(location) = fault.location() {
                        prop_assert!(text.get(location.span()).is_some());
                    }
                }
            }
        }
    }

    #[test]
    fn any_text_is_judged_without_panic(text in "(?s)[\\[\\]{}\"'=#,.\\\\\n\r a-z0-9é]{0,80}") {
        prop_assert!(parse("any.toml", &text, Path::new("")).is_err());
        drop(Users::parse("any.toml", &text));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_file_of_rules_is_judged_without_panic_and_as_if_never_read_before(
        number in 0..RULES.len(),
        mutations in prop::collection::vec(mutation(), 1..6),
    ) {
        let mut text: Vec<char> = RULES[number].chars().collect();
        for mutation in &mutations {
            mutate(&mut text, mutation);
        }
        let text: String = text.into_iter().collect();
        let files: Vec<Arc<RuleFile>> = RULES
            .iter()
            .enumerate()
            .map(|(at, rules)| {
                let before = RuleFile::parse("r.toml", rules);
                let again = if at == number {
                    RuleFile::parse_again("r.toml", &text, Some(&before))
                } else {
                    before
                };
                Arc::new(again)
            })
            .collect();
        let afresh = RuleFile::parse("r.toml", &text);
        prop_assert_eq!(files[number].faults().to_string(), afresh.faults().to_string());
        let main = EXAMPLES.last().unwrap();
        match parse_with("holdover.toml", main, &files, Path::new("")) {
            Ok(loaded) => {
                prop_assert!(!loaded.warnings.has_errors());
                let found = review(&loaded, jiff::Timestamp::UNIX_EPOCH);
                prop_assert!(!found.has_errors());
                let set = RuleSet::new(loaded.settings.live.rules.clone());
                for case in loaded.tests() {
                    drop(case.run(&set, &loaded.settings.fixed.gateway.domain));
                }
            }
            Err(faults) => prop_assert!(faults.has_errors()),
        }
    }
}

#[test]
fn deep_nesting_is_a_fault_and_no_overflow() {
    for piece in ["[", "{a=", "a."] {
        let text = format!("a = {}", piece.repeat(100_000));
        assert!(
            parse("deep.toml", &text, Path::new(""))
                .unwrap_err()
                .has_errors()
        );
    }
}
