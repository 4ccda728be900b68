//! Rules and directory together.

use holdover_config::rules::{Every, Then};
use holdover_protocol::user::UserUri;

use super::world::{World, rule, to};
use super::*;

const ROOMS: &str = "legacy,pool,migrated,state,name,note\n\
    ma-chan://contoso.com/1,hq,ma-chan://contoso.com/new-1,migrated,Deals,\n\
    ma-chan://contoso.com/2,hq,,retired,Falcon,Ask the archive.\n\
    ma-chan://contoso.com/3,old,,pending,Night,\n\
    ma-chan://contoso.com/4,hq,ma-chan://contoso.com/new-4,migrated,Sea,\n\
    ma-chan://contoso.com/4,branch,ma-chan://contoso.com/branch-4,also,,\n";

/// With rules that are about everything.
fn routing(rules: Vec<(&str, Then)>) -> Routing {
    let rules = (1..).zip(rules);
    let rules = rules.map(|(line, (name, then))| rule(line, name, Vec::new(), then));
    World::new(ROOMS, rules.collect(), true).routing
}

fn ann() -> Caller {
    Caller {
        user: UserUri::parse("ann@contoso.com").unwrap(),
        network: None,
        listener: None,
        client: None,
    }
}

fn room(value: &str) -> RoomUri {
    RoomUri::new("contoso.com", value).unwrap()
}

fn decide(routing: &Routing, act: Act, value: &str) -> Decided {
    routing.decide(&ann(), Timestamp::UNIX_EPOCH, act, &room(value))
}

#[track_caller]
fn assert_refused(decided: &Decided, reason: RefusalReason) {
    match &decided.outcome {
        Err(refusal) => assert_eq!(refusal.reason, reason),
        Ok(target) => panic!("{target:?}"),
    }
}

fn at(pool: u16, value: &str) -> Result<Target, Refusal> {
    Ok(Target {
        pool: PoolId(pool),
        migrated: room(value),
    })
}

#[test]
fn without_rules_the_directory_decides() {
    let routing = routing(Vec::new());
    assert_eq!(decide(&routing, Act::Read, "1").outcome, at(0, "new-1"));
    assert_eq!(
        decide(&routing, Act::Read, "unlisted").outcome,
        at(0, "unlisted")
    );
    assert_eq!(decide(&routing, Act::Read, "3").outcome, at(2, "3"));
    assert_refused(&decide(&routing, Act::Read, "2"), RefusalReason::Retired);
    assert_eq!(decide(&routing, Act::Read, "1").rule, None);
}

#[test]
fn a_rule_takes_the_place_of_the_directory_s_pool_but_guesses_no_identifier() {
    let to_branch = routing(vec![("go", to("branch"))]);
    let decided = decide(&to_branch, Act::Read, "1");
    assert_refused(&decided, RefusalReason::NoTarget);
    assert_eq!(decided.rule.unwrap().place.to_string(), "holdover.toml:1");
    assert_refused(
        &decide(&to_branch, Act::Read, "unlisted"),
        RefusalReason::NoTarget,
    );
    assert_refused(&decide(&to_branch, Act::Read, "2"), RefusalReason::Retired);

    let back = routing(vec![("back", to("old"))]);
    assert_eq!(decide(&back, Act::Read, "1").outcome, at(2, "1"));
    let stays = routing(vec![("stays", to("hq"))]);
    assert_eq!(decide(&stays, Act::Read, "1").outcome, at(0, "new-1"));
}

#[test]
fn a_room_that_exists_on_the_pool_of_a_rule_is_entered_there() {
    let to_branch = routing(vec![("go", to("branch"))]);
    assert_eq!(
        decide(&to_branch, Act::Read, "4").outcome,
        at(1, "branch-4")
    );
    let back = to_branch.legacy_of(PoolId(1), &room("branch-4"));
    assert_eq!(back, Some(room("4")));
    let router = Router::new(to_branch);
    let caller = ann();
    let decisions = router.decisions(&caller, Timestamp::UNIX_EPOCH);
    use crate::decide::Decisions as _;
    assert!(decisions.offers(PoolId(1), &room("branch-4")));
    assert!(!decisions.offers(PoolId(0), &room("new-4")));
    let plain = routing(Vec::new());
    assert_eq!(decide(&plain, Act::Read, "4").outcome, at(0, "new-4"));
}

#[test]
fn refusals_of_rules_have_their_text_and_their_reason() {
    let text = || Box::from("until Sunday");
    let moving = routing(vec![("moving", Then::ReadOnly { text: text() })]);
    assert_eq!(decide(&moving, Act::Read, "1").outcome, at(0, "new-1"));
    let decided = decide(&moving, Act::Post, "1");
    assert_refused(&decided, RefusalReason::ReadOnly);
    assert!(decided.is_forbidden());
    assert_eq!(&*decided.outcome.unwrap_err().text, "until Sunday");

    let closed = routing(vec![("closed", Then::Refuse { text: text() })]);
    let admitted = closed.admit(&ann(), Timestamp::UNIX_EPOCH, Act::SignIn);
    assert_eq!(admitted.outcome.unwrap_err().reason, RefusalReason::Rule);
}

#[test]
fn a_fence_keeps_users_from_pools_of_no_or_another_region() {
    // Room 1 is on a pool in `eu`, what the first rule sends elsewhere is on one in none.
    for (room, first, region) in [("1", to("hq"), "us"), ("4", to("branch"), "eu")] {
        let shown = Then::Notice {
            text: "hello".into(),
            every: Every::Day,
        };
        let region = region.parse().unwrap();
        let fence = Then::Fence { region };
        let fenced = routing(vec![("first", first), ("shown", shown), ("fence", fence)]);
        let decided = decide(&fenced, Act::Read, room);
        assert_refused(&decided, RefusalReason::Region);
        assert_eq!(decided.rule.unwrap().name.as_str(), "fence");
    }
}

#[test]
fn what_a_search_offers_is_what_can_be_entered() {
    let back = Router::new(routing(vec![("back", to("old"))]));
    let caller = ann();
    let decisions = back.decisions(&caller, Timestamp::UNIX_EPOCH);
    use crate::decide::Decisions as _;
    assert!(!decisions.offers_all());
    assert!(!decisions.offers(PoolId(0), &room("new-1")));
    assert!(decisions.offers(PoolId(2), &room("1")));
    let plain = Router::new(routing(Vec::new()));
    let decisions = plain.decisions(&caller, Timestamp::UNIX_EPOCH);
    assert!(decisions.offers(PoolId(0), &room("new-1")));
    assert!(!decisions.offers(PoolId(2), &room("1")), "it has moved");
    assert!(decisions.offers(PoolId(2), &room("3")));
}

#[test]
fn rooms_that_no_file_lists_are_offered_where_they_are_looked_for() {
    let rooms = "legacy,pool,migrated,state,name,note\n";
    let router = Router::new(World::new(rooms, Vec::new(), true).routing);
    let caller = ann();
    let decisions = router.decisions(&caller, Timestamp::UNIX_EPOCH);
    use crate::decide::Decisions as _;
    assert!(decisions.offers(PoolId(0), &room("x")), "the default pool");
    assert!(
        !decisions.offers(PoolId(1), &room("x")),
        "asking leads to hq"
    );
    assert!(!decisions.offers_all());
}

#[test]
fn a_daily_notice_is_due_once_a_day_for_each_user() {
    let router = Router::new(routing(vec![(
        "new client",
        Then::Notice {
            text: "hello".into(),
            every: Every::Day,
        },
    )]));
    let bob = Caller {
        user: UserUri::parse("bob@contoso.com").unwrap(),
        ..ann()
    };
    let due = |caller: &Caller, second| {
        use crate::decide::Decisions as _;
        let at = Timestamp::from_second(second).unwrap();
        router
            .decisions(caller, at)
            .take_notice(&room("1"))
            .is_some()
    };
    assert!(due(&ann(), 86_400));
    assert!(!due(&ann(), 2 * 86_400 - 1));
    assert!(due(&bob, 2 * 86_400 - 1));
    assert!(due(&ann(), 2 * 86_400));
}
