//! The check of the files that a configuration names.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests may, like tests

use std::fs;
use std::path::Path;

use holdover_config::{Diagnostic, Diagnostics, check_environment, codes, load};

const CONFIG: &str = r#"
[gateway]
domain = "contoso.com"

[[listener]]
name = "clients"
address = "127.0.0.1:0"
tls = { certificate = "tls/sip.pem", private_key = "tls/sip.key" }
sign_in = { digest = { users = "users.toml" } }

[[pool]]
name = "here"
embedded = { database = "data/rooms.db" }

[directory]
rooms = ["rooms.csv"]
"#;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n";

fn check(folder: &Path) -> Diagnostics {
    let config = folder.join("holdover.toml");
    fs::write(&config, CONFIG).unwrap();
    check_environment(&load(&config).unwrap())
}

/// Code and line of each fault.
fn places(faults: &Diagnostics) -> Vec<(&str, usize)> {
    faults
        .iter()
        .map(|fault| (fault.code(), fault.location().unwrap().line()))
        .collect()
}

#[test]
fn every_missing_file_is_told_where_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut faults = check(folder.path());
    faults.sort();
    assert_eq!(
        places(&faults),
        [
            (codes::FILE_MISSING, 8),
            (codes::FILE_MISSING, 8),
            (codes::FILE_MISSING, 9),
            (codes::FOLDER_MISSING, 13),
            (codes::FILE_MISSING, 16),
        ]
    );
    assert!(
        faults
            .iter()
            .all(|fault| fault.file().ends_with("holdover.toml"))
    );
    assert!(faults.render(false).contains("users = \"users.toml\""));
}

#[test]
fn files_that_are_there_and_right_are_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tls")).unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("tls/sip.pem"), CERTIFICATE).unwrap();
    fs::write(folder.path().join("tls/sip.key"), KEY).unwrap();
    fs::write(folder.path().join("users.toml"), "[users]\n").unwrap();
    fs::write(folder.path().join("rooms.csv"), "").unwrap();
    let faults = check(folder.path());
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn content_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tls")).unwrap();
    fs::create_dir_all(folder.path().join("data/rooms.db")).unwrap();
    fs::create_dir(folder.path().join("rooms.csv")).unwrap();
    fs::write(folder.path().join("tls/sip.pem"), KEY).unwrap();
    fs::write(folder.path().join("tls/sip.key"), [0x30, 0x82, 0xff]).unwrap();
    fs::write(
        folder.path().join("users.toml"),
        "[users]\n\"ann@contoso.com\" = \"secret\"\n",
    )
    .unwrap();
    let faults = check(folder.path());
    let codes: Vec<&str> = faults.iter().map(Diagnostic::code).collect();
    assert_eq!(
        codes,
        [
            codes::WRONG_CONTENT,
            codes::WRONG_CONTENT,
            codes::BAD_HASH,
            codes::NOT_A_FILE,
            codes::NOT_A_FILE
        ]
    );
    let told = faults.render(false);
    assert!(
        told.contains("are `certificate` and `private_key` swapped?"),
        "{told}"
    );
    assert!(told.contains("openssl pkcs12"), "{told}");
    assert!(told.contains("users.toml:2:21"), "{told}");
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn a_configuration_that_cannot_be_read_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("holdover.toml");
    assert!(
        load(&path)
            .unwrap_err()
            .render(false)
            .contains("error[HC001]: the file cannot be read")
    );
    fs::write(&path, b"[gateway]\n\xff").unwrap();
    assert!(load(&path).unwrap_err().render(false).contains("not UTF-8"));
}

#[cfg(unix)]
#[test]
fn a_database_that_others_may_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tls")).unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("tls/sip.pem"), CERTIFICATE).unwrap();
    fs::write(folder.path().join("tls/sip.key"), KEY).unwrap();
    fs::write(folder.path().join("users.toml"), "[users]\n").unwrap();
    fs::write(folder.path().join("rooms.csv"), "").unwrap();
    let allow = |name: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    allow("data/rooms.db", 0o600);
    allow("data/rooms.db-wal", 0o600);
    assert!(check(folder.path()).is_empty());
    allow("data/rooms.db", 0o644);
    allow("data/rooms.db-shm", 0o640);
    let found = check(folder.path());
    assert!(!found.has_errors(), "{found}");
    let shown = found.render(false);
    assert_eq!(places(&found), [(codes::FILE_EXPOSED, 13); 2]);
    assert!(
        shown.contains("(mode 0644)") && shown.contains("chmod 600"),
        "{shown}"
    );
    assert!(
        shown.contains("rooms.db-shm") && !shown.contains("-wal"),
        "{shown}"
    );
}

#[cfg(unix)]
#[test]
fn only_plain_files_will_do() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tls")).unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    for name in [
        "tls/sip.pem",
        "tls/sip.key",
        "users.toml",
        "rooms.csv",
        "data/rooms.db",
    ] {
        symlink("/dev/zero", folder.path().join(name)).unwrap();
    }
    let faults = check(folder.path());
    assert_eq!(faults.error_count(), 5, "{faults}");
    let said = "it is a device, and only plain files are read";
    assert!(
        faults.iter().all(|fault| fault.message().contains(said)),
        "{faults}"
    );
}
