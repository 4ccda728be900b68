//! Who comes in, and to whom a client talks.

use std::time::Duration;

use holdover::run::Gateway;
use holdover::telemetry::Telemetry;
use holdover_tests::program::Addresses;
use holdover_tests::real_client::{Client, Transport};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// Users prove who they are from here on. Ann's password is `open, sesame "5"`.
fn with_passwords(world: &mut World) {
    let users = world.path("users.toml");
    let ann = world.account("ann").user;
    let arguments = ["user", "add", &ann, "--users", users.to_str().unwrap()];
    let added = world.executable.output(&arguments, "open, sesame \"5\"\n");
    assert!(added.status.success(), "{added:?}");
    world.go_on_with(|line| {
        line.replace(
            "sign_in = \"open\"",
            "sign_in = { digest = { users = \"users.toml\" } }",
        )
    });
}

pub(crate) fn the_right_password_signs_in(world: &mut World) {
    with_passwords(world);
    let deals = world.room("Deals").legacy;
    let mut account = world.account("ann");
    account.password = Some("open, sesame \"5\"".to_owned());
    let [mut ann] = world.sign_in_as([account]);
    ann.join(&deals);
    ann.say(&deals, "It is really me.");
    ann.hears(&deals, &ann.uri(), "It is really me.");

    // So it does after a lost connection.
    ann.cut();
    ann.reconnect();
    ann.expect("joined", json!({"uri": deals, "again": true}));
    world.farewell([ann]);
}

pub(crate) fn a_wrong_password_is_refused_in_words(world: &mut World) {
    with_passwords(world);
    // Nobody learns whether it is the name or the password that is wrong.
    for (user, password) in [("ann", "open, says me"), ("eve", "open, sesame \"5\"")] {
        let mut account = world.account(user);
        account.password = Some(password.to_owned());
        let mut client = world.client(&account);
        client.login();
        let refused = client.expect("disconnected", json!({"fatal": true}));
        let text = refused["text"].as_str().unwrap();
        assert!(
            text.contains("User name or password is wrong."),
            "{refused}"
        );
        assert_eq!(client.count("connected", json!({})), 0);
        let [transcript] = world.farewell([client]);
        let refusals = transcript
            .sip
            .iter()
            .filter(|sip| sip.start().starts_with("SIP/2.0 403"));
        assert_eq!(refusals.count(), 1);
    }
}

pub(crate) fn a_certificate_of_another_authority_is_refused(world: &mut World) {
    let other = tempfile::tempdir().unwrap();
    let (program, demo) = world.executable.demo(other.path(), None);
    assert!(program.interrupt().success());
    let mut ann = refused_for_its_certificate(world, world.tls("localhost", demo.ca()));
    let told = ann.expect("notify", json!({"title": "Unable to validate certificate"}));
    let why = "The certificate chain presented is invalid.";
    assert!(told["text"].as_str().unwrap().contains(why), "{told}");
    farewell_to_a_stranger(world, ann);
}

pub(crate) fn a_certificate_of_another_name_is_refused(world: &mut World) {
    // The demo's certificate is for 127.0.0.1, not for its neighbour.
    let neighbour = "127.0.0.2:0".parse().unwrap();
    world.stop();
    world.start_at(Addresses {
        tcp: neighbour,
        tls: neighbour,
    });
    let transport = world.tls("127.0.0.2", world.demo.ca());
    let mut ann = refused_for_its_certificate(world, transport);
    let told = ann.expect("question", json!({"answer": "Reject"}));
    assert!(
        told["title"].as_str().unwrap().contains("127.0.0.2"),
        "{told}"
    );
    farewell_to_a_stranger(world, ann);
}

fn refused_for_its_certificate(world: &World, transport: Transport) -> Client {
    let mut account = world.account("ann");
    account.transport = transport;
    let mut ann = world.client(&account);
    ann.login();
    let text = "SSL peer presented an invalid certificate";
    ann.expect(
        "disconnected",
        json!({"reason": "network-error", "text": text}),
    );
    ann
}

fn farewell_to_a_stranger(world: &World, client: Client) {
    let [transcript] = world.farewell([client]);
    assert!(transcript.sip.is_empty(), "{:?}", transcript.sip);
}

/// The client refreshes its session by UPDATE, in the interval that the lookup's answer gave it (RFC 4028). The
/// configuration allows none that a test would wait for, so this gateway is built here.
pub(crate) fn the_session_is_refreshed(world: &mut World) {
    world.stop();
    let mut settings = holdover_config::load(&world.demo.config())
        .unwrap()
        .settings;
    settings.fixed.gateway.session_expires = Duration::from_secs(1);
    for listener in &mut settings.fixed.listeners {
        listener.address.set_port(0);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let gateway = runtime
        .block_on(Gateway::build(settings, Telemetry::new()))
        .unwrap();
    let address = |wanted| {
        gateway
            .addresses()
            .find(|(name, _)| *name == wanted)
            .unwrap()
            .1
    };
    world.move_to(Addresses {
        tcp: address("tcp"),
        tls: address("tls"),
    });
    let stop = CancellationToken::new();
    let served = runtime.spawn(gateway.run(stop.clone()));

    let deals = world.room("Deals").legacy;
    let [mut ann] = world.sign_in(["ann"]);
    ann.join(&deals);
    for _ in 0..2 {
        let update = ann.expect_sip("an UPDATE", |sip| {
            sip.sent && sip.start().starts_with("UPDATE ")
        });
        let cseq = update.header("CSeq");
        let answer = ann.expect_sip("its answer", |sip| !sip.sent && sip.header("CSeq") == cseq);
        assert_eq!(answer.start(), "SIP/2.0 200 OK");
    }
    ann.say(&deals, "Still here.");
    ann.hears(&deals, &ann.uri(), "Still here.");
    world.farewell([ann]);
    stop.cancel();
    runtime.block_on(served).unwrap();
}
