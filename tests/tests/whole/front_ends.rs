//! Front-end servers: who is let in, many users on one connection, and what becomes of them when it breaks.

use holdover_protocol::sip::Status;
use holdover_tests::client::{CHANNEL, Client};
use holdover_tests::front_end::{FrontEnd, User};
use holdover_tests::gateway::{Installation, TestGateway};
use holdover_tests::patience::within;
use holdover_tests::upstream::Authority;

/// A listener for front ends behind what every gateway has.
fn installation(more: &str) -> Installation {
    let installation = Installation::new(
        "\"open\"",
        &format!(
            "[[listener]]\nname = \"front-ends\"\nmode = \"trusted\"\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificate = \"fe.pem\", private_key = \"fe.key\" }}\n\
             front_ends = {{ authorities = \"fe-ca.pem\", names = [\"fe1.contoso.com\", \"fe2.contoso.com\"] }}\n\
             {more}"
        ),
    );
    let authority = installation.authority();
    authority.issue(installation.dir(), "fe", "localhost");
    authority.issue(installation.dir(), "fe1", "fe1.contoso.com");
    authority.issue(installation.dir(), "fe2", "fe2.contoso.com");
    installation.write("fe-ca.pem", authority.pem());
    installation
}

async fn start(more: &str) -> TestGateway {
    TestGateway::serve(installation(more)).await
}

async fn connect_with(gateway: &TestGateway, own: Option<&str>) -> std::io::Result<FrontEnd> {
    let address = gateway.address("front-ends");
    FrontEnd::connect(address, gateway.installation.dir(), own).await
}

/// A connection that is let in.
async fn connect(gateway: &TestGateway) -> FrontEnd {
    connect_with(gateway, Some("fe1")).await.unwrap()
}

async fn is_let_in(gateway: &TestGateway, own: Option<&str>) -> bool {
    match connect_with(gateway, own).await {
        Ok(mut front_end) => front_end.is_let_in().await,
        Err(_) => false,
    }
}

#[tokio::test]
async fn two_users_on_one_connection_talk() {
    let gateway = start("").await;
    let mut front_end = connect(&gateway).await;
    let (mut ann, mut bob) = (User::new("ann"), User::new("bob"));
    front_end.sign_in(&mut ann).await;
    front_end.sign_in(&mut bob).await;
    front_end.join(&mut ann, "deals").await;
    front_end.join(&mut bob, "deals").await;
    assert_eq!(gateway.metric("holdover_sessions"), 2);
    assert_eq!(gateway.metric("holdover_connections"), 1);

    assert_eq!(front_end.post(&mut ann, "deals", "Good evening").await, 200);
    assert_eq!(front_end.message(&bob).await, "Good evening");
    assert_eq!(front_end.message(&ann).await, "Good evening");
    assert_eq!(front_end.post(&mut bob, "deals", "Hello").await, 200);
    assert_eq!(front_end.message(&ann).await, "Hello");
    assert_eq!(front_end.message(&bob).await, "Hello");

    // A body over the limit is hers alone: the connection goes on.
    let large = "x".repeat(1_100_000);
    assert_eq!(front_end.post(&mut ann, "deals", &large).await, 413);
    assert_eq!(front_end.post(&mut bob, "deals", "Still here").await, 200);
    assert_eq!(front_end.message(&ann).await, "Still here");
    assert_eq!(front_end.message(&bob).await, "Still here");

    // And with one who comes by a connection of her own.
    let mut carol = Client::tcp(gateway.tcp, "carol").await;
    carol.sign_in().await;
    carol.join("deals").await;
    assert_eq!(carol.post("deals", "Me too").await, 200);
    assert_eq!(front_end.message(&ann).await, "Me too");
    assert_eq!(front_end.message(&bob).await, "Me too");

    // One leaves; the other goes on.
    assert_eq!(
        front_end.ask(&mut bob, "BYE", "").await.status(),
        Status::OK
    );
    assert_eq!(
        front_end.ask(&mut bob, "UPDATE", "").await.status(),
        Status::NO_SUCH_DIALOG
    );
    assert_eq!(front_end.post(&mut ann, "deals", "Gone?").await, 200);
    assert_eq!(front_end.message(&ann).await, "Gone?");
    gateway.stop().await;
}

#[tokio::test]
async fn only_listed_front_ends_with_good_certificates_are_let_in() {
    let gateway = start("").await;
    let mut front_end = connect(&gateway).await;
    let mut ann = User::new("ann");
    front_end.sign_in(&mut ann).await;
    let (ours, dir) = (gateway.installation.authority(), gateway.installation.dir());
    assert!(is_let_in(&gateway, Some("fe2")).await);

    ours.issue_expired(dir, "expired", "fe1.contoso.com");
    Authority::new("another").issue(dir, "foreign", "fe1.contoso.com");
    ours.issue(dir, "unlisted", "fe3.contoso.com");
    for (own, reason) in [
        (None, "client-certificate-missing"),
        (Some("expired"), "client-certificate-expired"),
        (Some("foreign"), "client-authority-unknown"),
        (Some("unlisted"), "client-not-listed"),
    ] {
        assert!(!is_let_in(&gateway, own).await, "{reason}");
        gateway
            .counts("holdover_tls_failures_total", reason, 1)
            .await;
    }
    // Nobody else was disturbed.
    front_end.join(&mut ann, "deals").await;
    gateway.stop().await;
}

#[tokio::test]
async fn certificates_and_authorities_are_read_again_when_they_change() {
    let gateway = start("").await;
    let before = connect(&gateway).await;
    let dir = gateway.installation.dir();
    gateway
        .installation
        .authority()
        .issue(dir, "fe", "localhost");
    let next = Authority::new("another");
    next.issue(dir, "next", "fe1.contoso.com");
    gateway.installation.write("fe-ca.pem", next.pem());
    within("the new certificates are used", async {
        while !is_let_in(&gateway, Some("next")).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!is_let_in(&gateway, Some("fe1")).await);
    let now = connect_with(&gateway, Some("next")).await.unwrap();
    assert_ne!(now.certificate(), before.certificate());
    gateway.stop().await;
}

#[tokio::test]
async fn who_is_not_the_one_that_the_front_end_knows_is_refused() {
    const COUNTER: &str = "holdover_identities_not_asserted_total";
    let gateway = start("").await;
    let mut front_end = connect(&gateway).await;
    let (mut ann, mut bob) = (User::new("ann"), User::new("bob"));
    front_end.sign_in(&mut ann).await;
    front_end.join(&mut ann, "deals").await;

    // Bob writes Ann into From; the front end knows that he is Bob.
    let mut spoof = ann.clone();
    spoof.asserted.clone_from(&bob.asserted);
    let refused = front_end.post(&mut spoof, "deals", "I am Ann").await;
    assert_eq!(refused, 403);
    assert_eq!(gateway.counted(COUNTER, "other-sender"), 1);
    let refused = front_end.invite(&mut spoof, CHANNEL).await;
    assert_eq!(refused.status(), Status::FORBIDDEN);
    assert_eq!(gateway.counted(COUNTER, "other-sender"), 2);

    let asserted = std::mem::take(&mut bob.asserted);
    let refused = front_end.invite(&mut bob, CHANNEL).await;
    assert_eq!(refused.status(), Status::FORBIDDEN);
    assert_eq!(gateway.counted(COUNTER, "missing"), 1);
    bob.asserted = asserted;
    front_end.sign_in(&mut bob).await;

    for method in ["REGISTER", "SUBSCRIBE"] {
        let mut user = User::new("carol");
        let refused = front_end.ask(&mut user, method, "").await;
        assert_eq!(refused.status(), Status::METHOD_NOT_ALLOWED);
    }
    assert_eq!(gateway.installation.messages("m-deals"), [""; 0]);
    gateway.stop().await;
}

#[tokio::test]
async fn dialogs_go_on_over_another_connection() {
    let gateway = start("").await;
    let mut first = connect(&gateway).await;
    let (mut ann, mut bob) = (User::new("ann"), User::new("bob"));
    for user in [&mut ann, &mut bob] {
        first.sign_in(user).await;
        first.join(user, "deals").await;
    }

    // Requests of one user come over any of several connections, and what is for the user goes where the last came from.
    // This one is of another front end, which is no way to Ann.
    let mut second = connect_with(&gateway, Some("fe2")).await.unwrap();
    assert_eq!(second.post(&mut bob, "deals", "from another").await, 200);
    assert_eq!(second.message(&bob).await, "from another");
    assert_eq!(first.message(&ann).await, "from another");

    // The first breaks. What is said meanwhile waits, and what may not have arrived comes again.
    assert_eq!(gateway.metric("holdover_sessions_detached_total"), 0);
    first.answering = false;
    assert_eq!(second.post(&mut bob, "deals", "on the way").await, 200);
    let lost = first.hear(&ann).await;
    drop(first);
    gateway
        .metric_reaches("holdover_sessions_detached_total", |count| count == 1)
        .await;
    assert_eq!(second.message(&bob).await, "on the way");
    assert_eq!(second.post(&mut bob, "deals", "meanwhile").await, 200);
    assert_eq!(second.message(&bob).await, "meanwhile");

    // Ann's client need not do anything: it knows of nothing.
    let mut third = connect(&gateway).await;
    let again = third.hear(&ann).await;
    let headers = |of: &holdover_protocol::sip::Request| {
        let headers = of.headers();
        (headers.cseq().unwrap().number, of.body().clone())
    };
    assert_eq!(headers(&again), headers(&lost));
    assert_eq!(third.message(&ann).await, "meanwhile");
    assert_eq!(third.post(&mut ann, "deals", "back").await, 200);
    assert_eq!(second.message(&bob).await, "back");
    assert_eq!(third.message(&ann).await, "back");
    assert_eq!(gateway.metric("holdover_sessions"), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn sessions_of_a_lost_connection_go_over_to_another_of_the_front_end() {
    let gateway = start("").await;
    let (mut first, mut second) = (connect(&gateway).await, connect(&gateway).await);
    let (mut ann, mut bob) = (User::new("ann"), User::new("bob"));
    first.sign_in(&mut ann).await;
    first.join(&mut ann, "deals").await;
    second.sign_in(&mut bob).await;
    second.join(&mut bob, "deals").await;
    drop(first);
    gateway
        .metric_reaches("holdover_sessions_resumed_total", |count| count == 1)
        .await;
    assert_eq!(second.post(&mut bob, "deals", "Still here?").await, 200);
    assert_eq!(second.message(&ann).await, "Still here?");
    assert_eq!(second.message(&bob).await, "Still here?");
    assert_eq!(gateway.metric("holdover_front_ends_lost_total"), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_dials_again_finds_its_session() {
    let gateway = start("").await;
    let mut front_end = connect(&gateway).await;
    let (mut ann, mut bob) = (User::new("ann"), User::new("bob"));
    for user in [&mut ann, &mut bob] {
        front_end.sign_in(user).await;
        front_end.join(user, "deals").await;
    }
    // The same client: it keeps its windows and asks for nothing. Nobody told us that its dialog is over.
    let mut old = bob.clone();
    front_end.sign_in(&mut bob).await;
    assert_eq!(
        front_end.ask(&mut old, "UPDATE", "").await.status(),
        Status::NO_SUCH_DIALOG
    );
    assert_eq!(front_end.post(&mut ann, "deals", "still here?").await, 200);
    assert_eq!(front_end.message(&bob).await, "still here?");
    assert_eq!(front_end.message(&ann).await, "still here?");

    // A client that was away has another port, and asks for the rooms that it shows.
    bob.port += 1;
    front_end.sign_in(&mut bob).await;
    assert_eq!(front_end.post(&mut ann, "deals", "unseen").await, 200);
    assert_eq!(front_end.message(&ann).await, "unseen");
    let joined = front_end.join(&mut bob, "deals").await;
    assert!(joined.contains("code=\"200\""), "{joined}");
    assert_eq!(front_end.post(&mut ann, "deals", "seen").await, 200);
    assert_eq!(front_end.message(&bob).await, "seen");
    assert_eq!(gateway.metric("holdover_sessions"), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_loses_its_dialog_and_nobody_elses() {
    let gateway = start("[limits]\ninfo_timeout_secs = 4\n").await;
    let (mut first, mut second) = (connect(&gateway).await, connect(&gateway).await);
    let (mut ann, mut bob, mut carol) = (User::new("ann"), User::new("bob"), User::new("carol"));
    for user in [&mut ann, &mut carol] {
        first.sign_in(user).await;
        first.join(user, "deals").await;
    }
    second.sign_in(&mut bob).await;
    second.join(&mut bob, "deals").await;
    first.answering = false;
    assert_eq!(second.post(&mut bob, "deals", "Hello?").await, 200);
    // Carol answers; Ann does not.
    loop {
        let of_carol = first.hear(&carol).await;
        first.answer(&of_carol).await;
        if String::from_utf8_lossy(of_carol.body()).contains("Hello?") {
            break;
        }
    }
    gateway
        .metric_reaches("holdover_info_timeouts_total", |count| count >= 1)
        .await;
    assert_eq!(
        first.ask(&mut ann, "UPDATE", "").await.status(),
        Status::NO_SUCH_DIALOG
    );
    first.answering = true;
    assert_eq!(first.post(&mut carol, "deals", "I am here").await, 200);
    assert_eq!(first.message(&carol).await, "I am here");
    gateway.stop().await;
}

#[tokio::test]
async fn limits_count_for_new_connections() {
    let gateway = start("[limits]\nbody_bytes = 20000\n").await;
    let mut front_end = connect(&gateway).await;
    let mut ann = User::new("ann");
    front_end.open_channel(&mut ann).await;
    let large = "x".repeat(18_000);
    let answer = front_end.ask(&mut ann, "INFO", &large).await;
    assert_eq!(answer.status(), Status::BAD_REQUEST);
    let config = std::fs::read_to_string(gateway.installation.config()).unwrap();
    let less = config.replace("body_bytes = 20000", "body_bytes = 17000");
    gateway.installation.write("holdover.toml", &less);
    gateway
        .metric_reaches("holdover_config_applied_total", |count| count >= 1)
        .await;
    // The dialog goes on, over a connection with less room.
    let mut second = connect(&gateway).await;
    let answer = second.ask(&mut ann, "INFO", &large).await;
    assert_eq!(answer.status(), Status::REQUEST_ENTITY_TOO_LARGE);
    gateway.stop().await;
}

#[tokio::test]
async fn hundreds_of_users_share_a_connection() {
    let gateway = start("").await;
    let mut front_end = connect(&gateway).await;
    let mut users: Vec<User> = (0..300).map(|at| User::new(&format!("u{at}"))).collect();
    for user in &mut users {
        front_end.open_channel(user).await;
        front_end.join(user, "lunch").await;
    }
    assert_eq!(gateway.metric("holdover_sessions"), 300);
    assert_eq!(front_end.post(&mut users[7], "lunch", "Soup?").await, 200);
    for user in &users {
        assert_eq!(front_end.message(user).await, "Soup?");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn many_connections_of_one_front_end_are_not_too_many() {
    let gateway = start("[limits]\nconnections_per_address = 1\n").await;
    let mut first = connect(&gateway).await;
    let mut second = connect(&gateway).await;
    assert!(first.is_let_in().await && second.is_let_in().await);
    // And those of clients count for themselves.
    let mut ann = Client::tcp(gateway.tcp, "ann").await;
    ann.sign_in().await;
    gateway.stop().await;
}

#[tokio::test]
async fn the_end_is_told_to_nobody_and_takes_no_time() {
    let gateway = start("").await;
    let mut front_end = connect(&gateway).await;
    let mut ann = User::new("ann");
    front_end.sign_in(&mut ann).await;
    let (_installation, ()) = tokio::join!(gateway.stop(), front_end.closed());
}
