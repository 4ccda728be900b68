use std::fs;
use std::path::{Path, PathBuf};

use holdover_config::Source;
use jiff::Timestamp;
use tempfile::TempDir;

use super::*;

fn entry(generation: u64) -> Entry {
    Entry {
        act: Act::Reload,
        who: Who::Http {
            peer: "127.0.0.1:4000".parse().unwrap(),
        },
        files: vec![FileChange {
            file: "holdover.toml".to_owned(),
            before: Some(Hash::of(b"old")),
            after: Some(Hash::of(b"new")),
        }],
        rooms: None,
        generation: Some(generation),
        result: ActResult::Applied,
    }
}

struct Kept {
    folder: TempDir,
    log: AuditLog,
}

impl Kept {
    fn with(records: u64) -> Self {
        let folder = TempDir::new().unwrap();
        let log = AuditLog::new(folder.path().join("audit.jsonl"));
        let kept = Self { folder, log };
        for generation in 1..=records {
            kept.add(generation);
        }
        kept
    }

    fn add(&self, generation: u64) -> Recorded {
        self.log
            .record(Timestamp::UNIX_EPOCH, &entry(generation))
            .unwrap()
    }

    fn path(&self) -> &Path {
        self.log.path()
    }

    fn anchor(&self) -> PathBuf {
        self.folder.path().join("audit.jsonl.last")
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn write(&self, lines: &[String]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(self.path(), text).unwrap();
    }

    fn verify(&self) -> Result<Verified, Broken> {
        verify(self.path()).unwrap()
    }
}

#[test]
fn what_was_written_is_whole() {
    let kept = Kept::with(3);
    let verified = kept.verify().unwrap();
    assert_eq!(verified.records, 3);
    assert!(verified.anchored);
    let recorded = kept.add(4);
    assert_eq!((recorded.n, recorded.torn), (4, None));
    assert_eq!(kept.verify().unwrap().last, recorded.hash);
    let first = kept.lines().remove(0);
    let first: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(first["act"], "reload");
    assert_eq!(first["at"], "1970-01-01T00:00:00Z");
    assert_eq!(first["who"]["by"], "http");
    assert_eq!(first["files"][0]["after"], Hash::of(b"new").to_string());
    assert_eq!(first["result"]["is"], "applied");
}

#[test]
fn a_change_of_any_octet_is_found() {
    let kept = Kept::with(2);
    let whole = fs::read(kept.path()).unwrap();
    let mut changed = whole.clone();
    for at in 0..whole.len() {
        for change in [0x01, 0x20] {
            changed[at] ^= change;
            fs::write(kept.path(), &changed).unwrap();
            let line = 1 + whole[..at].iter().filter(|&&byte| byte == b'\n').count() as u64;
            let broken = kept.verify().unwrap_err();
            assert_eq!(broken.line, line, "octet {at}: {broken}");
            changed[at] = whole[at];
        }
    }
}

#[test]
fn a_cut_at_any_octet_is_found() {
    let kept = Kept::with(2);
    let whole = fs::read(kept.path()).unwrap();
    for length in 0..whole.len() {
        fs::write(kept.path(), &whole[..length]).unwrap();
        assert!(kept.verify().is_err(), "cut to {length}");
    }
}

#[test]
fn lines_taken_out_swapped_or_repeated_are_found() {
    let kept = Kept::with(4);
    let lines = kept.lines();
    for at in 0..lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(at);
        kept.write(&fewer);
        assert_eq!(kept.verify().unwrap_err().line, at as u64 + 1);

        let mut more = lines.clone();
        more.insert(at, lines[at].clone());
        kept.write(&more);
        assert_eq!(kept.verify().unwrap_err().line, at as u64 + 2);

        for other in 0..at {
            let mut swapped = lines.clone();
            swapped.swap(other, at);
            kept.write(&swapped);
            assert_eq!(kept.verify().unwrap_err().line, other as u64 + 1);
        }
    }
    kept.write(&lines);
    assert!(kept.verify().is_ok());
}

#[test]
fn a_record_of_another_chain_is_found() {
    let (kept, other) = (Kept::with(3), Kept::with(1));
    let mut lines = kept.lines();
    other.log.record(Timestamp::MAX, &entry(2)).unwrap();
    // Right by itself and of the right number, but written after another first record.
    let foreign = other.log.record(Timestamp::MAX, &entry(3)).unwrap();
    assert_eq!(foreign.n, 3);
    lines[2] = other.lines()[2].clone();
    kept.write(&lines);
    let broken = kept.verify().unwrap_err();
    assert_eq!(broken.line, 3);
    assert!(broken.why.contains("was not written after"), "{broken}");
}

#[test]
fn a_line_cut_short_by_a_crash_is_told_and_the_chain_goes_on() {
    let kept = Kept::with(2);
    let mut bytes = fs::read(kept.path()).unwrap();
    bytes.extend_from_slice(b"{\"n\":3,\"at\":\"20");
    fs::write(kept.path(), &bytes).unwrap();
    let broken = kept.verify().unwrap_err();
    assert_eq!(broken.line, 3);
    assert!(broken.why.contains("not whole"), "{broken}");

    let recorded = kept.add(3);
    assert_eq!((recorded.n, recorded.torn), (3, Some(15)));
    assert_eq!(recorded.missing, None);
    assert_eq!(kept.verify().unwrap().records, 3);
    assert!(kept.lines()[2].contains("\"torn\":15"));
}

#[test]
fn records_that_vanished_before_the_next_one_stay_missing() {
    for (left, missing) in [
        (0, "records 1 to 3 were written and are gone"),
        (2, "record 3 was written and is gone"),
    ] {
        let kept = Kept::with(3);
        kept.write(&kept.lines()[..left]);
        let recorded = kept.add(4);
        assert_eq!(recorded.missing.as_deref(), Some(missing));
        assert_eq!(recorded.n, 4);
        let broken = kept.verify().unwrap_err();
        assert!(broken.why.ends_with(missing), "{broken}");
    }
    let kept = Kept::with(2);
    fs::write(kept.path(), "no record\n").unwrap();
    assert!(kept.add(3).missing.is_some());
    assert_eq!(kept.verify().unwrap_err().line, 1);
}

#[test]
fn a_crash_before_the_second_file_was_written_is_no_fault() {
    let kept = Kept::with(2);
    let behind = fs::read(kept.anchor()).unwrap();
    kept.add(3);
    fs::write(kept.anchor(), behind).unwrap();
    assert_eq!(kept.verify().unwrap().records, 3);
    assert_eq!(kept.add(4).missing, None);
    fs::remove_file(kept.anchor()).unwrap();
    let verified = kept.verify().unwrap();
    assert!(!verified.anchored, "nothing vouches for the end");
}

#[test]
fn many_writers_make_one_chain() {
    let kept = Kept::with(0);
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let kept = &kept;
            scope.spawn(move || {
                for number in 0..10 {
                    kept.add(writer * 10 + number);
                }
            });
        }
    });
    assert_eq!(kept.verify().unwrap().records, 40);
}

#[test]
fn a_refusal_names_its_first_error() {
    let text = "a = 1\nb = 2\n";
    let source = Source::new("holdover.toml", text);
    let mut faults = Diagnostics::new();
    faults.push(source.warning("HC040", 0..1, "odd"));
    faults.push(source.error("HC003", 6..7, "unknown"));
    faults.push(source.error("HC004", 6..7, "wrong"));
    assert_eq!(
        ActResult::refused(&faults),
        ActResult::Refused {
            faults: 2,
            code: "HC003".to_owned(),
            place: "holdover.toml:2:1".to_owned()
        }
    );
}

#[cfg(target_os = "linux")]
#[test]
fn users_of_the_system_have_names() {
    assert_eq!(owner(Path::new("/etc/passwd")).as_deref(), Some("root"));
    assert!(!system_user().is_empty());
}
