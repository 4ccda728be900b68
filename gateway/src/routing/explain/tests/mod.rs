//! What an explanation says, and that it is what sessions are told.

mod live;

use std::path::Path;

use holdover_config::rules::{Class, Every, Glob, Test, Then, UserPattern, Users};
use jiff::Timestamp;

use super::{Asked, Explanation, Words};
use crate::routing::Routing;
use crate::routing::world::{World, rule, to};

const ROOMS: &str = "legacy,pool,migrated,state,name,note,category\n\
    ma-chan://contoso.com/1,hq,ma-chan://contoso.com/new-1,migrated,Deals,,Trade\n\
    ma-chan://contoso.com/1,branch,ma-chan://contoso.com/b-1,also,,,\n\
    ma-chan://contoso.com/2,hq,,retired,Falcon,Ask the archive.,\n\
    ma-chan://contoso.com/3,hq,ma-chan://contoso.com/new-3,migrated,Lunch,,\n";

fn users(pattern: &str) -> Test {
    Test::User(Users {
        patterns: [UserPattern::Many(Glob::new(pattern))].into(),
        file: None,
    })
}

fn routing() -> Routing {
    let posts = Test::Command([Class::Post].into_iter().collect());
    let pilots = "*-pilot@contoso.com";
    let frozen = Then::ReadOnly {
        text: "Rooms are being moved until Sunday night.".into(),
    };
    let hello = Then::Notice {
        text: "Please install the new client.".into(),
        every: Every::SignIn,
    };
    let compared = Then::Shadow {
        pool: "hq".parse().unwrap(),
    };
    let rules = vec![
        rule(40, "freeze", vec![users(pilots), posts], frozen),
        rule(45, "pilots first", vec![users(pilots)], to("branch")),
        rule(50, "hello", vec![users(pilots)], hello),
        rule(55, "compare", vec![users(pilots)], compared),
    ];
    World::new(ROOMS, rules, false).routing
}

fn ask(routing: &Routing, words: Words) -> Explanation {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let mut explanation = routing.explain(&words.read(now).unwrap());
    // The directory's file is in a folder of its own.
    if let Some(entry) = &mut explanation.entry {
        let short = |source: &str| source.rsplit('/').next().unwrap().to_owned();
        entry.source = entry.source.as_deref().map(short);
        for also in &mut entry.also {
            also.source = short(&also.source);
        }
    }
    explanation
}

fn words(user: &str, room: Option<&str>, act: Option<&str>) -> Words {
    Words {
        user: user.to_owned(),
        room: room.map(|value| format!("ma-chan://contoso.com/{value}")),
        act: act.map(str::to_owned),
        ..Words::default()
    }
}

/// What is kept in `golden/`. `HOLDOVER_UPDATE=1` writes it anew.
#[track_caller]
fn assert_golden(file: &str, said: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/routing/explain/tests/golden")
        .join(file);
    let said = format!("{said}\n");
    if std::env::var_os("HOLDOVER_UPDATE").is_some() {
        std::fs::write(&path, &said).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), said, "{file}");
}

#[test]
fn a_decision_is_told_in_a_few_lines() {
    let routing = routing();
    let (ann, bob) = ("ann-pilot@contoso.com", "bob@contoso.com");
    for (file, user, room, act) in [
        ("read.txt", ann, Some("1"), None),
        ("post.txt", ann, Some("1"), Some("post")),
        ("no-target.txt", ann, Some("3"), None),
        ("retired.txt", bob, Some("2"), None),
        ("unlisted.txt", bob, Some("none"), None),
        ("sign-in.txt", bob, None, None),
    ] {
        assert_golden(file, &ask(&routing, words(user, room, act)).to_string());
    }
    let same_id = World::new(ROOMS, Vec::new(), true).routing;
    let told = ask(&same_id, words(bob, Some("none"), None));
    assert_golden("same-id.txt", &told.to_string());
}

#[test]
fn who_cannot_sign_in_is_refused_whatever_the_rules_say() {
    let mut routing = routing();
    let own = (*routing.pools).clone().serving_all(false);
    routing.pools = std::sync::Arc::new(own);
    for (room, act) in [(Some("1"), None), (Some("1"), Some("post")), (None, None)] {
        let refused = ask(&routing, words("bob@fabrikam.com", room, act));
        assert_eq!(refused.reason, Some("foreign-domain"));
        assert!(!refused.allowed && refused.rule.is_none() && refused.nearest.is_none());
        let own = ask(&routing, words("BOB@Contoso.com", room, act));
        assert_ne!(own.reason, Some("foreign-domain"));
    }
}

#[test]
fn programs_are_told_the_same() {
    let read = ask(&routing(), words("ann-pilot@contoso.com", Some("1"), None));
    assert_golden("read.json", &serde_json::to_string_pretty(&read).unwrap());
}

#[test]
fn a_fence_that_refuses_names_the_rule_that_it_overrules() {
    let fence = Then::Fence {
        region: "eu".parse().unwrap(),
    };
    let rules = vec![
        rule(10, "go", Vec::new(), to("branch")),
        rule(20, "stay in Europe", Vec::new(), fence),
    ];
    let routing = World::new(ROOMS, rules, false).routing;
    let told = ask(&routing, words("bob@contoso.com", Some("1"), None));
    assert_eq!((told.allowed, told.reason), (false, Some("region")));
    assert_eq!(told.rule.unwrap().rule.source, "holdover.toml:20");
    assert_eq!(told.overruled.unwrap().source, "holdover.toml:10");
}

#[test]
fn words_that_say_nothing_are_told_with_what_to_do() {
    let fault = |change: fn(&mut Words)| {
        let mut words = words("ann@contoso.com", Some("1"), None);
        change(&mut words);
        let bad = words.read(Timestamp::UNIX_EPOCH).unwrap_err();
        format!("{bad} | {}", bad.help)
    };
    let some = |text: &str| Some(text.to_owned());
    let faults = [
        fault(|words| words.user = "ann".to_owned()),
        fault(|words| words.room = Some("lounge".to_owned())),
        fault(|words| words.from_ip = Some("10.0.0".to_owned())),
        fault(|words| words.listener = Some("two words".to_owned())),
        fault(|words| words.act = Some("pots".to_owned())),
        fault(|words| words.act = Some("sign-in".to_owned())),
    ];
    assert_eq!(
        faults,
        [
            "`user`: the address has no user part | write an address such as `ann@contoso.com`",
            "`room`: expected an identifier that starts with `ma-chan://` | write `ma-chan://domain/value`",
            "`from_ip`: invalid IP address syntax | write an address such as `192.0.2.7`",
            "`listener`: not a name | write the name of a `[[listener]]`",
            "`act`: there is no act `pots` | did you mean `post`?",
            "`act`: nobody signs in to a room | leave out the room, or ask for `read`",
        ]
    );
    let at = |text: &str| {
        let asked = Words {
            at: some(text),
            ..words("ann@contoso.com", None, None)
        };
        asked.read(Timestamp::UNIX_EPOCH).map(|asked| asked.at)
    };
    let noon: Timestamp = "2026-12-05T17:00:00Z".parse().unwrap();
    for same in [
        "2026-12-05T17:00:00Z",
        "2026-12-05T18:00:00+01:00",
        "2026-12-05T18:00[Europe/Berlin]",
    ] {
        assert_eq!(at(same).unwrap(), noon, "{same}");
    }
    assert_eq!(at("2026-12-05T18:00").unwrap_err().name, "at");
}

#[test]
fn an_address_is_the_same_in_either_family() {
    let asked = Words {
        from_ip: Some("::ffff:192.0.2.7".to_owned()),
        ..words("ann@contoso.com", None, None)
    };
    let asked: Asked = asked.read(Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(asked.caller.network, Some([192, 0, 2, 7].into()));
}
