//! The configuration of `holdover pool serve`: its example, its JSON Schema, and what is said about broken ones.
//!
//! `HOLDOVER_UPDATE=1 cargo test -p holdover-config` writes the schema and the expected messages anew.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests may, like tests

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdover_config::serve::{Masks, PoolServer, ServerInfoName, json_schema, load, parse};
use holdover_config::{Diagnostics, Loaded, check_environment, codes};
use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(path: &Path) -> Result<Loaded<PoolServer>, Diagnostics> {
    let name = path.file_name().unwrap().to_str().unwrap();
    parse(
        name,
        &fs::read_to_string(path).unwrap(),
        Path::new("/etc/holdover"),
    )
}

/// Compares a file with what it should hold, or writes it.
fn expect_file(path: &Path, expected: &str) {
    if std::env::var_os("HOLDOVER_UPDATE").is_some() {
        fs::write(path, expected).unwrap();
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    let path = path.display();
    assert_eq!(found, expected, "{path} is old: see the head of this file");
}

#[test]
fn the_example_says_what_it_seems_to_say() {
    let loaded =
        read(&folder("examples/pool-serve.toml")).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let PoolServer {
        pool, listeners, ..
    } = &loaded.settings;
    assert_eq!(pool.name.as_str(), "pc1");
    assert_eq!(pool.server_uri.as_str(), "sip:pc1-server-1@contoso.com");
    assert_eq!(pool.database, Path::new("/etc/holdover/pc1.db"));
    let tls = listeners[0].tls.as_ref().unwrap();
    assert_eq!(tls.own.private_key, Path::new("/etc/holdover/pc1.key"));
    assert_eq!(tls.client_authorities, Path::new("/etc/holdover/ca.pem"));
    let names: Vec<_> = tls.client_names.iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["fe1.contoso.com", "holdover.contoso.com"]);
    assert_eq!(listeners[1].tls, None);
}

#[test]
fn what_is_left_out_is_what_the_example_shows_as_default() {
    let text = "[pool]\nuri = \"sip:gc@contoso.com\"\ndatabase = \"a.db\"\n\
                [[listener]]\naddress = \"127.0.0.1:0\"\n";
    let short = parse("short.toml", text, Path::new("")).unwrap().settings;
    let example = read(&folder("examples/pool-serve.toml")).unwrap().settings;
    assert_eq!(short.switches, example.switches);
    assert_eq!(short.log, example.log);
    assert_eq!(short.pool.outstanding_infos, 1);
    assert_eq!(short.pool.domain.as_str(), "contoso.com");
    assert_eq!(short.pool.server_uri, short.pool.uri);
}

#[test]
fn every_switch_is_read() {
    let text = "[pool]\nuri = \"sip:gc@contoso.com\"\ndatabase = \"a.db\"\n\
                [[listener]]\naddress = \"127.0.0.1:0\"\n\
                [switches]\npush_history_after_bjoin = 5\ngetservinfo_spelling = \"getservinfo\"\n\
                masks = \"legacy\"\nsession_expires_secs = 90\nbusy_every = 2\nmute_receipts_every = 3\n\
                bye_on_first_command = true\nfib_rooms = [\"300\", \"a/b\"]\nroster_limit = 4\ndelay_ms = 50\n\
                merge_replies = true\n";
    let switches = parse("s.toml", text, Path::new(""))
        .unwrap()
        .settings
        .switches;
    assert_eq!(switches.push_history_after_bjoin, 5);
    assert_eq!(switches.getservinfo_spelling, ServerInfoName::GetServInfo);
    assert_eq!(switches.masks, Masks::Legacy);
    assert_eq!(switches.session_expires, Duration::from_secs(90));
    assert_eq!((switches.busy_every, switches.mute_receipts_every), (2, 3));
    assert!(switches.bye_on_first_command && switches.merge_replies);
    assert_eq!(switches.fib_rooms, ["300".into(), "a/b".into()]);
    assert_eq!(switches.roster_limit, 4);
    assert_eq!(switches.delay, Duration::from_millis(50));
}

#[test]
fn the_committed_schema_is_the_one_of_the_code_and_the_example_shows_all_of_it() {
    let schema = json_schema();
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    expect_file(&folder("pool-serve.schema.json"), &text);

    let example = fs::read_to_string(folder("examples/pool-serve.toml")).unwrap();
    let lines: Vec<&str> = example.lines().collect();
    let tables = ["Pool", "Listener", "Tls", "Log", "Switches"];
    let mut keys = 0;
    for table in tables {
        let properties = schema["$defs"][table]["properties"].as_object().unwrap();
        for (key, property) in properties {
            keys += 1;
            assert!(property["description"].is_string(), "{table}.{key}");
            assert!(example.contains(&format!("{key} = ")), "{table}.{key}");
            let Some(minimum) = property.get("minimum").and_then(Value::as_u64) else {
                continue;
            };
            let line = lines
                .iter()
                .position(|line| line.starts_with(&format!("{key} = ")))
                .unwrap();
            let bounds = format!(
                "{minimum} to {}, default {}",
                property["maximum"], property["default"]
            );
            assert!(lines[line - 1].contains(&bounds), "{table}.{key}: {bounds}");
        }
    }
    assert!(keys > 25, "only {keys} keys found");
}

#[test]
fn broken_configurations_are_told_as_expected() {
    let mut seen = BTreeSet::new();
    let mut cases = 0;
    for entry in fs::read_dir(folder("tests/serve-faults")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        cases += 1;
        let only_warnings = path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("warning-");
        let faults = match read(&path) {
            Ok(loaded) if only_warnings => loaded.warnings,
            Err(faults) if !only_warnings => faults,
            _ => panic!("{} is not what its name says", path.display()),
        };
        seen.extend(faults.iter().map(|fault| fault.code()));
        expect_file(&path.with_extension("stderr"), &faults.render(false));
    }
    assert_eq!(cases, 5);
    for code in [
        codes::BAD_ROOM,
        codes::NOBODY_ADMITTED,
        codes::OPEN_SIGN_IN,
        codes::NO_EFFECT,
        codes::NO_LISTENER,
        codes::DUPLICATE_NAME,
        codes::DUPLICATE_ADDRESS,
    ] {
        assert!(seen.contains(code), "{code}");
    }
}

#[test]
fn files_that_are_not_there_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("pool.toml");
    let text = "[pool]\nuri = \"sip:gc@contoso.com\"\ndatabase = \"no/rooms.db\"\n\
                [[listener]]\naddress = \"127.0.0.1:0\"\n\
                tls = { certificate = \"a.pem\", private_key = \"a.key\", client_authorities = \"ca.pem\" }\n";
    fs::write(&config, text).unwrap();
    let faults = check_environment(&load(&config).unwrap());
    let told: Vec<_> = faults.iter().map(|fault| fault.code()).collect();
    let missing = codes::FILE_MISSING;
    assert_eq!(told.len(), 4, "{faults}");
    assert_eq!(told.iter().filter(|code| **code == missing).count(), 3);
    assert!(told.contains(&codes::FOLDER_MISSING));
}
