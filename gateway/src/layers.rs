//! Which module may use which: a scan of the sources for arrows that point up.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of this crate, those that use nothing of it first. Each may use those before it.
const LAYERS: [&str; 27] = [
    "address",
    "descriptors",
    "hash",
    "queue",
    "random",
    "telemetry",
    "peer",
    "directory",
    "answer",
    "transport",
    "audit",
    "pool",
    "decide",
    "decision_log",
    "shadow",
    "routing",
    "admission",
    "registrar",
    "session",
    "listener",
    "reload",
    "history",
    "admin",
    "health",
    "run",
    "serve",
    "client",
];

/// Arrows that point up, each with its reason. At most two.
const UP: &[(&str, &str)] = &[
    // A reload keeps what it put in use as a generation, and a rollback reads one as a reload does.
    ("reload", "history"),
];

/// All Rust sources in a folder.
pub(crate) fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The modules that a line of code names: `crate::module`.
fn named(line: &str) -> impl Iterator<Item = &str> {
    let is_code = !line.trim_start().starts_with("//");
    let paths = line.split("crate::").skip(1).filter(move |_| is_code);
    paths.map(|path| {
        let end = path.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
        path.get(..end.unwrap_or(path.len())).unwrap_or_default()
    })
}

/// The place of a module; what uses all others, as the command line does, is above them.
fn layer(module: &str) -> usize {
    let known = LAYERS.iter().position(|known| *known == module);
    known.unwrap_or(LAYERS.len())
}

/// Whether `user` may use `used`.
fn may_use(user: &str, used: &str) -> bool {
    user == used || layer(used) < layer(user) || UP.contains(&(user, used))
}

#[test]
fn modules_use_only_those_below_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut arrows = 0;
    let mut found = Vec::new();
    for file in &files {
        let inside = file.strip_prefix(&root).unwrap();
        let user = inside.iter().next().unwrap().to_str().unwrap();
        let user = user.trim_end_matches(".rs");
        if matches!(user, "lib" | "main" | "layers") {
            continue;
        }
        assert!(
            user == "cli" || LAYERS.contains(&user),
            "{user} has no place among the layers"
        );
        let text = fs::read_to_string(file).unwrap();
        for (at, line) in text.lines().enumerate() {
            for used in named(line) {
                assert!(!used.is_empty(), "one module a line: {line}");
                arrows += 1;
                if !may_use(user, used) && used != "layers" {
                    found.push(format!("{}:{}: {line}", inside.display(), at + 1));
                }
            }
        }
    }
    assert!(arrows > 100, "the scan sees the sources");
    assert!(found.is_empty(), "these point up:\n{}", found.join("\n"));
    assert!(UP.len() <= 2);
}

#[test]
fn the_scan_finds_what_it_looks_for() {
    let line = "    let name = |pool: crate::pool::PoolId| crate::run::f();";
    assert_eq!(named(line).collect::<Vec<_>>(), ["pool", "run"]);
    assert_eq!(named("//! [`crate::run`]").count(), 0);
    assert!(may_use("cli", "run") && may_use("session", "pool"));
    assert!(!may_use("pool", "session") && !may_use("run", "cli"));
}
