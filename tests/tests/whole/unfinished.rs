//! Messages that come in part: what they may cost before and after sign-in, and how long they may take.

use holdover_tests::client::{CHANNEL, Client};
use holdover_tests::gateway::TestGateway;

/// An INFO with this Content-Length and the first `sent` octets of its body.
fn begun(client: &mut Client, length: usize, sent: usize) -> Vec<u8> {
    let dialog = client.new_dialog(CHANNEL);
    let whole = client.request("INFO", &dialog, "", "text/plain", "");
    let head = whole.replace("Content-Length: 0", &format!("Content-Length: {length}"));
    [head.into_bytes(), vec![b'x'; sent]].concat()
}

async fn refused(client: &mut Client, status: u16) {
    client.closed().await;
    let statuses: Vec<_> = client
        .responses
        .iter()
        .map(|it| it.status().code())
        .collect();
    assert_eq!(statuses, [status]);
}

#[tokio::test(flavor = "multi_thread")]
async fn before_sign_in_a_body_is_small() {
    let gateway = TestGateway::start("").await;
    let mut client = Client::tcp(gateway.tcp, "ann").await;
    let large = begun(&mut client, 16_385, 0);
    client.write(&large).await.unwrap();
    refused(&mut client, 413).await;
    let mut client = Client::tcp(gateway.tcp, "ann").await;
    let small = begun(&mut client, 16_384, 16_384);
    client.write(&small).await.unwrap();
    assert_eq!(client.register("").await, 200);
    // Whoever has signed in has the limits of a client, until the sign-out.
    let large = begun(&mut client, 900_000, 900_000);
    client.write(&large).await.unwrap();
    assert_eq!(client.register("").await, 200);
    assert_eq!(client.register("Expires: 0\r\n").await, 200);
    client.responses.clear();
    let large = begun(&mut client, 16_385, 0);
    client.write(&large).await.unwrap();
    refused(&mut client, 413).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_messages_of_strangers_from_one_address_share_little_memory() {
    let gateway = TestGateway::start("[limits]\nsign_in_bytes_per_address = 65_536\n").await;
    let (mut witness, mut ann) = (
        Client::tcp(gateway.tcp, "bob").await,
        Client::tcp(gateway.tcp, "ann").await,
    );
    witness.sign_in().await;
    ann.sign_in().await;
    witness.join("deals").await;
    ann.join("deals").await;
    let mut strangers = Vec::new();
    for _ in 0..20 {
        let mut stranger = Client::tcp(gateway.tcp, "eve").await;
        let half = begun(&mut stranger, 16_000, 12_000);
        // It may be closed meanwhile.
        let _cut = stranger.write(&half).await;
        strangers.push(stranger);
    }
    // Of 20 messages, at least 15 did not fit.
    gateway
        .counts("holdover_connections_closed_total", "address-memory", 15)
        .await;
    // Users of the same address do not notice, nor does who signs in now.
    assert_eq!(witness.post("deals", &"x".repeat(4_000)).await, 200);
    let mut carol = Client::tcp(gateway.tcp, "carol").await;
    carol.sign_in().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_does_not_end_is_given_up() {
    let gateway = TestGateway::start("[limits]\nmessage_timeout_secs = 1\n").await;
    let mut client = Client::tcp(gateway.tcp, "ann").await;
    assert_eq!(client.register("").await, 200);
    let half = begun(&mut client, 900_000, 100_000);
    client.write(&half).await.unwrap();
    refused(&mut client, 408).await;
    gateway
        .counts("holdover_connections_closed_total", "unfinished", 1)
        .await;
    gateway.stop().await;
}
