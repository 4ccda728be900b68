//! `holdover rules record`: test cases out of what was decided.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use holdover_config::Loaded;
use holdover_config::rules::{Act, Rule, Then};
use holdover_protocol::room::RoomUri;

use super::{files, http};
use crate::decision_log::{DecisionList, Shown};
use crate::directory::{Directory, Resolution};

/// Arguments of `holdover rules record`.
#[derive(Debug, Args)]
pub(super) struct RecordArgs {
    /// The configuration of the running gateway
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only what was decided for this user
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only what was decided about this room
    #[arg(long, value_name = "URI")]
    room: Option<String>,
    /// The last so many decisions
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Where the admin server is, if not where the configuration says
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
}

/// Prints a test for each of the last decisions, so that rules go on deciding as they did.
pub(super) fn record(args: &RecordArgs) -> anyhow::Result<ExitCode> {
    let Some(loaded) = files::load(&args.config) else {
        return Ok(ExitCode::FAILURE);
    };
    let address = match args.admin {
        Some(address) => address,
        None => http::admin_address(&loaded.settings)?,
    };
    let Some(directory) = files::directory(&loaded.settings) else {
        return Ok(ExitCode::FAILURE);
    };
    let limit = args.limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(args.user.as_deref().map(|user| ("user", user)));
    query.extend(args.room.as_deref().map(|room| ("room", room)));
    let answer = http::get(address, "/v1/decisions", &query)?;
    let decisions: DecisionList =
        serde_json::from_str(&answer).context("the admin server's answer is something else")?;
    let recorded = cases(&decisions.decisions, &loaded, &directory);
    print!("{}", recorded.text);
    let Recorded { told, left, .. } = recorded;
    eprintln!(
        "{told} test(s) of {} decision(s)",
        decisions.decisions.len()
    );
    for (reason, count) in left {
        eprintln!("{count} left out: {reason}");
    }
    Ok(ExitCode::SUCCESS)
}

/// What became of decisions.
#[derive(Debug, Default)]
struct Recorded {
    /// The tests.
    text: String,
    told: usize,
    /// Why decisions are in no test, and how many.
    left: Vec<(&'static str, usize)>,
}

impl Recorded {
    fn leave(&mut self, reason: &'static str) {
        match self.left.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count += 1,
            None => self.left.push((reason, 1)),
        }
    }
}

/// The tests, in the order in which things were decided.
fn cases(decisions: &[Shown], loaded: &Loaded, directory: &Directory) -> Recorded {
    let mut recorded = Recorded::default();
    let mut asked = HashSet::new();
    let mut names: HashSet<String> = loaded
        .tests()
        .iter()
        .map(|case| case.name.to_string())
        .collect();
    let mut texts = Vec::new();
    // The newest of several that ask the same.
    for decision in decisions {
        if !asked.insert(&decision.asked) {
            recorded.leave("the same was decided again later");
            continue;
        }
        match expected(decision, loaded) {
            Ok(expected) => texts.push(case(decision, &expected, directory, &mut names)),
            Err(reason) => recorded.leave(reason),
        }
    }
    recorded.told = texts.len();
    recorded.text = texts.into_iter().rev().collect();
    recorded
}

/// What a test of the rules is to expect, or why there can be none.
fn expected(decision: &Shown, loaded: &Loaded) -> Result<String, &'static str> {
    let Some(shown) = &decision.rule else {
        return match decision.reason.as_deref() {
            Some("maintenance") => Err("it was the pace after a maintenance that decided"),
            _ => Ok("directory = true".to_owned()),
        };
    };
    let rules = &loaded.settings.live.rules;
    let rule = rules.iter().find(|rule| rule.name.as_str() == shown.name);
    let rule = rule.ok_or("the rule that decided is not there any more")?;
    let name = quoted(&shown.name);
    let act = act_of(&decision.asked.act).ok_or("this version does not know the act")?;
    let by = |word: &str| Ok(format!("{word} = true, rule = {name}"));
    match (decision.reason.as_deref(), &rule.then) {
        _ if !is_told_by_class(rule, act) => {
            Err("rules treat the sending and the fetching of files differently, and tests do not")
        }
        (None, Then::Route(_)) => Ok(match &decision.pool {
            Some(pool) => format!("pool = {}, rule = {name}", quoted(pool)),
            None => format!("rule = {name}"),
        }),
        // Where the directory had the last word, what the rule says remains.
        (Some("retired" | "pending" | "unlisted" | "no-target"), Then::Route(_)) => {
            Ok(format!("rule = {name}"))
        }
        (Some("region"), Then::Fence { region }) => {
            Ok(format!("region = {}", quoted(region.as_str())))
        }
        (Some("rule"), Then::Refuse { .. }) => by("refused"),
        (Some("maintenance"), Then::Maintenance(_)) => by("maintenance"),
        (Some("read-only"), Then::ReadOnly { .. }) => by("read_only"),
        (Some("maintenance"), _) => Err("it was the pace after a maintenance that decided"),
        _ => Err("the rule that decided does something else now"),
    }
}

fn act_of(word: &str) -> Option<Act> {
    Act::ALL.into_iter().find(|act| act.as_str() == word)
}

/// Whether a rule has the same to say about all acts of the class, which is what a test asks for.
fn is_told_by_class(rule: &Rule, act: Act) -> bool {
    let mut others = Act::ALL
        .into_iter()
        .filter(|other| other.class() == act.class());
    others.all(|other| rule.then.concerns(other) == rule.then.concerns(act))
}

/// A test as it is written in a file.
fn case(
    decision: &Shown,
    expected: &str,
    directory: &Directory,
    names: &mut HashSet<String>,
) -> String {
    let class =
        act_of(&decision.asked.act).map_or(decision.asked.act.as_str(), |act| act.class().as_str());
    let address = decision
        .asked
        .user
        .strip_prefix("sip:")
        .unwrap_or(&decision.asked.user);
    let mut text = "[[test]]\n".to_owned();
    let mut line = |key: &str, value: &str| {
        // Writing to a `String` cannot fail.
        let _written = writeln!(text, "{key} = {}", quoted(value));
    };
    line("name", &name(decision, address, names));
    line("user", address);
    let room = decision.asked.room.as_deref();
    if let Some(room) = room {
        line("room", room);
        if let Ok(id) = room.parse::<RoomUri>()
            && let Resolution::Listed(entry) = directory.resolve(&id)
        {
            let facts = [("room_name", entry.name()), ("category", entry.category())];
            for (key, value) in facts.into_iter().filter(|(_, value)| !value.is_empty()) {
                line(key, value);
            }
        }
    }
    line("act", class);
    let facts = [
        ("client", &decision.asked.client),
        ("from_ip", &decision.asked.from_ip),
        ("listener", &decision.asked.listener),
    ];
    for (key, value) in facts {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            line(key, value);
        }
    }
    line("at", &decision.at);
    text.push_str(&format!("expect = {{ {expected} }}\n\n"));
    text
}

/// A name that no other test has.
fn name(decision: &Shown, address: &str, names: &mut HashSet<String>) -> String {
    /// Longest name of a test.
    const BYTES: usize = 128;
    let what = [address, &decision.asked.act].join(" ");
    let mut number = 1;
    loop {
        let end = match number {
            1 => format!(" at {}", decision.at),
            number => format!(" at {} ({number})", decision.at),
        };
        let room = BYTES.saturating_sub(end.len());
        let cut = (0..=room).rev().find_map(|length| what.get(..length));
        let begin = if what.len() <= room {
            &what
        } else {
            cut.unwrap_or_default()
        };
        let name = format!("{}{end}", begin.trim());
        if names.insert(name.clone()) {
            return name;
        }
        number += 1;
    }
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
