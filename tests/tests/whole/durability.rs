//! What was acknowledged is kept, whatever happens to the process; and how the process ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use holdover_tests::binary::{Addresses, Process, get, run};
use holdover_tests::client::{Client, texts_of};
use holdover_tests::gateway::Installation;
use holdover_tests::patience::within;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Clients that post at the same time.
const POSTERS: usize = 8;

/// How often the process is killed; `HOLDOVER_KILLS` sets it.
const KILLS: usize = 3;

fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    let given = std::env::var(name).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Posts until the connection ends. Returns what was acknowledged, in order.
async fn post_on(
    address: SocketAddr,
    name: String,
    round: usize,
    acknowledged: Arc<AtomicUsize>,
) -> Vec<String> {
    let mut client = Client::tcp(address, &name).await;
    client.sign_in().await;
    client.join("noise").await;
    let mut kept = Vec::new();
    loop {
        let text = format!("{name} {round} {}", kept.len());
        let body = client.post_body("noise", &text);
        let (dialog, request) = client.info(&body);
        if client.write(request.as_bytes()).await.is_err() {
            return kept;
        }
        match client.response(&dialog.call_id, dialog.cseq).await {
            Some(receipt) => {
                assert_eq!(receipt.status().code(), 200);
                kept.push(text);
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            None => return kept,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_posts_survive_kill_9_exactly_once_and_in_order() {
    let seed = setting("HOLDOVER_SEED", rand::random::<u64>());
    println!("HOLDOVER_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let installation = Installation::new("\"open\"", "");
    let mut acknowledged: Vec<Vec<String>> = vec![Vec::new(); POSTERS];
    for round in 0..setting("HOLDOVER_KILLS", KILLS) {
        let process = Process::start(&installation.config());
        let address = process.ready().tcp;
        let count = Arc::new(AtomicUsize::new(0));
        let mut posters = tokio::task::JoinSet::new();
        for number in 0..POSTERS {
            let (name, count) = (format!("poster{number}"), Arc::clone(&count));
            posters.spawn(async move { (number, post_on(address, name, round, count).await) });
        }
        let enough = random.random_range(1..300);
        within("posts", async {
            while count.load(Ordering::Relaxed) < enough {
                tokio::task::yield_now().await;
            }
        })
        .await;
        process.kill();
        while let Some(posted) = posters.join_next().await {
            let (number, kept) = posted.unwrap();
            acknowledged[number].extend(kept);
        }
    }
    let stored = installation.messages("m-noise");
    for (number, kept) in acknowledged.iter().enumerate() {
        assert!(!kept.is_empty(), "poster {number} got nothing through");
        let mut of_poster = stored.iter().filter(|text| kept.contains(text));
        // Each once, and in the order in which they were acknowledged.
        for text in kept {
            assert_eq!(of_poster.next(), Some(text), "seed {seed}");
        }
        assert_eq!(of_poster.next(), None, "seed {seed}");
    }

    // And a client finds the same in the history.
    let process = Process::start(&installation.config());
    let mut client = Client::tcp(process.ready().tcp, "ann").await;
    client.sign_in().await;
    client.join("noise").await;
    let last = stored.len().min(25);
    let data =
        format!("<chanib uri=\"ma-chan://contoso.com/noise\"/><bcq><last cnt=\"{last}\"/></bcq>");
    let history = texts_of(&client.command("bccontext", &data).await);
    assert_eq!(history, stored[stored.len() - last..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_drains_and_exits_well() {
    let installation = Installation::new("\"open\"", "");
    let process = Process::start(&installation.config());
    let Addresses { tcp, admin, .. } = process.ready();
    assert!(get(admin, "/readyz").unwrap().starts_with("HTTP/1.1 200"));
    let mut ann = Client::tcp(tcp, "ann").await;
    ann.sign_in().await;
    ann.join("deals").await;
    assert_eq!(ann.post("deals", "before the end").await, 200);
    // One who reads nothing keeps the last words waiting, so that the drain can be seen.
    let mut deaf = Client::tcp(tcp, "bob").await;
    deaf.sign_in().await;
    let dialog = deaf.new_dialog("sip:bob@contoso.com");
    let request = deaf.request("OPTIONS", &dialog, "", "", "").repeat(500);
    let flooded = async { while deaf.write(request.as_bytes()).await.is_ok() {} };
    // Blocked, and not closed: that takes much longer.
    let blocked = tokio::time::timeout(std::time::Duration::from_secs(2), flooded).await;
    assert!(blocked.is_err());

    process.signal("INT");
    let unready = tokio::task::spawn_blocking(move || {
        loop {
            match get(admin, "/readyz") {
                Some(response) if response.starts_with("HTTP/1.1 200") => {}
                response => return response,
            }
        }
    });
    let response = within("readiness", unready).await.unwrap();
    assert!(response.unwrap_or_default().starts_with("HTTP/1.1 503"));
    ann.closed().await;
    let (status, log) = tokio::task::spawn_blocking(|| process.ended())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    for told in ["process.draining", "process.stopped"] {
        assert!(log.contains(told), "{log}");
    }
    assert_eq!(installation.messages("m-deals"), ["before the end"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_gateway_on_the_same_database_is_refused() {
    let installation = Installation::new("\"open\"", "");
    let process = Process::start(&installation.config());
    let addresses = process.ready();
    let refused = run(
        installation.dir(),
        &["run", "--config", "holdover.toml"],
        "",
    );
    assert_eq!(refused.status.code(), Some(1));
    let errors = String::from_utf8(refused.stderr).unwrap();
    assert!(
        errors.contains("error: pool `here`: the pool's database is served already"),
        "{errors}"
    );
    // The first noticed nothing.
    let mut ann = Client::tcp(addresses.tcp, "ann").await;
    ann.sign_in().await;
    ann.join("deals").await;
    assert_eq!(ann.post("deals", "mine").await, 200);
    process.kill();
    // And a lock dies with its process.
    let process = Process::start(&installation.config());
    let mut ann = Client::tcp(process.ready().tcp, "ann").await;
    ann.sign_in().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_that_are_loaded_while_it_runs_are_there_at_once() {
    let installation = Installation::new("\"open\"", "");
    let process = Process::start(&installation.config());
    let address = process.ready().tcp;
    let mut ann = Client::tcp(address, "ann").await;
    ann.sign_in().await;
    let missing = ann.join("legal-2").await;
    assert!(!missing.contains("code=\"200\""), "{missing}");
    installation.write(
        "more.toml",
        "[[category]]\nname = \"All\"\n[[room]]\nname = \"Deals\"\nvalue = \"m-deals\"\ncategory = \"All\"\n\
         privacy = \"closed\"\nmembers = [\"bob@contoso.com\"]\n",
    );
    let loaded = run(
        installation.dir(),
        &["pool", "load", "more.toml", "--database", "rooms.db"],
        "",
    );
    assert!(
        loaded.status.success(),
        "{}",
        String::from_utf8_lossy(&loaded.stderr)
    );
    let refused = ann.join("deals").await;
    assert!(!refused.contains("code=\"200\""), "{refused}");
}
