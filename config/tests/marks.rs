//! Byte order marks and UTF-16, as editors and shells of Windows write them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests may, like tests

use std::fs;

use holdover_config::users::{self, Ha1, Users};
use holdover_config::{load, toggle};

const MARK: &str = "\u{feff}";

const CONFIG: &str = r#"[gateway]
domain = "contoso.com"

[[listener]]
name = "clients"
address = "127.0.0.1:0"
sign_in = "open"

[[pool]]
name = "here"
embedded = { database = "rooms.db" }
"#;

const RULES: &str = r#"[[rule]]
name = "first"
when = { user_file = "list.txt" }
then = { refuse = "No." }

[[rule]]
name = "second"
then = { pool = "here" }
"#;

const USERS: &str = "[users]\n\"ann@contoso.com\" = \"939e7578ed9e3c518a452acee763bce9\"\n";

fn folder(mark: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("rules.d")).unwrap();
    for (name, text) in [
        ("holdover.toml", CONFIG),
        ("rules.d/a.toml", RULES),
        ("list.txt", "# pilots\nann@contoso.com\n"),
        ("users.toml", USERS),
    ] {
        fs::write(folder.path().join(name), format!("{mark}{text}")).unwrap();
    }
    folder
}

#[test]
fn a_mark_is_no_content_of_any_file() {
    let (with, without) = (folder(MARK), folder(""));
    let settings = |folder: &tempfile::TempDir| {
        let loaded = load(&folder.path().join("holdover.toml"));
        let loaded = loaded.unwrap_or_else(|faults| panic!("{}", faults.render(false)));
        let rules = loaded.settings.live.rules.iter();
        rules
            .map(|rule| (rule.name.to_string(), rule.place.line, rule.when.len()))
            .collect::<Vec<_>>()
    };
    assert_eq!(settings(&with), settings(&without));
    assert_eq!(settings(&with).len(), 2);
    let users = Users::load(&with.path().join("users.toml")).unwrap();
    assert_eq!(users.len(), 1);
}

#[test]
fn who_edits_a_file_leaves_its_mark() {
    let folder = folder(MARK);
    let config = folder.path().join("holdover.toml");
    let edit = toggle(&config, "first", false).unwrap().edit.unwrap();
    let expected = RULES.replacen("\"first\"\n", "\"first\"\nenabled = false\n", 1);
    let rules = fs::read_to_string(folder.path().join("rules.d/a.toml")).unwrap();
    assert_eq!(rules, format!("{MARK}{expected}"));
    assert_eq!(edit.after, rules);
    let path = folder.path().join("users.toml");
    let ha1 = Ha1::parse("0123456789abcdef0123456789abcdef").unwrap();
    users::upsert(&path, "bob@contoso.com", &[ha1]).unwrap();
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .starts_with("\u{feff}[users]")
    );
    assert_eq!(Users::load(&path).unwrap().len(), 2);
}

#[test]
fn utf_16_is_told_as_such() {
    let config = |folder: &tempfile::TempDir| folder.path().join("holdover.toml");
    for name in ["holdover.toml", "rules.d/a.toml", "list.txt"] {
        let folder = folder("");
        let path = folder.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        let bytes: Vec<u8> = b"\xff\xfe".iter().copied().chain(units).collect();
        fs::write(&path, bytes).unwrap();
        let shown = load(&config(&folder)).unwrap_err().render(false);
        assert!(
            shown.contains("it is UTF-16 text, not UTF-8"),
            "{name}: {shown}"
        );
        assert!(!shown.contains('\0'), "{name}: {shown}");
        assert!(shown.contains("save the file as UTF-8"), "{name}: {shown}");
    }
}
