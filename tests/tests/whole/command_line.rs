//! The commands, as an admin meets them: what they print, what they change, and how they exit.

use std::path::Path;
use std::process::Output;

use holdover_tests::binary::{run, run_into};
use holdover_tests::gateway::Installation;

/// Runs a command in an installation.
fn holdover(installation: &Installation, line: &str) -> Output {
    let arguments: Vec<&str> = line.split(' ').collect();
    run(installation.dir(), &arguments, "")
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

/// What a command said, as it is kept in `golden/`: the exit code and both outputs. `HOLDOVER_UPDATE=1` writes it anew.
fn expect(name: &str, output: &Output) {
    let said = format!(
        "exit code {}\n--- standard output\n{}--- standard error\n{}",
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr)
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/whole/golden")
        .join(format!("{name}.txt"));
    if std::env::var_os("HOLDOVER_UPDATE").is_some() {
        std::fs::write(&path, &said).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(said, expected, "{}", path.display());
}

fn open() -> Installation {
    Installation::new("\"open\"", "")
}

#[test]
fn check_says_that_all_is_well() {
    let installation = open();
    expect(
        "check-good",
        &holdover(&installation, "check holdover.toml"),
    );
    expect(
        "check-good-json",
        &holdover(&installation, "check --json holdover.toml"),
    );
    assert!(!installation.path("rooms.db.lock").exists());
}

#[test]
fn check_finds_every_fault_of_the_configuration() {
    let installation = open();
    installation.write(
        "bad.toml",
        "[gateway]\ndomain = \"contoso..com\"\ngrace = 3\n\n[[listener]]\nname = \"a b\"\naddress = \"0.0.0.0\"\n\
         sign_in = \"open\"\n\n[directory]\nrooms = [\"rooms.csv\"]\nunlisted = \"sameid\"\n\n[limits]\nconnections = 0\n",
    );
    expect("check-bad", &holdover(&installation, "check bad.toml"));
    expect(
        "check-bad-json",
        &holdover(&installation, "check --json bad.toml"),
    );
    installation.write("broken.toml", "[gateway\ndomain = \"contoso.com\n");
    expect(
        "check-broken",
        &holdover(&installation, "check broken.toml"),
    );
    expect(
        "check-absent",
        &holdover(&installation, "check absent.toml"),
    );
}

#[test]
fn check_finds_files_that_are_missing_or_are_something_else() {
    let installation = Installation::new("{ digest = { users = \"users.toml\" } }", "");
    installation.write("sip.pem", "no certificate\n");
    std::fs::remove_file(installation.path("sip.key")).unwrap();
    std::fs::remove_file(installation.path("rooms.csv")).unwrap();
    expect(
        "check-files",
        &holdover(&installation, "check holdover.toml"),
    );
}

#[test]
fn check_finds_every_fault_of_the_directory() {
    let installation = open();
    installation.write(
        "rooms.csv",
        "legacy,pool,migrated,state,name,note\n\
         ma-chan://contoso.com/1,here,ma-chan://contoso.com/m1,migrated,One,\n\
         ma-chan://contoso.com/2,there,ma-chan://contoso.com/m2,migrated,Two,\n\
         contoso.com/3,here,ma-chan://contoso.com/m3,migrated,Three,\n\
         ma-chan://contoso.com/4,here,,migrated,Four,\n\
         ma-chan://contoso.com/5,here,ma-chan://contoso.com/m5,moved,Five,\n\
         ma-chan://contoso.com/1,here,ma-chan://contoso.com/m6,migrated,Six,\n\
         ma-chan://contoso.com/7,here\n",
    );
    expect(
        "check-rooms",
        &holdover(&installation, "check holdover.toml"),
    );
    // A faulty file is refused by every command that reads it.
    let looked_up = holdover(
        &installation,
        "lookup --config holdover.toml ma-chan://contoso.com/1",
    );
    assert_eq!(looked_up.status.code(), Some(1));
    assert!(
        text(&looked_up.stderr).contains("rooms.csv:3:"),
        "{}",
        text(&looked_up.stderr)
    );
}

#[test]
fn check_finds_every_fault_of_the_users_file_and_shows_none_of_it() {
    let installation = Installation::new("{ digest = { users = \"users.toml\" } }", "");
    installation.write(
        "users.toml",
        "[users]\n\"ann@contoso.com\" = \"939e7578ed9e3c518a452acee763bce9\"\n\
         \"bob@contoso.com\" = \"swordfish\"\n\"carol\" = \"939e7578ed9e3c518a452acee763bce9\"\n",
    );
    let output = holdover(&installation, "check holdover.toml");
    assert!(!text(&output.stderr).contains("swordfish"));
    assert!(!text(&output.stderr).contains("939e"));
    expect("check-users", &output);
}

#[test]
fn check_finds_a_key_that_does_not_fit() {
    let installation = open();
    let key = std::fs::read_to_string(open().path("sip.key")).unwrap();
    installation.write("sip.key", &key);
    // The faults of other files are not hidden behind it.
    installation.write("rooms.csv", "legacy,migrated,state\nx,,retired\n");
    expect(
        "check-pair",
        &holdover(&installation, "check holdover.toml"),
    );
    let output = holdover(&installation, "run --config holdover.toml");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn check_finds_rooms_that_are_not_on_the_pool() {
    let installation = open();
    let rooms = std::fs::read_to_string(installation.path("rooms.csv")).unwrap();
    let more = "ma-chan://contoso.com/990,here,ma-chan://contoso.com/not-there,migrated,Nowhere,\n";
    installation.write(
        "rooms.csv",
        format!("{}\n{more}", rooms.trim_end()).as_str(),
    );
    expect(
        "check-not-on-pool",
        &holdover(&installation, "check holdover.toml"),
    );
}

#[test]
fn check_finds_what_the_start_finds_of_pools() {
    let other = open();
    let pool = |more: &str| {
        format!(
            "[[pool]]\nname = \"far\"\nsip = {{ uri = \"sip:pool@far.example\", servers = [\"127.0.0.1:1\"]{more} }}\n"
        )
    };
    let tls = pool(
        ", tls = { authorities = \"ca.pem\", certificate = \"own.pem\", private_key = \"own.key\" }",
    );
    let (pem, key) = (
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "sip.key",
    );
    for (name, text, files, word) in [
        (
            "another's key",
            tls.as_str(),
            [("own.key", key, true)],
            "own.pem",
        ),
        ("no authority", &tls, [("ca.pem", pem, false)], "ca.pem"),
        (
            "a database that is none",
            "[[pool]]\nname = \"more\"\nembedded = { database = \"more.db\" }\n",
            [(
                "more.db",
                "this is no database at all, but long enough to be looked at",
                false,
            )],
            "more.db",
        ),
        (
            "a folder in which nothing can be made",
            "[[pool]]\nname = \"more\"\nembedded = { database = \"/proc/more.db\" }\n",
            [("unused", "", false)],
            "/proc",
        ),
        (
            "a lock that is a folder",
            "[[pool]]\nname = \"more\"\nembedded = { database = \"more.db\" }\n",
            [("more.db.lock/x", "", false)],
            "more.db.lock",
        ),
    ] {
        let installation = open();
        for (from, to) in [
            ("sip.pem", "own.pem"),
            ("sip.key", "own.key"),
            ("sip.pem", "ca.pem"),
        ] {
            std::fs::copy(installation.path(from), installation.path(to)).unwrap();
        }
        for (file, content, is_others) in files {
            let path = installation.path(file);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).unwrap();
            }
            if is_others {
                std::fs::copy(other.path(content), path).unwrap();
            } else {
                std::fs::write(path, content).unwrap();
            }
        }
        let config = std::fs::read_to_string(installation.path("holdover.toml")).unwrap();
        let config = config.replace(
            "[directory]\n",
            &format!("{text}[directory]\ndefault_pool = \"here\"\n"),
        );
        installation.write("holdover.toml", config.as_str());
        let before = installation.dir().read_dir().unwrap().count();
        for command in ["check holdover.toml", "run --config holdover.toml"] {
            let output = holdover(&installation, command);
            let said = text_of(&output);
            assert_eq!(output.status.code(), Some(1), "{name}, {command}: {said}");
            assert!(said.contains(word), "{name}, {command}: {said}");
        }
        let after = installation.dir().read_dir().unwrap().count();
        assert_eq!(before, after, "{name}: something was made");
    }
}

fn text_of(output: &Output) -> String {
    text(&output.stderr) + &text(&output.stdout)
}

#[test]
fn the_faults_of_all_files_are_told_at_once() {
    let installation = Installation::new("{ digest = { users = \"users.toml\" } }", "");
    installation.write("users.toml", "[users]\nann = 3\n");
    installation.write("rooms.csv", "legacy,migrated,state\nx,,retired\n");
    let output = holdover(&installation, "check holdover.toml");
    let told = text(&output.stderr);
    assert!(
        told.contains("users.toml:2:") && told.contains("rooms.csv:2:"),
        "{told}"
    );
}

#[test]
fn run_refuses_what_check_refuses_and_changes_nothing() {
    for (file, octets) in [
        ("holdover.toml", "[gateway]\n"),
        ("rooms.csv", "legacy,migrated,state\nx,y,z\n"),
        ("sip.key", "nothing\n"),
        ("users.toml", "[users]\nann = 3\n"),
    ] {
        let installation = Installation::new("{ digest = { users = \"users.toml\" } }", "");
        installation.write("users.toml", "[users]\n");
        std::fs::remove_file(installation.database()).unwrap();
        installation.write(file, octets);
        let before = files(installation.dir());
        let output = holdover(&installation, "run --config holdover.toml");
        assert_eq!(output.status.code(), Some(1), "{file}");
        assert!(
            text(&output.stderr).contains(file),
            "{file}: {}",
            text(&output.stderr)
        );
        assert_eq!(files(installation.dir()), before, "{file}");
    }
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn lookup_tells_where_a_room_went() {
    let installation = open();
    for (name, line) in [
        ("migrated", "ma-chan://contoso.com/deals"),
        ("retired", "ma-chan://contoso.com/falcon"),
        ("unlisted", "ma-chan://contoso.com/nowhere"),
        ("back", "--migrated ma-chan://contoso.com/m-lunch"),
        ("no-room", "http://contoso.com/deals"),
    ] {
        let asked = format!("lookup --config holdover.toml {line}");
        expect(&format!("lookup-{name}"), &holdover(&installation, &asked));
    }
    let asked = "lookup --json --config holdover.toml ma-chan://contoso.com/deals";
    expect("lookup-json", &holdover(&installation, asked));
}

/// Rules that do not quite fit the directory.
const RULES: &str = "\
[[rule]]\n\
name = \"moving\"\n\
when = { user = \"*-pilot@contoso.com\", command = \"post\" }\n\
then = { read_only = \"Rooms are being moved until Sunday.\" }\n\
\n\
[[rule]]\n\
name = \"pilots first\"\n\
when = { user = \"*-pilot@contoso.com\" }\n\
then = { pool = \"second\" }\n";

fn with_rules() -> Installation {
    let installation = open();
    let file = installation.path("holdover.toml");
    let second = "\n[[pool]]\nname = \"second\"\nembedded = { database = \"second.db\" }\n\n";
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}{second}{RULES}")).unwrap();
    let also = "ma-chan://contoso.com/deals,second,ma-chan://contoso.com/s-deals,also,,\n";
    let rooms = installation.path("rooms.csv");
    let text = std::fs::read_to_string(&rooms).unwrap();
    std::fs::write(&rooms, format!("{text}{also}")).unwrap();
    installation
}

#[test]
fn explain_tells_who_goes_where_and_why() {
    let installation = with_rules();
    let ann = "--user ann-pilot@contoso.com --at 2026-12-05T18:00[Europe/Berlin]";
    for (name, line) in [
        ("read", "--room ma-chan://contoso.com/deals"),
        ("post", "--room ma-chan://contoso.com/deals --act post"),
        ("no-target", "--room ma-chan://contoso.com/lunch"),
        ("json", "--room ma-chan://contoso.com/deals --json"),
        ("no-listener", "--listener client"),
    ] {
        let asked = format!("explain --config holdover.toml {ann} {line}");
        expect(&format!("explain-{name}"), &holdover(&installation, &asked));
    }
}

#[test]
fn check_warns_of_rules_that_do_not_fit_the_directory() {
    let installation = with_rules();
    expect(
        "check-apart",
        &holdover(&installation, "check holdover.toml"),
    );
    let strict = holdover(&installation, "check --deny-warnings holdover.toml");
    assert_eq!(strict.status.code(), Some(1));
}

#[test]
fn pool_load_is_idempotent_and_all_or_nothing() {
    let installation = open();
    let list = || text(&holdover(&installation, "pool list --config holdover.toml --json").stdout);
    let before = list();
    expect(
        "pool-load",
        &holdover(&installation, "pool load pool.toml --config holdover.toml"),
    );
    assert_eq!(list(), before);
    expect(
        "pool-list",
        &holdover(&installation, "pool list --database rooms.db"),
    );
    installation.write(
        "bad-pool.toml",
        "[[room]]\nname = \"New\"\ncategory = \"None\"\nprivacy = \"public\"\nmembers = [\"ann\"]\n\n[[category]]\nnmae = \"x\"\n",
    );
    let refused = holdover(&installation, "pool load bad-pool.toml --database rooms.db");
    expect("pool-load-bad", &refused);
    assert_eq!(list(), before);
    let refused = holdover(&installation, "pool load bad-pool.toml --database new.db");
    assert_eq!(refused.status.code(), Some(1));
    assert!(!installation.path("new.db").exists());
}

#[test]
fn user_add_adds_and_changes() {
    let installation = Installation::new("{ digest = { users = \"users.toml\" } }", "");
    let add = |user: &str, password: &str| {
        let arguments = ["user", "add", user, "--users", "users.toml"];
        run(installation.dir(), &arguments, &format!("{password}\n"))
    };
    expect("user-add", &add("ann@contoso.com", "one"));
    let first = std::fs::read_to_string(installation.path("users.toml")).unwrap();
    assert!(!first.contains("one"));
    expect("user-change", &add("Ann@Contoso.com", "two"));
    let second = std::fs::read_to_string(installation.path("users.toml")).unwrap();
    assert_ne!(first, second);
    assert_eq!(second.matches("contoso.com").count(), 1, "{second}");
    expect("user-bad", &add("ann", "one"));
    expect("user-empty", &add("bob@contoso.com", ""));
    assert_eq!(
        std::fs::read_to_string(installation.path("users.toml")).unwrap(),
        second
    );
    let checked = holdover(&installation, "check holdover.toml");
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}

#[test]
fn every_example_is_right_once_its_files_are_there() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples");
    let mut seen = 0;
    for example in std::fs::read_dir(examples).unwrap() {
        let example = example.unwrap().path();
        // The one that is for `pool serve`, which checks it itself.
        let is_other = ["pool-serve.toml", "content.toml"].map(|other| example.ends_with(other));
        if is_other.contains(&true) || example.is_dir() {
            continue;
        }
        let installation = open();
        for (own, upstream) in [("sip.pem", "holdover.pem"), ("sip.key", "holdover.key")] {
            std::fs::copy(installation.path(own), installation.path(upstream)).unwrap();
        }
        installation.write("example.toml", &std::fs::read_to_string(&example).unwrap());
        installation.write("archive.csv", "legacy,migrated,state,pool\n");
        if example.ends_with("pools.toml") {
            installation.write("rooms.csv", "legacy,migrated,state,pool\n");
        }
        let added = run(
            installation.dir(),
            &["user", "add", "ann@contoso.com", "--users", "users.toml"],
            "secret\n",
        );
        assert!(added.status.success());
        let checked = holdover(&installation, "check example.toml");
        assert!(
            checked.status.success(),
            "{}: {}",
            example.display(),
            text(&checked.stderr)
        );
        seen += 1;
    }
    assert!(seen >= 3);
}

/// The sample set of rules, in an installation of its own.
fn sample() -> Installation {
    let installation = open();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples/rules");
    std::fs::create_dir(installation.path("rules.d")).unwrap();
    for folder in ["", "rules.d"] {
        for file in std::fs::read_dir(sample.join(folder)).unwrap() {
            let file = file.unwrap().path();
            if file.is_file() {
                let name = Path::new(folder).join(file.file_name().unwrap());
                std::fs::copy(&file, installation.dir().join(name)).unwrap();
            }
        }
    }
    installation
}

#[test]
fn the_sample_set_of_rules_is_right() {
    let installation = sample();
    let checked = holdover(&installation, "check holdover.toml");
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}

#[test]
fn rules_list_shows_all_rules_in_order() {
    let installation = sample();
    expect(
        "rules-list",
        &holdover(&installation, "rules list --config holdover.toml"),
    );
    let json = holdover(&installation, "rules list --json --config holdover.toml");
    expect("rules-list-json", &json);
    let without = open();
    expect(
        "rules-list-none",
        &holdover(&without, "rules list --config holdover.toml"),
    );
    without.write("bad.toml", "[[rule]]\nname = \"a\"\n");
    let bad = holdover(&without, "rules list --config bad.toml");
    assert_eq!(bad.status.code(), Some(1));
}

#[test]
fn rules_enable_and_disable_change_one_word() {
    let installation = sample();
    let read = |file: &str| std::fs::read_to_string(installation.path(file)).unwrap();
    let switch = |what: &str, name: &str| {
        let arguments = ["rules", what, name, "--config", "holdover.toml"];
        run(installation.dir(), &arguments, "")
    };
    let (main, beside) = (read("holdover.toml"), read("rules.d/30-beside.toml"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(installation.path("rules.d/30-beside.toml"), mode).unwrap();
    }
    expect("rules-enable", &switch("enable", "overseas is closed"));
    let enabled = beside.replace("enabled = false", "enabled = true");
    assert_eq!(read("rules.d/30-beside.toml"), enabled);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let file = std::fs::metadata(installation.path("rules.d/30-beside.toml")).unwrap();
        assert_eq!(file.permissions().mode() & 0o777, 0o640);
    }
    expect("rules-enabled", &switch("enable", "overseas is closed"));
    expect("rules-disable", &switch("disable", "overseas is closed"));
    assert_eq!(read("rules.d/30-beside.toml"), beside);

    // A rule that does not say whether it is enabled gets a line.
    let disabled = switch("disable", "people who left");
    assert!(disabled.status.success(), "{}", text(&disabled.stderr));
    let name = "name = \"people who left\"\n";
    let expected = main.replace(name, &format!("{name}enabled = false\n"));
    assert_eq!(read("holdover.toml"), expected);
    assert!(switch("enable", "people who left").status.success());

    expect(
        "rules-enable-unknown",
        &switch("enable", "oversees is closed"),
    );
    expect("rules-enable-far", &switch("enable", "x"));
    assert_eq!(files(&installation.dir().join("rules.d")).len(), 3);

    // What would not check is left as it is.
    installation.write(
        "holdover.toml",
        &main.replace("\"people who left\"\nwhen", "\"people who left\"\nwehn"),
    );
    let before = read("holdover.toml");
    let refused = switch("disable", "people who left");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("did you mean `when`?"));
    assert_eq!(read("holdover.toml"), before);
}

#[test]
fn switching_a_rule_is_recorded() {
    let installation = sample();
    let main = std::fs::read_to_string(installation.path("holdover.toml")).unwrap();
    installation.write(
        "holdover.toml",
        &format!("{main}\n[audit]\nfile = \"audit.jsonl\"\n"),
    );
    let arguments = ["rules", "disable", "pilots", "--config", "holdover.toml"];
    for _ in 0..2 {
        let switched = run(installation.dir(), &arguments, "");
        assert!(switched.status.success(), "{}", text(&switched.stderr));
    }
    let audit = std::fs::read_to_string(installation.path("audit.jsonl")).unwrap();
    assert_eq!(
        audit.lines().count(),
        1,
        "nothing changed the second time: {audit}"
    );
    assert!(
        audit.contains("rule-toggle") && audit.contains("rules.d/20-pools.toml"),
        "{audit}"
    );
    let verified = holdover(&installation, "audit verify --config holdover.toml");
    assert!(verified.status.success(), "{}", text(&verified.stderr));
}

#[test]
fn rules_test_runs_the_tests_beside_the_rules() {
    let installation = sample();
    expect(
        "rules-test",
        &holdover(
            &installation,
            "rules test --fail-under 100 --config holdover.toml",
        ),
    );
    // One rule is not enabled any more, and one does something else.
    let pools = std::fs::read_to_string(installation.path("rules.d/20-pools.toml")).unwrap();
    let changed = pools
        .replace(
            "name = \"branches stay\"\nwhen",
            "name = \"branches stay\"\nenabled = false\nwhen",
        )
        .replace("percent = 20 }", "percent = 19 }");
    installation.write("rules.d/20-pools.toml", &changed);
    installation.write(
        "rules.d/40-untested.toml",
        "[[rule]]\nname = \"nobody tests this\"\nwhen = { domain = \"fabrikam.com\", command = \"manage\" }\nthen = { refuse = \"No.\" }\n",
    );
    expect(
        "rules-test-failed",
        &holdover(
            &installation,
            "rules test --fail-under 95 --config holdover.toml",
        ),
    );
    expect(
        "rules-test-json",
        &holdover(&installation, "rules test --json --config holdover.toml"),
    );
    // Too few rules are reached, though every test passes.
    installation.write("rules.d/20-pools.toml", &pools);
    let few = holdover(
        &installation,
        "rules test --fail-under 100 --config holdover.toml",
    );
    assert_eq!(few.status.code(), Some(1), "{}", text(&few.stdout));
    let enough = holdover(
        &installation,
        "rules test --fail-under 90 --config holdover.toml",
    );
    assert!(enough.status.success(), "{}", text(&enough.stdout));
}

#[test]
fn check_warns_of_odd_rules_and_prints_them_for_programs() {
    let installation = sample();
    installation.write(
        "rules.d/40-odd.toml",
        "[[rule]]\nname = \"too late\"\nwhen = { user = \"*-sales@contoso.com\", percent = 10 }\nthen = { pool = \"old\" }\n\n\
         [[rule]]\nname = \"over\"\nwhen = { until = \"2020-01-01\" }\nthen = { notice = \"Hello.\" }\n",
    );
    expect("check-odd", &holdover(&installation, "check holdover.toml"));
    expect(
        "check-odd-sarif",
        &holdover(
            &installation,
            "check --format sarif --deny-warnings holdover.toml",
        ),
    );
    let json = holdover(&installation, "check --json holdover.toml");
    assert_eq!(
        json.stdout,
        holdover(&installation, "check --format json holdover.toml").stdout
    );
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let installation = open();
    for line in [
        "",
        "walk",
        "run",
        "check",
        "lookup ma-chan://contoso.com/1",
        "pool list",
        "user add ann@contoso.com",
    ] {
        let output = holdover(&installation, line);
        assert_eq!(
            output.status.code(),
            Some(2),
            "`{line}`: {}",
            text(&output.stderr)
        );
    }
}

#[test]
fn a_reader_that_stops_reading_changes_nothing_but_a_full_disk_is_reported() {
    let installation = open();
    for line in [
        "check holdover.toml",
        "check --json holdover.toml",
        "rules list --config holdover.toml",
        "lookup ma-chan://contoso.com/1 --config holdover.toml",
        "explain --user ann@contoso.com --room ma-chan://contoso.com/1 --config holdover.toml",
        "check absent.toml",
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let expected = run(installation.dir(), &arguments, "").status.code();
        let (reader, closed) = std::io::pipe().unwrap();
        drop(reader);
        let output = run_into(installation.dir(), &arguments, closed);
        assert_eq!(output.status.code(), expected, "{line}");
        assert!(!text(&output.stderr).contains("panicked"), "{line}");
    }
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = run_into(installation.dir(), &["check", "holdover.toml"], full);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "error: cannot write to standard output: No space left on device (os error 28)\n"
    );
}
