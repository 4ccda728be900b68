//! What fuzzing calls where files are read. The rest of it is in `holdover_protocol::fuzzing`.

#![allow(clippy::panic, reason = "a panic is how a fuzz target says no")]

use std::fs;
use std::path::Path;

use holdover::directory;
use holdover_config::{Diagnostics, Settings, parse};
use holdover_protocol::room::RoomUri;

/// A configuration: settings, or faults that point into the text.
///
/// # Panics
///
/// When that is not so.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match parse("holdover.toml", text, Path::new("/nowhere")) {
        Ok(loaded) => check(&loaded.warnings, Some(text.len())),
        Err(faults) => {
            assert!(faults.has_errors(), "refused without a reason");
            check(&faults, Some(text.len()));
        }
    }
}

fn check(diagnostics: &Diagnostics, length: Option<usize>) {
    for diagnostic in diagnostics.iter() {
        assert!(!diagnostic.message().is_empty());
        if let (Some(location), Some(length)) = (diagnostic.location(), length) {
            let span = location.span();
            assert!(
                span.start <= span.end && span.end <= length,
                "{span:?} of {length}"
            );
            assert!(location.line() >= 1 && location.column() >= 1);
        }
    }
    let shown = diagnostics.render(false);
    assert_eq!(shown.is_empty(), diagnostics.is_empty());
    assert!(!shown.contains('\x1b'), "a file can colour the terminal");
    drop(diagnostics.to_json());
}

const CONFIG: &str = r#"
[gateway]
domain = "contoso.com"
[[listener]]
name = "clients"
address = "127.0.0.1:0"
sign_in = "open"
[[pool]]
name = "here"
embedded = { database = "rooms.db" }
[directory]
rooms = ["rooms.csv"]
default_pool = "here"
"#;

/// The file of a directory: rooms that are found again, or faults.
///
/// # Panics
///
/// When that is not so, or when no temporary file can be written.
pub fn csv(data: &[u8]) {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
    if let Err(error) = fs::write(folder.path().join("rooms.csv"), data) {
        panic!("no temporary file: {error}");
    }
    let settings = settings(folder.path());
    let pools = settings.fixed.pool_names();
    match directory::load(&settings.live.directory, &pools) {
        Ok(rooms) => {
            let count = rooms.len();
            let directory = directory::Directory::new(rooms);
            assert_eq!(directory.rooms(), count);
            // What looks like a legacy id is looked up; whatever it is, it does not panic.
            for field in data.split(|byte| matches!(byte, b',' | b'\n' | b'\r')) {
                let room = std::str::from_utf8(field)
                    .ok()
                    .and_then(|text| text.parse().ok());
                let room: Option<RoomUri> = room;
                if let Some(room) = room {
                    drop(directory.resolve(&room));
                    drop(pools.first().map(|pool| directory.aliases(pool, &room)));
                }
            }
        }
        Err(faults) => {
            assert!(faults.has_errors(), "refused without a reason");
            check(&faults, None);
        }
    }
}

fn settings(folder: &Path) -> Settings {
    match parse("holdover.toml", CONFIG, folder) {
        Ok(loaded) => loaded.settings,
        Err(faults) => panic!("{}", faults.render(false)),
    }
}
