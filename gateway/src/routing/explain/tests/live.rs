//! An explanation says what a session is told, in very many cases, and both are what the rules and the directory say to whoever
//! goes through them line by line.
//!
//! `HOLDOVER_CASES=100000 cargo test -p holdover --lib routing::explain` asks so many questions; `HOLDOVER_SEED` begins elsewhere.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use holdover_config::rules::{
    Access, Act, Aspect, Class, Condition, Every, Glob, Maintenance, Network, Percent, Place,
    Question, RoomFacts, RoomPattern, Rule, Share, Shares, Test, Then, UserPattern, Users, Window,
};
use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use jiff::Timestamp;

use super::super::{Asked, Explanation};
use crate::decide::Decisions as _;
use crate::peer::Caller;
use crate::routing::world::{OLD, POOLS, World};
use crate::routing::{Router, Routing};

/// Questions to one world.
const QUESTIONS: usize = 50;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn of<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        &items[self.below(items.len())]
    }

    fn word(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len())]
    }

    fn some<T: Copy>(&mut self, items: &[T]) -> Vec<T> {
        (0..1 + self.below(2)).map(|_| *self.of(items)).collect()
    }
}

const USERS: [&str; 6] = ["ann@x", "bob@x", "cem@x", "ann@y", "bob@y", "eve@z"];
const ROOMS: [&str; 8] = ["1", "2", "3", "4", "5", "6", "7", "8"];
const CLIENTS: [&str; 3] = ["UCCAPI/3.5.6907", "UCCAPI/4.0", "SIPE/1.25"];
const NETWORKS: [&str; 3] = ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"];
const ADDRESSES: [&str; 4] = ["10.1.2.3", "192.0.2.7", "198.51.100.9", "2001:db8::1"];

fn room(value: &str) -> RoomUri {
    RoomUri::new("contoso.com", value).unwrap()
}

fn at(second: usize) -> Timestamp {
    Timestamp::from_second(i64::try_from(second).unwrap()).unwrap()
}

/// A line of the directory, as it is written.
#[derive(Debug)]
struct Line {
    legacy: &'static str,
    pool: &'static str,
    migrated: String,
    state: &'static str,
    name: String,
    note: &'static str,
    category: &'static str,
}

fn a_directory(random: &mut Random) -> Vec<Line> {
    let mut lines = Vec::new();
    for legacy in ROOMS {
        if random.percent(20) {
            continue;
        }
        let pool = *random.of(&POOLS);
        let state = *random.of(&[
            "migrated", "migrated", "renamed", "merged", "retired", "pending",
        ]);
        let open = matches!(state, "migrated" | "renamed" | "merged");
        lines.push(Line {
            legacy,
            pool,
            migrated: if open {
                format!("m{legacy}")
            } else {
                String::new()
            },
            state,
            name: format!("Room {legacy}"),
            note: random.word(&["", "Ask Ann."]),
            category: random.word(&["", "Night", "Trade"]),
        });
        for other in POOLS {
            if other != pool && state != "retired" && random.percent(30) {
                lines.push(Line {
                    legacy,
                    pool: other,
                    migrated: format!("{other}{legacy}"),
                    state: "also",
                    name: String::new(),
                    note: "",
                    category: "",
                });
            }
        }
    }
    lines
}

fn csv(lines: &[Line]) -> String {
    let mut text = "legacy,pool,migrated,state,name,note,category\n".to_owned();
    for line in lines {
        let migrated = match line.migrated.as_str() {
            "" => String::new(),
            value => room(value).to_string(),
        };
        let Line {
            legacy,
            pool,
            state,
            name,
            note,
            category,
            ..
        } = line;
        let legacy = room(legacy);
        writeln!(
            text,
            "{legacy},{pool},{migrated},{state},{name},{note},{category}"
        )
        .unwrap();
    }
    text
}

fn globs(texts: &[&str]) -> Box<[Glob]> {
    texts.iter().map(|text| Glob::new(text)).collect()
}

fn a_test(random: &mut Random) -> Test {
    match random.below(11) {
        0 | 1 => {
            let patterns = random.some(&["*@x", "*@y", "a*", "*", "ann@x", "bob@y"]);
            let pattern = |text: &&str| match text.contains('*') {
                true => UserPattern::Many(Glob::new(text)),
                false => UserPattern::One(UserUri::parse(text).unwrap()),
            };
            Test::User(Users {
                patterns: patterns.iter().map(pattern).collect(),
                file: None,
            })
        }
        2 => Test::Domain(
            random
                .some(&["x", "y", "z"])
                .iter()
                .map(|text| text.parse().unwrap())
                .collect(),
        ),
        3 => {
            let networks = random.some(&NETWORKS);
            Test::Network(
                networks
                    .iter()
                    .map(|text| text.parse::<Network>().unwrap())
                    .collect(),
            )
        }
        4 => Test::Listener([random.of(&["clients", "lab"]).parse().unwrap()].into()),
        5 => Test::Client(globs(&random.some(&["UCCAPI/3*", "UCCAPI/*", "SIPE*"]))),
        6 => {
            let patterns =
                random.some(&["1", "2", "3", "ma-chan://contoso.com/*", "ma-chan://*/4"]);
            let pattern = |text: &&str| match text.contains('*') {
                true => RoomPattern::Many(Glob::new(text)),
                false => RoomPattern::One(room(text)),
            };
            Test::Room(patterns.iter().map(pattern).collect())
        }
        7 => Test::RoomName(globs(&random.some(&["Room 1", "room ?", "Room 5*"]))),
        8 => Test::Category(globs(&random.some(&["Night", "T*", ""]))),
        9 => Test::Command(random.some(&Class::ALL).into_iter().collect()),
        _ if random.percent(50) => {
            Test::Percent(Percent::new(u32::try_from(random.below(101)).unwrap()).unwrap())
        }
        _ => {
            let from = random.below(4);
            Test::Time(Window {
                from: random.percent(70).then(|| at(from)),
                until: random.percent(70).then(|| at(from + 1 + random.below(3))),
            })
        }
    }
}

fn a_then(random: &mut Random) -> Then {
    let text = || Box::from("It is so.");
    match random.below(10) {
        0..=2 => Then::Route(Shares::one(random.of(&POOLS).parse().unwrap())),
        3 => {
            let first = u32::try_from(random.below(101)).unwrap();
            let share = |pool: &str, percent| Share {
                pool: pool.parse().unwrap(),
                percent: Percent::new(percent).unwrap(),
            };
            let shares = vec![share("branch", first), share("hq", 100 - first)];
            Then::Route(Shares::new(shares).unwrap())
        }
        4 => Then::Refuse { text: text() },
        5 => Then::Maintenance(Maintenance {
            text: text(),
            access: *random.of(&[Access::Closed, Access::ReadOnly]),
            sign_ins_per_sec: NonZeroU32::new(5),
        }),
        6 => Then::ReadOnly { text: text() },
        7 => Then::Fence {
            region: random.of(&["eu", "us"]).parse().unwrap(),
        },
        8 => Then::Notice {
            text: text(),
            every: Every::Day,
        },
        _ => Then::Shadow {
            pool: random.of(&POOLS).parse().unwrap(),
        },
    }
}

fn some_rules(random: &mut Random) -> Vec<Arc<Rule>> {
    let count = random.below(12);
    (1..=count)
        .map(|number| {
            let tests = random.below(4);
            Arc::new(Rule {
                name: format!("rule {number}").parse().unwrap(),
                enabled: random.percent(85),
                apart: false,
                place: Place {
                    file: "rules.toml".into(),
                    line: u32::try_from(number).unwrap(),
                },
                when: (0..tests)
                    .map(|_| Condition {
                        negated: random.percent(25),
                        test: a_test(random),
                    })
                    .collect(),
                then: a_then(random),
            })
        })
        .collect()
}

fn a_question(random: &mut Random) -> Asked {
    let known = |random: &mut Random| random.percent(80);
    let room = known(random).then(|| *random.of(&[ROOMS.as_slice(), &["unlisted"]].concat()));
    let act = loop {
        let act = *random.of(&Act::ALL);
        if act != Act::SignIn || room.is_none() {
            break act;
        }
    };
    Asked {
        caller: Caller {
            user: UserUri::parse(random.word(&USERS)).unwrap(),
            network: known(random).then(|| random.of(&ADDRESSES).parse::<IpAddr>().unwrap()),
            listener: known(random).then(|| random.of(&["clients", "lab"]).parse().unwrap()),
            client: known(random).then(|| Arc::from(*random.of(&CLIENTS))),
        },
        at: at(random.below(6)),
        act,
        room: room.map(self::room),
    }
}

/// What is compared.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    pool: Option<String>,
    migrated: Option<String>,
    /// Why not, and what the user is told.
    refused: Option<(&'static str, String)>,
    rule: Option<String>,
}

fn explained(explanation: &Explanation) -> Verdict {
    assert_eq!(explanation.allowed, explanation.reason.is_none());
    Verdict {
        pool: explanation.pool.clone(),
        migrated: explanation.migrated.clone(),
        refused: explanation.reason.zip(explanation.text.clone()),
        rule: explanation
            .rule
            .as_ref()
            .map(|deciding| deciding.rule.source.clone()),
    }
}

/// What a session or a sign-in is told.
fn live(router: &Router, asked: &Asked) -> Verdict {
    let decisions = router.decisions(&asked.caller, asked.at);
    let (outcome, rule) = match &asked.room {
        Some(room) => {
            let decided = decisions.resolve(asked.act, room);
            let target = decided
                .outcome
                .map(|target| (Some(target.pool), Some(target.migrated)));
            (target, decided.rule)
        }
        None => {
            let decided = decisions.admit(asked.act);
            (decided.outcome.map(|pool| (pool, None)), decided.rule)
        }
    };
    let (target, refused) = match outcome {
        Ok(target) => (target, None),
        Err(refusal) => (
            (None, None),
            Some((refusal.reason.as_str(), refusal.text.into())),
        ),
    };
    let name = |pool: crate::pool::PoolId| POOLS[usize::from(pool.0)].to_owned();
    Verdict {
        pool: target.0.map(name),
        migrated: target.1.map(|room| room.to_string()),
        refused,
        rule: rule.map(|rule| rule.place.to_string()),
    }
}

/// Goes through the rules and the directory, line by line.
fn by_hand(lines: &[Line], rules: &[Arc<Rule>], same_id: bool, asked: &Asked) -> Verdict {
    let main = asked.room.as_ref().and_then(|room| {
        let found = lines.iter().find(|line| line.legacy == room.value());
        found.filter(|line| line.state != "also")
    });
    let question = question(asked, main);
    let first = |aspect: Aspect| {
        rules.iter().find(|rule| {
            rule.enabled
                && rule.then.aspect() == aspect
                && rule.then.concerns(asked.act)
                && rule.when.iter().all(|condition| condition.holds(&question))
        })
    };
    let access = first(Aspect::Access);
    let place = |rule: Option<&Arc<Rule>>| rule.map(|rule| rule.place.to_string());
    let refuse = |reason, text: &str, rule| Verdict {
        pool: None,
        migrated: None,
        refused: Some((reason, text.to_owned())),
        rule,
    };
    let by_rule = match access.map(|rule| &rule.then) {
        Some(Then::Refuse { text }) => return refuse("rule", text, place(access)),
        Some(Then::ReadOnly { text }) => return refuse("read-only", text, place(access)),
        Some(Then::Maintenance(maintenance)) => {
            return refuse("maintenance", &maintenance.text, place(access));
        }
        Some(Then::Route(shares)) => shares.pool(&asked.caller.user),
        _ => None,
    };
    let Some(room) = &asked.room else {
        return Verdict {
            pool: by_rule.map(ToString::to_string),
            migrated: None,
            refused: None,
            rule: place(access),
        };
    };
    let with_note = |what: &str| match main.map_or("", |line| line.note) {
        "" => what.to_owned(),
        note => format!("{what} {note}"),
    };
    let no = |reason, text: &str| refuse(reason, text, place(access));
    let Some(line) = main else {
        if !same_id {
            return no("unlisted", "This room is not known here.");
        }
        let pool = by_rule.map_or("hq", |pool| pool.as_str());
        if pool != "hq" && pool != OLD {
            return no(
                "no-target",
                "This room does not exist yet where you are to use it.",
            );
        }
        return fenced(first(Aspect::Fence), pool, room.value(), place(access));
    };
    if line.state == "retired" {
        return no("retired", &with_note("This room was closed."));
    }
    let pool = by_rule.map_or(line.pool, |pool| pool.as_str());
    let there = lines
        .iter()
        .find(|other| other.legacy == line.legacy && other.pool == pool);
    let value = match there {
        // Rooms keep their identifiers there, whatever the directory says, unless it is the room's own line.
        _ if pool == OLD && (by_rule.is_some() || line.state == "pending") => room.value(),
        Some(there) if there.state == "pending" => {
            return no("pending", &with_note("This room is being moved."));
        }
        Some(there) => &there.migrated,
        None => {
            return no(
                "no-target",
                "This room does not exist yet where you are to use it.",
            );
        }
    };
    fenced(first(Aspect::Fence), pool, value, place(access))
}

/// The pool `hq` is in the region `eu`, the others are in none.
fn fenced(fence: Option<&Arc<Rule>>, pool: &str, value: &str, rule: Option<String>) -> Verdict {
    let is_out = |fence: &&Arc<Rule>| match &fence.then {
        Then::Fence { region } => region.as_str() != "eu" || pool != "hq",
        _ => false,
    };
    match fence.filter(is_out) {
        Some(fence) => Verdict {
            pool: None,
            migrated: None,
            refused: Some((
                "region",
                "This room is not kept where you may use it.".to_owned(),
            )),
            rule: Some(fence.place.to_string()),
        },
        None => Verdict {
            pool: Some(pool.to_owned()),
            migrated: Some(room(value).to_string()),
            refused: None,
            rule,
        },
    }
}

fn question<'a>(asked: &'a Asked, line: Option<&'a Line>) -> Question<'a> {
    Question {
        user: &asked.caller.user,
        network: asked.caller.network,
        listener: asked.caller.listener.as_ref(),
        client: asked.caller.client.as_deref(),
        act: asked.act,
        room: asked.room.as_ref().map(|id| RoomFacts {
            id,
            name: line.map_or("", |line| &line.name),
            category: line.map_or("", |line| line.category),
        }),
        at: asked.at,
    }
}

/// What is said of the rules is true.
fn assert_reasons_hold(explanation: &Explanation, routing: &Routing, question: &Question<'_>) {
    let rules = routing.rules.rules();
    let find = |source: &str| {
        let number = rules
            .iter()
            .position(|rule| rule.place.to_string() == source);
        number.unwrap()
    };
    let mut before = rules.len();
    if let Some(deciding) = &explanation.rule {
        let number = find(&deciding.rule.source);
        let rule = &rules[number];
        assert!(rule.when.iter().all(|condition| condition.holds(question)));
        assert_eq!(deciding.held.len(), rule.when.len());
        if rule.then.aspect() == Aspect::Access {
            before = number;
        }
    }
    if let Some(overruled) = &explanation.overruled {
        before = find(&overruled.source);
    }
    if let Some(nearest) = &explanation.nearest {
        let number = find(&nearest.rule.source);
        let rule = &rules[number];
        assert!(number < before, "{nearest:?} was not tried");
        let failed = rule
            .when
            .iter()
            .filter(|condition| !condition.holds(question));
        let failed: Vec<String> = failed.map(ToString::to_string).collect();
        assert_eq!(nearest.failed, failed);
        assert!(!failed.is_empty() || !rule.then.concerns(question.act));
    }
}

#[test]
fn an_explanation_is_what_a_session_is_told() {
    let number = |name, default| match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    };
    let cases = usize::try_from(number("HOLDOVER_CASES", 10_000)).unwrap();
    let seed = number("HOLDOVER_SEED", 1);
    let (mut allowed, mut by_rule, mut near) = (0, 0, 0);
    for number in 0..cases.div_ceil(QUESTIONS) {
        let seed = seed + number as u64;
        let random = &mut Random(seed);
        let (lines, rules, same_id) = (a_directory(random), some_rules(random), random.percent(50));
        let world = World::new(&csv(&lines), rules.clone(), same_id);
        let router = Router::new(world.routing);
        let routing = router.current();
        for _ in 0..QUESTIONS {
            let asked = a_question(random);
            let explanation = routing.explain(&asked);
            let context = || format!("HOLDOVER_SEED={seed} {asked:?}\n{lines:#?}\n{rules:#?}");
            let said = explained(&explanation);
            assert_eq!(said, live(&router, &asked), "live: {}", context());
            assert_eq!(
                said,
                by_hand(&lines, &rules, same_id, &asked),
                "{}",
                context()
            );
            assert_eq!(explanation.generation, Some(routing.generation));
            let main = asked.room.as_ref();
            let main = main.and_then(|room| lines.iter().find(|line| line.legacy == room.value()));
            assert_reasons_hold(&explanation, &routing, &question(&asked, main));
            allowed += usize::from(explanation.allowed);
            by_rule += usize::from(explanation.rule.is_some());
            near += usize::from(explanation.nearest.is_some());
        }
    }
    // The questions are worth their while: each kind of answer is frequent.
    for often in [allowed, by_rule, near] {
        assert!(
            (cases / 10..cases * 9 / 10).contains(&often),
            "{allowed} {by_rule} {near}"
        );
    }
}
