//! What a reload refuses: settings that hold from start to stop.

#![allow(clippy::unwrap_used)] // helpers of tests may, like tests

use std::path::Path;

use holdover_config::settings::Fixed;
use holdover_config::{Diagnostics, fixed_changes, parse};

const FULL: &str = include_str!("../examples/full.toml");

fn fixed(text: &str) -> Fixed {
    let loaded = parse("holdover.toml", text, Path::new("/etc/holdover"));
    loaded.unwrap().settings.fixed
}

fn changes(before: &str, after: &str) -> Diagnostics {
    fixed_changes(&fixed(before), &fixed(after), "holdover.toml", after)
}

/// The line and the first words of each fault.
fn told(faults: &Diagnostics) -> Vec<(usize, String)> {
    let told = |fault: &holdover_config::Diagnostic| {
        let (what, _) = fault.message().split_once(": that").unwrap();
        (fault.location().unwrap().line(), what.to_owned())
    };
    faults.iter().map(told).collect()
}

fn line_of(text: &str, part: &str) -> usize {
    1 + text.lines().position(|line| line.contains(part)).unwrap()
}

#[test]
fn what_a_reload_takes_is_no_change() {
    assert!(changes(FULL, FULL).is_empty());
    let after = FULL
        .replace("unlisted = \"same-id\"", "unlisted = \"refuse\"")
        .replace("connections = 20_000", "connections = 7");
    assert_ne!(after, FULL);
    assert!(changes(FULL, &after).is_empty());
}

#[test]
fn every_changed_key_is_named_with_its_line() {
    for (key, from, to) in [
        ("gateway.grace_secs", "grace_secs = 120", "grace_secs = 121"),
        ("gateway.drain_secs", "drain_secs = 10", "drain_secs = 11"),
        ("listener.clients.address", "0.0.0.0:5061", "0.0.0.0:5064"),
        ("listener.lab.address", "[::]:5060", "[::]:5063"),
        (
            "listener.lab.sign_in",
            "sign_in = \"open\"",
            "sign_in = { digest = { users = \"lab.toml\" } }",
        ),
        (
            "listener.front-ends.front_ends.contact",
            "holdover.contoso.com:5062",
            "fe.contoso.com:5062",
        ),
        ("pool.archive.embedded.database", "archive.db", "other.db"),
        (
            "pool.hq.sip.servers",
            "\"pc2.contoso.com:5041\"",
            "\"pc3.contoso.com:5041\"",
        ),
        ("pool.hq.sip.ping_secs", "ping_secs = 30", "ping_secs = 31"),
        (
            "pool.hq.sip.dialect",
            "\"persistent-chat\"\n# Asks",
            "\"group-chat\"\n# Asks",
        ),
        ("log.level", "level = \"info\"", "level = \"debug\""),
        ("admin.address", "127.0.0.1:8080", "127.0.0.1:8081"),
        (
            "admin.hosts",
            "\"holdover.contoso.com\"",
            "\"gateway.contoso.com\"",
        ),
        ("reload.poll_secs", "poll_secs = 5", "poll_secs = 6"),
        ("history.keep", "keep = 50", "keep = 51"),
        ("audit.file", "audit.jsonl", "acts.jsonl"),
    ] {
        let after = FULL.replacen(from, to, 1);
        let first = to.lines().next().unwrap();
        let line = 1 + after
            .lines()
            .position(|line| line.contains(first) && !line.starts_with('#'))
            .unwrap();
        let found = told(&changes(FULL, &after));
        assert_eq!(found, [(line, format!("`{key}` was changed"))]);
    }
}

#[test]
fn a_key_that_falls_back_to_its_default_is_told_at_its_table() {
    let before = FULL.replace("grace_secs = 120", "grace_secs = 60");
    let after = FULL.replace("grace_secs = 120\n", "");
    let found = told(&changes(&before, &after));
    let line = line_of(&after, "[gateway]");
    assert_eq!(
        found,
        [(line, "`gateway.grace_secs` was changed".to_owned())]
    );
}

#[test]
fn tables_that_come_go_or_move_are_told_once() {
    let pool = |name: &str| {
        format!("[[pool]]\nname = \"{name}\"\nembedded = {{ database = \"{name}.db\" }}\n\n")
    };
    let text = |pools: &[&str]| {
        let pools: String = pools.iter().map(|name| pool(name)).collect();
        format!(
            "[gateway]\ndomain = \"contoso.com\"\n\n[[listener]]\nname = \"clients\"\naddress = \"127.0.0.1:5060\"\n\
             sign_in = \"open\"\n\n{pools}"
        )
    };
    let (one, both) = (text(&["here"]), text(&["here", "archive"]));
    let line = line_of(&both, "name = \"archive\"") - 1;
    assert_eq!(
        told(&changes(&one, &both)),
        [(line, "`pool.archive` is new".to_owned())]
    );
    let gone = told(&changes(&both, &one));
    let line = line_of(&one, "[[pool]]");
    assert_eq!(gone, [(line, "`pool.archive` was removed".to_owned())]);
    let moved = told(&changes(&both, &text(&["archive", "here"])));
    assert_eq!(
        moved,
        [(line, "`pool` has its tables in another order".to_owned())]
    );
}
