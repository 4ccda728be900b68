use std::thread;

use tempfile::TempDir;

use super::*;
use crate::reload::Reader;

const CONFIG: &str = "[gateway]
domain = \"contoso.com\"
[[listener]]
name = \"clients\"
address = \"127.0.0.1:0\"
sign_in = { digest = { users = \"users.toml\" } }
[[pool]]
name = \"here\"
embedded = { database = \"rooms.db\" }
[directory]
rooms = [\"rooms.csv\"]
unlisted = \"refuse\"
";
const ROOMS: &str = "legacy,pool,migrated,state,name,note\n";
const RULE: &str = "[[rule]]\nname = \"one\"\nthen = { refuse = \"No.\" }\n";

struct Place {
    folder: TempDir,
    history: History,
    generation: u64,
}

impl Place {
    fn new(keep: usize) -> Self {
        let folder = TempDir::new().unwrap();
        let history = History::new(&Settings {
            folder: folder.path().join("history"),
            keep,
        });
        let place = Self {
            folder,
            history,
            generation: 0,
        };
        place.write("holdover.toml", CONFIG);
        place.write("rooms.csv", ROOMS);
        let user = "[users]\n\"ann@contoso.com\" = \"939e7578ed9e3c518a452acee763bce9\"\n";
        place.write("users.toml", user);
        fs::create_dir(place.path("rules.d")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// What is on the disk is in use.
    fn use_it(&mut self) {
        let version = Reader::new(self.path("holdover.toml"))
            .read()
            .version
            .unwrap();
        self.generation += 1;
        let generation = Generation::new(
            self.generation,
            Timestamp::now(),
            "root".to_owned(),
            &version,
        );
        self.history.keep(generation, &version.files).unwrap();
    }

    fn rollback(&self, number: Option<u64>) -> Result<RolledBack, Problem> {
        rollback(&self.history, &self.path("holdover.toml"), number)
    }

    fn numbers(&self) -> Vec<u64> {
        self.history
            .list()
            .unwrap()
            .iter()
            .map(|known| known.generation)
            .collect()
    }
}

#[test]
fn secrets_are_not_kept() {
    let mut place = Place::new(5);
    place.use_it();
    let all = place.history.list().unwrap();
    let names: Vec<_> = all
        .first()
        .unwrap()
        .files
        .iter()
        .map(|file| file.file.as_str())
        .collect();
    assert_eq!(names, ["holdover.toml", "rooms.csv"]);
    for entry in fs::read_dir(place.path("history/files")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("939e7578"), "{text}");
    }
}

#[test]
fn as_many_as_wanted_are_kept_and_contents_once() {
    let mut place = Place::new(3);
    let use_them = |place: &mut Place, numbers| {
        for number in numbers {
            place.write(
                "rules.d/one.toml",
                &RULE.replace("No.", &format!("No {number}.")),
            );
            place.use_it();
        }
    };
    use_them(&mut place, 1..=6);
    assert_eq!(place.numbers(), [4, 5, 6]);
    use_them(&mut place, 7..=7);
    assert_eq!(place.numbers(), [5, 6, 7]);
    // Three files of rules, and the configuration and the rooms that they share.
    assert_eq!(
        fs::read_dir(place.path("history/files")).unwrap().count(),
        5
    );
    let oldest = place.history.list().unwrap().remove(0);
    let content = place
        .history
        .content(oldest.file("rules.d/one.toml").unwrap())
        .unwrap();
    assert!(String::from_utf8(content).unwrap().contains("No 5."));
}

#[test]
fn a_line_that_a_crash_cut_short_is_no_generation() {
    let mut place = Place::new(5);
    place.use_it();
    let index = place.read("history/index.jsonl").unwrap();
    place.write(
        "history/index.jsonl",
        &format!("{index}{{\"generation\":2,"),
    );
    assert_eq!(place.numbers(), [1]);
    place.write("rules.d/one.toml", RULE);
    place.use_it();
    assert_eq!(place.numbers(), [1, 2]);
    place.write("rules.d/one.toml", &RULE.replace("No.", "Never."));
    place.use_it();
    assert_eq!(place.numbers(), [1, 2, 3]);
}

#[test]
fn numbers_go_on_from_start_to_start() {
    let mut place = Place::new(5);
    let version = Reader::new(place.path("holdover.toml"))
        .read()
        .version
        .unwrap();
    assert_eq!(place.history.number_at_start(version.hash()).unwrap(), 1);
    place.use_it();
    assert_eq!(place.history.number_at_start(version.hash()).unwrap(), 1);
    assert_eq!(
        place.history.number_at_start(Hash::of(b"other")).unwrap(),
        2
    );
}

#[test]
fn a_rollback_restores_everything() {
    let mut place = Place::new(5);
    place.write("rules.d/one.toml", RULE);
    place.use_it();
    place.write(
        "holdover.toml",
        &CONFIG.replace("\"refuse\"", "\"same-id\""),
    );
    place.write(
        "rooms.csv",
        &format!("{ROOMS}ma-chan://contoso.com/1,,,retired,Old,\n"),
    );
    fs::remove_file(place.path("rules.d/one.toml")).unwrap();
    place.write("rules.d/two.toml", &RULE.replace("one", "two"));
    place.use_it();
    let done = place.rollback(None).unwrap();
    assert_eq!(done.to.generation, 1);
    let names: Vec<_> = done.files.iter().map(|file| file.file.as_str()).collect();
    assert_eq!(
        names,
        [
            "rooms.csv",
            "rules.d/one.toml",
            "rules.d/two.toml",
            "holdover.toml"
        ]
    );
    assert_eq!(place.read("holdover.toml").unwrap(), CONFIG);
    assert_eq!(place.read("rooms.csv").unwrap(), ROOMS);
    assert_eq!(place.read("rules.d/one.toml").unwrap(), RULE);
    assert_eq!(place.read("rules.d/two.toml"), None);
    assert_eq!(done.replaced, None, "all of it is in the history");
    // And forward again, by number.
    place.rollback(Some(2)).unwrap();
    assert!(place.read("rules.d/two.toml").is_some());
    assert!(matches!(place.rollback(Some(9)), Err(Problem::Unknown(9))));
}

#[test]
fn what_is_in_no_generation_is_kept_aside() {
    let mut place = Place::new(5);
    place.use_it();
    place.write("holdover.toml", "an edit that was rejected");
    place.write("rules.d/new.toml", "another");
    let done = place.rollback(Some(1)).unwrap();
    assert_eq!(place.read("holdover.toml").unwrap(), CONFIG);
    let replaced = done.replaced.unwrap();
    let kept = fs::read_to_string(replaced.join("holdover.toml")).unwrap();
    assert_eq!(kept, "an edit that was rejected");
    assert_eq!(
        fs::read_to_string(replaced.join("rules.d_new.toml")).unwrap(),
        "another"
    );
}

#[test]
fn a_generation_that_is_not_right_any_more_changes_nothing() {
    let mut place = Place::new(5);
    place.use_it();
    let other = CONFIG.replace("users.toml", "people.toml");
    fs::rename(place.path("users.toml"), place.path("people.toml")).unwrap();
    place.write("holdover.toml", &other);
    place.write("rules.d/one.toml", RULE);
    place.use_it();
    let problem = place.rollback(None).unwrap_err();
    assert!(
        matches!(&problem, Problem::Faulty { generation: 1, .. }),
        "{problem}"
    );
    assert_eq!(place.read("holdover.toml").unwrap(), other);
    assert_eq!(place.read("rules.d/one.toml").unwrap(), RULE);
}

#[test]
fn equal_generations_are_not_gone_back_to() {
    let mut place = Place::new(5);
    place.use_it();
    assert!(matches!(place.rollback(None), Err(Problem::NoneBefore)));
    place.use_it();
    assert!(matches!(place.rollback(None), Err(Problem::NoneBefore)));
}

#[test]
fn a_content_that_was_changed_is_not_put_in_place() {
    let mut place = Place::new(5);
    place.use_it();
    let hash = Hash::of(ROOMS.as_bytes());
    place.write(&format!("history/files/{hash}"), "other rooms");
    place.write("rooms.csv", "broken");
    assert!(matches!(place.rollback(Some(1)), Err(Problem::Io(_))));
    assert_eq!(place.read("rooms.csv").unwrap(), "broken");
}

#[test]
fn nobody_reads_while_files_are_put_in_place() {
    let place = Place::new(5);
    let lock = place.history.lock().unwrap();
    let history = place.history.clone();
    let waiting = thread::spawn(move || history.lock().map(drop));
    assert!(!waiting.is_finished());
    drop(lock);
    waiting.join().unwrap().unwrap();
}

#[test]
fn differences_are_told_by_line() {
    assert_eq!(diff("a\nb\n", "a\nb\n"), "");
    assert_eq!(
        diff("a\nb\nc\nd\ne\n", "a\nB\nc\nd\ne\nf\n"),
        "@@ line 2 | line 2 @@\n-b\n+B\n@@ line 6 | line 6 @@\n+f\n"
    );
    assert_eq!(diff("", "x\n"), "@@ line 1 | line 1 @@\n+x\n");
    let many: String = (0..5_000).map(|line| format!("{line}\n")).collect();
    let other = many.replace('7', "x");
    assert!(diff(&many, &other).lines().count() > 1_000);
}

#[test]
fn two_configurations_that_share_a_folder_are_told_and_not_mixed_up() {
    let mut place = Place::new(5);
    place.use_it();
    let more = "ma-chan://contoso.com/1,here,ma-chan://contoso.com/a,migrated,,\n";
    place.write("rooms.csv", &format!("{ROOMS}{more}"));
    place.use_it();
    // Another gateway starts beside this one and takes the next number.
    place.write("other.toml", CONFIG);
    let other = Reader::new(place.path("other.toml"))
        .read()
        .version
        .unwrap();
    let generation = Generation::new(3, Timestamp::now(), "root".to_owned(), &other);
    place.history.keep(generation, &other.files).unwrap();
    // Which this one uses too.
    place.write("rooms.csv", ROOMS);
    let version = Reader::new(place.path("holdover.toml"))
        .read()
        .version
        .unwrap();
    let generation = Generation::new(3, Timestamp::now(), "root".to_owned(), &version);
    let told = place.history.keep(generation, &version.files).unwrap_err();
    assert!(told.to_string().contains("another gateway"), "{told}");
    assert_eq!(place.numbers(), [1, 2, 3]);
    // Back is back to what this configuration said.
    let Err(Problem::OfAnother(3, name)) = place.rollback(Some(3)) else {
        panic!("rolled back to the other's");
    };
    assert_eq!(name, "other.toml");
    assert_eq!(place.rollback(None).unwrap().to.generation, 2);
}

/// An edit that was never applied is what the last change was, for whoever made it.
#[test]
fn without_a_number_an_edit_that_was_refused_is_undone_first() {
    let mut place = Place::new(9);
    place.use_it();
    place.write("rules.d/one.toml", RULE);
    place.use_it();
    for (name, edit) in [
        ("holdover.toml", "a typo"),
        ("rules.d/two.toml", "[[rule]]"),
        ("rooms.csv", "cut"),
    ] {
        place.write(name, edit);
        let plan = Plan::new(&place.history, &place.path("holdover.toml"), None).unwrap();
        assert!(plan.is_current);
        let changed: Vec<_> = plan.files().map(|(name, _, _)| name.to_owned()).collect();
        assert_eq!(changed, [name]);
        assert_eq!(place.read(name).unwrap(), edit, "a plan changes nothing");
        let done = place.rollback(None).unwrap();
        assert_eq!(done.to.generation, 2, "{name}");
        assert_eq!(place.read("rules.d/one.toml").unwrap(), RULE);
    }
    // What is in place is in use: now the change before.
    let done = place.rollback(None).unwrap();
    assert_eq!(done.to.generation, 1);
    assert_eq!(place.read("rules.d/one.toml"), None);
}

#[test]
fn a_second_rollback_goes_on_backwards() {
    let mut place = Place::new(9);
    for number in 1..=4 {
        place.write(
            "rules.d/one.toml",
            &RULE.replace("No.", &format!("No {number}.")),
        );
        place.use_it();
    }
    for expected in [3, 2, 1] {
        assert_eq!(place.rollback(None).unwrap().to.generation, expected);
        place.use_it();
        let last = place.history.list().unwrap().pop().unwrap();
        assert_eq!(last.restores, Some(expected));
    }
    assert!(matches!(place.rollback(None), Err(Problem::NoneBefore)));
    // A change by hand begins anew, though it says what was there before.
    place.write("rules.d/one.toml", &RULE.replace("No.", "No 3."));
    place.use_it();
    assert_eq!(place.history.list().unwrap().pop().unwrap().restores, None);
    assert_eq!(place.rollback(None).unwrap().to.restores, Some(1));
}

#[cfg(unix)]
#[test]
fn a_rollback_keeps_owners_and_rights() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    let mut place = Place::new(9);
    place.write("rules.d/one.toml", RULE);
    let rights = |place: &Place, name: &str| {
        let metadata = fs::metadata(place.path(name)).unwrap();
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o777)
    };
    for name in ["holdover.toml", "rooms.csv", "rules.d/one.toml"] {
        // Only root can give files away.
        let _stays_ours = chown(place.path(name), Some(65_534), Some(65_533));
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(0o640)).unwrap();
    }
    let before = rights(&place, "holdover.toml");
    place.use_it();
    fs::remove_file(place.path("rules.d/one.toml")).unwrap();
    let other = CONFIG.replace("\"refuse\"", "\"same-id\"");
    fs::write(place.path("holdover.toml"), other).unwrap();
    place.use_it();
    place.rollback(None).unwrap();
    for name in ["holdover.toml", "rooms.csv", "rules.d/one.toml"] {
        assert_eq!(rights(&place, name), before, "{name}");
    }
}

#[test]
fn where_the_gateway_answers_is_known_while_it_runs() {
    let place = Place::new(1);
    assert_eq!(place.history.announced(), None);
    place
        .history
        .announce("0.0.0.0:8080".parse().unwrap())
        .unwrap();
    let announced = place.history.announced().unwrap();
    assert_eq!(announced, "127.0.0.1:8080".parse().unwrap());
    place.history.withdraw();
    assert_eq!(place.history.announced(), None);
}
