//! The admin server from outside.

use std::fs;
use std::net::SocketAddr;

use holdover_config::settings::{Directory as Settings, Unlisted};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::audit::Who;
use crate::directory::{Directory, load};
use crate::pool::Pools;
use crate::reload::{Engine, Publish, Reader, Reloads, Retired, Version};
use crate::routing::Routing;

struct Server {
    address: SocketAddr,
    state: AdminState,
    server: AdminServer,
    /// Ends the reloads.
    _shutdown: tokio_util::sync::DropGuard,
    folder: TempDir,
}

const CONFIG: &str = "[gateway]
domain = \"contoso.com\"
[[listener]]
name = \"clients\"
address = \"127.0.0.1:0\"
sign_in = \"open\"
[[pool]]
name = \"hq\"
embedded = { database = \"rooms.db\" }
[directory]
unlisted = \"refuse\"
";

/// Takes every version, but panics at one with this comment.
struct Nothing;

const POISON: &str = "# poison\n";

impl Publish for Nothing {
    fn publish(&self, _: u64, version: &Version) -> Retired {
        assert!(!version.text.contains(POISON), "a fault of the program");
        Retired::default()
    }
}

async fn server() -> Server {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("rooms.csv");
    let rows = "ma-chan://old.example/a+b,hq,ma-chan://new.example/1,migrated,Lounge,\n";
    fs::write(
        &file,
        format!("legacy,pool,migrated,state,name,note\n{rows}"),
    )
    .unwrap();
    let settings = Settings {
        rooms: vec![file],
        unlisted: Unlisted::Refuse,
        default_pool: None,
        preferences_pool: None,
    };
    let rooms = load(&settings, &["hq".parse().unwrap()]).unwrap();
    let config = folder.path().join("holdover.toml");
    fs::write(&config, CONFIG).unwrap();
    let mut reader = Reader::new(config);
    let version = reader.read().version.unwrap();
    let who = Who::CommandLine {
        user: "root".to_owned(),
    };
    let engine = Engine::start(
        reader,
        1,
        version,
        &who,
        Box::new(Nothing),
        Telemetry::new(),
    );
    let (reloads, reloader) = Reloads::new(engine).unwrap();
    let state = AdminState {
        hosts: Hosts::new(&["holdover".parse().unwrap()]),
        telemetry: Telemetry::new(),
        readiness: Readiness::new(),
        router: Arc::new(routing::Router::new(Routing::of(Directory::new(rooms)))),
        pools: Arc::new(Pools::new(Vec::new())),
        reloader: Some(reloader),
        shadow: Arc::default(),
        decided: Arc::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let server = AdminServer::start(listener, state.clone()).unwrap();
    tokio::spawn(reloads.serve(shutdown.clone()));
    Server {
        address,
        state,
        server,
        _shutdown: shutdown.drop_guard(),
        folder,
    }
}

impl Server {
    /// Writes the configuration.
    fn write(&self, text: &str) {
        fs::write(self.folder.path().join("holdover.toml"), text).unwrap();
    }

    async fn post(&self, path: &str, headers: &str) -> (u16, String, String) {
        let request = format!("POST {path} HTTP/1.1\r\nHost: holdover{headers}\r\n\r\n");
        self.send(&request).await
    }

    /// Status, head and body of the answer.
    async fn ask(&self, request: &str) -> (u16, String, String) {
        let request = format!("{request} HTTP/1.1\r\nHost: holdover\r\n\r\n");
        self.send(&request).await
    }

    async fn send(&self, request: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    async fn json(&self, path: &str) -> (u16, Value) {
        let (status, head, body) = self.ask(&format!("GET {path}")).await;
        assert!(head.contains("content-type: application/json"), "{head}");
        (status, serde_json::from_str(&body).unwrap())
    }
}

#[tokio::test]
async fn every_endpoint_of_the_page_is_there() {
    let server = server().await;
    let (status, head, page) = server.ask("GET /").await;
    assert_eq!(status, 200);
    assert!(
        head.contains("content-security-policy: default-src 'none'"),
        "{head}"
    );
    for (path, ..) in ENDPOINTS {
        assert!(
            page.contains(&format!("href=\"{path}\"")),
            "{path} in {page}"
        );
        assert_ne!(server.ask(&format!("GET {path}")).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let server = server().await;
    assert_eq!(server.ask("GET /healthz").await.0, 200);
    let listeners = server.state.readiness.condition("listeners");
    let (status, body) = server.json("/readyz").await;
    assert_eq!(status, 503);
    assert_eq!(
        body,
        json!({"ready": false, "draining": false, "conditions": [{"name": "listeners", "met": false}]})
    );
    listeners.met();
    assert_eq!(server.json("/readyz").await.0, 200);
    server.state.readiness.drain();
    assert_eq!(server.json("/readyz").await.0, 503);
    assert_eq!(server.ask("GET /healthz").await.0, 200);
}

#[tokio::test]
async fn rooms_are_looked_up_by_either_identifier() {
    let server = server().await;
    let (status, by_legacy) = server
        .json("/v1/rooms?legacy=ma-chan://old.example/a%2Bb")
        .await;
    assert_eq!((status, &by_legacy["answer"]), (200, &json!("listed")));
    let (status, by_migrated) = server
        .json("/v1/rooms?migrated=ma-chan://new.example/1")
        .await;
    assert_eq!(status, 200);
    assert_eq!(by_legacy["rooms"], by_migrated["rooms"]);
    assert_eq!(by_legacy["rooms"][0]["migrated"], "ma-chan://new.example/1");
}

#[tokio::test]
async fn a_decision_is_explained() {
    let server = server().await;
    let (status, body) = server
        .json("/v1/explain?user=ann@contoso.com&room=ma-chan://old.example/a%2Bb&act=post")
        .await;
    assert_eq!((status, &body["allowed"]), (200, &json!(true)), "{body}");
    assert_eq!(body["migrated"], "ma-chan://new.example/1");
    assert_eq!(
        (&body["act"], &body["generation"]),
        (&json!("post"), &json!(1))
    );
    let (status, body) = server
        .json("/v1/explain?user=ann@contoso.com&room=ma-chan://old.example/none")
        .await;
    assert_eq!((status, &body["reason"]), (200, &json!("unlisted")));
}

#[tokio::test]
async fn the_last_decisions_are_told_with_their_rules() {
    use crate::decide::RefusalReason;
    use crate::decision_log::{DecidedBy, Record, Verdict};
    use holdover_config::rules::{Act, Place};
    use holdover_protocol::user::UserUri;

    let server = server().await;
    let record = |user: &str, outcome| Record {
        at: jiff::Timestamp::UNIX_EPOCH,
        user: UserUri::parse(user).unwrap(),
        network: Some([192, 0, 2, 7].into()),
        listener: Some("clients".parse().unwrap()),
        client: None,
        act: Act::Read,
        room: Some("ma-chan://old.example/1".parse().unwrap()),
        outcome,
        rule: Some(DecidedBy {
            name: "pilots".parse().unwrap(),
            place: Place {
                file: "holdover.toml".into(),
                line: 7,
            },
        }),
        generation: 3,
    };
    let there = Verdict::Allowed {
        pool: Some("hq".parse().unwrap()),
        migrated: Some("ma-chan://new.example/1".parse().unwrap()),
    };
    let refused = Verdict::Refused {
        reason: RefusalReason::Maintenance,
        text: "Until Sunday.".into(),
    };
    server.state.decided.push(record("ann@contoso.com", there));
    server
        .state
        .decided
        .push(record("bob@contoso.com", refused));
    let (status, body) = server.json("/v1/decisions?user=sip:Ann@contoso.com").await;
    assert_eq!(status, 200);
    assert_eq!(
        body,
        json!({"decisions": [{
            "at": "1970-01-01T00:00:00Z", "user": "sip:ann@contoso.com", "act": "read", "room": "ma-chan://old.example/1",
            "from_ip": "192.0.2.7", "listener": "clients", "allowed": true, "pool": "hq",
            "migrated": "ma-chan://new.example/1", "rule": {"name": "pilots", "source": "holdover.toml:7"}, "generation": 3,
        }]})
    );
    let (_, body) = server
        .json("/v1/decisions?room=ma-chan://old.example/1&limit=1")
        .await;
    let all = body["decisions"].as_array().unwrap();
    let newest = (&all[0]["reason"], &all[0]["text"], &all[0]["allowed"]);
    assert_eq!(
        newest,
        (
            &json!("maintenance"),
            &json!("Until Sunday."),
            &json!(false)
        )
    );
    assert_eq!(all.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_answered_is_explained() {
    let server = server().await;
    for (path, expected, error) in [
        (
            "/v1/rooms?legacy=ma-chan://old.example/none",
            404,
            "does not list",
        ),
        ("/v1/rooms?legacy=lounge", 400, "expected an identifier"),
        ("/v1/rooms", 400, "no room is asked for"),
        ("/v1/rooms?legacy=a&migrated=b", 400, "both"),
        ("/v1/rooms?room=x", 400, "unknown field"),
        ("/v1/explain", 400, "missing field `user`"),
        ("/v1/explain?user=ann", 400, "`user`"),
        ("/v1/explain?user=a@b&room=x", 400, "`room`"),
        ("/v1/decisions?user=ann", 400, "`user`"),
        ("/v1/decisions?limit=all", 400, "invalid digit"),
        ("/v2", 404, "nothing here"),
    ] {
        let (status, body) = server.json(path).await;
        assert_eq!(status, expected, "{path}");
        assert!(
            body["error"].as_str().unwrap().contains(error),
            "{path}: {body}"
        );
        assert!(!body["help"].as_str().unwrap().is_empty(), "{path}: {body}");
    }
    assert_eq!(server.ask("POST /metrics").await.0, 405);
}

#[tokio::test]
async fn metrics_count_the_requests() {
    let server = server().await;
    server.ask("GET /healthz").await;
    let accept =
        "GET /metrics HTTP/1.1\r\nHost: holdover\r\nAccept: application/openmetrics-text\r\n\r\n";
    let (_, head, text) = server.send(accept).await;
    assert!(
        head.contains("content-type: application/openmetrics-text"),
        "{head}"
    );
    assert!(
        text.contains("holdover_admin_requests_total{route=\"healthz\"} 1\n"),
        "{text}"
    );
    assert!(text.ends_with("# EOF\n"));
    let (_, head, text) = server.ask("GET /metrics").await;
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(
        text.contains("\n# TYPE holdover_admin_requests_total counter\n"),
        "{text}"
    );
    assert!(!text.contains("# EOF"));
}

#[tokio::test]
async fn every_metric_is_documented() {
    let server = server().await;
    let (_, _, text) = server.ask("GET /metrics").await;
    let events = include_str!("../../../docs/events.md");
    let typed = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut count = 0;
    for name in typed.map(|typed| typed.split(' ').next().unwrap()) {
        let documented = |name: &str| events.contains(&format!("`{name}`"));
        let plain = name.strip_suffix("_info").unwrap_or(name);
        assert!(documented(name) || documented(plain), "{name}");
        count += 1;
    }
    assert!(count > 50, "{count}");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    for sample in samples {
        assert!(sample.starts_with("holdover_"), "{sample}");
    }
}

#[tokio::test]
async fn only_own_names_are_answered_on_every_route() {
    let server = server().await;
    let port = server.address.port();
    for (path, ..) in ENDPOINTS.iter().chain([&("/v2", "", AdminRoute::Unknown)]) {
        for (host, version, expected) in [
            ("Host: evil.example\r\n", "1.1", 421),
            ("Host: holdover\r\nHost: holdover\r\n", "1.1", 400),
            ("", "1.1", 400),
        ] {
            let request = format!("GET {path} HTTP/{version}\r\n{host}\r\n");
            let (status, _, body) = server.send(&request).await;
            assert_eq!(status, expected, "{path} {host}: {body}");
        }
    }
    for host in ["localhost", "127.0.0.1", "[::1]:1"] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(server.send(&request).await.0, 200, "{host}");
    }
    let own = format!("GET /v1/config HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    assert_eq!(server.send(&own).await.0, 200);
    assert_eq!(server.send("GET /healthz HTTP/1.0\r\n\r\n").await.0, 200);
}

/// Heads that never end come one after the other, more than there is room for; each probe in between is answered at once.
#[tokio::test]
async fn slow_heads_do_not_keep_probes_waiting() {
    let server = server().await;
    let mut slow = Vec::new();
    for _ in 0..2 * server::CONNECTIONS {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\n")
            .await
            .unwrap();
        slow.push(stream);
    }
    let probes = async {
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(server.ask(&format!("GET {path}")).await.0, 200);
        }
    };
    // Well before the first head would be given up.
    let patience = std::time::Duration::from_secs(4);
    tokio::time::timeout(patience, probes).await.unwrap();
    // The oldest had to go.
    let mut rest = Vec::new();
    let first = slow.first_mut().unwrap();
    assert_eq!(first.read_to_end(&mut rest).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn shutting_down_ends_the_server_though_a_client_is_silent() {
    let server = server().await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(server.ask("GET /healthz").await.0, 200);
    server.server.stop().await;
    assert!(TcpStream::connect(server.address).await.is_err());
    drop(silent);
}

#[tokio::test]
async fn a_reload_is_asked_for_on_purpose() {
    let server = server().await;
    let (status, _, body) = server.ask("GET /v1/reload").await;
    assert_eq!(status, 405);
    assert!(body.contains("use POST"), "{body}");
    // What a form on a page of another site can make a browser send.
    for headers in [
        "",
        "\r\nContent-Type: text/plain",
        "\r\nContent-Type: application/x-www-form-urlencoded",
    ] {
        let (status, _, body) = server.post("/v1/reload", headers).await;
        assert_eq!(status, 415, "{headers}: {body}");
    }
    let json = "\r\nContent-Type: application/json; charset=utf-8";
    for (origin, expected) in [
        ("\r\nOrigin: http://evil.example", 403),
        ("\r\nOrigin: null", 403),
        ("\r\nOrigin: http://holdover", 200),
        ("", 200),
    ] {
        let (status, _, body) = server.post("/v1/reload", &format!("{json}{origin}")).await;
        assert_eq!(status, expected, "{origin}: {body}");
    }
}

#[tokio::test]
async fn what_came_of_a_reload_is_answered() {
    let server = server().await;
    let json = "\r\nContent-Type: application/json";
    let body = |body: &str| serde_json::from_str::<Value>(body).unwrap();
    let (status, _, unchanged) = server.post("/v1/reload", json).await;
    assert_eq!(
        (status, &body(&unchanged)["result"]),
        (200, &json!("unchanged"))
    );

    server.write("[gateway]\ndomain = 7\n");
    let (status, _, rejected) = server.post("/v1/reload", json).await;
    assert_eq!(status, 422);
    let rejected = body(&rejected);
    assert_eq!(rejected["generation"], 1);
    assert_eq!(
        rejected["diagnostics"]["diagnostics"][0]["line"], 2,
        "{rejected}"
    );
    let (_, config) = server.json("/v1/config").await;
    assert_eq!(config["last_reload_successful"], false);
    assert_eq!(config["rejected"]["diagnostics"], rejected["diagnostics"]);
    assert!(
        config["rejected"]["who"]
            .as_str()
            .unwrap()
            .starts_with("http 127.0.0.1:")
    );

    server.write(&CONFIG.replace("refuse", "same-id"));
    let (status, _, applied) = server.post("/v1/reload", json).await;
    let applied = body(&applied);
    assert_eq!(
        (status, &applied["result"], &applied["generation"]),
        (200, &json!("applied"), &json!(2))
    );
    let (_, config) = server.json("/v1/config").await;
    assert_eq!(
        (&config["generation"], &config["hash"]),
        (&json!(2), &applied["hash"])
    );
    assert_eq!(config["rejected"], Value::Null);
    assert_eq!(config["files"][0]["file"], "holdover.toml");
}

/// A panic in a reload is answered as one, shows, and is over with the next reload that goes well.
#[tokio::test]
async fn a_reload_that_panics_is_told_and_the_next_one_works() {
    let server = server().await;
    let json = "\r\nContent-Type: application/json";
    let body = |body: &str| serde_json::from_str::<Value>(body).unwrap();
    let troubles = server.state.reloader.as_ref().unwrap().troubles().clone();
    server.write(&format!("{POISON}{CONFIG}"));
    let (status, _, failed) = server.post("/v1/reload", json).await;
    assert_eq!((status, &body(&failed)["result"]), (500, &json!("failed")));
    assert!(failed.contains("a fault of the program"), "{failed}");
    assert!(troubles.of_reload().is_err());
    let (_, config) = server.json("/v1/config").await;
    assert_eq!(config["last_reload_successful"], false);
    // What was in use before is put in use anew: nobody knows how far the other one came.
    server.write(CONFIG);
    let (status, _, applied) = server.post("/v1/reload", json).await;
    assert_eq!(
        (status, &body(&applied)["result"]),
        (200, &json!("applied"))
    );
    assert!(troubles.of_reload().is_ok());
    let (_, config) = server.json("/v1/config").await;
    assert_eq!(config["last_reload_successful"], true);
}
