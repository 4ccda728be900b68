//! What rules in files mean.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests may, like tests

mod odd;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use holdover_config::rules::{
    Access, Act, Every, Question, RoomFacts, Rule, RuleSet, Ruling, Test, Then,
};
use holdover_config::{Loaded, Loader, RuleFile, codes, load, parse, parse_with};
use holdover_protocol::user::UserUri;

const HEAD: &str = r#"
[gateway]
domain = "contoso.com"

[[listener]]
name = "clients"
address = "127.0.0.1:5060"
sign_in = "open"

[[pool]]
name = "hq"
region = "eu"
embedded = { database = "hq.db" }

[[pool]]
name = "old"
embedded = { database = "old.db" }

[directory]
rooms = ["rooms.csv"]
default_pool = "hq"
"#;

/// The configuration that a text makes behind the head.
fn loaded(text: &str) -> Loaded {
    let loaded = parse("holdover.toml", &format!("{HEAD}\n{text}"), Path::new(""));
    loaded.unwrap_or_else(|faults| panic!("{faults}"))
}

/// The rules that a text has behind the head.
fn rules(text: &str) -> Vec<Arc<Rule>> {
    loaded(text).settings.live.rules
}

/// A rule with these conditions, and whether it matches a user at a time.
fn matches(when: &str, user: &str, at: &str) -> bool {
    let set = RuleSet::new(rules(&format!(
        "[[rule]]\nname = \"x\"\nwhen = {{ {when} }}\nthen = {{ refuse = \"no\" }}\n"
    )));
    let user = UserUri::parse(user).unwrap();
    let question = Question {
        user: &user,
        network: Some("10.1.2.3".parse().unwrap()),
        listener: None,
        client: Some("UCCAPI/3.5 OC/4.0"),
        act: Act::SignIn,
        room: None,
        at: at.parse().unwrap(),
    };
    set.decide(&question).rule.is_some()
}

/// Whether a rule with these conditions matches a room of this identifier and name.
fn matches_room(when: &str, id: &str, name: &str) -> bool {
    let set = RuleSet::new(rules(&format!(
        "[[rule]]\nname = \"x\"\nwhen = {{ {when} }}\nthen = {{ refuse = \"no\" }}\n"
    )));
    let (user, id) = (
        UserUri::parse("ann@contoso.com").unwrap(),
        id.parse().unwrap(),
    );
    let question = Question {
        user: &user,
        network: None,
        listener: None,
        client: None,
        act: Act::Read,
        room: Some(RoomFacts {
            id: &id,
            name,
            category: name,
        }),
        at: NOON.parse().unwrap(),
    };
    set.decide(&question).rule.is_some()
}

#[test]
fn letters_of_every_alphabet_match_in_either_case() {
    let id = "ma-chan://contoso.com/1";
    for (pattern, name) in [
        ("BÖRSE", "Börse"),
        ("börse *", "BÖRSE Frankfurt"),
        ("*биржа*", "Московская БИРЖА"),
        ("ΑΓΟΡΑΣ", "αγορας"),
        ("*Ö*", "Köln"),
    ] {
        for key in ["room_name", "category"] {
            let when = format!("{key} = \"{pattern}\"");
            assert!(matches_room(&when, id, name), "{when} on {name}");
        }
    }
    assert!(!matches_room("room_name = \"BORSE\"", id, "Börse"));
}

#[test]
fn a_room_is_meant_by_every_spelling_of_its_guid() {
    const GUID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
    let spellings = [
        GUID.to_owned(),
        GUID.to_uppercase(),
        format!("{{{}}}", GUID.to_uppercase()),
    ];
    for written in &spellings {
        for asked in &spellings {
            let when = format!("room = \"ma-chan://contoso.com/{written}\"");
            let id = format!("ma-chan://Contoso.com/{asked}");
            assert!(matches_room(&when, &id, ""), "{when} on {id}");
        }
    }
    let when = "room = \"ma-chan://contoso.com/deals\"";
    assert!(!matches_room(when, "ma-chan://contoso.com/Deals", ""));
}

#[test]
fn a_user_is_meant_by_every_spelling_of_the_address() {
    for (written, user) in [
        ("%61nn@contoso.com", "sip:ANN@contoso.com"),
        ("sip:j%C3%BCrgen@contoso.com", "jürgen@contoso.com"),
        ("JÜRGEN@contoso.com", "sip:j%c3%bcrgen@contoso.com"),
        ("j%C3%BCr*@contoso.com", "sip:j%c3%bcrgen@contoso.com"),
        ("J?RGEN@*", "sip:j%c3%bcrgen@contoso.com"),
    ] {
        let when = format!("user = \"{written}\"");
        assert!(matches(&when, user, NOON), "{when} on {user}");
    }
}

const NOON: &str = "2026-12-05T12:00Z";

#[test]
fn each_condition_is_read() {
    let rules = rules(
        r#"
[[rule]]
name = "all"
enabled = false
[rule.when]
user = ["sip:Ann@contoso.com", "*@pilot.contoso.com"]
domain = "Contoso.com"
network = ["10.0.0.0/8", "2001:db8::1"]
listener = "clients"
client = "*OC/4*"
room = ["ma-chan://contoso.com/300", "*/ops-*"]
room_name = "Ops*"
category = "Ops*"
command = ["post", "sign-in"]
from = 2026-12-05T18:00:00
until = "2026-12-06"
zone = "Europe/Zurich"
percent = 20
not = { user = "*-admin@*", percent = 5 }
[rule.then]
pool = "hq"
region = "eu"
"#,
    );
    let shown: Vec<String> = rules[0].when.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "user = [\"ann@contoso.com\", \"*@pilot.contoso.com\"]",
            "domain = [\"contoso.com\"]",
            "network = [\"10.0.0.0/8\", \"2001:db8::1/128\"]",
            "listener = [\"clients\"]",
            "client = [\"*OC/4*\"]",
            "room = [\"ma-chan://contoso.com/300\", \"*/ops-*\"]",
            "room_name = [\"Ops*\"]",
            "category = [\"Ops*\"]",
            "command = [\"sign-in\", \"post\"]",
            "from = \"2026-12-05T17:00:00Z\", until = \"2026-12-05T23:00:00Z\"",
            "percent = 20",
            "not = { user = [\"*-admin@*\"] }",
            "not = { percent = 5 }",
        ]
    );
    assert!(!rules[0].enabled);
    assert_eq!(rules[0].place.to_string(), "holdover.toml:24");
    assert_eq!(rules[0].then.key(), "pool");
}

#[test]
fn each_action_is_read() {
    let rules = rules(
        r#"
[[rule]]
name = "shares"
then = { pools = [{ pool = "hq", percent = 30 }, { pool = "old", percent = 70 }] }

[[rule]]
name = "maintenance"
then = { maintenance = "Moving." }

[[rule]]
name = "paced"
then = { maintenance = { text = "Moving.", access = "read-only", sign_ins_per_sec = 5 } }

[[rule]]
name = "notice"
then = { notice = "New!" }

[[rule]]
name = "daily"
then = { notice = { text = "New!", every = "day" } }

[[rule]]
name = "shadow"
then = { shadow = "old" }

[[rule]]
name = "fence"
then = { region = "eu" }

[[rule]]
name = "quiet"
then = { read_only = "Quiet." }
"#,
    );
    let Then::Route(shares) = &rules[0].then else {
        panic!("{:?}", rules[0]);
    };
    let read: Vec<(&str, u8)> = shares
        .as_slice()
        .iter()
        .map(|share| (share.pool.as_str(), share.percent.get()))
        .collect();
    assert_eq!(read, [("hq", 30), ("old", 70)]);
    let Then::Maintenance(plain) = &rules[1].then else {
        panic!("{:?}", rules[1]);
    };
    assert_eq!(
        (plain.access, plain.sign_ins_per_sec),
        (Access::Closed, None)
    );
    let Then::Maintenance(paced) = &rules[2].then else {
        panic!("{:?}", rules[2]);
    };
    assert_eq!(paced.access, Access::ReadOnly);
    assert_eq!(paced.sign_ins_per_sec.unwrap().get(), 5);
    let every = |rule: &Rule| match &rule.then {
        Then::Notice { every, .. } => *every,
        other => panic!("{other:?}"),
    };
    assert_eq!(every(&rules[3]), Every::SignIn);
    assert_eq!(every(&rules[4]), Every::Day);
    let keys: Vec<&str> = rules[5..].iter().map(|rule| rule.then.key()).collect();
    assert_eq!(keys, ["shadow", "region", "read_only"]);
}

#[test]
fn a_time_is_local_in_its_zone_or_has_an_offset() {
    for (when, before, after) in [
        (
            "from = \"2026-12-05T18:00\"",
            "2026-12-05T17:59:59Z",
            "2026-12-05T18:00Z",
        ),
        (
            "from = \"2026-12-05T18:00\", zone = \"Europe/Zurich\"",
            "2026-12-05T16:59:59Z",
            "2026-12-05T17:00Z",
        ),
        (
            "from = \"2026-12-05 18:00+02:00\"",
            "2026-12-05T15:59:59Z",
            "2026-12-05T16:00Z",
        ),
        (
            "from = 2026-12-05T18:00:00Z",
            "2026-12-05T17:59:59Z",
            "2026-12-05T18:00Z",
        ),
        (
            "from = 2026-12-05",
            "2026-12-04T23:59:59Z",
            "2026-12-05T00:00Z",
        ),
        (
            "from = \"2026-07-01T12:00\", zone = \"Europe/Zurich\"",
            "2026-07-01T09:59:59Z",
            "2026-07-01T10:00Z",
        ),
    ] {
        assert!(!matches(when, "ann@contoso.com", before), "{when} {before}");
        assert!(matches(when, "ann@contoso.com", after), "{when} {after}");
    }
    let until = "until = \"2026-12-05T12:00\"";
    assert!(!matches(until, "ann@contoso.com", NOON));
    assert!(matches(until, "ann@contoso.com", "2026-12-05T11:59:59Z"));
}

#[test]
fn what_stands_in_not_must_not_hold() {
    for (when, expected) in [
        ("user = \"*@contoso.com\"", true),
        (
            "user = \"*@contoso.com\", not = { user = \"ann@*\" }",
            false,
        ),
        ("user = \"*@contoso.com\", not = { user = \"bob@*\" }", true),
        (
            "not = { user = \"bob@*\", network = \"10.0.0.0/8\" }",
            false,
        ),
        ("not = { network = \"10.0.0.0/16\" }", true),
        (
            "not = { from = \"2026-12-05\", until = \"2026-12-06\" }",
            false,
        ),
        ("not = { room = \"*\" }", true),
        ("not = { command = [\"sign-in\"] }", false),
    ] {
        assert_eq!(matches(when, "ann@contoso.com", NOON), expected, "{when}");
    }
}

#[test]
fn rules_of_the_main_file_come_first_and_then_those_of_the_folder_by_file_name() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("holdover.toml");
    let rule = |name: &str| format!("[[rule]]\nname = \"{name}\"\nthen = {{ pool = \"hq\" }}\n");
    fs::write(&config, format!("{HEAD}\n{}", rule("main"))).unwrap();
    fs::create_dir(folder.path().join("rules.d")).unwrap();
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join("rules.d").join(name), text).unwrap();
    };
    write("20-b.toml", &(rule("b1") + &rule("b2")));
    write("10-a.toml", &format!("# first\n\n{}", rule("a")));
    write(".hidden.toml", "nonsense");
    write("a.toml~", "nonsense");
    let loaded = load(&config).unwrap();
    let order: Vec<&str> = loaded
        .settings
        .live
        .rules
        .iter()
        .map(|rule| rule.name.as_str())
        .collect();
    assert_eq!(order, ["main", "a", "b1", "b2"]);
    let place = &loaded.settings.live.rules[1].place;
    assert_eq!(place.line, 3);
    assert_eq!(
        Path::new(&*place.file),
        folder.path().join("rules.d/10-a.toml")
    );

    write("30-c.toml", "[log]\n");
    fs::create_dir(folder.path().join("rules.d/40-d.toml")).unwrap();
    let faults = load(&config).unwrap_err();
    let found: Vec<&str> = faults.iter().map(|fault| fault.code()).collect();
    assert_eq!(found.len(), 2, "{faults}");
    assert!(found.contains(&codes::UNKNOWN_KEY) && found.contains(&codes::UNREADABLE));
}

#[test]
fn users_may_stand_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("holdover.toml");
    let rule = "[[rule]]\nname = \"x\"\nwhen = { user = \"eve@contoso.com\", user_file = \"pilots.txt\" }\n\
                then = { refuse = \"no\" }\n";
    fs::write(&config, format!("{HEAD}\n{rule}")).unwrap();
    let missing = load(&config).unwrap_err();
    assert_eq!(missing.iter().next().unwrap().code(), codes::FILE_MISSING);
    assert_eq!(
        missing.iter().next().unwrap().location().unwrap().line(),
        25
    );

    let pilots = folder.path().join("pilots.txt");
    fs::write(&pilots, "ann@contoso.com\nbob\n").unwrap();
    let bad = load(&config).unwrap_err();
    assert!(bad.to_string().contains("pilots.txt:2:1"), "{bad}");

    let mut loader = Loader::new();
    for (list, expected) in [
        ("ann@contoso.com\n", [true, false, true]),
        ("bob@contoso.com\n", [false, true, true]),
    ] {
        fs::write(&pilots, list).unwrap();
        let set = RuleSet::new(loader.load(&config).unwrap().settings.live.rules);
        let refused = ["ann@contoso.com", "bob@contoso.com", "eve@contoso.com"].map(|user| {
            let user = UserUri::parse(user).unwrap();
            let question = Question {
                user: &user,
                network: None,
                listener: None,
                client: None,
                act: Act::SignIn,
                room: None,
                at: NOON.parse().unwrap(),
            };
            matches!(set.decide(&question).outcome, Ruling::Refused(_))
        });
        assert_eq!(refused, expected, "{list}");
    }
    let Test::User(users) = &loader.load(&config).unwrap().settings.live.rules[0].when[0].test
    else {
        panic!("no users");
    };
    assert_eq!(&*users.file.as_ref().unwrap().place.file, "pilots.txt");
}

#[test]
fn a_file_read_again_is_as_if_it_had_never_been_read_before() {
    let rule = |number: usize, user: &str| {
        format!(
            "# rule {number}\n[[rule]]\nname = \"rule {number}\"\nwhen = {{ user = \"{user}@contoso.com\" }}\n\
             then = {{ pool = \"hq\" }}\n\n"
        )
    };
    let texts = [
        rule(1, "ann") + &rule(2, "bob") + &rule(3, "carol"),
        rule(1, "ann") + "# one line more\n" + &rule(2, "bob") + &rule(3, "carol"),
        rule(3, "carol") + &rule(2, "dave") + &rule(1, "ann"),
        rule(1, "ann") + &rule(2, "bob").replace("hq", "hr"),
        rule(1, "ann") + "\n\n" + &rule(2, "bob").replace("hq", "hr"),
        rule(1, "") + &rule(2, "bob"),
        rule(1, "ann")
            + "[[test]]\nname = \"x\"\nuser = \"ann@contoso.com\"\nexpect = { pool = \"hq\" }\n"
            + &rule(2, "bob"),
        "\n".to_owned()
            + &rule(1, "ann")
            + "[[test]]\nname = \"x\"\nuser = \"ann@contoso.com\"\nexpect = { pool = \"hq\" }\n",
        "[[rule]]\nname = \"broken\n".to_owned() + &rule(2, "bob"),
        rule(1, "ann"),
    ];
    let check = |file: RuleFile| {
        let checked = parse_with("holdover.toml", HEAD, &[Arc::new(file)], Path::new(""));
        checked
            .map(|loaded| (loaded.tests().to_vec(), loaded.settings))
            .map_err(|faults| faults.to_string())
    };
    let mut before: Option<RuleFile> = None;
    for text in &texts {
        let again = RuleFile::parse_again("r.toml", text, before.as_ref());
        assert_eq!(
            check(again.clone()),
            check(RuleFile::parse("r.toml", text)),
            "{text}"
        );
        before = Some(again);
    }
}
