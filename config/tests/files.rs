//! The files that people read: examples, the JSON Schema, and what is said about broken configurations.
//!
//! `HOLDOVER_UPDATE=1 cargo test -p holdover-config` writes the schema and the expected messages anew.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests may, like tests

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdover_config::{
    Diagnostics, Loaded, RuleFile, codes, json_schema, parse_with, review, rules_json_schema,
};
use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The TOML files in a folder, by name. There is at least one.
fn toml_files(name: impl AsRef<Path>) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn file_name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// Reads a configuration with its files of rules, which are in a folder of its name.
fn parse_file(path: &Path) -> Result<Loaded, Diagnostics> {
    let rules = path.with_extension("d");
    let rules: Vec<Arc<RuleFile>> = if rules.is_dir() {
        let files = toml_files(rules);
        let read = files.iter().map(|file| {
            let name = format!("rules.d/{}", file_name(file));
            Arc::new(RuleFile::parse(&name, &fs::read_to_string(file).unwrap()))
        });
        read.collect()
    } else {
        Vec::new()
    };
    parse_with(
        file_name(path),
        &fs::read_to_string(path).unwrap(),
        &rules,
        Path::new("/etc/holdover"),
    )
}

/// Compares a file with what it should hold, or writes it.
fn expect_file(path: &Path, expected: &str) {
    if std::env::var_os("HOLDOVER_UPDATE").is_some() {
        fs::write(path, expected).unwrap();
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        found,
        expected,
        "{} is old: see the head of this file",
        path.display()
    );
}

#[test]
fn examples_are_right() {
    // The stand-alone pool has a configuration, and tests, of its own: `serve.rs`. What fills a pool is no configuration.
    let others = ["pool-serve.toml", "content.toml"];
    let examples = toml_files("examples").into_iter();
    for path in examples.filter(|path| !others.contains(&file_name(path))) {
        let loaded = parse_file(&path).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
        let found = review(&loaded, NOW.parse().unwrap());
        assert!(found.is_empty(), "{found}");
    }
}

#[test]
fn the_committed_schema_is_the_one_of_the_code() {
    let text = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
    expect_file(&folder("holdover.schema.json"), &text);
    let text = serde_json::to_string_pretty(&rules_json_schema()).unwrap() + "\n";
    expect_file(&folder("rules.schema.json"), &text);
}

/// What the schema says about one key.
struct Property<'s> {
    table: String,
    key: String,
    schema: &'s Value,
}

/// Every key of every table below `schema`, by following `$ref`.
fn properties<'s>(root: &'s Value, schema: &'s Value, table: &str, found: &mut Vec<Property<'s>>) {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let pointer = reference.strip_prefix('#').unwrap();
        properties(root, root.pointer(pointer).unwrap(), table, found);
    }
    for (key, schema) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        found.push(Property {
            table: table.to_owned(),
            key: key.clone(),
            schema,
        });
        properties(root, schema, key, found);
    }
    for inner in schema
        .get("oneOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .chain(schema.get("items"))
    {
        properties(root, inner, table, found);
    }
}

#[test]
fn the_full_example_shows_every_key_with_its_bounds_and_when_it_takes_effect() {
    let schema = json_schema();
    let mut all = Vec::new();
    properties(&schema, &schema, "", &mut all);
    assert!(all.len() > 35, "only {} keys found", all.len());

    let example = fs::read_to_string(folder("examples/full.toml")).unwrap();
    let lines: Vec<&str> = example.lines().collect();
    for Property { table, key, schema } in all {
        let description = schema["description"].as_str().unwrap();
        if table.is_empty() {
            let effect = ["Takes effect at the next start", "Takes effect on reload"]
                .into_iter()
                .find(|effect| description.contains(effect))
                .unwrap_or_else(|| panic!("[{key}] does not say when it takes effect"));
            let headings = [format!("[{key}]"), format!("[[{key}]]")];
            let heading = lines
                .iter()
                .position(|line| headings.contains(&(*line).to_owned()))
                .unwrap();
            assert!(lines[heading - 1].contains(effect), "[{key}]: {effect}");
            continue;
        }
        // A table with a heading has its keys below it; an inline table has them in the line of its key.
        let heading = lines.iter().position(|line| {
            let heading = line.trim_matches(['[', ']']);
            line.starts_with('[') && heading.rsplit('.').next() == Some(table.as_str())
        });
        let start = heading.unwrap_or_default();
        let line = lines
            .iter()
            .skip(start)
            .position(|line| line.starts_with(&format!("{key} = ")))
            .map(|line| start + line);
        let Some(line) = line else {
            assert!(
                example.contains(&format!("{key} = ")) || example.contains(&format!(".{key}]\n")),
                "{table}.{key} is not in the example"
            );
            continue;
        };
        let comment = lines[line - 1];
        assert!(comment.starts_with("# "), "{table}.{key} has no comment");
        if let Some(minimum) = schema.get("minimum") {
            let mut bounds = format!("{minimum} to {}", schema["maximum"]);
            let default = &schema["default"];
            if !default.is_null() {
                bounds += &format!(", default {default}");
            }
            assert!(
                comment.contains(&bounds),
                "{table}.{key} does not say `{bounds}`"
            );
            let shown = lines[line].rsplit(' ').next().unwrap().replace('_', "");
            assert!(
                default.is_null() || default.to_string().as_str() == shown.as_str(),
                "{table}.{key} does not show its default"
            );
        }
    }
}

/// Codes of other files or that need files to appear; `tests/environment.rs`, `tests/serve.rs`, `tests/rules` and the tests
/// of the users file have them.
const ELSEWHERE: &[&str] = &[
    codes::UNREADABLE,
    codes::FILE_MISSING,
    codes::NOT_A_FILE,
    codes::FILE_UNREADABLE,
    codes::FOLDER_MISSING,
    codes::WRONG_CONTENT,
    codes::FILE_EXPOSED,
    codes::BAD_USER,
    codes::BAD_HASH,
    codes::DUPLICATE_USER,
    codes::BAD_ROOM,
    codes::NOBODY_ADMITTED,
    codes::FIXED_CHANGED,
    codes::NO_TARGET,
    codes::USERS_APART,
    codes::OUTSIDE_FENCE,
];

/// When warnings are told that depend on the time.
const NOW: &str = "2026-12-01T00:00Z";

#[test]
fn broken_configurations_are_told_as_expected() {
    let mut seen: BTreeSet<&str> = ELSEWHERE.iter().copied().collect();
    let cases = toml_files("tests/faults");
    assert!(cases.len() >= 280, "{}", cases.len());
    for path in cases {
        let only_warnings = file_name(&path).starts_with("warning-");
        let faults = match parse_file(&path) {
            Ok(loaded) if only_warnings => {
                let mut found = loaded.warnings.clone();
                found.append(review(&loaded, NOW.parse().unwrap()));
                found.sort();
                assert!(!found.has_errors(), "{found}");
                found
            }
            Err(faults) if !only_warnings => faults,
            _ => panic!("{} is not what its name says", path.display()),
        };
        seen.extend(faults.iter().map(|fault| fault.code()));
        let rendered = faults.render(false);
        for fault in &faults {
            let json = fault.to_json();
            if let (Some(line), Some(column)) = (json["line"].as_u64(), json["column"].as_u64()) {
                let place = format!("{}:{line}:{column}\n", fault.file());
                assert!(rendered.contains(&place), "{place}\n{rendered}");
            }
        }
        check_sarif(&faults.to_sarif("1.2.3"));
        expect_file(&path.with_extension("stderr"), &rendered);
    }
    let all: BTreeSet<&str> = codes::ALL.iter().map(|&(code, _)| code).collect();
    assert_eq!(seen, all, "every code has a case");
}

/// That an object has these members and no others; those with a `?` may be absent.
fn has_only(object: &Value, members: &[&str]) {
    let found: BTreeSet<&str> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let known: BTreeSet<&str> = members.iter().map(|it| it.trim_end_matches('?')).collect();
    assert!(found.is_subset(&known), "{found:?}");
    for member in members.iter().filter(|it| !it.ends_with('?')) {
        assert!(found.contains(member), "{member} is not in {found:?}");
    }
}

/// What the schema of SARIF 2.1.0 asks of what we say in it. (The whole output was checked with the schema itself once.)
fn check_sarif(log: &Value) {
    has_only(log, &["version", "runs", "$schema"]);
    assert_eq!(log["version"], "2.1.0");
    let [run] = &log["runs"].as_array().unwrap()[..] else {
        panic!("{log}");
    };
    has_only(run, &["tool", "columnKind", "results", "properties"]);
    assert_eq!(run["columnKind"], "unicodeCodePoints");
    assert!(run["properties"].is_object());
    has_only(&run["tool"], &["driver"]);
    let driver = &run["tool"]["driver"];
    has_only(driver, &["name", "version", "rules"]);
    assert!(driver["name"].is_string() && driver["version"].is_string());
    let rules = driver["rules"].as_array().unwrap();
    for (number, rule) in rules.iter().enumerate() {
        has_only(rule, &["id", "shortDescription?"]);
        assert!(rule["id"].is_string());
        if let Some(text) = rule.get("shortDescription") {
            has_only(text, &["text"]);
        }
        assert!(!rules[..number].contains(rule), "rules are unique");
    }
    for result in run["results"].as_array().unwrap() {
        has_only(
            result,
            &["ruleId", "ruleIndex", "level", "message", "locations"],
        );
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
        has_only(&result["message"], &["text"]);
        assert!(result["message"]["text"].is_string());
        for location in result["locations"].as_array().unwrap() {
            has_only(location, &["physicalLocation"]);
            let place = &location["physicalLocation"];
            has_only(place, &["artifactLocation", "region?"]);
            has_only(&place["artifactLocation"], &["uri"]);
            let uri = place["artifactLocation"]["uri"].as_str().unwrap();
            assert!(
                uri.is_ascii()
                    && !uri.contains([' ', '"', '<', '>', '\\', '^', '`', '{', '|', '}'])
            );
            if let Some(region) = place.get("region") {
                has_only(region, &["startLine", "startColumn", "endColumn?"]);
                let (start, end) = (&region["startColumn"], region.get("endColumn"));
                assert!(region["startLine"].as_u64() >= Some(1) && start.as_u64() >= Some(1));
                assert!(end.is_none_or(|end| end.as_u64() >= start.as_u64()));
            }
        }
    }
}
