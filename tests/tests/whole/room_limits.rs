//! How many rooms a client may have, changed by a reload.

use std::fmt::Write as _;

use holdover_tests::client::Client;
use holdover_tests::gateway::{DOMAIN, Installation, TestGateway};

use crate::reload::admin;

/// Twenty rooms: one of the pool under as many names.
fn installation() -> Installation {
    let installation = Installation::new("\"open\"", "[limits]\nrooms_per_command = 100\n");
    let mut rooms = String::from("legacy,pool,migrated,state\n");
    for at in 0..20 {
        let state = if at == 0 { "migrated" } else { "merged" };
        let line = format!("ma-chan://{DOMAIN}/r{at},here,ma-chan://{DOMAIN}/m-lunch,{state}\n");
        rooms.write_str(&line).unwrap();
    }
    installation.write("rooms.csv", &rooms);
    installation
}

/// Joins these of the rooms in one command. Returns how many are open, and how many are refused.
async fn join(client: &mut Client, rooms: std::ops::Range<usize>) -> (usize, usize) {
    let data: String = rooms
        .enumerate()
        .map(|(key, at)| format!("<chanid key=\"{key}\" domain=\"{DOMAIN}\" value=\"r{at}\"/>"))
        .collect();
    let reply = client.command("bjoin", &data).await;
    (
        reply.matches("<chanib ").count(),
        reply.matches("<fib ").count(),
    )
}

async fn come(gateway: &TestGateway, name: &str) -> Client {
    let mut client = Client::tcp(gateway.tcp, name).await;
    client.sign_in().await;
    client
}

/// Replaces the limits and has them applied.
async fn limit(gateway: &TestGateway, limits: &str) {
    let config = std::fs::read_to_string(gateway.installation.config()).unwrap();
    let (before, _) = config.split_once("[limits]\n").unwrap();
    let config = format!("{before}[limits]\n{limits}\n");
    gateway.installation.write("holdover.toml", &config);
    let (status, report) = admin(gateway, "POST /v1/reload").await;
    assert_eq!(status, 200, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_of_a_command_and_of_a_session_are_as_many_as_the_last_reload_says() {
    let gateway = TestGateway::serve(installation()).await;
    let mut ann = come(&gateway, "ann").await;
    assert_eq!(join(&mut ann, 0..20).await, (20, 0));

    limit(&gateway, "rooms_per_command = 16").await;
    let mut bob = come(&gateway, "bob").await;
    assert_eq!(join(&mut bob, 0..20).await, (16, 4));
    // They may be had one after the other.
    assert_eq!(join(&mut bob, 16..20).await, (4, 0));

    limit(&gateway, "rooms_per_session = 16").await;
    let mut carol = come(&gateway, "carol").await;
    assert_eq!(join(&mut carol, 0..10).await, (10, 0));
    assert_eq!(join(&mut carol, 8..20).await, (8, 4));
    // Those who had more before keep them.
    assert_eq!(ann.post("r19", "Soup?").await, 200);
    assert_eq!(bob.message().await, "Soup?");

    limit(&gateway, "").await;
    let mut dora = come(&gateway, "dora").await;
    assert_eq!(join(&mut dora, 0..20).await, (20, 0));
    gateway.stop().await;
}
