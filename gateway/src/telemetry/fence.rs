//! Only this module tells: a scan of the sources for those who go around it.

use std::fs;
use std::path::Path;

use crate::layers::sources;

/// What only telemetry may name.
const FENCED: [&str; 3] = ["tracing::", "tracing_subscriber", "prometheus_client"];

fn offences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = |line: &str| !line.trim_start().starts_with("//");
    let names = |line: &str| FENCED.iter().any(|fenced| line.contains(fenced));
    text.lines()
        .enumerate()
        .filter(move |(_, line)| code(line) && names(line))
}

#[test]
fn only_telemetry_logs_and_counts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let inside = root.join("telemetry");
    assert!(
        files.iter().any(|file| file.starts_with(&inside)),
        "the scan sees the sources"
    );
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !file.starts_with(&inside)) {
        let text = fs::read_to_string(file).unwrap();
        let place = |(line, code)| format!("{}:{}: {code}", file.display(), line + 1);
        found.extend(offences(&text).map(place));
    }
    assert!(
        found.is_empty(),
        "tell an event of `telemetry` instead:\n{}",
        found.join("\n")
    );
}

#[test]
fn the_scan_finds_what_it_looks_for() {
    assert_eq!(
        offences("fn f() {\n    tracing::info!(\"x\");\n}\n").count(),
        1
    );
    assert_eq!(offences("use tracing::{info, warn};\n").count(), 1);
    assert_eq!(offences("// tracing::info!\n").count(), 0);
}
