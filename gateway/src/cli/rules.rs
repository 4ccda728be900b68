//! `holdover rules`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use holdover_config::rules::{Case, Failure, Rule, RuleSet};
use holdover_config::{Domain, Edit, ToggleError, Toggled, toggle};
use serde_json::{Value, json};

use super::files;
use super::record::{self, RecordArgs};
use super::running::{self, Answer};
use crate::audit::{Act, ActResult, AuditLog, Entry, FileChange, Who, system_user};
use crate::hash::Hash;
use crate::history::History;

/// Exit code of a change that is written and that no running gateway has applied.
const NOT_APPLIED: u8 = 3;

/// What can be done with rules.
#[derive(Debug, Subcommand)]
pub(super) enum RulesCommand {
    /// Show all rules in the order in which they are tried
    List(ListArgs),
    /// Enable a rule: only its `enabled` changes in its file
    ///
    /// Waits for the running gateway and says what it did with the file. Exit code 1: it refused it; 3: no gateway answers.
    Enable(ToggleArgs),
    /// Disable a rule: only its `enabled` changes in its file
    ///
    /// Waits for the running gateway and says what it did with the file. Exit code 1: it refused it; 3: no gateway answers.
    Disable(ToggleArgs),
    /// Run the test cases that stand beside the rules
    ///
    /// Exit code 1: a test failed, or fewer rules than demanded won in a test.
    Test(TestArgs),
    /// Print test cases out of the last decisions of the running gateway
    Record(RecordArgs),
}

/// Arguments of `holdover rules list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print the rules as JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `holdover rules enable` and `disable`.
#[derive(Debug, Args)]
pub(super) struct ToggleArgs {
    /// The name of the rule
    #[arg(value_name = "NAME")]
    name: String,
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Arguments of `holdover rules test`.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Fail if fewer of a hundred enabled rules win in a test
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    fail_under: Option<u8>,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

/// Shows, switches and tests rules.
pub(super) fn rules(command: RulesCommand) -> anyhow::Result<ExitCode> {
    match command {
        RulesCommand::List(args) => list(&args),
        RulesCommand::Enable(args) => switch(&args, true),
        RulesCommand::Disable(args) => switch(&args, false),
        RulesCommand::Test(args) => test(&args),
        RulesCommand::Record(args) => record::record(&args),
    }
}

fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let Some(loaded) = load(&args.config) else {
        return Ok(ExitCode::FAILURE);
    };
    let rules = &loaded.settings.live.rules;
    if args.json {
        let rules: Vec<Value> = (1..).zip(rules).map(|(n, rule)| to_json(n, rule)).collect();
        println!("{}", json!({ "rules": rules }));
        return Ok(ExitCode::SUCCESS);
    }
    if rules.is_empty() {
        println!("no rules: where a room goes is the directory's word");
    }
    for (number, rule) in (1_usize..).zip(rules) {
        let switch = if rule.enabled { "on " } else { "off" };
        println!("{number:>5}  {switch}  {} ({})", rule.name, rule.place);
        let mut word = "when";
        for condition in &rule.when {
            println!("{:12}{word} {condition}", "");
            word = " and";
        }
        println!("{:12}then {}", "", rule.then);
    }
    Ok(ExitCode::SUCCESS)
}

fn to_json(number: usize, rule: &Rule) -> Value {
    let when: Vec<String> = rule.when.iter().map(ToString::to_string).collect();
    json!({
        "order": number,
        "name": rule.name.as_str(),
        "enabled": rule.enabled,
        "file": &*rule.place.file,
        "line": rule.place.line,
        "when": when,
        "then": rule.then.to_string(),
        "action": rule.then.key(),
    })
}

/// Rules need none of the other files, such as certificates: those are not looked at.
fn load(config: &Path) -> Option<holdover_config::Loaded> {
    match holdover_config::load(config) {
        Ok(loaded) => Some(loaded),
        Err(faults) => {
            files::tell(&faults);
            None
        }
    }
}

fn switch(args: &ToggleArgs, enabled: bool) -> anyhow::Result<ExitCode> {
    let word = if enabled { "enabled" } else { "disabled" };
    let name = &args.name;
    let Some(loaded) = load(&args.config) else {
        return Ok(ExitCode::FAILURE);
    };
    let Toggled { place, edit } = match toggle(&args.config, name, enabled) {
        Ok(toggled) => toggled,
        Err(ToggleError::Wrong(faults)) => {
            files::tell(&faults);
            return Ok(ExitCode::FAILURE);
        }
        Err(unknown) => anyhow::bail!("`{name}`: {unknown}"),
    };
    let Some(edit) = edit else {
        println!("{place}: `{name}` is {word} already");
        return Ok(ExitCode::SUCCESS);
    };
    let history = loaded.settings.fixed.history.as_ref().map(History::new);
    let answer = running::reload(&args.config, Some(&loaded.settings), history.as_ref(), &[]);
    let (outcome, code) = match &answer {
        Answer::InUse(generation) => {
            println!(
                "{place}: `{name}` is {word} now: the gateway uses it as generation {generation}"
            );
            (ActResult::Applied, ExitCode::SUCCESS)
        }
        Answer::Refused(refusal) => {
            for line in refusal.lines() {
                eprintln!("{line}");
            }
            let (error, generation) = (&refusal.error, refusal.generation);
            eprintln!(
                "error: `{name}` is {word} in {place}, but not in use: {error}; the gateway goes on with generation {generation}"
            );
            (refusal.outcome(), ExitCode::FAILURE)
        }
        Answer::Silent(address) => {
            println!(
                "{place}: `{name}` is {word} in the file; no gateway answers on {address}, so the next start uses it"
            );
            (ActResult::Written, ExitCode::from(NOT_APPLIED))
        }
        Answer::Unknown => {
            println!(
                "{place}: `{name}` is {word} in the file; a running gateway applies it if it watches its files, or on SIGHUP"
            );
            (ActResult::Written, ExitCode::SUCCESS)
        }
    };
    if let Some(audit) = &loaded.settings.fixed.audit {
        record(&AuditLog::new(&audit.file), &place.file, &edit, outcome)
            .context("the file was changed, but the audit log cannot be written")?;
    }
    Ok(code)
}

fn record(log: &AuditLog, file: &str, edit: &Edit, result: ActResult) -> std::io::Result<()> {
    let entry = Entry {
        act: Act::RuleToggle,
        who: Who::CommandLine {
            user: system_user(),
        },
        files: vec![FileChange {
            file: file.to_owned(),
            before: Some(Hash::of(edit.before.as_bytes())),
            after: Some(Hash::of(edit.after.as_bytes())),
        }],
        rooms: None,
        // The generation is the running gateway's, which records its own when it reads the file.
        generation: None,
        result,
    };
    log.record(jiff::Timestamp::now(), &entry).map(|_| ())
}

/// What came of all tests.
struct Report<'r> {
    passed: usize,
    failed: Vec<(&'r Case, Failure<'r>)>,
    /// How many rules are enabled.
    enabled: usize,
    /// Those of them that won in no test.
    unreached: Vec<&'r Arc<Rule>>,
}

impl<'r> Report<'r> {
    fn new(cases: &'r [Arc<Case>], set: &'r RuleSet, domain: &Domain) -> Self {
        let mut winners: HashSet<*const Rule> = HashSet::new();
        let mut failed = Vec::new();
        for case in cases {
            let ran = case.run(set, domain);
            winners.extend(ran.winners.iter().map(|rule| Arc::as_ptr(rule)));
            failed.extend(ran.failure.map(|failure| (&**case, failure)));
        }
        let enabled = || set.rules().iter().filter(|rule| rule.enabled);
        Self {
            passed: cases.len() - failed.len(),
            failed,
            enabled: enabled().count(),
            unreached: enabled()
                .filter(|rule| !winners.contains(&Arc::as_ptr(rule)))
                .collect(),
        }
    }

    /// Of a hundred enabled rules, how many won in a test; rounded down, so that a hundred is all.
    fn coverage(&self) -> usize {
        let reached = self.enabled - self.unreached.len();
        (reached * 100).checked_div(self.enabled).unwrap_or(100)
    }
}

fn test(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let Some(loaded) = load(&args.config) else {
        return Ok(ExitCode::FAILURE);
    };
    let set = RuleSet::new(loaded.settings.live.rules.clone());
    let domain = &loaded.settings.fixed.gateway.domain;
    let report = Report::new(loaded.tests(), &set, domain);
    if args.json {
        println!("{}", report_json(&report));
    } else {
        print_report(&report);
    }
    let coverage = report.coverage();
    let too_few = args
        .fail_under
        .filter(|least| coverage < usize::from(*least));
    if let (Some(least), false) = (too_few, args.json) {
        println!("that is less than {least} %");
    }
    Ok(if report.failed.is_empty() && too_few.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print_report(report: &Report<'_>) {
    for (case, failure) in &report.failed {
        println!("{}: `{}` failed", case.place, case.name);
        println!("  asked:    {}", asked(case, failure));
        println!("  expected: {}", failure.expected);
        println!("  got:      {}", failure.got);
        let explained = failure.explanation.to_string();
        for (at, line) in explained.lines().enumerate() {
            println!(
                "  {} {line}",
                if at == 0 { "because: " } else { "         " }
            );
        }
        println!();
    }
    let (passed, failed) = (report.passed, report.failed.len());
    println!("{passed} test(s) passed, {failed} failed");
    let reached = report.enabled - report.unreached.len();
    println!(
        "{reached} of {} enabled rule(s) won in a test: {} %",
        report.enabled,
        report.coverage()
    );
    for rule in &report.unreached {
        println!("  no test reaches `{}` ({})", rule.name, rule.place);
    }
}

/// The question of a case in words.
fn asked(case: &Case, failure: &Failure<'_>) -> String {
    let mut text = format!("{} by {}", act_word(failure.act), case.user.address());
    if let Some(room) = &case.room {
        text += &format!(" in {}", room.as_str());
    }
    for (what, name) in [("called", &case.room_name), ("of category", &case.category)] {
        if !name.is_empty() {
            text += &format!(", {what} `{name}`");
        }
    }
    if let Some(client) = &case.client {
        text += &format!(", with `{client}`");
    }
    if let Some(address) = &case.network {
        text += &format!(", from {address}");
    }
    if let Some(listener) = &case.listener {
        text += &format!(", on {listener}");
    }
    text + &format!(", at {}", case.at)
}

fn act_word(act: holdover_config::rules::Act) -> &'static str {
    use holdover_config::rules::Act;
    match act {
        Act::SignIn => "sign-in",
        Act::Read => "read",
        Act::Post => "post",
        Act::Search => "search",
        Act::Download => "files (fetching)",
        Act::Upload => "files (sending)",
        Act::Manage => "manage",
    }
}

fn report_json(report: &Report<'_>) -> Value {
    let failures: Vec<Value> = report
        .failed
        .iter()
        .map(|(case, failure)| {
            json!({
                "test": case.name.as_str(),
                "file": &*case.place.file,
                "line": case.place.line,
                "asked": asked(case, failure),
                "expected": failure.expected,
                "got": failure.got,
                "because": failure.explanation.to_string(),
            })
        })
        .collect();
    let unreached: Vec<Value> = report
        .unreached
        .iter()
        .map(|rule| {
            json!({
                "rule": rule.name.as_str(),
                "file": &*rule.place.file,
                "line": rule.place.line,
            })
        })
        .collect();
    json!({
        "passed": report.passed,
        "failed": report.failed.len(),
        "failures": failures,
        "enabled_rules": report.enabled,
        "reached_rules": report.enabled - report.unreached.len(),
        "coverage": report.coverage(),
        "unreached": unreached,
    })
}
