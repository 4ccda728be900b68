use std::fs;
use std::sync::mpsc;
use std::thread;

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::audit::{AuditLog, verify};
use crate::telemetry::Telemetry;

mod files;

const CONFIG: &str = r#"[gateway]
domain = "contoso.com"
drain_secs = 3

[[listener]]
name = "clients"
address = "127.0.0.1:0"
sign_in = { digest = { users = "users.toml" } }

[[pool]]
name = "here"
embedded = { database = "rooms.db" }

[directory]
rooms = ["rooms.csv"]

[audit]
file = "audit.jsonl"

[[rule]]
name = "weekend"
enabled = false
then = { refuse = "Closed." }

[reload]
settle_ms = 0
"#;

const ROOMS: &str = "legacy,pool,migrated,state,name,note
ma-chan://contoso.com/1,here,ma-chan://contoso.com/a,migrated,Lounge,
ma-chan://contoso.com/2,here,,retired,Falcon,Ask the archive.
";

const USERS: &str = "[users]\n\"ann@contoso.com\" = \"939e7578ed9e3c518a452acee763bce9\"\n";

/// Keeps what was published.
struct Published(mpsc::Sender<(u64, Version)>);

impl Publish for Published {
    fn publish(&self, generation: u64, version: &Version) -> Retired {
        self.0.send((generation, version.clone())).unwrap();
        Retired::default()
    }
}

struct Place {
    folder: TempDir,
    engine: Engine,
    telemetry: Telemetry,
    published: mpsc::Receiver<(u64, Version)>,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        for (name, text) in [
            ("holdover.toml", CONFIG),
            ("rooms.csv", ROOMS),
            ("users.toml", USERS),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let mut reader = Reader::new(folder.path().join("holdover.toml"));
        let version = reader.read().version.unwrap();
        let (sender, published) = mpsc::channel();
        let telemetry = Telemetry::new();
        let who = Who::Start {
            user: "root".to_owned(),
        };
        let publish = Box::new(Published(sender));
        let engine = Engine::start(reader, 1, version, &who, publish, telemetry.clone());
        Self {
            folder,
            engine,
            telemetry,
            published,
        }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Returns what was published, if something was.
    fn reload(&mut self) -> (Report, Option<Version>) {
        self.reload_with(Doubts::Refused)
    }

    fn reload_with(&mut self, doubts: Doubts) -> (Report, Option<Version>) {
        let report = self.engine.reload_with(&Who::Signal, doubts);
        let published = self.published.try_recv().ok();
        if let Some((generation, _)) = &published {
            assert!(
                matches!(&report, Report::Applied { generation: told, .. } if told == generation)
            );
        }
        (report, published.map(|(_, version)| version))
    }

    fn metric(&self, name: &str) -> String {
        let exposition = self.telemetry.exposition();
        let value = exposition
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name}")).to_owned()
    }

    /// What the audit file says, which is whole.
    fn acts(&self) -> Vec<Value> {
        let log = AuditLog::new(self.folder.path().join("audit.jsonl"));
        verify(log.path()).unwrap().unwrap();
        let text = fs::read_to_string(log.path()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn faults(report: &Report) -> Vec<(&str, Option<usize>)> {
    let Report::Rejected { faults, .. } = report else {
        panic!("{report:?}");
    };
    let faults = faults.iter();
    faults
        .map(|fault| (fault.message(), fault.location().map(|at| at.line())))
        .collect()
}

#[test]
fn a_changed_rule_is_the_next_generation() {
    let mut place = Place::new();
    place.write(
        "holdover.toml",
        &CONFIG.replace("enabled = false", "enabled = true"),
    );
    let (report, version) = place.reload();
    assert!(
        matches!(report, Report::Applied { generation: 2, .. }),
        "{report:?}"
    );
    let version = version.unwrap();
    assert!(version.settings.live.rules.first().unwrap().enabled);
    assert_eq!(place.engine.status().generation, 2);
    assert_eq!(place.engine.status().hash, version.hash());
    assert_eq!(place.metric("holdover_config_generation"), "2");

    let (report, version) = place.reload();
    assert!(
        matches!(report, Report::Unchanged { generation: 2, .. }),
        "{report:?}"
    );
    assert!(version.is_none());
}

#[test]
fn files_of_rules_come_change_and_go() {
    let mut place = Place::new();
    let rule = "[[rule]]\nname = \"one\"\nthen = { refuse = \"No.\" }\n";
    for (text, rules) in [(rule.to_owned(), 2), (rule.replace("No.", "Never."), 2)] {
        place.write("rules.d/one.toml", &text);
        let version = place.reload().1.unwrap();
        assert_eq!(version.settings.live.rules.len(), rules);
    }
    fs::remove_file(place.folder.path().join("rules.d/one.toml")).unwrap();
    let version = place.reload().1.unwrap();
    assert_eq!(version.settings.live.rules.len(), 1);
}

#[test]
fn a_fault_changes_nothing_and_is_told_until_it_is_mended() {
    let mut place = Place::new();
    let wrong = CONFIG.replace("enabled = false", "enabled = 7");
    place.write("holdover.toml", &wrong);
    let (report, version) = place.reload();
    assert!(version.is_none());
    assert_eq!(
        faults(&report),
        [(
            "`rule.enabled` must be `true` or `false`, not an integer",
            Some(22)
        )]
    );
    let status = place.engine.status();
    assert_eq!(
        (status.generation, status.last_reload_successful),
        (1, false)
    );
    let diagnostics = &status.rejected.unwrap().diagnostics;
    assert_eq!(diagnostics["diagnostics"][0]["line"], 22, "{diagnostics}");
    assert_eq!(place.metric("holdover_config_last_reload_successful"), "0");

    place.write("holdover.toml", CONFIG);
    let (report, version) = place.reload();
    assert!(
        matches!(report, Report::Unchanged { generation: 1, .. }),
        "{report:?}"
    );
    assert!(version.is_none());
    assert!(place.engine.status().rejected.is_none());
    assert_eq!(place.metric("holdover_config_last_reload_successful"), "1");
}

#[test]
fn a_fault_that_only_its_file_shows_again_is_told_once() {
    let mut place = Place::new();
    place.write("rooms.csv", "nonsense\n");
    let file = Who::FileChange { owner: None };
    for _ in 0..3 {
        let report = place.engine.reload(&file);
        assert!(matches!(report, Report::Rejected { .. }));
    }
    assert_eq!(place.metric("holdover_config_rejected_total"), "1");
    // Who asks is answered.
    place.reload();
    assert_eq!(place.metric("holdover_config_rejected_total"), "2");
}

#[test]
fn what_holds_from_start_to_stop_is_refused_by_name_and_with_it_everything_else() {
    let mut place = Place::new();
    let both = CONFIG
        .replace("drain_secs = 3", "drain_secs = 4")
        .replace("enabled = false", "enabled = true");
    place.write("holdover.toml", &both);
    let (report, version) = place.reload();
    assert!(version.is_none());
    assert_eq!(
        faults(&report),
        [(
            "`gateway.drain_secs` was changed: that takes effect at the next start",
            Some(3)
        )]
    );
}

#[test]
fn rooms_and_users_are_read_again_only_when_they_changed() {
    let mut place = Place::new();
    let before = place.engine.status();
    let other = "\"bob@contoso.com\" = \"0123456789abcdef0123456789abcdef\"\n";
    place.write("users.toml", &format!("{USERS}{other}"));
    let users = place.reload().1.unwrap();
    let found = users.users.values().next().unwrap();
    assert!(found.get(&"bob@contoso.com".parse().unwrap()).is_some());
    // Users have no part in what others are told.
    assert_eq!(place.engine.status().hash, before.hash);
    assert!(
        place
            .engine
            .status()
            .files
            .iter()
            .any(|file| file.hash.is_none())
    );

    place.write("holdover.toml", &CONFIG.replace("Closed.", "Shut."));
    let rules = place.reload().1.unwrap();
    assert!(Arc::ptr_eq(&rules.directory, &users.directory));

    place.write("rooms.csv", &ROOMS.replace("Lounge", "Salon"));
    let rooms = place.reload().1.unwrap();
    assert!(!Arc::ptr_eq(&rooms.directory, &rules.directory));
}

#[test]
fn every_act_is_in_the_audit_file_with_hashes_and_without_secrets() {
    let mut place = Place::new();
    place.write("holdover.toml", &CONFIG.replace("Closed.", "Shut."));
    place.reload();
    place.write("holdover.toml", "broken");
    place.reload();
    place.write("holdover.toml", CONFIG);
    place.write("users.toml", &USERS.replace("ann", "eve"));
    place.reload();
    let acts = place.acts();
    let told: Vec<_> = acts
        .iter()
        .map(|act| {
            (
                act["act"].as_str().unwrap(),
                act["generation"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [("start", 1), ("reload", 2), ("reload", 2), ("reload", 3)]
    );
    let hash = |text: &str| json!(Hash::of(text.as_bytes()).to_string());
    let change = &acts[1]["files"];
    assert_eq!(change.as_array().unwrap().len(), 1);
    assert_eq!(change[0]["before"], hash(CONFIG));
    assert_eq!(
        change[0]["after"],
        hash(&CONFIG.replace("Closed.", "Shut."))
    );
    assert_eq!(acts[2]["result"]["is"], "refused");
    assert!(
        acts[2]["result"]["place"]
            .as_str()
            .unwrap()
            .contains("holdover.toml:1:")
    );
    let users = acts[3]["files"].as_array().unwrap();
    let users = users
        .iter()
        .find(|file| file["file"] == "users.toml")
        .unwrap();
    assert_eq!(
        (&users["before"], &users["after"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn a_change_of_the_directory_is_an_act_of_its_own() {
    let mut place = Place::new();
    place.write("holdover.toml", &CONFIG.replace("Closed.", "Shut."));
    place.reload();
    // The first room has another name, the second is gone, and there are two others.
    let rooms = "legacy,pool,migrated,state,name,note
ma-chan://contoso.com/1,here,ma-chan://contoso.com/a,migrated,Salon,
ma-chan://contoso.com/3,here,ma-chan://contoso.com/c,migrated,Third,
ma-chan://contoso.com/4,here,,pending,Fourth,
";
    place.write("rooms.csv", rooms);
    place.reload();
    place.write("rooms.csv", "nonsense");
    place.reload();
    place.write("rooms.csv", rooms);
    let other = CONFIG.replace(
        "rooms = [\"rooms.csv\"]",
        "rooms = [\"rooms.csv\"]\nunlisted = \"same-id\"\ndefault_pool = \"here\"",
    );
    place.write("holdover.toml", &other);
    place.reload();
    let acts = place.acts();
    let told: Vec<_> = acts
        .iter()
        .map(|act| act["act"].as_str().unwrap())
        .collect();
    assert_eq!(
        told,
        [
            "start",
            "reload",
            "reload",
            "directory-change",
            // Refused: the directory is the same.
            "reload",
            "reload",
            "directory-change",
        ]
    );
    let hash = |text: &str| json!(Hash::of(text.as_bytes()).to_string());
    let change = &acts[3];
    assert_eq!(
        change["rooms"],
        json!({"added": 2, "removed": 1, "changed": 1})
    );
    assert_eq!(
        change["files"],
        json!([{"file": "rooms.csv", "before": hash(ROOMS), "after": hash(rooms)}])
    );
    assert_eq!(
        (&change["generation"], &change["result"]["is"]),
        (&json!(3), &json!("applied"))
    );
    assert_eq!(change["who"], acts[2]["who"]);
    // What is done with rooms that are not listed is the directory's as well.
    assert_eq!(
        acts[6]["rooms"],
        json!({"added": 0, "removed": 0, "changed": 0})
    );
    assert!(
        verify(&place.folder.path().join("audit.jsonl"))
            .unwrap()
            .is_ok()
    );
}

#[tokio::test]
async fn reloads_that_wait_are_carried_out_together() {
    let place = Place::new();
    let (reloads, reloader) = Reloads::new(place.engine).unwrap();
    let asked: Vec<_> = (0..10)
        .map(|_| {
            let reloader = reloader.clone();
            tokio::spawn(async move { reloader.reload(Who::Signal).await })
        })
        .collect();
    while reloader.requests.capacity() > WAITING - 10 {
        tokio::task::yield_now().await;
    }
    let stop = CancellationToken::new();
    let served = tokio::spawn(reloads.serve(stop.clone()));
    for asked in asked {
        let report = asked.await.unwrap().unwrap();
        assert!(matches!(report, Report::Unchanged { generation: 1, .. }));
    }
    assert!(
        place
            .telemetry
            .exposition()
            .contains("holdover_config_unchanged_total 1\n")
    );
    stop.cancel();
    served.await.unwrap();
    assert!(reloader.reload(Who::Signal).await.is_none());
}

/// What happens to a file at random.
#[derive(Clone, Debug)]
enum Mutation {
    Delete(usize),
    Repeat(usize),
    Replace(usize, char),
    Whole(&'static str),
}

fn mutation() -> impl Strategy<Value = (usize, Mutation)> {
    let character = prop_oneof![
        Just('"'),
        Just('='),
        Just(','),
        Just('x'),
        Just('1'),
        Just('\n')
    ];
    let mutation = prop_oneof![
        (0..60_usize).prop_map(Mutation::Delete),
        (0..60_usize).prop_map(Mutation::Repeat),
        (0..900_usize, character).prop_map(|(at, to)| Mutation::Replace(at, to)),
        Just(Mutation::Whole("")),
        Just(Mutation::Whole("enabled = true")),
    ];
    (0..4_usize, mutation)
}

fn mutated(text: &str, mutation: &Mutation) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    match *mutation {
        Mutation::Delete(at) => {
            lines.remove(at % lines.len());
        }
        Mutation::Repeat(at) => {
            let at = at % lines.len();
            lines.insert(at, lines[at]);
        }
        Mutation::Replace(at, to) => {
            let mut characters: Vec<char> = text.chars().collect();
            let at = at % characters.len();
            characters[at] = to;
            return characters.into_iter().collect();
        }
        Mutation::Whole(whole) => return text.replace("enabled = false", whole),
    }
    lines.join("\n") + "\n"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A gateway that has seen many versions and a check that sees one for the first time find the same.
    #[test]
    fn check_says_good_if_and_only_if_a_reload_applies(steps in prop::collection::vec(mutation(), 1..8)) {
        const RULES: &str = "[[rule]]\nname = \"r\"\nenabled = false\nwhen = { user = \"ann@contoso.com\" }\nthen = { pool = \"here\" }\n";
        let mut place = Place::new();
        let files = [("holdover.toml", CONFIG), ("rooms.csv", ROOMS), ("users.toml", USERS), ("rules.d/r.toml", RULES)];
        for (file, mutation) in steps {
            let (name, text) = files[file];
            place.write(name, &mutated(text, &mutation));
            let config = place.folder.path().join("holdover.toml");
            let checked = Reader::new(&config).read().version;
            let running = place.engine.running().clone();
            let (report, published) = place.reload_with(Doubts::Accepted);
            match (&checked, &report) {
                (Ok(checked), Report::Applied { .. }) => {
                    let published = published.unwrap();
                    prop_assert_eq!(&published.settings, &checked.settings);
                    prop_assert_eq!(published.hash(), checked.hash());
                    prop_assert_eq!(published.directory.rooms(), checked.directory.rooms());
                }
                (Ok(checked), Report::Unchanged { .. }) => prop_assert_eq!(&checked.files, &running.files),
                (Ok(checked), Report::Rejected { .. }) => prop_assert_ne!(&checked.settings.fixed, &running.settings.fixed),
                (Err(checked), Report::Rejected { faults, .. }) => prop_assert_eq!(checked, &**faults),
                (_, Report::Failed { .. }) => prop_assert!(false, "it panicked"),
                (Err(faults), report) => prop_assert!(false, "{report:?}, but {}", faults.render(false)),
            }
        }
        // What is mended works again.
        for (name, text) in files {
            place.write(name, text);
        }
        let rejected = matches!(place.reload().0, Report::Rejected { .. });
        prop_assert!(!rejected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_system_tells_nothing_files_are_looked_at() {
    let place = Place::new();
    let Place {
        folder,
        engine,
        telemetry,
        published,
    } = place;
    let (reloads, reloader) = Reloads::new(engine).unwrap();
    let stop = CancellationToken::new();
    let settings = holdover_config::settings::Reload {
        watch: holdover_config::settings::Watch::Native,
        poll: Duration::from_millis(10),
    };
    tokio::spawn(reloads.serve(stop.clone()));
    // As where there are more watches than the system allows.
    let none_left = |_| Err(notify::Error::new(notify::ErrorKind::MaxFilesWatch));
    let watching = watch::watch_by(
        reloader,
        settings,
        telemetry.clone(),
        stop.clone(),
        none_left,
    );
    let watching = tokio::spawn(watching);
    for (enabled, generation) in [("true", 2), ("false", 3)] {
        let text = CONFIG.replace("enabled = false", &format!("enabled = {enabled}"));
        fs::write(folder.path().join("holdover.toml"), text).unwrap();
        let told = published.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(told.0, generation);
    }
    let exposition = telemetry.exposition();
    assert!(
        exposition.contains("holdover_watch_failures_total 1\n"),
        "told once: {exposition}"
    );
    stop.cancel();
    watching.await.unwrap();
}
