//! What is told of rules and rooms, and how much is looked at for it.

use holdover_config::rules::{Glob, Percent, RoomPattern, Share, Shares, Users, Window};
use holdover_protocol::room::RoomUri;

use super::*;
use crate::routing::world::{self, World, to};

const ROOMS: &str = "legacy,pool,migrated,state,name,note,category\n\
    ma-chan://contoso.com/1,hq,ma-chan://contoso.com/m1,migrated,Deals,,Trade\n\
    ma-chan://contoso.com/1,branch,ma-chan://contoso.com/b1,also,,,\n\
    ma-chan://contoso.com/2,hq,ma-chan://contoso.com/m2,migrated,Night shift,,Trade\n\
    ma-chan://contoso.com/3,hq,ma-chan://contoso.com/m3,migrated,Lunch,,\n\
    ma-chan://contoso.com/4,hq,ma-chan://contoso.com/m4,migrated,Sea,,\n\
    ma-chan://contoso.com/5,hq,,retired,Falcon,,\n\
    ma-chan://contoso.com/6,branch,,pending,Later,,\n";

fn now() -> Timestamp {
    Timestamp::from_second(1_000).unwrap()
}

fn rule(line: u32, when: Vec<Test>, then: Then) -> Arc<Rule> {
    world::rule(line, &format!("r{line}"), when, then)
}

fn pilots() -> Test {
    Test::User(Users {
        patterns: [UserPattern::Many(Glob::new("*@pilot.contoso.com"))].into(),
        file: None,
    })
}

fn room(value: &str) -> Test {
    let pattern = match value.contains('*') {
        true => RoomPattern::Many(Glob::new(&format!("ma-chan://contoso.com/{value}"))),
        false => RoomPattern::One(RoomUri::new("contoso.com", value).unwrap()),
    };
    Test::Room([pattern].into())
}

fn category(glob: &str) -> Test {
    Test::Category([Glob::new(glob)].into())
}

/// `rule: code message`, with the identifiers shortened.
fn told(rules: Vec<Arc<Rule>>) -> Vec<String> {
    let routing = World::new(ROOMS, rules, false).routing;
    let remarks = review(&routing, now());
    let line = |remark: Remark| {
        let message = remark.message.replace("ma-chan://contoso.com/", "");
        format!("{}: {} {message}", remark.rule, remark.code)
    };
    remarks.into_iter().map(line).collect()
}

#[test]
fn rules_that_ask_for_rooms_that_are_there_are_not_odd() {
    assert_eq!(told(vec![rule(1, vec![room("1")], to("branch"))]), [""; 0]);
    assert_eq!(
        told(vec![rule(1, vec![], to("old"))]),
        [""; 0],
        "rooms keep their identifiers"
    );
    let mut off = Rule::clone(&rule(1, vec![], to("branch")));
    off.enabled = false;
    assert_eq!(told(vec![off.into()]), [""; 0]);
    let over = Test::Time(Window {
        from: None,
        until: Some(now()),
    });
    assert_eq!(told(vec![rule(1, vec![over], to("branch"))]), [""; 0]);
}

#[test]
fn rooms_without_an_identifier_on_the_pool_of_a_rule_are_named() {
    // Not room 5, which is gone, nor room 6, which is refused because it is still to arrive.
    assert_eq!(
        told(vec![rule(1, vec![], to("branch"))]),
        [
            "0: HC115 the rooms `2`, `3`, `4` have no identifier on the pool `branch`, where the rule sends users"
        ]
    );
    assert_eq!(
        told(vec![rule(1, vec![category("tr*")], to("branch"))]),
        [
            "0: HC115 the room `2` has no identifier on the pool `branch`, where the rule sends users"
        ]
    );
    let named = Test::RoomName([Glob::new("NIGHT*"), Glob::new("*unch")].into());
    assert_eq!(
        told(vec![rule(1, vec![named], to("branch"))]),
        [
            "0: HC115 the rooms `2`, `3` have no identifier on the pool `branch`, where the rule sends users"
        ]
    );
    let twice = vec![
        rule(1, vec![category("tr*")], to("branch")),
        rule(2, vec![category("tr*"), room("2")], to("branch")),
        rule(3, vec![category("tr*")], to("branch")),
    ];
    assert_eq!(
        told(twice),
        [
            "0: HC115 the room `2` has no identifier on the pool `branch`, where the rule and another one send users",
            "1: HC115 the room `2` has no identifier on the pool `branch`, where the rule sends users",
        ]
    );
    let many: String = (10..15)
        .map(|n| format!("ma-chan://contoso.com/{n},hq,ma-chan://contoso.com/m{n},migrated,,,\n"))
        .collect();
    let rules = vec![rule(1, vec![room("1*")], to("branch"))];
    let routing = World::new(&format!("{ROOMS}{many}"), rules, false).routing;
    let remarks = review(&routing, now());
    assert!(
        remarks[0].message.starts_with("5 rooms (`ma-chan://contoso.com/10`, `ma-chan://contoso.com/11`, `ma-chan://contoso.com/12`, …) have"),
        "{}", remarks[0].message
    );
}

#[test]
fn users_who_are_apart_on_purpose_are_not_told() {
    let apart = |rule: Arc<Rule>| {
        let mut rule = Rule::clone(&rule);
        rule.apart = true;
        Arc::new(rule)
    };
    let pilot = || rule(1, vec![pilots(), room("1")], to("branch"));
    assert_eq!(told(vec![pilot()]).len(), 1);
    assert_eq!(told(vec![apart(pilot())]), [""; 0]);
    // What another rule does is told all the same.
    let half = rule(
        2,
        vec![Test::Percent(Percent::new(50).unwrap()), room("1")],
        to("branch"),
    );
    assert_eq!(
        told(vec![apart(pilot()), half]),
        [
            "1: HC116 users of the room `1` may be sent to `branch` by `r2` (holdover.toml:2), to `hq` by the directory and do not meet"
        ]
    );
}

#[test]
fn users_of_one_room_who_are_sent_to_different_pools_are_told() {
    assert_eq!(
        told(vec![rule(1, vec![pilots(), room("1")], to("branch"))]),
        [
            "0: HC116 users of the room `1` may be sent to `branch` by `r1` (holdover.toml:1), to `hq` by the directory and do not meet"
        ]
    );
    // Everybody else is sent there too, or nobody is left for the directory.
    assert_eq!(
        told(vec![
            rule(1, vec![pilots(), room("1")], to("branch")),
            rule(2, vec![room("1")], to("branch")),
        ]),
        [""; 0]
    );
    assert_eq!(
        told(vec![
            rule(1, vec![pilots(), room("1")], to("branch")),
            rule(2, vec![category("Trade")], to("hq")),
        ]),
        [
            "0: HC116 users of the room `1` may be sent to `branch` by `r1` (holdover.toml:1), to `hq` by `r2` (holdover.toml:2) and do not meet"
        ]
    );
    // Whoever comes after a rule for all is never asked for.
    assert_eq!(
        told(vec![
            rule(1, vec![], to("old")),
            rule(2, vec![pilots(), room("1")], to("branch")),
        ]),
        [""; 0]
    );
    // Rooms that do not exist there are refused there: nobody is in them apart from the others.
    let apart = told(vec![rule(1, vec![pilots()], to("branch"))]);
    assert_eq!(apart.len(), 2, "{apart:?}");
    assert!(
        apart[1].starts_with("0: HC116 users of the room `1` may"),
        "{apart:?}"
    );
}

#[test]
fn shares_part_users_and_time_alone_does_not() {
    let share = |pool: &str, percent| Share {
        pool: pool.parse().unwrap(),
        percent: Percent::new(percent).unwrap(),
    };
    let shares = Shares::new(vec![share("branch", 10), share("hq", 90)]).unwrap();
    assert_eq!(
        told(vec![rule(1, vec![room("1")], Then::Route(shares))]),
        [
            "0: HC116 users of the room `1` may be sent to `branch` by `r1` (holdover.toml:1), to `hq` by `r1` (holdover.toml:1) and do not meet"
        ]
    );
    let weekend = Test::Time(Window {
        from: Some(now()),
        until: None,
    });
    assert_eq!(
        told(vec![rule(1, vec![room("1"), weekend], to("branch"))]),
        [""; 0]
    );
}

#[test]
fn rooms_that_a_fence_shuts_out_are_told() {
    let fence = |region: &str| Then::Fence {
        region: region.parse().unwrap(),
    };
    // `hq` is in the region; room 6 is nowhere yet.
    assert_eq!(told(vec![rule(1, vec![], fence("eu"))]), [""; 0]);
    assert_eq!(
        told(vec![rule(1, vec![category("Trade")], fence("us"))]),
        ["0: HC117 the rooms `1`, `2` are on no pool in region `us` to which users are sent"]
    );
    // A rule leads them into the region.
    let rooms = "legacy,pool,migrated,state\n\
        ma-chan://contoso.com/7,branch,ma-chan://contoso.com/b7,migrated\n\
        ma-chan://contoso.com/7,hq,ma-chan://contoso.com/m7,also\n";
    let with = |rules| review(&World::new(rooms, rules, false).routing, now()).len();
    assert_eq!(with(vec![rule(1, vec![], fence("eu"))]), 1);
    assert_eq!(
        with(vec![
            rule(1, vec![], fence("eu")),
            rule(2, vec![], to("hq"))
        ]),
        0
    );
}

#[test]
fn each_room_is_looked_at_only_for_the_rules_that_may_ask_for_it() {
    let mut text = "legacy,pool,migrated,state,category\n".to_owned();
    for n in 0..2_000 {
        let team = n / 20;
        text.push_str(&format!(
            "ma-chan://contoso.com/team{team:03}-{n},hq,ma-chan://contoso.com/m{n},migrated,team {team}\n"
        ));
    }
    let rules = (0..1_000)
        .map(|n| {
            let team = n % 100;
            let asked = match n % 4 {
                0 => room(&format!("team{team:03}-*")),
                1 => category(&format!("team {team}")),
                2 => room(&format!("team{team:03}-{}", team * 20)),
                _ => pilots(),
            };
            rule(n, vec![asked], to("branch"))
        })
        .collect();
    let routing = World::new(&text, rules, false).routing;
    let remarks = review(&routing, now());
    // Each of 25 teams for two kinds of rules, 25 rooms, and all rooms.
    assert_eq!(remarks.len(), 25 + 25 + 25 + 1);
    let mut rooms = Rooms::new(&routing.directory).unwrap();
    for rule in routing.rules.rules() {
        let asked: Vec<&Condition> = rule.when.iter().filter(|one| is_about_rooms(one)).collect();
        if !asked.is_empty() {
            rooms.matched(&asked).unwrap();
        }
    }
    // 25 teams of 20 rooms each for two kinds of rules, 25 rooms for the third.
    assert_eq!(rooms.looks(), 25 * 20 + 25 * 20 + 25);
}
