//! A configuration that changes while clients chat.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

use holdover::audit::verify;
use holdover::hash::Hash;
use holdover_config::users;
use holdover_protocol::sip::digest::{Challenge, Ha1};
use holdover_protocol::sip::{Name, Response};
use holdover_tests::binary::get;
use holdover_tests::client::Client;
use holdover_tests::gateway::{DOMAIN, Installation, TestGateway};
use holdover_tests::patience::{patience, within};
use holdover_tests::program::Executable;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A rule that an admin toggles.
const FREEZE: &str = r#"# Freezes the deals room.
[[rule]]
name = "freeze"
enabled = false
when = { room = "ma-chan://contoso.com/deals", command = "post" }
then = { refuse = "Frozen until Monday." }
"#;

const APPLIED: &str = "holdover_config_applied_total";
const REJECTED: &str = "holdover_config_rejected_total";

fn enabled() -> String {
    FREEZE.replace("enabled = false", "enabled = true")
}

/// An installation whose rules are in a file of their own.
fn installation(config: &str) -> Installation {
    let installation = Installation::new("\"open\"", config);
    fs::create_dir(installation.path("rules.d")).unwrap();
    installation.write("rules.d/freeze.toml", FREEZE);
    installation
}

async fn start(config: &str) -> TestGateway {
    TestGateway::serve(installation(config)).await
}

/// Status and body of the admin server's answer.
pub(crate) async fn admin(gateway: &TestGateway, request: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(gateway.admin).await.unwrap();
    let request =
        format!("{request} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

async fn reload(gateway: &TestGateway) -> (u16, Value) {
    admin(gateway, "POST /v1/reload").await
}

/// Waits until the file of rules is in use with this text, or without a text is not.
async fn in_use(gateway: &TestGateway, what: &str, text: Option<&str>) {
    let hash = text.map(|text| Value::from(Hash::of(text.as_bytes()).to_string()));
    within(what, async {
        loop {
            let (_, config) = admin(gateway, "GET /v1/config").await;
            let mut files = config["files"].as_array().unwrap().iter();
            let found = files.find(|file| file["file"] == "rules.d/freeze.toml");
            if found.map(|file| &file["hash"]) == hash.as_ref() {
                return;
            }
        }
    })
    .await;
}

/// Two users in a room.
async fn talkers(gateway: &TestGateway) -> (Client, Client) {
    let mut clients = Vec::new();
    for name in ["ann", "bob"] {
        let mut client = Client::tcp(gateway.tcp, name).await;
        client.sign_in().await;
        client.join("deals").await;
        clients.push(client);
    }
    let bob = clients.pop().unwrap();
    (clients.pop().unwrap(), bob)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_toggled_in_its_file_counts_for_those_who_are_there() {
    let gateway = start("").await;
    let (mut ann, mut bob) = talkers(&gateway).await;
    assert_eq!(ann.post("deals", "before").await, 200);
    assert_eq!(bob.message().await, "before");
    gateway
        .installation
        .write("rules.d/freeze.toml", &enabled());
    in_use(&gateway, "enabled", Some(&enabled())).await;
    assert_ne!(ann.post("deals", "frozen").await, 200);
    gateway.installation.write("rules.d/freeze.toml", FREEZE);
    in_use(&gateway, "disabled", Some(FREEZE)).await;
    assert_eq!(ann.post("deals", "after").await, 200);
    assert_eq!(
        bob.message().await,
        "after",
        "what was refused was not delivered"
    );
    assert_eq!(gateway.metric("holdover_sessions"), 2);
    assert_eq!(gateway.metric("holdover_sessions_closed_total"), 0);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_told_with_its_line_and_the_old_goes_on() {
    let gateway = start("").await;
    let (mut ann, _bob) = talkers(&gateway).await;
    let wrong = FREEZE.replace("enabled = false", "enabled = \"no\"");
    gateway.installation.write("rules.d/freeze.toml", &wrong);
    gateway.metric_reaches(REJECTED, |count| count >= 1).await;
    let (_, config) = admin(&gateway, "GET /v1/config").await;
    assert_eq!(config["generation"], 1);
    assert_eq!(config["last_reload_successful"], false);
    let fault = &config["rejected"]["diagnostics"]["diagnostics"][0];
    assert_eq!(fault["line"], 4, "{fault}");
    assert!(
        fault["file"]
            .as_str()
            .unwrap()
            .ends_with("rules.d/freeze.toml"),
        "{fault}"
    );
    assert_eq!(ann.post("deals", "still here").await, 200);
    // Mended, it is told so, and nothing changed.
    gateway.installation.write("rules.d/freeze.toml", FREEZE);
    gateway
        .metric_reaches("holdover_config_last_reload_successful", |good| good == 1)
        .await;
    assert_eq!(gateway.metric(APPLIED), 0);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_from_start_to_stop_is_refused_by_name() {
    let gateway = start("[reload]\nwatch = \"off\"").await;
    let config = fs::read_to_string(gateway.installation.config()).unwrap();
    let changed = config.replacen("127.0.0.1:0", "127.0.0.1:5099", 1);
    gateway.installation.write("holdover.toml", &changed);
    gateway
        .installation
        .write("rules.d/freeze.toml", &enabled());
    let (status, answer) = reload(&gateway).await;
    assert_eq!((status, &answer["result"]), (422, &Value::from("rejected")));
    let fault = &answer["diagnostics"]["diagnostics"][0];
    let message = fault["message"].as_str().unwrap();
    assert!(
        message.starts_with("`listener.tcp.address` was changed"),
        "{message}"
    );
    assert!(fault["line"].as_u64().is_some());
    // The rest was not taken either.
    let (mut ann, _bob) = talkers(&gateway).await;
    assert_eq!(ann.post("deals", "not frozen").await, 200);

    gateway.installation.write("holdover.toml", &config);
    let (status, answer) = reload(&gateway).await;
    assert_eq!(
        (status, &answer["generation"]),
        (200, &Value::from(2)),
        "{answer}"
    );
    assert_ne!(ann.post("deals", "frozen").await, 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn editors_swap_files_and_folders_come_back() {
    let gateway = start("").await;
    let path = |name: &str| gateway.installation.path(name);
    // As vim and others save.
    for (number, text) in [enabled(), FREEZE.to_owned()].iter().enumerate() {
        fs::rename(path("rules.d/freeze.toml"), path("rules.d/freeze.toml~")).unwrap();
        fs::write(path("rules.d/.freeze.swp"), text).unwrap();
        fs::rename(path("rules.d/.freeze.swp"), path("rules.d/freeze.toml")).unwrap();
        in_use(&gateway, &format!("swap {number}"), Some(text)).await;
    }
    // The folder goes, its rules stay in use; it comes back, and goes on being watched.
    fs::remove_dir_all(path("rules.d")).unwrap();
    let rejected = |count| count > 0;
    gateway
        .metric_reaches("holdover_config_rejected_total", rejected)
        .await;
    in_use(&gateway, "the folder is gone", Some(FREEZE)).await;
    fs::create_dir(path("rules.d")).unwrap();
    fs::write(path("rules.d/freeze.toml"), enabled()).unwrap();
    in_use(&gateway, "the folder is back", Some(&enabled())).await;
    fs::write(path("rules.d/freeze.toml"), FREEZE).unwrap();
    in_use(&gateway, "the folder is watched again", Some(FREEZE)).await;
    // Another folder takes its place.
    fs::create_dir(path("new.d")).unwrap();
    fs::write(path("new.d/freeze.toml"), enabled()).unwrap();
    fs::rename(path("rules.d"), path("old.d")).unwrap();
    fs::rename(path("new.d"), path("rules.d")).unwrap();
    in_use(&gateway, "another folder", Some(&enabled())).await;
    fs::write(path("rules.d/freeze.toml"), FREEZE).unwrap();
    in_use(&gateway, "another folder is watched", Some(FREEZE)).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_swaps_a_link() {
    let installation = Installation::new("\"open\"", "");
    let path = |name: &str| installation.path(name);
    for (version, text) in [("one", FREEZE), ("two", &enabled())] {
        fs::create_dir_all(path(&format!("releases/{version}"))).unwrap();
        installation.write(&format!("releases/{version}/freeze.toml"), text);
    }
    symlink("one", path("releases/current")).unwrap();
    symlink("releases/current", path("rules.d")).unwrap();
    let gateway = TestGateway::serve(installation).await;
    in_use(&gateway, "the first release", Some(FREEZE)).await;
    let path = |name: &str| gateway.installation.path(name);
    symlink("two", path("releases/next")).unwrap();
    fs::rename(path("releases/next"), path("releases/current")).unwrap();
    in_use(&gateway, "the second release", Some(&enabled())).await;
    gateway
        .installation
        .write("releases/two/freeze.toml", FREEZE);
    in_use(&gateway, "a change in the second release", Some(FREEZE)).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_on_a_share_are_polled() {
    let gateway = start("[reload]\nwatch = \"poll\"\npoll_secs = 1").await;
    gateway
        .installation
        .write("rules.d/freeze.toml", &enabled());
    in_use(&gateway, "enabled", Some(&enabled())).await;
    // Of the same length, and perhaps within the same tick.
    let other = enabled().replace("Monday", "Friday");
    gateway.installation.write("rules.d/freeze.toml", &other);
    in_use(&gateway, "of the same length", Some(&other)).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_come_and_close_for_those_who_are_there() {
    let gateway = start("").await;
    let mut ann = Client::tcp(gateway.tcp, "ann").await;
    ann.sign_in().await;
    let rooms = fs::read_to_string(gateway.installation.path("rooms.csv")).unwrap();
    let more = "ma-chan://contoso.com/deals-2,here,ma-chan://contoso.com/m-deals,merged,Deals 2,\n";
    gateway
        .installation
        .write("rooms.csv", &format!("{rooms}{more}"));
    gateway
        .metric_reaches("holdover_directory_generation", |now| now == 2)
        .await;
    assert!(ann.join("deals-2").await.contains("code=\"200\""));
    gateway.stop().await;
}

/// What a client answers to a challenge.
fn credentials(refused: &Response, user: &str, password: &str) -> String {
    let challenge = refused.headers().get(Name::ProxyAuthenticate).unwrap();
    let challenge = Challenge::parse(challenge).unwrap();
    let ha1 = Ha1::new(user, DOMAIN, password);
    let answer = challenge.answer(user, &ha1, "REGISTER", "(null)", "cnonce", 1);
    format!("Proxy-Authorization: {answer}\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_added_can_sign_in() {
    let installation = Installation::new("{ digest = { users = \"users.toml\" } }", "");
    let add = |user: &str| {
        let ha1 = Ha1::new(user, DOMAIN, "secret").to_hex();
        let ha1 = users::Ha1::parse(&ha1).unwrap();
        users::upsert(&installation.path("users.toml"), user, &[ha1]).unwrap();
    };
    add("ann@contoso.com");
    let gateway = TestGateway::serve(installation).await;
    let ha1 = Ha1::new("bob@contoso.com", DOMAIN, "secret").to_hex();
    let ha1 = users::Ha1::parse(&ha1).unwrap();
    // Connected before he is known: what is replaced counts for connections that are there.
    let mut bob = Client::tcp(gateway.tcp, "bob").await;
    let (dialog, request) = bob.register_request("");
    let refused = bob.ask(&dialog, &request).await;
    assert_eq!(refused.status().code(), 407);
    users::upsert(
        &gateway.installation.path("users.toml"),
        "bob@contoso.com",
        &[ha1],
    )
    .unwrap();
    gateway.metric_reaches(APPLIED, |count| count >= 1).await;
    let credentials = credentials(&refused, "bob@contoso.com", "secret");
    assert_eq!(bob.register(&credentials).await, 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_count_for_new_connections() {
    let gateway = start("[limits]\nconnections = 10").await;
    let (mut ann, _bob) = talkers(&gateway).await;
    let config = fs::read_to_string(gateway.installation.config()).unwrap();
    let fewer = config.replace("connections = 10", "connections = 2");
    gateway.installation.write("holdover.toml", &fewer);
    gateway.metric_reaches(APPLIED, |count| count >= 1).await;
    let mut third = Client::tcp(gateway.tcp, "eve").await;
    third.closed().await;
    assert_eq!(ann.post("deals", "we are in").await, 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_act_is_in_the_audit_file_and_a_changed_line_is_found() {
    let gateway = start("[audit]\nfile = \"audit.jsonl\"").await;
    gateway
        .installation
        .write("rules.d/freeze.toml", &enabled());
    gateway
        .metric_reaches("holdover_audit_records_total", |count| count == 2)
        .await;
    gateway
        .installation
        .write("rules.d/freeze.toml", "nonsense");
    gateway
        .metric_reaches("holdover_audit_records_total", |count| count == 3)
        .await;
    let (status, _) = reload(&gateway).await;
    assert_eq!(status, 422);
    gateway
        .metric_reaches("holdover_audit_records_total", |count| count == 4)
        .await;
    let installation = gateway.stop().await;
    let path = installation.path("audit.jsonl");
    assert_eq!(verify(&path).unwrap().unwrap().records, 4);
    let text = fs::read_to_string(&path).unwrap();
    let acts: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let by: Vec<_> = acts
        .iter()
        .map(|act| act["who"]["by"].as_str().unwrap())
        .collect();
    assert_eq!(by, ["start", "file-change", "file-change", "http"]);
    assert_eq!(acts[1]["files"][0]["file"], "rules.d/freeze.toml");
    assert_eq!(acts[1]["result"]["is"], "applied");
    assert_eq!(acts[2]["result"]["is"], "refused");
    assert!(
        acts[3]["who"]["peer"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    fs::write(&path, text.replacen("applied", "refused", 2)).unwrap();
    assert_eq!(verify(&path).unwrap().unwrap_err().line, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_versions_come_and_go() {
    const POSTS: usize = 60;
    let gateway = start("[reload]\nwatch = \"off\"").await;
    let (mut ann, mut bob) = talkers(&gateway).await;
    let posting = tokio::spawn(async move {
        for number in 0..POSTS {
            assert_eq!(ann.post("deals", &format!("post {number}")).await, 200);
        }
        ann
    });
    let mut reloads = 0;
    while !posting.is_finished() || reloads < 40 {
        // One of two is at fault; the room is never frozen.
        let text = match reloads % 4 {
            0 => enabled().replace("deals", "lunch"),
            2 => FREEZE.to_owned(),
            _ => "nonsense".to_owned(),
        };
        gateway.installation.write("rules.d/freeze.toml", &text);
        let (status, answer) = reload(&gateway).await;
        assert_eq!(status, if reloads % 2 == 0 { 200 } else { 422 }, "{answer}");
        reloads += 1;
    }
    let ann = posting.await.unwrap();
    for number in 0..POSTS {
        assert_eq!(bob.message().await, format!("post {number}"));
    }
    assert!(gateway.metric(APPLIED) >= 20);
    assert!(gateway.metric(REJECTED) >= 20);
    assert_eq!(gateway.metric("holdover_sessions"), 2);
    assert_eq!(gateway.metric("holdover_sessions_closed_total"), 0);
    drop(ann);
    gateway.stop().await;
}

/// What a command of the program printed. It succeeds.
fn command(program: &Executable, arguments: &[&str], config: &Path) -> String {
    let config = config.to_str().unwrap();
    let output = program.output(&[arguments, &["--config", config]].concat(), "");
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}{errors}");
    text
}

#[test]
fn the_program_takes_hangups_and_goes_back() {
    let program = Executable::new(env!("CARGO_BIN_EXE_holdover-under-test"));
    let installation = installation(
        "[reload]\nwatch = \"off\"\n[audit]\nfile = \"audit.jsonl\"\n[log]\nformat = \"json\"",
    );
    // The commands ask the gateway, and know its address from the configuration alone.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = free.local_addr().unwrap().to_string();
    drop(free);
    let config = installation.config();
    let text = fs::read_to_string(&config).unwrap();
    let (before, after) = text.rsplit_once("127.0.0.1:0").unwrap();
    fs::write(&config, format!("{before}{admin}{after}")).unwrap();

    let (mut running, _) = program.run(&config);
    installation.write("rules.d/freeze.toml", &enabled());
    running.hang_up();
    let applied = running.event("config.applied", |event| event["generation"] == 2);
    assert_eq!(applied["who"], "signal");
    // It is kept before it is shown there.
    let admin_address = admin.parse().unwrap();
    let is_shown = |answer: String| answer.contains("\"generation\":2");
    let deadline = Instant::now() + patience();
    while !get(admin_address, "/v1/config").is_some_and(is_shown) {
        assert!(Instant::now() < deadline, "generation 2 is not shown");
    }
    let history = command(&program, &["config", "history"], &config);
    assert_eq!(history.lines().count(), 3, "{history}");
    assert!(
        history
            .lines()
            .nth(2)
            .unwrap()
            .ends_with("rules.d/freeze.toml"),
        "{history}"
    );
    let difference = command(&program, &["config", "diff", "1"], &config);
    assert!(
        difference.contains("-enabled = false\n+enabled = true\n"),
        "{difference}"
    );
    let shown = command(
        &program,
        &["config", "show", "1", "--file", "rules.d/freeze.toml"],
        &config,
    );
    assert_eq!(shown, FREEZE);

    let told = command(&program, &["config", "rollback"], &config);
    assert!(told.contains("rules.d/freeze.toml put back"), "{told}");
    assert!(
        told.contains("the gateway uses them as generation 3"),
        "{told}"
    );
    let _applied = running.event("config.applied", |event| event["generation"] == 3);
    let kept = fs::read_to_string(installation.path("rules.d/freeze.toml")).unwrap();
    assert_eq!(kept, FREEZE);
    // A broken edit is undone as well, without a gateway.
    assert!(running.interrupt().success());
    fs::write(&config, "broken").unwrap();
    let told = command(&program, &["config", "rollback", "3"], &config);
    assert!(told.contains("holdover.toml put back"), "{told}");
    assert!(told.contains("no gateway answers"), "{told}");

    let (mut running, _) = program.run(&config);
    let started = running.event("config.loaded", |_| true);
    assert_eq!(started["generation"], 3, "it says what it said");
    assert!(running.interrupt().success());
    let told = command(&program, &["audit", "verify"], &config);
    assert!(told.contains("6 record(s), none was changed"), "{told}");
    let acts = fs::read_to_string(installation.path("audit.jsonl")).unwrap();
    installation.write("audit.jsonl", &acts.replacen("rollback", "reload", 1));
    let output = program.output(
        &["audit", "verify", "--config", config.to_str().unwrap()],
        "",
    );
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("line 3: the record was changed"), "{told}");
}

/// Runs a command; its exit code, and all that it printed.
fn run(program: &Executable, arguments: &[&str], config: &Path) -> (Option<i32>, String) {
    let config = config.to_str().unwrap();
    let arguments = match arguments.first() {
        Some(&"check") => [arguments, &[config]].concat(),
        _ => [arguments, &["--config", config]].concat(),
    };
    let output = program.output(&arguments, "");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// What the audit log says came of the last act of this kind.
fn last_result(installation: &Installation, act: &str) -> Value {
    let acts = fs::read_to_string(installation.path("audit.jsonl")).unwrap();
    let mut acts = acts
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let last = acts.rfind(|line| line["act"] == act).unwrap();
    last["result"].clone()
}

#[test]
fn a_rule_is_called_switched_only_when_the_gateway_says_so() {
    let program = Executable::new(env!("CARGO_BIN_EXE_holdover-under-test"));
    let installation = installation("[audit]\nfile = \"audit.jsonl\"\n[log]\nformat = \"json\"");
    // The port is the system's choice: commands find the gateway by what it says itself.
    let config = installation.config();
    let (mut running, _) = program.run(&config);
    let _opened = running.event("admin.opened", |_| true);
    let enable = ["rules", "enable", "freeze"];
    let disable = ["rules", "disable", "freeze"];
    let (code, told) = run(&program, &enable, &config);
    assert_eq!(code, Some(0), "{told}");
    assert!(
        told.contains("is enabled now: the gateway uses it as generation 2"),
        "{told}"
    );
    assert_eq!(last_result(&installation, "rule-toggle")["is"], "applied");
    let explain = ["explain", "--user", "ann@contoso.com", "--act", "sign-in"];
    let (_, told) = run(&program, &explain, &config);
    assert!(told.contains("by generation 2, which is in use"), "{told}");

    // Another edit that a reload refuses: the address of the admin server.
    let text = fs::read_to_string(&config).unwrap();
    let (before, after) = text.rsplit_once("127.0.0.1:0").unwrap();
    fs::write(&config, format!("{before}127.0.0.1:9{after}")).unwrap();
    let (code, told) = run(&program, &disable, &config);
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains("HC100") && told.contains("but not in use"),
        "{told}"
    );
    assert!(!told.contains("is disabled now"), "{told}");
    let result = last_result(&installation, "rule-toggle");
    assert_eq!(
        (&result["is"], &result["code"]),
        (&"refused".into(), &"HC100".into())
    );
    let (code, told) = run(&program, &["check"], &config);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("valid, but needs a restart"), "{told}");
    let (_, told) = run(&program, &explain, &config);
    assert!(
        told.contains("the running gateway uses generation 2, which says something else"),
        "{told}"
    );

    // Nothing of that is in use, so all of it is undone, and no good generation with it.
    let (code, told) = run(&program, &["config", "rollback", "--dry-run"], &config);
    assert_eq!(code, Some(0), "{told}");
    assert!(
        told.contains("back to generation 2")
            && told.contains("-enabled = false\n+enabled = true\n"),
        "{told}"
    );
    let (code, told) = run(&program, &["config", "rollback"], &config);
    assert_eq!(code, Some(0), "{told}");
    assert!(
        told.contains("the gateway uses them as generation 2"),
        "{told}"
    );
    assert_eq!(fs::read_to_string(&config).unwrap(), text);

    let (code, told) = run(&program, &["reload", "--dry-run"], &config);
    assert_eq!(
        (code, told.as_str()),
        (Some(0), "the gateway would use the files as generation 2\n")
    );
    // Far fewer rooms than before.
    let rooms = fs::read_to_string(installation.path("rooms.csv")).unwrap();
    let header = rooms.lines().next().unwrap();
    installation.write("rooms.csv", &format!("{header}\n"));
    let (code, told) = run(&program, &["reload"], &config);
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains("HT004") && told.contains("--accept-fewer"),
        "{told}"
    );
    let (code, told) = run(&program, &["check"], &config);
    assert_eq!(code, Some(0), "{told}");
    assert!(
        told.contains("valid, but a reload does not apply it"),
        "{told}"
    );
    let (code, told) = run(&program, &["reload", "--accept-fewer"], &config);
    assert_eq!(
        (code, told.as_str()),
        (Some(0), "the gateway uses the files as generation 3\n")
    );
    assert!(running.interrupt().success());

    // Nobody runs any more.
    let address = "127.0.0.1:9".to_owned();
    fs::write(&config, format!("{before}{address}{after}")).unwrap();
    let (code, told) = run(&program, &disable, &config);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("no gateway answers on 127.0.0.1:9"), "{told}");
    assert_eq!(last_result(&installation, "rule-toggle")["is"], "written");
    let (code, _) = run(&program, &["reload"], &config);
    assert_eq!(code, Some(1));
}

/// Somebody pauses in the middle of copying a file: after the header, between lines, in the middle of the last value.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_copied_with_a_pause_is_never_applied_in_part() {
    let gateway = start("").await;
    let mut ann = Client::tcp(gateway.tcp, "ann").await;
    ann.sign_in().await;
    let rooms = fs::read_to_string(gateway.installation.path("rooms.csv")).unwrap();
    let more = "ma-chan://contoso.com/417,here,ma-chan://contoso.com/m-deals-other,merged,Board,\n";
    let rooms = format!("{rooms}{more}");
    let header = rooms.find('\n').unwrap() + 1;
    let line = rooms.trim_end().rfind('\n').unwrap() + 1;
    let value = rooms.find("m-deals-other").unwrap() + "m-deals".len();
    let path = gateway.installation.path("rooms.csv");
    for (pause, at) in [header, line, value].into_iter().enumerate() {
        let text = rooms.replace("Board", &format!("Board {pause}"));
        fs::write(&path, text.get(..at).unwrap()).unwrap();
        // The input is the pause itself.
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        fs::write(&path, &text).unwrap();
        let expected = u64::try_from(pause).unwrap() + 2;
        gateway
            .metric_reaches("holdover_directory_generation", |now| now >= expected)
            .await;
        assert_eq!(gateway.metric("holdover_directory_generation"), expected);
        let listed = u64::try_from(rooms.lines().count()).unwrap() - 1;
        assert_eq!(gateway.metric("holdover_directory_rooms"), listed);
    }
    assert_eq!(gateway.metric(REJECTED), 0);
    gateway.stop().await;
}
