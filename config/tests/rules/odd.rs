//! What is right but odd in rules: what `review` says of them, and that it says nothing untrue.

use holdover_config::rules::{Act, Question, RoomFacts, Rule, RuleSet};
use holdover_config::{Remark, codes, remark, review};
use holdover_protocol::user::UserUri;
use proptest::prelude::*;

use super::loaded;

/// Fifty rules as an admin of a migration has them: blocked people, a maintenance, pilots, departments by domain and
/// network, rooms by name and category, a rest.
fn sane() -> String {
    let mut text = String::new();
    let mut rule = |name: &str, when: &str, then: &str| {
        text.push_str(&format!(
            "[[rule]]\nname = \"{name}\"\nwhen = {{ {when} }}\nthen = {{ {then} }}\n\n"
        ));
    };
    let weekend =
        "from = \"2026-12-05T18:00\", until = \"2026-12-06T23:00\", zone = \"Europe/Zurich\"";
    rule(
        "blocked",
        "user = [\"eve@contoso.com\", \"mallory@contoso.com\"]",
        "refuse = \"Ask the help desk.\"",
    );
    rule(
        "guests",
        "network = \"192.0.2.0/24\"",
        "refuse = \"Please use the office network.\"",
    );
    rule(
        "weekend",
        weekend,
        "maintenance = \"Rooms are being moved.\"",
    );
    rule(
        "archive",
        "category = \"Archive*\"",
        "read_only = \"The archive is closed.\"",
    );
    rule(
        "trading hours",
        "room_name = \"Trading*\", not = { user = \"*-trader@contoso.com\" }",
        "read_only = \"Traders only.\"",
    );
    rule(
        "old client",
        "client = \"*OC/3*\"",
        "notice = \"Please install the new client.\"",
    );
    rule("new client", "client = \"*OC/4*\"", "notice = \"Welcome.\"");
    rule(
        "pilots by name",
        "user = [\"ann@contoso.com\", \"bob@contoso.com\"]",
        "pool = \"hq\"",
    );
    rule("pilots", "user = \"*-pilot@contoso.com\"", "pool = \"hq\"");
    rule(
        "one room",
        "room = \"ma-chan://contoso.com/300\"",
        "pool = \"hq\"",
    );
    rule(
        "but not for sales",
        "room = \"ma-chan://contoso.com/301\", not = { domain = \"sales.contoso.com\" }",
        "pool = \"hq\"",
    );
    rule(
        "rest of 301",
        "room = \"ma-chan://contoso.com/301\"",
        "pool = \"old\"",
    );
    for n in 0..10 {
        let pool = ["hq", "old"][n % 2];
        rule(
            &format!("country {n}"),
            &format!("domain = \"c{n}.contoso.com\""),
            &format!("pool = \"{pool}\""),
        );
        rule(
            &format!("site {n}"),
            &format!("network = \"10.{n}.0.0/16\", not = {{ network = \"10.{n}.9.0/24\" }}"),
            &format!("pool = \"{pool}\""),
        );
        rule(
            &format!("department {n}"),
            &format!("category = \"Department {n} / *\""),
            &format!("pool = \"{pool}\""),
        );
    }
    rule(
        "ops zurich",
        "room_name = \"Ops / Zurich*\"",
        "pool = \"hq\"",
    );
    rule("ops", "room_name = \"Ops / *\"", "pool = \"old\"");
    rule(
        "night",
        "room_name = \"*Night*\", command = \"read\"",
        "pool = \"old\"",
    );
    rule("fence", "domain = \"eu.contoso.com\"", "region = \"eu\"");
    rule("some compare", "percent = 5", "shadow = \"old\"");
    rule(
        "a fifth",
        "domain = \"contoso.com\", percent = 20",
        "pool = \"hq\"",
    );
    rule(
        "half",
        "domain = \"contoso.com\", percent = 50",
        "pools = [{ pool = \"hq\", percent = 50 }, { pool = \"old\", percent = 50 }]",
    );
    rule("rest", "domain = \"contoso.com\"", "pool = \"old\"");
    text
}

#[test]
fn fifty_sane_rules_are_not_odd() {
    // But for the users of other domains, who cannot sign in.
    let text = sane();
    assert_eq!(text.matches("[[rule]]").count(), 50);
    let found = review(&loaded(&text), "2026-11-25T00:00Z".parse().unwrap());
    let mut odd = found
        .iter()
        .filter(|fault| fault.code() != codes::FOREIGN_DOMAIN);
    assert!(odd.next().is_none(), "{found}");
}

#[test]
fn who_passes_by_a_maintenance_or_a_refusal_is_told_and_exceptions_are_not() {
    const POOL: &str = "pool = \"hq\"";
    const REFUSE: &str = "refuse = \"no\"";
    const READ_ONLY: &str = "read_only = \"no\"";
    const MAINTENANCE: &str = "maintenance = \"later\"";
    const PILOTS: &str = "user = \"*-pilot@contoso.com\"";
    let passed = |first: (&str, &str), second: (&str, &str)| {
        let rule = |name: &str, (when, then): (&str, &str)| {
            format!("[[rule]]\nname = \"{name}\"\nwhen = {{ {when} }}\nthen = {{ {then} }}\n")
        };
        let text = rule("a", first) + &rule("b", second);
        let found = review(&loaded(&text), "2026-11-25T00:00Z".parse().unwrap());
        let codes: Vec<&str> = found.iter().map(|fault| fault.code()).collect();
        codes.contains(&codes::PASSED_BY)
    };
    let weekend = "from = \"2026-12-05T18:00Z\", until = \"2026-12-06T23:00Z\"";
    let but_pilots = format!("{weekend}, not = {{ {PILOTS} }}");
    let eve = "user = \"eve@contoso.com\"";
    let room = "room_name = \"Deals*\"";
    for (first, second, expected) in [
        ((PILOTS, POOL), (weekend, MAINTENANCE), true),
        ((PILOTS, READ_ONLY), (weekend, MAINTENANCE), true),
        ((room, POOL), (weekend, MAINTENANCE), true),
        ((room, POOL), (eve, REFUSE), true),
        ((room, POOL), (eve, READ_ONLY), true),
        ((weekend, MAINTENANCE), (PILOTS, POOL), false),
        ((PILOTS, POOL), (&but_pilots, MAINTENANCE), false),
        ((PILOTS, POOL), (eve, REFUSE), false),
        // Everybody is refused but some.
        ((PILOTS, POOL), ("user = \"*@contoso.com\"", REFUSE), false),
        ((PILOTS, POOL), (room, READ_ONLY), true),
        ((weekend, MAINTENANCE), (eve, REFUSE), false),
        (
            (PILOTS, "notice = \"hello\""),
            (weekend, MAINTENANCE),
            false,
        ),
        ((PILOTS, POOL), (weekend, "region = \"eu\""), false),
    ] {
        assert_eq!(passed(first, second), expected, "{first:?} {second:?}");
    }
}

#[test]
fn who_cannot_sign_in_is_told() {
    let found = |when: &str| {
        let text =
            format!("[[rule]]\nname = \"a\"\nwhen = {{ {when} }}\nthen = {{ pool = \"hq\" }}\n");
        let found = review(&loaded(&text), "2026-11-25T00:00Z".parse().unwrap());
        found
            .iter()
            .filter(|fault| fault.code() == codes::FOREIGN_DOMAIN)
            .count()
    };
    for (when, expected) in [
        ("user = \"bob@fabrikam.com\"", 1),
        (
            "user = [\"ann@contoso.com\", \"*@fabrikam.com\", \"bob@sales.contoso.com\"]",
            2,
        ),
        ("domain = [\"Contoso.com\", \"fabrikam.com\"]", 1),
        (
            "user = [\"ann@CONTOSO.com\", \"*@*\", \"a*\", \"*contoso.com\"]",
            0,
        ),
        ("not = { user = \"bob@fabrikam.com\" }", 0),
    ] {
        assert_eq!(found(when), expected, "{when}");
    }
}

#[test]
fn a_test_of_a_user_who_cannot_sign_in_comes_to_a_refusal() {
    let run = |expect: &str| {
        let loaded = loaded(&format!(
            "[[rule]]\nname = \"a\"\nwhen = {{ user = \"bob@fabrikam.com\" }}\nthen = {{ pool = \"hq\" }}\n\
             [[test]]\nname = \"t\"\nuser = \"bob@fabrikam.com\"\nexpect = {{ {expect} }}\n"
        ));
        let set = RuleSet::new(loaded.settings.live.rules.clone());
        let case = std::sync::Arc::clone(&loaded.tests()[0]);
        let ran = case.run(&set, &loaded.settings.fixed.gateway.domain);
        ran.failure.map(|failure| failure.got)
    };
    assert_eq!(run("refused = true"), None);
    assert_eq!(run("refused = true, notice = false"), None);
    for wrong in [
        "pool = \"hq\"",
        "directory = true",
        "refused = true, rule = \"a\"",
    ] {
        let got = run(wrong).unwrap();
        assert!(got.contains("refused at sign-in"), "{wrong}: {got}");
    }
}

#[test]
fn a_remark_is_told_at_the_pool_or_the_action_of_its_rule() {
    let loaded = loaded(
        "[[rule]]\nname = \"a\"\nthen = { pools = [{ pool = \"hq\", percent = 50 }, { pool = \"old\", percent = 50 }] }\n\
         [[rule]]\nname = \"b\"\nthen = { pool = \"old\" }\n",
    );
    let odd = |rule, pool: Option<&str>| Remark {
        rule,
        pool: pool.map(|pool| pool.parse().unwrap()),
        code: codes::NO_TARGET,
        message: "odd".to_owned(),
        help: "make it even".to_owned(),
    };
    let found = remark(
        &loaded,
        vec![odd(1, None), odd(0, Some("old")), odd(7, None)],
    );
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "holdover.toml:25:59: warning[HC115]: odd",
            "holdover.toml:28:8: warning[HC115]: odd"
        ]
    );
}

#[test]
fn a_rule_to_a_pool_that_a_fence_forbids_is_odd() {
    let loaded = loaded(
        "[[rule]]\nname = \"berlin\"\nwhen = { domain = \"x.com\" }\nthen = { region = \"eu\" }\n\
         [[rule]]\nname = \"a\"\nwhen = { user = \"a@x.com\" }\nthen = { pool = \"old\" }\n\
         [[rule]]\nname = \"b\"\nwhen = { user = \"a@y.com\" }\nthen = { pool = \"old\" }\n\
         [[rule]]\nname = \"c\"\nwhen = { user = \"b@x.com\" }\nthen = { pool = \"hq\" }\n",
    );
    let found = review(&loaded, "2026-11-25T00:00Z".parse().unwrap());
    let found = found
        .iter()
        .filter(|fault| fault.code() != codes::FOREIGN_DOMAIN);
    let told: Vec<String> = found.map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "holdover.toml:30:17: warning[HC118]: the pool is in no region, and `berlin` (holdover.toml:23) demands `eu`"
        ]
    );
}

/// Conditions that often have to do with one another.
const CONDITIONS: &[&str] = &[
    "user = \"a@x.com\"",
    "user = [\"a@x.com\", \"b@y.com\"]",
    "user = \"*@x.com\"",
    "user = [\"?@x.com\", \"b@*\"]",
    "user = \"*\"",
    "domain = \"x.com\"",
    "domain = [\"x.com\", \"y.com\"]",
    "network = \"10.0.0.0/8\"",
    "network = [\"10.1.0.0/16\", \"10.2.0.0/16\"]",
    "room = \"ma-chan://x.com/1\"",
    "room = \"ma-chan://x.com/*\"",
    "room = \"*\"",
    "room_name = \"N*\"",
    "room_name = [\"*t\", \"Day\"]",
    "command = \"post\"",
    "command = [\"sign-in\", \"read\"]",
    "from = \"2026-01-01\"",
    "from = \"2026-02-01\", until = \"2026-03-01\"",
    "percent = 0",
    "percent = 30",
    "percent = 60",
    "listener = \"clients\"",
];

const ACTIONS: &[&str] = &[
    "pool = \"hq\"",
    "pool = \"old\"",
    "refuse = \"no\"",
    "read_only = \"no\"",
    "notice = \"hello\"",
    "region = \"eu\"",
];

fn key(condition: &str) -> &str {
    condition.split(' ').next().unwrap()
}

/// Some conditions of different keys.
fn conditions() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(CONDITIONS), 0..3).prop_map(|mut chosen| {
        chosen.sort_by_key(|condition| key(condition));
        chosen.dedup_by_key(|condition| key(condition));
        chosen
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_never_to_win_never_wins(
        rules in prop::collection::vec((conditions(), conditions(), prop::sample::select(ACTIONS)), 1..8),
        questions in prop::collection::vec((
            prop::sample::select(&["a@x.com", "b@x.com", "b@y.com", "c@z.com", "aa@x.com"][..]),
            prop::option::of(prop::sample::select(&["10.1.2.3", "10.3.0.1", "192.0.2.1"][..])),
            prop::option::of(prop::sample::select(&["ma-chan://x.com/1", "ma-chan://X.com/2", "ma-chan://y.com/1"][..])),
            prop::sample::select(&["", "Night", "Day", "Nt"][..]),
            prop::sample::select(Act::ALL.to_vec()),
            prop::sample::select(&["2025-12-01T00:00Z", "2026-01-15T00:00Z", "2026-02-15T00:00Z"][..]),
            any::<bool>(),
        ), 60),
    ) {
        let mut text = String::new();
        for (number, (when, not, then)) in rules.iter().enumerate() {
            let mut when: Vec<String> = when.iter().map(|condition| (*condition).to_owned()).collect();
            if !not.is_empty() {
                when.push(format!("not = {{ {} }}", not.join(", ")));
            }
            text.push_str(&format!("[[rule]]\nname = \"{number}\"\nwhen = {{ {} }}\nthen = {{ {then} }}\n", when.join(", ")));
        }
        let loaded = loaded(&text);
        let found = review(&loaded, "2026-01-15T00:00Z".parse().unwrap());
        let set = RuleSet::new(loaded.settings.live.rules.clone());
        let lines: Vec<usize> = found
            .iter()
            .filter(|fault| [codes::NEVER_MATCHES, codes::UNREACHABLE].contains(&fault.code()))
            .map(|fault| fault.location().unwrap().line())
            .collect();
        let dead = |rule: &Rule| {
            let heading = usize::try_from(rule.place.line).unwrap();
            lines.iter().any(|line| (heading..heading + 4).contains(line))
        };
        let listener = "clients".parse().unwrap();
        for (user, network, room, name, act, at, known) in &questions {
            let user = UserUri::parse(user).unwrap();
            let id = room.map(|room| room.parse().unwrap());
            let question = Question {
                user: &user,
                network: network.map(|address| address.parse().unwrap()),
                listener: known.then_some(&listener),
                client: None,
                act: *act,
                room: id.as_ref().filter(|_| *act != Act::SignIn).map(|id| RoomFacts { id, name, category: "" }),
                at: at.parse().unwrap(),
            };
            let winners = [
                set.decide(&question).rule,
                set.notice(&question).map(|(.., rule)| rule),
                set.fence(&question).map(|(_, rule)| rule),
            ];
            for winner in winners.into_iter().flatten() {
                prop_assert!(!dead(winner), "{} wins\n{}\n{}", winner.name, text, found);
            }
        }
    }
}
