//! Maintenances, from their begin to when everybody is back.

use std::num::NonZeroU32;
use std::sync::Arc;

use holdover_config::rules::{Access, Condition, Place, RuleSet, Window};
use holdover_protocol::user::UserUri;

use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

fn caller(number: usize) -> Caller {
    Caller {
        user: UserUri::parse(&format!("user{number}@contoso.com")).unwrap(),
        network: None,
        listener: None,
        client: None,
    }
}

/// A maintenance from second 10 to second 20, with ten sign-ins each second after it.
fn maintenance(enabled: bool) -> Rule {
    let window = Window {
        from: Some(at(10_000)),
        until: Some(at(20_000)),
    };
    Rule {
        name: "weekend".parse().unwrap(),
        enabled,
        apart: false,
        place: Place {
            file: "rules.toml".into(),
            line: 3,
        },
        when: vec![Condition {
            negated: false,
            test: Test::Time(window),
        }],
        then: Then::Maintenance(Maintenance {
            text: "Back on Monday.".into(),
            access: Access::Closed,
            sign_ins_per_sec: NonZeroU32::new(10),
        }),
    }
}

fn routing(rule: Rule) -> Routing {
    let mut routing = Routing::nowhere();
    routing.rules = RuleSet::new(vec![Arc::new(rule)]);
    routing
}

fn admission(rule: Rule) -> Admission {
    let router = Arc::new(Router::new(routing(rule)));
    Admission::new(router, Arc::default(), Telemetry::new())
}

/// How many of a thousand users are let in at this time.
fn let_in(admission: &Admission, millis: i64) -> usize {
    (0..1000)
        .filter(|number| admission.sign_in(&caller(*number), at(millis)).is_ok())
        .count()
}

#[test]
fn a_maintenance_refuses_with_its_text_and_lets_people_back_in_at_its_pace() {
    let admission = admission(maintenance(true));
    assert_eq!(let_in(&admission, 9_999), 1000);
    let turned = admission.sign_in(&caller(1), at(10_000)).unwrap_err();
    assert_eq!(turned.refusal.reason, RefusalReason::Maintenance);
    assert_eq!(&*turned.refusal.text, "Back on Monday.");
    assert_eq!(let_in(&admission, 19_999), 0);
    assert_eq!(let_in(&admission, 20_000), 10);
    assert_eq!(let_in(&admission, 20_050), 0);
    assert_eq!(let_in(&admission, 20_500), 5);
    assert_eq!(
        let_in(&admission, 30_000),
        10,
        "no more than a second's worth"
    );
    assert_eq!(admission.pace(), Some(10));
    let idle = 30_000 + 180_001;
    assert_eq!(let_in(&admission, idle), 1000, "everybody is back");
    assert_eq!(admission.pace(), None);
}

#[test]
fn a_maintenance_that_is_switched_off_ends_at_its_pace_too() {
    let admission = admission(maintenance(true));
    assert_eq!(let_in(&admission, 10_000), 0);
    admission.router.publish(routing(maintenance(false)));
    assert_eq!(let_in(&admission, 11_000), 10);
    admission.router.publish(routing(maintenance(true)));
    assert_eq!(let_in(&admission, 12_000), 0);
    assert_eq!(admission.pace(), None, "it is in force again");
}

#[test]
fn whoever_comes_late_to_its_turn_brings_nobody_else_in() {
    let admission = admission(maintenance(true));
    let_in(&admission, 19_999);
    assert_eq!(let_in(&admission, 20_000), 10);
    assert_eq!(let_in(&admission, 20_500), 5);
    assert_eq!(let_in(&admission, 20_100), 0);
    assert_eq!(let_in(&admission, 20_600), 1);
    // A clock that was set back by an hour is followed.
    let back = 20_600 - 3_600_000;
    assert_eq!(let_in(&admission, back), 0);
    assert_eq!(let_in(&admission, back + 500), 5);
}

#[test]
fn every_sign_in_is_on_the_record_with_its_rule() {
    let admission = admission(maintenance(true));
    let_in(&admission, 10_000);
    let last = admission.decided.last(&Default::default(), 1);
    let rule = last[0].rule.as_ref().unwrap();
    assert_eq!(
        (rule.name.as_str(), rule.place.to_string()),
        ("weekend", "rules.toml:3".to_owned())
    );
    assert_eq!(last[0].act, Act::SignIn);
}

#[test]
fn whoever_has_to_wait_after_a_maintenance_has_its_rule_on_the_record() {
    let admission = admission(maintenance(true));
    let_in(&admission, 10_000);
    assert_eq!(let_in(&admission, 20_000), 10);
    let last = admission.decided.last(&Default::default(), 1);
    let rule = last[0].rule.as_ref().unwrap();
    assert_eq!(rule.name.as_str(), "weekend");
}
