//! Signing in and out, and who is let in at all.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use holdover_protocol::sip::digest::{Challenge, Ha1};
use holdover_protocol::sip::{Name, Response};
use holdover_tests::binary::Process;
use holdover_tests::client::{CHANNEL, Client, LOOKUP};
use holdover_tests::gateway::{DOMAIN, Installation, TestGateway};

/// The password of everybody here.
const PASSWORD: &str = "correct horse";

fn texts(response: &Response) -> String {
    let headers = response.headers();
    headers
        .get(Name::MsDiagnostics)
        .unwrap_or_default()
        .to_owned()
}

/// A witness and a client, both in a room.
async fn bob_and_ann(gateway: &TestGateway) -> (Client, Client) {
    let mut witness = Client::tcp(gateway.tcp, "bob").await;
    witness.sign_in().await;
    witness.join("deals").await;
    let mut client = Client::tcp(gateway.tcp, "ann").await;
    client.sign_in().await;
    client.join("deals").await;
    (witness, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_without_a_sign_in() {
    let gateway = TestGateway::start("").await;
    let mut client = Client::tcp(gateway.tcp, "ann").await;
    for uri in [LOOKUP, CHANNEL] {
        let (refused, _) = client.invite(uri).await;
        // Never 401 or 407, which a client that was not challenged repeats without end.
        assert_eq!(refused.status().code(), 403);
        assert!(texts(&refused).contains("Sign in first."));
    }
    assert_eq!(client.register("").await, 200);
    client.open_group_chat().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_sign_in_is_what_starts_group_chat() {
    let gateway = TestGateway::start("").await;
    let mut client = Client::tcp(gateway.tcp, "ann").await;
    let (dialog, request) = client.register_request("");
    let accepted = client.ask(&dialog, &request).await;
    let headers = accepted.headers();
    assert!(headers.expires().unwrap() > 0);
    assert_eq!(
        headers.all(Name::Supported).collect::<Vec<_>>(),
        ["msrtc-event-categories"]
    );
    let events = headers.get(Name::AllowEvents).unwrap();
    assert!(!events.contains(' '), "{events}");
    let subscription = client.new_dialog("sip:ann@contoso.com");
    let event =
        "Event: vnd-microsoft-provisioning-v2\r\nProxy-Require: ms-benotify\r\nExpires: 0\r\n";
    let request = client.request("SUBSCRIBE", &subscription, event, "", "");
    let accepted = client.ask(&subscription, &request).await;
    assert_eq!(accepted.status().code(), 200);
    assert_eq!(
        accepted.headers().get(Name::Event),
        Some("vnd-microsoft-provisioning-v2")
    );
    assert_eq!(accepted.headers().get(Name::MsPiggybackCseq), Some("1"));
    let (accepted, _) = client.invite(LOOKUP).await;
    // Without it the real client falls into a storm of UPDATEs.
    assert!(accepted.headers().get(Name::SessionExpires).is_some());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_leaves_the_rooms_at_once() {
    let gateway = TestGateway::start("").await;
    let (mut witness, mut client) = bob_and_ann(&gateway).await;
    witness.document(|body| body.contains("ntc:join")).await;
    assert_eq!(client.register("Expires: 0\r\n").await, 200);
    let parted = witness.document(|body| body.contains("ntc:part")).await;
    assert!(parted.contains("sip:ann@contoso.com"), "{parted}");
    let (refused, _) = client.invite(CHANNEL).await;
    assert_eq!(refused.status().code(), 403);
    // On the same connection somebody may sign in again.
    client.channel = None;
    client.sign_in().await;
    client.sign_out().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_client_keeps_its_rooms_for_the_grace_period_only() {
    let gateway = TestGateway::start("grace_secs = 1\n").await;
    let (mut witness, client) = bob_and_ann(&gateway).await;
    witness.document(|body| body.contains("ntc:join")).await;
    client.reset();
    let parted = witness.document(|body| body.contains("ntc:part")).await;
    assert!(parted.contains("sip:ann@contoso.com"), "{parted}");
    gateway
        .metric_reaches("holdover_sessions", |sessions| sessions == 1)
        .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_in_time_never_left() {
    let gateway = TestGateway::start("").await;
    let (mut witness, client) = bob_and_ann(&gateway).await;
    client.reset();
    gateway
        .metric_reaches("holdover_sessions_detached_total", |count| count == 1)
        .await;
    assert_eq!(witness.post("deals", "while you were away").await, 200);
    let mut client = Client::tcp(gateway.tcp, "ann").await;
    client.sign_in().await;
    let joined = client
        .command(
            "bjoin",
            &format!("<chanid key=\"0\" domain=\"{DOMAIN}\" value=\"deals\"/>"),
        )
        .await;
    assert!(
        joined.contains("code=\"200\"") && joined.contains("/deals\""),
        "{joined}"
    );
    let history = client
        .command(
            "bccontext",
            "<chanib uri=\"ma-chan://contoso.com/deals\"/><bcq><last cnt=\"25\"/></bcq>",
        )
        .await;
    assert_eq!(
        history.matches("while you were away").count(),
        1,
        "{history}"
    );
    assert_eq!(witness.post("deals", "welcome back").await, 200);
    assert_eq!(client.message().await, "welcome back");
    assert_eq!(gateway.metric("holdover_sessions"), 2);
    assert!(!witness.inbox.iter().any(|body| body.contains("ntc:part")));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_that_end_together_leave_few_sessions() {
    let gateway = TestGateway::start("").await;
    let mut clients = Vec::new();
    for number in 0..20 {
        let mut client = Client::tcp(gateway.tcp, "ann").await;
        client.epid = format!("{number:012x}");
        client.sign_in().await;
        client.join("deals").await;
        clients.push(client);
    }
    assert_eq!(gateway.metric("holdover_sessions"), 20);
    for client in clients {
        client.reset();
    }
    gateway
        .metric_reaches("holdover_sessions_detached_total", |count| count == 20)
        .await;
    gateway
        .metric_reaches("holdover_sessions", |sessions| sessions == 8)
        .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_belongs_to_one_user() {
    let gateway = TestGateway::start("").await;
    let mut client = Client::tcp(gateway.tcp, "eve@fabrikam.com").await;
    assert_eq!(client.register("").await, 404, "another domain");
    client.user = "ann@contoso.com".to_owned();
    assert_eq!(client.register("").await, 200);
    client.user = "bob@contoso.com".to_owned();
    assert_eq!(client.register("").await, 403);
    // Enough of it.
    for _ in 0..2 {
        let (_, request) = client.register_request("");
        client.write(request.as_bytes()).await.unwrap();
    }
    client.closed().await;
    assert!(
        client
            .responses
            .iter()
            .all(|response| response.status().code() == 403)
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_the_limit_are_connected() {
    for limit in ["connections = 2", "connections_per_address = 2"] {
        let gateway = TestGateway::start(&format!("[limits]\n{limit}\n")).await;
        let mut first = Client::tcp(gateway.tcp, "ann").await;
        let mut second =
            Client::tls(gateway.tls, "bob", &gateway.installation.path("ca.pem")).await;
        first.sign_in().await;
        second.sign_in().await;
        for _ in 0..20 {
            let mut third = Client::tcp(gateway.tcp, "carol").await;
            third.closed().await;
        }
        first.reset();
        gateway
            .metric_reaches("holdover_connections", |open| open == 1)
            .await;
        let mut third = Client::tcp(gateway.tcp, "carol").await;
        third.sign_in().await;
        second.join("deals").await;
        assert_eq!(second.post("deals", "unaffected").await, 200);
        gateway.stop().await;
    }
}

async fn digest_gateway() -> TestGateway {
    let installation = Installation::new("{ digest = { users = \"users.toml\" } }", "");
    let mut users = String::from("[users]\n");
    for user in ["ann@contoso.com", "bob@contoso.com"] {
        let ha1 = Ha1::new(user, DOMAIN, PASSWORD).to_hex();
        users.push_str(&format!("\"{user}\" = \"{ha1}\"\n"));
    }
    installation.write("users.toml", &users);
    TestGateway::serve(installation).await
}

/// Registers as the real client does: with the very same CSeq, Call-ID and branch again, and `uri="(null)"`.
async fn register_with(client: &mut Client, password: &str) -> Option<Response> {
    let (dialog, request) = client.register_request("");
    let challenged = client.ask(&dialog, &request).await;
    assert_eq!(challenged.status().code(), 407);
    let challenge = challenged.headers().get(Name::ProxyAuthenticate).unwrap();
    let challenge = Challenge::parse(challenge).unwrap();
    let ha1 = Ha1::new(&client.user, challenge.realm(), password);
    let credentials = challenge.answer(&client.user, &ha1, "REGISTER", "(null)", "0a4f113b", 1);
    let header = format!("Proxy-Authorization: {credentials}\r\nContent-Length:");
    let again = request.replace("Content-Length:", &header);
    client.write(again.as_bytes()).await.unwrap();
    client.response(&dialog.call_id, dialog.cseq).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_password_opens_and_the_wrong_one_does_not() {
    let gateway = digest_gateway().await;
    let mut ann = Client::tcp(gateway.tcp, "ann").await;
    let accepted = register_with(&mut ann, PASSWORD).await.unwrap();
    assert_eq!(accepted.status().code(), 200);
    ann.open_group_chat().await;
    ann.join("deals").await;
    // A refresh needs no second proof.
    assert_eq!(ann.register("").await, 200);

    for (name, password) in [("bob", "wrong horse"), ("nobody", PASSWORD)] {
        let mut client = Client::tcp(gateway.tcp, name).await;
        for _ in 0..3 {
            let refused = register_with(&mut client, password).await.unwrap();
            // Soon, and not 401: the real client would try on and then hang.
            assert_eq!(refused.status().code(), 403, "{name}");
        }
        client.closed().await;
    }
    assert_eq!(ann.post("deals", "unaffected").await, 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_overheard_opens_nothing() {
    let gateway = digest_gateway().await;
    let mut ann = Client::tcp(gateway.tcp, "ann").await;
    let (dialog, request) = ann.register_request("");
    let challenged = ann.ask(&dialog, &request).await;
    let challenge =
        Challenge::parse(challenged.headers().get(Name::ProxyAuthenticate).unwrap()).unwrap();
    let ha1 = Ha1::new(&ann.user, challenge.realm(), PASSWORD);
    let credentials = challenge.answer(&ann.user, &ha1, "REGISTER", "(null)", "0a4f113b", 1);
    // Somebody else's proof is none for me.
    let mut bob = Client::tcp(gateway.tcp, "bob").await;
    let status = bob
        .register(&format!("Proxy-Authorization: {credentials}\r\n"))
        .await;
    assert_eq!(status, 403);
    let mut bob = Client::tcp(gateway.tcp, "bob").await;
    let garbled = "Proxy-Authorization: Digest username=\"bob@contoso.com\", response=\"zz\"\r\n";
    assert_eq!(bob.register(garbled).await, 407);
    let basic = "Proxy-Authorization: Basic Ym9iOmJvYg==\r\n";
    assert_eq!(bob.register(basic).await, 407);
    let (refused, _) = bob.invite(CHANNEL).await;
    assert_eq!(refused.status().code(), 403);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_takes_as_long_as_the_slowest_only_for_the_slowest() {
    let gateway = TestGateway::start("").await;
    // Handshakes that never begin.
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(Client::tcp(gateway.tls, "mallory").await);
    }
    let begun = std::time::Instant::now();
    let mut ann = Client::tls(gateway.tls, "ann", &gateway.installation.path("ca.pem")).await;
    ann.sign_in().await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    gateway.stop().await;
}

#[test]
fn an_ipv4_client_of_a_dual_stack_listener_is_logged_by_its_ipv4_address() {
    let listener = "[[listener]]\nname = \"both\"\naddress = \"[::]:0\"\nsign_in = \"open\"\ninsecure = true\n";
    let installation = Installation::new("\"open\"", listener);
    let gateway = Process::start(&installation.config());
    let opened = gateway.line(|line| line.contains("listener=both"));
    let (_, rest) = opened.split_once("listen.addr=[::]:").unwrap();
    let port: u16 = rest.split(' ').next().unwrap().parse().unwrap();
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    client.write_all(b"(not SIP)\r\n\r\n").unwrap();
    let line = gateway.line(|line| line.contains("downstream.addr="));
    let address = client.local_addr().unwrap();
    assert!(
        line.contains(&format!("downstream.addr={address}")),
        "{line}"
    );
}
