//! Rules and directory together.

use std::path::Path;

use holdover_config::rules::{Every, Place, Rule, Shares, Then};
use holdover_config::settings::Directory as DirectorySettings;

use super::*;

/// Two pools and an old server.
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
name = "branch"
embedded = { database = "branch.db" }
[[pool]]
name = "old"
sip = { uri = "sip:ocschat@contoso.com", servers = ["127.0.0.1:1"], transport = "tcp", dialect = "group-chat" }
[directory]
default_pool = "hq"
unlisted = "same-id"
"#;

const ROOMS: &str = "legacy,pool,migrated,state,name,note\n\
    ma-chan://contoso.com/1,hq,ma-chan://contoso.com/new-1,migrated,Deals,\n\
    ma-chan://contoso.com/2,hq,,retired,Falcon,Ask the archive.\n\
    ma-chan://contoso.com/3,old,,pending,Night,\n\
    ma-chan://contoso.com/4,hq,ma-chan://contoso.com/new-4,migrated,Sea,\n\
    ma-chan://contoso.com/4,branch,ma-chan://contoso.com/branch-4,also,,\n";

fn routing(rules: Vec<(&str, Then)>) -> Routing {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("rooms.csv");
    std::fs::write(&csv, ROOMS).unwrap();
    let mut settings = holdover_config::parse("holdover.toml", CONFIG, Path::new("."))
        .unwrap()
        .settings;
    settings.live.directory = DirectorySettings {
        rooms: vec![csv],
        ..settings.live.directory
    };
    settings.live.rules = (1..)
        .zip(rules)
        .map(|(line, (name, then))| {
            Arc::new(Rule {
                name: name.parse().unwrap(),
                enabled: true,
                apart: false,
                place: Place {
                    file: "rules.toml".into(),
                    line,
                },
                when: Vec::new(),
                then,
            })
        })
        .collect();
    let pools = Arc::new(KnownPools::new(&settings.fixed));
    let names: Vec<_> = pools
        .ids()
        .filter_map(|pool| pools.name(pool).cloned())
        .collect();
    let rooms = crate::directory::load(&settings.live.directory, &names).unwrap();
    let directory = Arc::new(Directory::new(rooms));
    Routing::new(7, &settings.live, directory, pools).unwrap()
}

fn route(pool: &str) -> Then {
    Then::Route(Shares::one(pool.parse().unwrap()))
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
    let to_branch = routing(vec![("go", route("branch"))]);
    let decided = decide(&to_branch, Act::Read, "1");
    assert_refused(&decided, RefusalReason::NoTarget);
    assert_eq!(decided.rule.unwrap().place.to_string(), "rules.toml:1");
    assert_refused(
        &decide(&to_branch, Act::Read, "unlisted"),
        RefusalReason::NoTarget,
    );
    assert_refused(&decide(&to_branch, Act::Read, "2"), RefusalReason::Retired);

    let back = routing(vec![("back", route("old"))]);
    assert_eq!(decide(&back, Act::Read, "1").outcome, at(2, "1"));
    let stays = routing(vec![("stays", route("hq"))]);
    assert_eq!(decide(&stays, Act::Read, "1").outcome, at(0, "new-1"));
}

#[test]
fn a_room_that_exists_on_the_pool_of_a_rule_is_entered_there() {
    let to_branch = routing(vec![("go", route("branch"))]);
    assert_eq!(
        decide(&to_branch, Act::Read, "4").outcome,
        at(1, "branch-4")
    );
    let back = to_branch.legacy_of(PoolId(1), &room("branch-4"));
    assert_eq!(back, Some(room("4")));
    let router = Router::new(to_branch);
    let caller = ann();
    let decisions = router.decisions(&caller, Timestamp::UNIX_EPOCH);
    use crate::session::Decisions as _;
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
    let region = "eu".parse().unwrap();
    let fenced = routing(vec![
        (
            "shown",
            Then::Notice {
                text: "hello".into(),
                every: Every::Day,
            },
        ),
        ("fence", Then::Fence { region }),
    ]);
    let decided = decide(&fenced, Act::Read, "1");
    assert_refused(&decided, RefusalReason::Region);
    assert_eq!(decided.rule.unwrap().name.as_str(), "fence");
}

#[test]
fn what_a_search_offers_is_what_can_be_entered() {
    let back = Router::new(routing(vec![("back", route("old"))]));
    let caller = ann();
    let decisions = back.decisions(&caller, Timestamp::UNIX_EPOCH);
    use crate::session::Decisions as _;
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
        use crate::session::Decisions as _;
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
