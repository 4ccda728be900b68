//! Deciding by rules, and reading them: 10, 1,000 and 10,000 rules of a typical mix.
//!
//! The budget: a decision within 2 µs at 10,000 rules. Beside it stands trying every rule in turn, which has the same
//! outcome.

#[path = "support/process.rs"]
mod process;
#[path = "support/report.rs"]
mod report;

use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdover_config::rules::{Act, Aspect, Question, RoomFacts, Rule, RuleSet};
use holdover_config::{ListenerName, Loader, review};
use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use jiff::Timestamp;

const HEAD: &str = r#"
[gateway]
domain = "contoso.com"

[[listener]]
name = "office"
address = "127.0.0.1:5060"
sign_in = "open"

[[listener]]
name = "branches"
address = "127.0.0.1:5061"
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

/// What is asked, as far as it is not asked by a reference.
struct Asked {
    user: UserUri,
    network: IpAddr,
    listener: ListenerName,
    client: String,
    act: Act,
    room: RoomUri,
    name: String,
    category: String,
    at: Timestamp,
}

impl Asked {
    /// The `n`th question to so many rules. A sixth find a rule; those that find none take longest.
    fn new(n: usize, rules: usize) -> Result<Self> {
        // Spread over all rules, and beyond.
        let any = n.wrapping_mul(7_919) % (rules * 2);
        let part = u8::try_from(any % 250)?;
        let (user, listener) = match n % 4 {
            0 => (format!("user{any}@contoso.com"), "office"),
            1 => (format!("somebody{n}-team{any}@contoso.com"), "office"),
            2 => (format!("somebody{n}@d{any}.contoso.com"), "branches"),
            _ => (format!("somebody{n}@contoso.com"), "office"),
        };
        let acts = [Act::Post, Act::Read, Act::SignIn, Act::Search, Act::Upload];
        Ok(Self {
            user: UserUri::parse(&user)?,
            network: Ipv4Addr::new(10, u8::try_from(any / 250 % 250)?, part, 7).into(),
            listener: listener.parse().map_err(|_| anyhow::anyhow!("listener"))?,
            client: format!("UCCAPI/4.0.{any} OC/4.0.{any}"),
            act: *acts.get(n % acts.len()).context("act")?,
            room: RoomUri::new("contoso.com", &format!("{any}"))?,
            name: format!("Department {any} / Night Shift"),
            category: format!("Site {any} / Operations"),
            at: Timestamp::from_second(1_764_000_000 + i64::try_from(any)? * 60)?,
        })
    }

    fn question(&self) -> Question<'_> {
        Question {
            user: &self.user,
            network: Some(self.network),
            listener: Some(&self.listener),
            client: Some(&self.client),
            act: self.act,
            room: (self.act != Act::SignIn).then_some(RoomFacts {
                id: &self.room,
                name: &self.name,
                category: &self.category,
            }),
            at: self.at,
        }
    }
}

/// A rule of the mix: of twenty, seven are about users by name, two about a pattern of users, two about domains, four about
/// rooms by identifier, one about a pattern of identifiers, one about a name or category, one about a network, and two of a
/// hundred each about a build of the client, a window of time, a percentage of a domain, and a listener.
fn rule(n: usize) -> String {
    let pool = if n.is_multiple_of(2) { "hq" } else { "old" };
    let mut then = format!("pool = \"{pool}\"");
    let when = match n % 20 {
        0..3 => format!("user = \"user{n}@contoso.com\""),
        3 | 4 => format!(
            "user = [\"user{n}@contoso.com\", \"other{n}@contoso.com\", \"third{n}@contoso.com\"]"
        ),
        5 => format!("user = \"user{n}@contoso.com\", command = [\"read\", \"post\"]"),
        6 => format!("user = \"user{n}@contoso.com\", not = {{ network = \"10.9.0.0/16\" }}"),
        7 => format!("user = \"*-team{n}@contoso.com\""),
        8 => format!("user = \"lead{n}-*@contoso.com\""),
        9 => format!("domain = \"d{n}.contoso.com\""),
        10 => format!("domain = \"d{n}.contoso.com\", listener = \"branches\""),
        11..14 => format!("room = \"ma-chan://contoso.com/{n}\""),
        14 => format!(
            "room = [\"ma-chan://contoso.com/{n}\", \"ma-chan://contoso.com/x{n}\"], command = \"post\""
        ),
        15 => format!("room = \"ma-chan://contoso.com/ops-{n}-*\""),
        16 if n.is_multiple_of(40) => format!("room_name = \"Department {n} / *\""),
        16 => format!("category = \"*Team {n}*\""),
        17 => format!("network = \"10.{}.{}.0/24\"", n / 250 % 250, n % 250),
        18 => {
            then = "refuse = \"Please ask the help desk.\"".to_owned();
            format!("user = \"blocked{n}@contoso.com\"")
        }
        _ => match n / 20 % 5 {
            0 => format!("client = \"*OC/3.5.{n}*\""),
            1 => {
                then = "maintenance = \"Rooms are being moved.\"".to_owned();
                let day = n / 100 % 28 + 1;
                format!(
                    "from = \"2026-02-{day:02}T18:00\", until = \"2026-02-{day:02}T20:00\", zone = \"Europe/Zurich\""
                )
            }
            2 => format!("domain = \"d{n}.contoso.com\", percent = {}", n % 99 + 1),
            3 => {
                then = "notice = \"Please install the new client.\"".to_owned();
                format!("client = \"*OC/3.5.{n}*\"")
            }
            _ => format!("listener = \"branches\", category = \"Site {n} / *\""),
        },
    };
    format!("[[rule]]\nname = \"rule {n}\"\nwhen = {{ {when} }}\nthen = {{ {then} }}\n\n")
}

/// The first of all rules that matches, found by trying each in turn.
fn in_turn<'r>(rules: &'r [Arc<Rule>], question: &Question<'_>) -> Option<&'r Arc<Rule>> {
    rules
        .iter()
        .find(|rule| rule.enabled && rule.then.aspect() == Aspect::Access && rule.matches(question))
}

fn main() -> Result<()> {
    let sizes: &[usize] = if process::is_measured() {
        &[10, 1_000, 10_000]
    } else {
        &[10, 100]
    };
    let folder = tempfile::tempdir()?;
    let mut criterion = report::criterion();
    for &size in sizes {
        let set = RuleSet::new(read(folder.path(), size)?);
        let asked: Vec<Asked> = (0..4_096)
            .map(|n| Asked::new(n, size))
            .collect::<Result<_>>()?;
        let mut matched = 0;
        for asked in &asked {
            let question = asked.question();
            let found = set.decide(&question).rule;
            ensure!(found == in_turn(set.rules(), &question), "they differ");
            matched += usize::from(found.is_some());
        }
        println!(
            "{size} rules: {matched} of {} questions find one",
            asked.len()
        );

        let name = format!("rules_{size}");
        let mut group = criterion.benchmark_group(&name);
        let mut next = 0;
        let mut probe = || {
            next = (next + 1) % asked.len();
            asked.get(next).map(Asked::question)
        };
        group.bench_function("decide", |bench| {
            bench.iter(|| probe().map(|question| set.decide(black_box(&question)).outcome));
        });
        group.bench_function("in_turn", |bench| {
            bench.iter(|| probe().map(|question| in_turn(set.rules(), black_box(&question))));
        });
        group.finish();
        if let (Some(decide), Some(in_turn)) = (
            report::nanoseconds(&name, "decide"),
            report::nanoseconds(&name, "in_turn"),
        ) {
            let (decide, ratio) = (decide / 1e3, in_turn / decide);
            println!("{size} rules: {decide:.2} µs, in turn {ratio:.0} times as long");
        }
    }
    if let Some(size) = sizes.last() {
        reading(folder.path(), *size)?;
    }
    Ok(())
}

/// Writes a configuration with so many rules, and reads it.
fn read(folder: &Path, rules: usize) -> Result<Vec<Arc<Rule>>> {
    write(folder, &(0..rules).map(rule).collect::<String>())?;
    let loaded = Loader::new().load(&folder.join("holdover.toml"));
    Ok(loaded
        .map_err(|faults| anyhow::anyhow!("{faults}"))?
        .settings
        .live
        .rules)
}

fn write(folder: &Path, rules: &str) -> Result<()> {
    fs::write(folder.join("holdover.toml"), HEAD)?;
    fs::create_dir_all(folder.join("rules.d"))?;
    fs::write(folder.join("rules.d/10.toml"), rules)?;
    Ok(())
}

/// The processor time that it takes to read all rules, to read them again with one changed, to make them ready, and to
/// review them.
fn reading(folder: &Path, size: usize) -> Result<()> {
    const ROUNDS: usize = 7;
    let mut text: String = (0..size).map(rule).collect();
    write(folder, &text)?;
    let config = folder.join("holdover.toml");
    let load = |loader: &mut Loader| {
        loader
            .load(&config)
            .map_err(|faults| anyhow::anyhow!("{faults}"))
    };
    let tell = |what: &str, work: &mut dyn FnMut() -> Result<()>| -> Result<()> {
        let mut least = u64::MAX;
        for _ in 0..ROUNDS {
            let before = process::processor_time("")?;
            work()?;
            least = least.min(process::processor_time("")?.saturating_sub(before));
        }
        println!(
            "{size} rules, {what}: {:.1} ms",
            Duration::from_nanos(least).as_secs_f64() * 1e3
        );
        Ok(())
    };
    tell("read", &mut || load(&mut Loader::new()).map(drop))?;
    let mut loader = Loader::new();
    let loaded = load(&mut loader)?;
    let mut turn = 0;
    tell("read again, one line added to the first", &mut || {
        turn += 1;
        text = text.replacen("then = ", &format!("# change {turn}\nthen = "), 1);
        fs::write(folder.join("rules.d/10.toml"), &text)?;
        load(&mut loader).map(drop)
    })?;
    tell("read again, one word changed", &mut || {
        turn += 1;
        let (old, new) = if turn % 2 == 0 {
            ("[\"read\", \"post\"]", "[\"post\", \"read\"]")
        } else {
            ("[\"post\", \"read\"]", "[\"read\", \"post\"]")
        };
        text = text.replacen(old, new, 1);
        fs::write(folder.join("rules.d/10.toml"), &text)?;
        load(&mut loader).map(drop)
    })?;
    tell("read again, nothing changed", &mut || {
        load(&mut loader).map(drop)
    })?;
    tell("made ready", &mut || {
        drop(black_box(RuleSet::new(loaded.settings.live.rules.clone())));
        Ok(())
    })?;
    tell("reviewed", &mut || {
        drop(black_box(review(&loaded, Timestamp::UNIX_EPOCH)));
        Ok(())
    })
}
