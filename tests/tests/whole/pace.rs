//! How fast the requests of a client are read.

use std::time::{Duration, Instant};

use holdover_tests::client::{CHANNEL, Client};
use holdover_tests::gateway::TestGateway;

/// Sends so many OPTIONS at once.
async fn ask(client: &mut Client, count: usize) {
    let mut all = String::new();
    for _ in 0..count {
        let dialog = client.new_dialog(CHANNEL);
        all.push_str(&client.request("OPTIONS", &dialog, "", "", ""));
    }
    client.write(all.as_bytes()).await.unwrap();
}

async fn answered(client: &mut Client, count: usize) {
    for _ in 0..count {
        client.receive().await.expect("every request is answered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_fast_waits_loses_nothing_and_holds_up_nobody() {
    let gateway = TestGateway::start("[limits]\nrequests_per_second = 10\n").await;
    let (mut eve, mut bob) = (
        Client::tcp(gateway.tcp, "eve").await,
        Client::tcp(gateway.tcp, "bob").await,
    );
    bob.sign_in().await;
    bob.join("deals").await;
    let begun = Instant::now();
    ask(&mut eve, 200).await;
    assert_eq!(bob.post("deals", "meanwhile").await, 200);
    answered(&mut eve, 200).await;
    // 50 at once, 150 by the rate; what is read at once is not cut in two.
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(5), "{took:?}");
    gateway
        .counts("holdover_connections_paced_total", "connection", 1)
        .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_one_address_share_a_rate() {
    let gateway = TestGateway::start("[limits]\nrequests_per_second_per_address = 100\n").await;
    let begun = Instant::now();
    // Four requests' worth each.
    let mut clients = Vec::new();
    for number in 0..4 {
        let mut client = Client::tcp(gateway.tcp, &format!("user{number}")).await;
        ask(&mut client, 100).await;
        clients.push(client);
    }
    for client in &mut clients {
        answered(client, 100).await;
    }
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(1), "{took:?}");
    gateway
        .counts("holdover_connections_paced_total", "address", 1)
        .await;
    gateway.stop().await;
}
