//! The index against trying every rule in turn, and what the first match means.

use std::sync::Arc;

use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

fn user(text: &str) -> UserUri {
    UserUri::parse(text).unwrap()
}

fn room(value: &str) -> RoomUri {
    RoomUri::new("contoso.com", value).unwrap()
}

fn rule(number: usize, when: Vec<Condition>, then: Then) -> Arc<Rule> {
    Arc::new(Rule {
        name: format!("rule {number}").parse().unwrap(),
        enabled: true,
        apart: false,
        place: Place {
            file: "rules.toml".into(),
            line: u32::try_from(number).unwrap() + 1,
        },
        when,
        then,
    })
}

fn condition(test: Test) -> Condition {
    Condition {
        negated: false,
        test,
    }
}

fn ask<'a>(user: &'a UserUri, room: Option<&'a RoomUri>, act: Act) -> Question<'a> {
    Question {
        user,
        network: None,
        listener: None,
        client: None,
        act,
        room: room.map(|id| RoomFacts {
            id,
            name: "Night Shift",
            category: "Operations",
        }),
        at: Timestamp::UNIX_EPOCH,
    }
}

const NETWORKS: &[&str] = &[
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.3",
    "0.0.0.0/0",
    "2001:db8::/32",
    "::/0",
];

const ADDRESSES: &[&str] = &[
    "10.1.2.3",
    "10.1.0.1",
    "192.0.2.1",
    "2001:db8::1",
    "::ffff:10.1.2.3",
];

const TEXTS: &[&str] = &[
    "",
    "Ops / Zürich",
    "ops",
    "Night",
    "xxopsyy",
    "OC/3.5",
    "БИРЖА",
];

/// Patterns of texts: with a begin, an end, a midst, all of them or none.
fn globs() -> impl Strategy<Value = Box<[Glob]>> {
    let texts = &[
        "*",
        "ops*",
        "*ops",
        "*OPS*",
        "?ps",
        "Night",
        "*ich",
        "o*s",
        "OC/?.?",
        "*/*",
        "*ZÜRICH",
        "Биржа",
        "*ИРЖ*",
        "бир*",
    ][..];
    let globs = prop::collection::vec(prop::sample::select(texts), 1..3);
    globs.prop_map(|texts| texts.iter().map(|text| Glob::new(text)).collect())
}

fn a_test() -> impl Strategy<Value = Test> {
    let users = prop::collection::vec(
        prop_oneof![
            "[ab]@[xy]".prop_map(|text| UserPattern::One(user(&text))),
            prop_oneof!["[ab*]@[xy]", "[ab]@\\*", "\\*", "\\*[ab]@\\*", "[ab]\\*"]
                .prop_map(|text| UserPattern::Many(Glob::new(&text))),
        ],
        1..3,
    );
    let rooms = prop::collection::vec(
        prop_oneof![
            "[12]".prop_map(|value| RoomPattern::One(room(&value))),
            "[12*]".prop_map(|value| RoomPattern::Many(Glob::new(&format!(
                "ma-chan://contoso.com/{value}"
            )))),
        ],
        1..3,
    );
    prop_oneof![
        users.prop_map(|patterns| Test::User(Users {
            patterns: patterns.into(),
            file: None
        })),
        "[xy]".prop_map(|domain| Test::Domain([domain.parse().unwrap()].into())),
        prop::collection::vec(prop::sample::select(NETWORKS), 1..3).prop_map(|networks| {
            Test::Network(
                networks
                    .iter()
                    .map(|network| network.parse().unwrap())
                    .collect(),
            )
        }),
        "[pq]".prop_map(|listener| Test::Listener([listener.parse().unwrap()].into())),
        globs().prop_map(Test::Client),
        globs().prop_map(Test::RoomName),
        globs().prop_map(Test::Category),
        (prop::option::of(0_i64..4), prop::option::of(0_i64..4)).prop_map(|(from, until)| {
            let at = |second| Timestamp::from_second(second).unwrap();
            Test::Time(Window {
                from: from.map(at),
                until: until.map(at),
            })
        }),
        rooms.prop_map(|rooms| Test::Room(rooms.into())),
        prop::sample::subsequence(Class::ALL.to_vec(), 1..4)
            .prop_map(|classes| Test::Command(classes.into_iter().collect())),
        (0u32..=100).prop_map(|percent| Test::Percent(Percent::new(percent).unwrap())),
    ]
}

fn a_then() -> impl Strategy<Value = Then> {
    let text = || Box::from("no");
    prop_oneof![
        Just(Then::Route(Shares::one("hq".parse().unwrap()))),
        Just(Then::Refuse { text: text() }),
        Just(Then::ReadOnly { text: text() }),
        Just(Then::Notice {
            text: text(),
            every: Every::Day
        }),
        Just(Then::Fence {
            region: "eu".parse().unwrap()
        }),
    ]
}

/// What is asked, as far as it is not asked by a reference.
#[derive(Clone, Debug)]
struct Asked {
    user: UserUri,
    room: Option<RoomUri>,
    name: &'static str,
    category: &'static str,
    client: Option<&'static str>,
    network: Option<&'static str>,
    listener: Option<ListenerName>,
    act: Act,
    at: i64,
}

fn a_question() -> impl Strategy<Value = Asked> {
    (
        "[abc]{1,2}@[xyz]",
        prop::option::of("[123]"),
        prop::sample::select(TEXTS),
        prop::sample::select(TEXTS),
        prop::option::of(prop::sample::select(TEXTS)),
        prop::option::of(prop::sample::select(ADDRESSES)),
        prop::option::of("[pqr]"),
        prop::sample::select(Act::ALL.to_vec()),
        0_i64..5,
    )
        .prop_map(
            |(who, asked, name, category, client, network, listener, act, at)| Asked {
                user: user(&who),
                room: asked.map(|value| room(&value)),
                name,
                category,
                client,
                network,
                listener: listener.map(|listener| listener.parse().unwrap()),
                act,
                at,
            },
        )
}

/// How many sets of rules are tried, each with eight questions. `HOLDOVER_CASES=12500 cargo test --release -p
/// holdover-config rules::tests` asks a hundred thousand.
fn cases() -> u32 {
    std::env::var("HOLDOVER_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(1_250)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn deciding_and_explaining_find_what_trying_every_rule_in_turn_finds(
        rules in prop::collection::vec((prop::collection::vec((a_test(), prop::bool::weighted(0.3)), 0..4), a_then(), prop::bool::weighted(0.8)), 0..40),
        questions in prop::collection::vec(a_question(), 8),
    ) {
        let rules: Vec<Arc<Rule>> = rules.into_iter().enumerate().map(|(number, (tests, then, enabled))| {
            let when = tests.into_iter().map(|(test, negated)| Condition { negated, test }).collect();
            let mut made = Rule::clone(&rule(number, when, then));
            made.enabled = enabled;
            Arc::new(made)
        }).collect();
        let set = RuleSet::new(rules.clone());
        for asked in &questions {
            let question = Question {
                user: &asked.user,
                network: asked.network.map(|address| address.parse().unwrap()),
                listener: asked.listener.as_ref(),
                client: asked.client,
                act: asked.act,
                room: asked.room.as_ref().map(|id| RoomFacts { id, name: asked.name, category: asked.category }),
                at: Timestamp::from_second(asked.at).unwrap(),
            };
            for aspect in Aspect::ALL {
                let expected = rules
                    .iter()
                    .find(|rule| rule.enabled && rule.then.aspect() == aspect && rule.matches(&question));
                prop_assert_eq!(set.first(aspect, &question), expected, "{:?}", asked);
            }
            let explained = set.explain(&question);
            prop_assert_eq!(&explained.decision, &set.decide(&question));
            if let Some(miss) = explained.nearest {
                prop_assert!(!miss.rule.matches(&question));
            }
        }
    }
}

#[test]
fn a_notice_does_not_keep_from_being_routed_and_read_only_lets_reading_pass() {
    let everyone = Vec::new;
    let set = RuleSet::new(vec![
        rule(
            0,
            everyone(),
            Then::Notice {
                text: "new client".into(),
                every: Every::SignIn,
            },
        ),
        rule(
            1,
            everyone(),
            Then::ReadOnly {
                text: "moving".into(),
            },
        ),
        rule(
            2,
            everyone(),
            Then::Route(Shares::one("hq".parse().unwrap())),
        ),
    ]);
    let (ann, here) = (user("ann@contoso.com"), room("300"));
    let read = ask(&ann, Some(&here), Act::Read);
    assert_eq!(set.notice(&read).map(|(text, ..)| text), Some("new client"));
    assert_eq!(set.decide(&read).rule, set.rules().get(2));
    let post = ask(&ann, Some(&here), Act::Post);
    assert_eq!(set.decide(&post).outcome, Ruling::ReadOnly("moving"));
    assert_eq!(set.notice(&post), None);
}

#[test]
fn a_window_of_time_begins_and_ends_by_itself() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let window = Window {
        from: Some(at(100)),
        until: Some(at(200)),
    };
    let set = RuleSet::new(vec![rule(
        0,
        vec![condition(Test::Time(window))],
        Then::Refuse { text: "no".into() },
    )]);
    let ann = user("ann@contoso.com");
    for (second, refused) in [(99, false), (100, true), (199, true), (200, false)] {
        let question = Question {
            at: at(second),
            ..ask(&ann, None, Act::SignIn)
        };
        assert_eq!(set.decide(&question).rule.is_some(), refused, "{second}");
    }
    assert_eq!(set.next_boundary(at(0)), Some(at(100)));
    assert_eq!(set.next_boundary(at(100)), Some(at(200)));
    assert_eq!(set.next_boundary(at(200)), None);
    let passed = [99, 100, 199, 200].map(|second| set.boundaries_passed(at(second)));
    assert_eq!(passed, [0, 1, 1, 2]);
}

#[test]
fn the_explanation_names_the_nearest_rule_and_what_it_lacked() {
    let pilots = Test::User(Users {
        patterns: [UserPattern::Many(Glob::new("*@pilot.contoso.com"))].into(),
        file: None,
    });
    let posts = Test::Command([Class::Post].into_iter().collect());
    let set = RuleSet::new(vec![
        rule(
            0,
            vec![condition(pilots), condition(posts)],
            Then::Route(Shares::one("hq".parse().unwrap())),
        ),
        rule(
            1,
            Vec::new(),
            Then::Route(Shares::one("old".parse().unwrap())),
        ),
    ]);
    let (ann, here) = (user("ann@pilot.contoso.com"), room("300"));
    let explained = set.explain(&ask(&ann, Some(&here), Act::Read));
    assert_eq!(explained.decision.rule, set.rules().get(1));
    let miss = explained.nearest.unwrap();
    assert_eq!((miss.rule.place.line, miss.held), (1, 1));
    assert_eq!(miss.failed, ["command = [\"post\"]"]);
}
