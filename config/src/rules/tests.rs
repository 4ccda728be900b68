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

fn a_test() -> impl Strategy<Value = Test> {
    let users = prop::collection::vec(
        prop_oneof![
            "[ab]@[xy]".prop_map(|text| UserPattern::One(user(&text))),
            prop_oneof!["[ab*]@[xy]", "[ab]@\\*", "\\*"]
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

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_trying_every_rule_in_turn_finds(
        rules in prop::collection::vec((prop::collection::vec((a_test(), any::<bool>()), 0..4), a_then(), any::<bool>()), 0..24),
        who in "[abc]@[xyz]",
        asked in prop::option::of("[123]"),
        act in prop::sample::select(Act::ALL.to_vec()),
    ) {
        let rules: Vec<Arc<Rule>> = rules.into_iter().enumerate().map(|(number, (tests, then, enabled))| {
            let when = tests.into_iter().map(|(test, negated)| Condition { negated, test }).collect();
            let mut made = Rule::clone(&rule(number, when, then));
            made.enabled = enabled;
            Arc::new(made)
        }).collect();
        let set = RuleSet::new(rules.clone());
        let (who, asked) = (user(&who), asked.map(|value| room(&value)));
        let question = ask(&who, asked.as_ref(), act);
        for aspect in Aspect::ALL {
            let expected = rules
                .iter()
                .find(|rule| rule.enabled && rule.then.aspect() == aspect && rule.matches(&question));
            prop_assert_eq!(set.first(aspect, &question), expected);
        }
        let explained = set.explain(&question);
        prop_assert_eq!(&explained.decision, &set.decide(&question));
        if let Some(miss) = explained.nearest {
            prop_assert!(!miss.rule.matches(&question));
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
    assert_eq!(set.decide(&post).outcome, Outcome::ReadOnly("moving"));
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
