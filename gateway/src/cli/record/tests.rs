//! Tests out of decisions are ones that the rules that decided pass.

use std::path::Path;

use holdover_config::rules::RuleSet;
use holdover_config::settings::{Directory as DirectorySettings, Unlisted};

use super::*;
use crate::decision_log::{ShownQuestion, ShownRule};

const CONFIG: &str = r#"
[gateway]
domain = "contoso.com"
[[listener]]
name = "clients"
address = "127.0.0.1:0"
sign_in = "open"
[[pool]]
name = "hq"
embedded = { database = "hq.db" }
[[pool]]
name = "eu"
region = "eu"
embedded = { database = "eu.db" }
[directory]
default_pool = "hq"
unlisted = "same-id"
[[rule]]
name = "closed"
when = { user = "eve@contoso.com" }
then = { refuse = "No." }
[[rule]]
name = "frozen"
when = { category = "Trade", command = ["post", "files"], from = "2026-12-01" }
then = { read_only = "Until Sunday." }
[[rule]]
name = "pilots \"first\""
when = { user = "*-pilot@contoso.com", client = "UCCAPI*", listener = "clients", network = "10.0.0.0/8" }
then = { pool = "eu" }
[[rule]]
name = "moving"
when = { user = "max@contoso.com" }
then = { maintenance = "Later." }
[[rule]]
name = "fence"
when = { user = "ida@contoso.com" }
then = { region = "eu" }
"#;

fn loaded(tests: &str) -> Loaded {
    let text = format!("{CONFIG}\n{tests}");
    holdover_config::parse("holdover.toml", &text, Path::new("."))
        .unwrap_or_else(|faults| panic!("{faults}\n{tests}"))
}

fn rooms() -> Directory {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rooms.csv");
    let row =
        "ma-chan://contoso.com/1,hq,ma-chan://contoso.com/m1,migrated,\"Deals \"\"A\"\"\",Trade\n";
    let text = format!("legacy,pool,migrated,state,name,category\n{row}");
    std::fs::write(&file, text).unwrap();
    let settings = DirectorySettings {
        rooms: vec![file],
        unlisted: Unlisted::Refuse,
        default_pool: None,
        preferences_pool: None,
    };
    Directory::new(crate::directory::load(&settings, &["hq".parse().unwrap()]).unwrap())
}

fn decision(user: &str, act: &str, room: bool, reason: Option<&str>, rule: Option<&str>) -> Shown {
    Shown {
        at: "2026-12-05T17:00:00.25Z".to_owned(),
        asked: ShownQuestion {
            user: format!("sip:{user}"),
            act: act.to_owned(),
            room: room.then(|| "ma-chan://contoso.com/1".to_owned()),
            client: Some("UCCAPI/3.5 \"x\"".to_owned()),
            from_ip: Some("10.1.2.3".to_owned()),
            listener: Some("clients".to_owned()),
        },
        allowed: reason.is_none(),
        pool: (reason.is_none() && room).then(|| "eu".to_owned()),
        migrated: None,
        reason: reason.map(str::to_owned),
        text: None,
        rule: rule.map(|name| ShownRule {
            name: name.to_owned(),
            source: "holdover.toml:1".to_owned(),
        }),
        generation: 1,
    }
}

#[test]
fn tests_of_every_kind_of_decision_pass() {
    let decisions = [
        decision(
            "ann-pilot@contoso.com",
            "read",
            true,
            None,
            Some("pilots \"first\""),
        ),
        decision("bob@contoso.com", "sign-in", false, None, None),
        decision(
            "bob@contoso.com",
            "post",
            true,
            Some("read-only"),
            Some("frozen"),
        ),
        decision(
            "eve@contoso.com",
            "sign-in",
            false,
            Some("rule"),
            Some("closed"),
        ),
        decision(
            "max@contoso.com",
            "read",
            true,
            Some("maintenance"),
            Some("moving"),
        ),
        decision(
            "ida@contoso.com",
            "read",
            true,
            Some("region"),
            Some("fence"),
        ),
        decision(
            "ann-pilot@contoso.com",
            "search",
            true,
            Some("no-target"),
            Some("pilots \"first\""),
        ),
    ];
    let recorded = cases(&decisions, &loaded(""), &rooms());
    assert_eq!((recorded.told, recorded.left.len()), (7, 0), "{recorded:?}");
    let loaded = loaded(&recorded.text);
    assert_eq!(loaded.tests().len(), 7);
    let rules = RuleSet::new(loaded.settings.live.rules.clone());
    for case in loaded.tests() {
        let ran = case.run(&rules, &loaded.settings.fixed.gateway.domain);
        assert!(ran.failure.is_none(), "{case:?}\n{:?}", ran.failure);
        assert!(!ran.winners.is_empty() || case.user.address() == "bob@contoso.com");
    }
    // And they say no more than they mean: with other rules they fail.
    let failed = loaded.tests().iter().filter(|case| {
        let none = RuleSet::default();
        case.run(&none, &loaded.settings.fixed.gateway.domain)
            .failure
            .is_some()
    });
    assert_eq!(failed.count(), 6);
}

#[test]
fn a_test_is_written_as_a_person_would() {
    let read = decision(
        "ann-pilot@contoso.com",
        "read",
        true,
        None,
        Some("pilots \"first\""),
    );
    let recorded = cases(&[read], &loaded(""), &rooms());
    assert_eq!(
        recorded.text,
        r#"[[test]]
name = "ann-pilot@contoso.com read at 2026-12-05T17:00:00.25Z"
user = "ann-pilot@contoso.com"
room = "ma-chan://contoso.com/1"
room_name = 'Deals "A"'
category = "Trade"
act = "read"
client = 'UCCAPI/3.5 "x"'
from_ip = "10.1.2.3"
listener = "clients"
at = "2026-12-05T17:00:00.25Z"
expect = { pool = "eu", rule = 'pilots "first"' }

"#
    );
}

#[test]
fn what_no_test_can_say_is_left_out_with_its_reason() {
    let again = decision("bob@contoso.com", "sign-in", false, None, None);
    let decisions = [
        again.clone(),
        again,
        decision(
            "max@contoso.com",
            "sign-in",
            false,
            Some("maintenance"),
            None,
        ),
        decision("cem@contoso.com", "read", true, Some("rule"), Some("gone")),
        decision(
            "cem@contoso.com",
            "upload",
            true,
            Some("read-only"),
            Some("frozen"),
        ),
        decision(
            "cem@contoso.com",
            "post",
            true,
            Some("rule"),
            Some("frozen"),
        ),
    ];
    let recorded = cases(&decisions, &loaded(""), &rooms());
    assert_eq!(recorded.told, 1, "{recorded:?}");
    let left: Vec<&str> = recorded.left.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(
        left,
        [
            "the same was decided again later",
            "it was the pace after a maintenance that decided",
            "the rule that decided is not there any more",
            "rules treat the sending and the fetching of files differently, and tests do not",
            "the rule that decided does something else now",
        ]
    );
}

#[test]
fn names_of_tests_are_short_enough_and_unique() {
    let mut names = HashSet::new();
    let long = decision(
        &format!("{}@contoso.com", "ü".repeat(100)),
        "read",
        true,
        None,
        None,
    );
    let address = long.asked.user.strip_prefix("sip:").unwrap();
    let [first, second] = [0, 1].map(|_| name(&long, address, &mut names));
    assert!(
        first.len() <= 128 && second.len() <= 128,
        "{first} {second}"
    );
    assert_ne!(first, second);
}
