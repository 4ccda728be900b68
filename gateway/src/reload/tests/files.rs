//! Files as people leave them: cut short, half written, endless, or changed where the system does not look.

use super::*;

/// A value that is cut in the middle leads somebody to another room.
#[test]
fn a_last_line_without_an_end_is_not_applied() {
    let mut place = Place::new();
    let more = "ma-chan://contoso.com/417,here,ma-chan://contoso.com/125,migrated,Board,\n";
    for cut in [
        "ma-chan://contoso.com/417,here,ma-chan://contoso.com/12,migrated,B",
        "",
    ] {
        place.write("rooms.csv", &format!("{ROOMS}{more}{cut}"));
        let (report, version) = place.reload();
        if cut.is_empty() {
            assert_eq!(version.unwrap().directory.rooms(), 3);
        } else {
            assert!(version.is_none(), "{report:?}");
        }
    }
    let rule = "[[rule]]\nname = \"r\"\nthen = { refuse = \"No.\" }";
    place.write("rules.d/r.toml", rule);
    let (report, version) = place.reload();
    assert!(version.is_none());
    let Report::Rejected { faults, .. } = &report else {
        panic!("{report:?}");
    };
    let fault = faults.iter().next().unwrap();
    assert_eq!(fault.code(), "HT003");
    assert!(fault.file().ends_with("rules.d/r.toml"), "{fault}");
    // Somebody says that it is meant. After that the file is known for one that ends so.
    assert!(place.reload_with(Doubts::Accepted).1.is_some());
    place.write("rules.d/r.toml", &rule.replace("No.", "Never."));
    assert!(place.reload().1.is_some());
}

#[test]
fn a_version_with_far_fewer_rooms_or_users_is_applied_only_if_it_is_meant() {
    let list = |users: usize| -> String {
        (0..users)
            .map(|n| format!("user{n}@contoso.com\n"))
            .collect()
    };
    let rooms = |rooms: usize| -> String {
        let room = |n| format!("ma-chan://contoso.com/{n},here,,retired,,\n");
        format!(
            "legacy,pool,migrated,state,name,note\n{}",
            (0..rooms).map(room).collect::<String>()
        )
    };
    let hashed = |users: usize| -> String {
        let user = |n| format!("\"user{n}@contoso.com\" = \"939e7578ed9e3c518a452acee763bce9\"\n");
        format!("[users]\n{}", (0..users).map(user).collect::<String>())
    };
    let rule = "[[rule]]\nname = \"r\"\nwhen = { user_file = \"list.txt\" }\nthen = { refuse = \"No.\" }\n";
    let mut place = Place::new();
    place.write("rules.d/r.toml", rule);
    place.write("list.txt", &list(10));
    place.write("rooms.csv", &rooms(10));
    place.write("users.toml", &hashed(10));
    assert!(place.reload().1.is_some());
    let small = [
        ("list.txt", list(4), list(5)),
        ("rooms.csv", rooms(4), rooms(5)),
        ("users.toml", hashed(4), hashed(5)),
    ];
    for (name, few, enough) in &small {
        place.write(name, few);
        let (report, version) = place.reload();
        assert!(version.is_none(), "{name}");
        let Report::Rejected { faults, .. } = &report else {
            panic!("{report:?}");
        };
        let fault = faults.iter().next().unwrap();
        assert_eq!((fault.code(), faults.error_count()), ("HT004", 1), "{name}");
        assert!(fault.message().starts_with("4 of 10 "), "{fault}");
        place.write(name, enough);
        assert!(place.reload().1.is_some(), "{name}");
    }
    // Half of what there is now is two and a half.
    for (name, few) in [
        ("list.txt", list(2)),
        ("rooms.csv", rooms(0)),
        ("users.toml", hashed(2)),
    ] {
        place.write(name, &few);
        assert!(place.reload().1.is_none(), "{name}");
        assert!(place.reload_with(Doubts::Accepted).1.is_some(), "{name}");
    }
    // And a file that says how few is few enough.
    let config = CONFIG.replace("settle_ms = 0", "settle_ms = 0\nkeep_percent = 0");
    place.write("holdover.toml", &config);
    place.write("list.txt", "");
    assert!(place.reload().1.is_some());
}

/// A cut rule can refuse everybody, and a missing one let in whom it refused.
#[test]
fn a_file_of_rules_with_far_fewer_rules_is_applied_only_if_it_is_meant() {
    let rules = |rules: std::ops::Range<usize>| -> String {
        let rule = |n| format!("[[rule]]\nname = \"r{n}\"\nthen = {{ refuse = \"No.\" }}\n");
        rules.map(rule).collect()
    };
    let mut place = Place::new();
    place.write("rules.d/r.toml", &rules(0..5));
    assert!(place.reload().1.is_some());
    place.write("rules.d/r.toml", &rules(0..2));
    let (report, version) = place.reload();
    assert!(version.is_none());
    let Report::Rejected { faults, .. } = &report else {
        panic!("{report:?}");
    };
    let fault = faults.iter().next().unwrap();
    assert_eq!(fault.code(), "HT004");
    assert!(fault.message().starts_with("2 of 5 rules "), "{fault}");
    assert!(fault.file().ends_with("rules.d/r.toml"), "{fault}");
    // They moved.
    place.write("rules.d/s.toml", &rules(2..5));
    assert!(place.reload().1.is_some());
    // Half of two may go, and the only one; a file that was emptied may be about to be written.
    place.write("rules.d/r.toml", &rules(0..1));
    assert!(place.reload().1.is_some());
    place.write("rules.d/r.toml", "");
    assert!(place.reload().1.is_none());
    place.write("rules.d/r.toml", "# none\n");
    assert!(place.reload().1.is_some());
}

#[test]
fn a_folder_of_rules_that_is_gone_keeps_its_rules_in_use() {
    let mut place = Place::new();
    let rule = "[[rule]]\nname = \"r\"\nthen = { refuse = \"No.\" }\n";
    place.write("rules.d/r.toml", rule);
    assert!(place.reload().1.is_some());
    let folder = place.folder.path().join("rules.d");
    let away = place.folder.path().join("away");
    fs::rename(&folder, &away).unwrap();
    let (report, version) = place.reload();
    assert!(version.is_none());
    let Report::Rejected { faults, .. } = &report else {
        panic!("{report:?}");
    };
    assert_eq!(faults.iter().next().unwrap().code(), "HT009");
    fs::rename(&away, &folder).unwrap();
    assert!(matches!(place.reload().0, Report::Unchanged { .. }));
    // Without the file, but with the folder, it is meant.
    fs::remove_file(folder.join("r.toml")).unwrap();
    assert!(place.reload().1.is_some());
    fs::remove_dir(&folder).unwrap();
    assert!(matches!(place.reload().0, Report::Unchanged { .. }));
}

/// Old Macintoshes end lines in another way.
#[test]
fn users_are_counted_however_lines_end() {
    let list = |users: usize, end: &str| -> String {
        (0..users)
            .map(|n| format!("user{n}@contoso.com{end}"))
            .collect()
    };
    let rule = "[[rule]]\nname = \"r\"\nwhen = { user_file = \"list.txt\" }\nthen = { refuse = \"No.\" }\n";
    let mut place = Place::new();
    place.write("rules.d/r.toml", rule);
    for (users, end, is_applied) in [
        (10, "\n", true),
        (9, "\r", true),
        (4, "\r", false),
        (9, "\r\n", true),
    ] {
        place.write("list.txt", &list(users, end));
        let (report, version) = place.reload();
        assert_eq!(version.is_some(), is_applied, "{users} {end:?} {report:?}");
    }
}

#[test]
fn users_who_cannot_sign_in_are_warned_of() {
    let mut place = Place::new();
    let more = "\"bob@fabrikam.com\" = \"939e7578ed9e3c518a452acee763bce9\"\n";
    place.write("users.toml", &format!("{USERS}{more}"));
    let version = place.reload().1.unwrap();
    let warning = version.warnings.iter().next().unwrap();
    assert_eq!(warning.code(), "HT008");
    let told = warning.message();
    assert!(
        told.starts_with("`bob@fabrikam.com` cannot sign in"),
        "{told}"
    );
    place.write("users.toml", USERS);
    assert!(place.reload().1.unwrap().warnings.is_empty());
}

/// Whoever writes a file pauses in the middle of it.
#[test]
fn files_are_read_when_they_have_settled() {
    let mut place = Place::new();
    let settling = CONFIG.replace("settle_ms = 0", "settle_ms = 1500\nkeep_percent = 0");
    place.write("holdover.toml", &settling);
    assert!(place.reload().1.is_some());
    let (header, rest) = ROOMS.split_once('\n').unwrap();
    let rooms = place.folder.path().join("rooms.csv");
    fs::write(&rooms, format!("{header}\n")).unwrap();
    // A cut list of rules' users, and a rule that names it for the first time.
    let list = place.folder.path().join("list.txt");
    fs::write(&list, "ann@contoso.com\n").unwrap();
    let (begun, begins) = mpsc::channel();
    let writing = thread::spawn(move || {
        begins.recv().unwrap();
        // Longer than reading takes, shorter than the time in which files settle.
        thread::sleep(Duration::from_millis(150));
        fs::write(&rooms, format!("{header}\n{rest}")).unwrap();
        fs::write(&list, "ann@contoso.com\nbob@contoso.com\n").unwrap();
    });
    let rule = "[[rule]]\nname = \"r\"\nwhen = { user_file = \"list.txt\" }\nthen = { refuse = \"No.\" }\n";
    place.write("rules.d/r.toml", rule);
    begun.send(()).unwrap();
    let (report, version) = place.reload();
    writing.join().unwrap();
    let version = version.unwrap_or_else(|| panic!("{report:?}"));
    assert_eq!(version.directory.rooms(), 2);
    let users = version
        .amounts
        .iter()
        .find(|amount| amount.file.ends_with("list.txt"));
    assert_eq!(users.unwrap().number, 2);
}

#[cfg(unix)]
#[test]
fn what_never_ends_to_be_read_is_refused_and_forgotten() {
    use std::os::unix::fs::symlink;
    let mut place = Place::new();
    let path = |name: &str| place.folder.path().join(name);
    fs::create_dir(path("rules.d")).unwrap();
    let pipe = path("rules.d/pipe.toml");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let device = path("rules.d/device.toml");
    symlink("/dev/zero", &device).unwrap();
    let large = path("rules.d/large.toml");
    fs::File::create(&large).unwrap().set_len(24 << 30).unwrap();
    let folder = path("rules.d/folder.toml");
    fs::create_dir(&folder).unwrap();
    let (report, version) = place.reload();
    assert!(version.is_none());
    let found = faults(&report);
    let messages: Vec<&str> = found.iter().map(|(message, _)| *message).collect();
    assert_eq!(
        messages,
        [
            "the file cannot be read: it is a device, and only plain files are read",
            "the file cannot be read: it is a folder, and only plain files are read",
            "the file cannot be read: it is larger than 64 MiB",
            "the file cannot be read: it is a pipe, and only plain files are read",
        ]
    );
    for path in [&pipe, &device, &large] {
        fs::remove_file(path).unwrap();
    }
    fs::remove_dir(&folder).unwrap();
    place.write("holdover.toml", &CONFIG.replace("Closed.", "Shut."));
    assert!(place.reload().1.is_some());
    // The same in the place of every other file.
    for name in ["rooms.csv", "users.toml", "holdover.toml"] {
        let path = place.folder.path().join(name);
        let content = fs::read(&path).unwrap();
        for device in ["/dev/zero", "/dev/tty"] {
            fs::remove_file(&path).unwrap();
            symlink(device, &path).unwrap();
            assert!(
                matches!(place.reload().0, Report::Rejected { .. }),
                "{name}"
            );
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, content).unwrap();
        assert!(
            matches!(place.reload().0, Report::Unchanged { .. }),
            "{name}"
        );
    }
}

/// Publishes when it is allowed to, as a disk that does not answer.
struct Hung(mpsc::Receiver<()>);

impl Publish for Hung {
    fn publish(&self, _: u64, _: &Version) -> Retired {
        let _gone = self.0.recv();
        Retired::default()
    }
}

/// Gateway parts whose reload hangs until something is sent.
fn hung() -> (Place, Reloads, Reloader, mpsc::Sender<()>) {
    let mut place = Place::new();
    let (release, hung) = mpsc::channel();
    let config = place.folder.path().join("holdover.toml");
    let mut reader = Reader::new(&config);
    let version = reader.read().version.unwrap();
    let publish = Box::new(Hung(hung));
    let who = Who::Signal;
    place.engine = Engine::start(reader, 1, version, &who, publish, place.telemetry.clone());
    place.write("holdover.toml", &CONFIG.replace("Closed.", "Shut."));
    let engine = std::mem::replace(&mut place.engine, Place::new().engine);
    let (reloads, reloader) = Reloads::new(engine).unwrap();
    (place, reloads, reloader, release)
}

#[tokio::test]
async fn a_reload_that_hangs_does_not_keep_the_program_from_ending() {
    let (_place, reloads, reloader, _release) = hung();
    let stop = CancellationToken::new();
    let served = tokio::spawn(reloads.serve(stop.clone()));
    let asked = tokio::spawn(async move { reloader.reload(Who::Signal).await });
    tokio::task::yield_now().await;
    stop.cancel();
    served.await.unwrap();
    assert!(asked.await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_hangs_is_told_and_the_next_one_works() {
    let (place, reloads, reloader, release) = hung();
    let stop = CancellationToken::new();
    let served = tokio::spawn(reloads.serve(stop.clone()));
    for _ in 0..2 {
        let report = reloader.reload(Who::Signal).await.unwrap();
        let Report::Rejected { faults, .. } = &report else {
            panic!("{report:?}");
        };
        assert_eq!(faults.iter().next().unwrap().code(), "HT005");
    }
    assert_eq!(place.metric("holdover_config_stalled_total"), "1");
    release.send(()).unwrap();
    while !matches!(
        reloader.reload(Who::Signal).await,
        Some(Report::Unchanged { generation: 2, .. })
    ) {}
    stop.cancel();
    served.await.unwrap();
}

/// As of a single file that is mounted into a container and changed outside: the folder's watch works and tells nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_system_does_not_tell_of_is_seen() {
    let Place {
        folder,
        engine,
        telemetry,
        published,
    } = Place::new();
    let (reloads, reloader) = Reloads::new(engine).unwrap();
    let stop = CancellationToken::new();
    let settings = holdover_config::settings::Reload {
        watch: holdover_config::settings::Watch::Native,
        poll: Duration::from_secs(3_600),
    };
    tokio::spawn(reloads.serve(stop.clone()));
    let deaf = |_| watch::Folders::new(Arc::default());
    let watching = watch::watch_by(reloader, settings, telemetry, stop.clone(), deaf);
    let watching = tokio::spawn(watching);
    for (enabled, generation) in [("true", 2), ("false", 3)] {
        let text = CONFIG.replace("enabled = false", &format!("enabled = {enabled}"));
        fs::write(folder.path().join("holdover.toml"), text).unwrap();
        let told = published.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(told.0, generation);
    }
    stop.cancel();
    watching.await.unwrap();
}
