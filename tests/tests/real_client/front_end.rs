//! Behind a front end that nobody here wrote: the real client registers with Debian's Kamailio, which passes on to
//! Holdover's trusted listener over mutual TLS what is for Group Chat.

use std::path::Path;

use holdover_tests::gateway::Installation;
use holdover_tests::kamailio::{self, Kamailio};
use holdover_tests::program::{Executable, Program};
use holdover_tests::real_client::{Account, Client, Driver, Transport};
use serde_json::json;

use crate::world::Over;

const DEALS: &str = "ma-chan://contoso.com/deals";
const LUNCH: &str = "ma-chan://contoso.com/lunch";

struct Site {
    installation: Installation,
    over: Over,
    driver: &'static Driver,
    program: Program,
    kamailio: Kamailio,
}

/// Plays a scenario, unless there is no real client or no Kamailio to play it with, which was said then.
fn play(over: Over, scenario: fn(&mut Site)) {
    let Some(driver) = Driver::build(Path::new(env!("CARGO_TARGET_TMPDIR"))) else {
        return;
    };
    let Some(modules) = kamailio::installed() else {
        return;
    };
    let installation = Installation::new(
        "\"open\"",
        "grace_secs = 5\n[[listener]]\nname = \"front-ends\"\nmode = \"trusted\"\naddress = \"127.0.0.1:0\"\n\
         tls = { certificate = \"sip.pem\", private_key = \"sip.key\" }\n\
         front_ends = { authorities = \"ca.pem\", names = [\"fe1.contoso.com\"] }\n\
         [log]\nformat = \"json\"\nlevel = \"debug\"\n",
    );
    let (authority, dir) = (installation.authority(), installation.dir());
    authority.issue(dir, "fe1", "fe1.contoso.com");
    authority.issue(dir, "kamailio", "localhost");
    let executable = Executable::new(env!("CARGO_BIN_EXE_holdover-under-test"));
    let (mut program, _) = executable.run(&installation.config());
    let opened = program.event("listener.opened", |it| it["listener"] == "front-ends");
    let holdover = opened["listen.addr"].as_str().unwrap().parse().unwrap();
    let kamailio = Kamailio::start(modules, dir, holdover);
    let mut site = Site {
        installation,
        over,
        driver,
        program,
        kamailio,
    };
    scenario(&mut site);
    site.kamailio.stop();
    let status = site.program.interrupt();
    assert!(status.success(), "Ctrl-C: {status}");
}

impl Site {
    /// The clients of these users, with Group Chat ready.
    #[track_caller]
    fn sign_in<const N: usize>(&self, users: [&str; N]) -> [Client; N] {
        let mut clients = users.map(|user| Client::start(self.driver, &self.account(user)));
        for client in &mut clients {
            client.login();
        }
        for client in &mut clients {
            client.expect("connected", json!({}));
            client.expect("groupchat-ready", json!({}));
        }
        clients
    }

    fn account(&self, user: &str) -> Account {
        let addresses = self.kamailio.addresses();
        Account {
            user: format!("{user}@contoso.com"),
            password: None,
            // The same Call-IDs and tags, as if both were started in the same second.
            seed: Some(7),
            transport: match self.over {
                Over::Tcp => Transport::Tcp(addresses.tcp),
                Over::Tls => Transport::Tls {
                    host: "localhost".to_owned(),
                    port: addresses.tls.port(),
                    ca: self.installation.path("ca.pem"),
                },
            },
        }
    }
}

#[track_caller]
fn talk(from: &mut Client, to: &mut Client, room: &str, text: &str) {
    from.say(room, text);
    to.hears(room, &from.uri(), text);
    from.hears(room, &from.uri(), text);
}

fn two_users_meet_and_talk(site: &mut Site) {
    let [mut ann, mut bob] = site.sign_in(["ann", "bob"]);

    let mut listed = ann.rooms();
    listed.sort_by_key(|room| room["name"].to_string());
    let names: Vec<_> = listed.iter().map(|room| room["name"].clone()).collect();
    assert_eq!(names, ["Deals", "Lunch", "Noise"]);
    assert_eq!(listed[0]["uri"], DEALS);

    assert_eq!(ann.join(DEALS)["room"], "Deals");
    assert_eq!(bob.join(DEALS)["room"], "Deals");
    ann.expect("member-join", json!({"user": bob.uri(), "arrived": true}));
    talk(&mut ann, &mut bob, DEALS, "Are you there?");
    talk(&mut bob, &mut ann, DEALS, "Yes. ¡Olé!");
    bob.part(DEALS);
    ann.expect("member-part", json!({"uri": DEALS, "user": bob.uri()}));
    ann.say(DEALS, "Gone already?");
    ann.hears(DEALS, &ann.uri(), "Gone already?");
    assert_eq!(bob.count("message", json!({"text": "Gone already?"})), 0);
    bob.join(LUNCH);
    bob.say(LUNCH, "Soup.");
    bob.hears(LUNCH, &bob.uri(), "Soup.");
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.count("send-failed", json!({})), 0);
    }

    let [ann, bob] = [ann, bob].map(Client::quit);
    assert_eq!(ann.call_ids(), bob.call_ids(), "else this proves nothing");
    // What came to them came through the front end.
    let info = ann
        .sip
        .iter()
        .find(|sip| !sip.sent && sip.start().starts_with("INFO "))
        .unwrap();
    let addresses = site.kamailio.addresses();
    let hop = match site.over {
        Over::Tcp => format!("SIP/2.0/TCP {};", addresses.tcp),
        Over::Tls => format!("SIP/2.0/TLS {};", addresses.tls),
    };
    assert!(info.header("Via").starts_with(&hop), "{info:?}");
    assert_eq!(info.header("Max-Forwards"), "69");
    assert_eq!(
        site.installation.messages("m-deals"),
        ["Are you there?", "Yes. ¡Olé!", "Gone already?"]
    );
}

/// The client's own connection breaks: the front end says nothing of it.
fn a_client_that_lost_its_connection_comes_back(site: &mut Site) {
    let [mut ann, mut bob] = site.sign_in(["ann", "bob"]);
    ann.join(DEALS);
    bob.join(DEALS);
    talk(&mut ann, &mut bob, DEALS, "Before.");
    bob.cut();
    ann.say(DEALS, "While Bob was away.");
    ann.hears(DEALS, &ann.uri(), "While Bob was away.");
    bob.reconnect();
    bob.expect("joined", json!({"uri": DEALS, "again": true}));
    let missed = json!({"text": "While Bob was away.", "history": true});
    bob.expect("message", missed);
    bob.expect("history", json!({"uri": DEALS}));
    talk(&mut ann, &mut bob, DEALS, "Back again.");
    talk(&mut bob, &mut ann, DEALS, "Here I am.");
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.count("message", json!({"text": "Back again."})), 1);
        assert_eq!(client.count("send-failed", json!({})), 0);
    }
    // He came back to the session that he had.
    let resumed = site.program.event("session.resumed", |_| true);
    assert_eq!(resumed["user.uri"], "sip:bob@contoso.com");
    for client in [ann, bob] {
        client.quit();
    }
}

/// A client that vanishes for good: the front end says so when something is for it.
fn a_client_that_does_not_come_back_leaves_its_rooms(site: &mut Site) {
    let [mut ann, mut bob] = site.sign_in(["ann", "bob"]);
    ann.join(DEALS);
    bob.join(DEALS);
    ann.expect("member-join", json!({"user": bob.uri(), "arrived": true}));
    bob.cut();
    ann.say(DEALS, "Anybody here?");
    ann.hears(DEALS, &ann.uri(), "Anybody here?");
    ann.expect("member-part", json!({"uri": DEALS, "user": bob.uri()}));
    for client in [ann, bob] {
        client.quit();
    }
}

/// Makes two tests of each scenario: clients over TCP and over TLS. Kamailio speaks TLS with Holdover in both.
macro_rules! scenarios {
    ($($name:ident),*) => {
        mod over_tcp {
            $(#[test] fn $name() { super::play(super::Over::Tcp, super::$name); })*
        }
        mod over_tls {
            $(#[test] fn $name() { super::play(super::Over::Tls, super::$name); })*
        }
    };
}

scenarios! {
    two_users_meet_and_talk,
    a_client_that_lost_its_connection_comes_back,
    a_client_that_does_not_come_back_leaves_its_rooms
}
