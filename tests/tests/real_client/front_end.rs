//! Behind a front end that nobody here wrote: the real client registers with Debian's Kamailio, which passes on to
//! Holdover's trusted listener over mutual TLS what is for Group Chat.

use std::net::SocketAddr;
use std::path::Path;

use holdover_tests::client::CHANNEL;
use holdover_tests::gateway::Installation;
use holdover_tests::kamailio::{self, Kamailio};
use holdover_tests::program::{Addresses, Executable, Program};
use holdover_tests::real_client::{Account, Client, Driver};
use serde_json::{Value, json};

use crate::world::{Over, account};

const DEALS: &str = "ma-chan://contoso.com/deals";
const LUNCH: &str = "ma-chan://contoso.com/lunch";

struct Site {
    installation: Installation,
    over: Over,
    driver: &'static Driver,
    executable: Executable,
    program: Option<Program>,
    modules: &'static Path,
    holdover: SocketAddr,
    kamailio: Option<Kamailio>,
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
         [limits]\ninfo_timeout_secs = 10\n[log]\nformat = \"json\"\nlevel = \"debug\"\n",
    );
    let (authority, dir) = (installation.authority(), installation.dir());
    authority.issue(dir, "fe1", "fe1.contoso.com");
    authority.issue(dir, "kamailio", "localhost");
    let executable = Executable::new(env!("CARGO_BIN_EXE_holdover-under-test"));
    let (mut program, _) = executable.run(&installation.config());
    let opened = program.event("listener.opened", |it| it["listener"] == "front-ends");
    let holdover: SocketAddr = opened["listen.addr"].as_str().unwrap().parse().unwrap();
    let kamailio = Kamailio::start(modules, dir, holdover);
    installation.edit(|config| {
        // A restart finds the same address.
        let trusted = "mode = \"trusted\"\naddress = ";
        let (any, own) = (
            format!("{trusted}\"127.0.0.1:0\""),
            format!("{trusted}\"{holdover}\""),
        );
        config.replace(&any, &own)
    });
    let mut site = Site {
        installation,
        over,
        driver,
        executable,
        program: Some(program),
        modules,
        holdover,
        kamailio: Some(kamailio),
    };
    scenario(&mut site);
    site.kamailio.take().unwrap().stop();
    site.stop_holdover();
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

    /// Ctrl-C: it drains and exits with 0.
    #[track_caller]
    fn stop_holdover(&mut self) {
        let status = self.program.take().unwrap().interrupt();
        assert!(status.success(), "Ctrl-C: {status}");
    }

    /// Starts it again, where the front end expects it.
    fn start_holdover(&mut self) {
        let (program, _) = self.executable.run(&self.installation.config());
        self.program = Some(program);
    }

    /// The next event of Holdover of this name that is `wanted`.
    fn event(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.program.as_mut().unwrap().event(name, wanted)
    }

    fn addresses(&self) -> Addresses {
        self.kamailio.as_ref().unwrap().addresses()
    }

    fn account(&self, user: &str) -> Account {
        let ca = self.installation.path("ca.pem");
        Account {
            // The same Call-IDs and tags, as if both were started in the same second.
            seed: Some(7),
            // After a refused REGISTER it waits for a minute.
            minute: Some(3),
            ..account(user, self.over.transport(self.addresses(), ca))
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
    let addresses = site.addresses();
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
    let resumed = site.event("session.resumed", |_| true);
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

/// The front end is restarted: its connection to Holdover and those of all clients break at once.
fn a_front_end_that_restarts_costs_nobody_a_message(site: &mut Site) {
    let [mut ann, mut bob] = site.sign_in(["ann", "bob"]);
    ann.join(DEALS);
    bob.join(DEALS);
    talk(&mut ann, &mut bob, DEALS, "Before.");
    let addresses = site.addresses();
    site.kamailio.take().unwrap().stop();
    let lost = site.event("front-end.lost", |_| true);
    assert_eq!(lost["tls.name"], "fe1.contoso.com");
    assert_eq!(lost["sessions"], 2);
    for client in [&mut ann, &mut bob] {
        client.loses_connection();
    }
    let dir = site.installation.dir();
    let again = Kamailio::start_at(site.modules, dir, site.holdover, addresses);
    site.kamailio = Some(again);
    ann.reconnect();
    ann.expect("joined", json!({"uri": DEALS, "again": true}));
    ann.expect("history", json!({"uri": DEALS}));
    ann.say(DEALS, "Bob is not back yet.");
    ann.hears(DEALS, &ann.uri(), "Bob is not back yet.");
    bob.reconnect();
    bob.expect("joined", json!({"uri": DEALS, "again": true}));
    let missed = json!({"text": "Bob is not back yet.", "history": true});
    bob.expect("message", missed);
    bob.expect("history", json!({"uri": DEALS}));
    talk(&mut bob, &mut ann, DEALS, "Now I am.");
    for client in [ann, bob] {
        client.quit();
    }
}

/// Holdover is restarted under clients that are signed in and clients that sign in.
fn a_restart_of_holdover_costs_nobody_group_chat(site: &mut Site) {
    let [mut ann, mut bob] = site.sign_in(["ann", "bob"]);
    ann.join(DEALS);
    bob.join(DEALS);
    talk(&mut ann, &mut bob, DEALS, "Before.");
    site.stop_holdover();
    // The front end cuts them off. To come back is the client's own doing.
    for client in [&mut ann, &mut bob] {
        client.loses_connection();
    }
    let mut carol = Client::start(site.driver, &site.account("carol"));
    carol.login();
    ann.begin_reconnect();
    for client in [&mut carol, &mut ann] {
        client.expect_sip("a refused REGISTER", |sip| {
            !sip.sent && sip.start().starts_with("SIP/2.0 504 ")
        });
    }
    site.start_holdover();
    // What follows needs nothing of the user.
    bob.begin_reconnect();
    for client in [&mut ann, &mut bob, &mut carol] {
        client.expect("groupchat-ready", json!({}));
    }
    for client in [&mut ann, &mut bob] {
        client.expect("joined", json!({"uri": DEALS, "again": true}));
        client.expect("history", json!({"uri": DEALS}));
    }
    carol.join(DEALS);
    talk(&mut ann, &mut bob, DEALS, "After.");
    carol.hears(DEALS, &ann.uri(), "After.");
    talk(&mut carol, &mut bob, DEALS, "Hello.");
    ann.hears(DEALS, &carol.uri(), "Hello.");
    for client in [ann, bob, carol] {
        client.quit();
    }
}

/// A client that says it is somebody else, in From and in an identity of its own making.
fn a_spoofed_sender_is_refused(site: &mut Site) {
    let [mut ann] = site.sign_in(["ann"]);
    ann.join(DEALS);
    let address = site.addresses().tcp;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut bob = holdover_tests::client::Client::tcp(address, "bob").await;
        assert_eq!(bob.register("").await, 200);
        for user in ["ann@contoso.com", "bob@contoso.com"] {
            user.clone_into(&mut bob.user);
            let dialog = bob.new_dialog(CHANNEL);
            let extra = "P-Asserted-Identity: <sip:ann@contoso.com>\r\n\
                         Contact: <sip:127.0.0.1:1234;transport=tcp>\r\n";
            let invite = bob.request("INVITE", &dialog, extra, "", "");
            let answer = bob.ask(&dialog, &invite).await;
            // As himself he is let in, whatever he asserts.
            let expected = if user == "bob@contoso.com" { 200 } else { 403 };
            assert_eq!(answer.status().code(), expected, "{user}");
        }
    });
    let told = site.event("identity.not-asserted", |_| true);
    assert_eq!(told["reason"], "other-sender");
    assert_eq!(told["user.claimed"], "sip:ann@contoso.com");
    let opened = |it: &Value| it["user.uri"] == "sip:bob@contoso.com";
    site.event("session.opened", opened);
    ann.say(DEALS, "Still me.");
    ann.hears(DEALS, &ann.uri(), "Still me.");
    ann.quit();
}

// Kamailio speaks TLS with Holdover in both.
over_both! {
    two_users_meet_and_talk,
    a_client_that_lost_its_connection_comes_back,
    a_client_that_does_not_come_back_leaves_its_rooms,
    a_front_end_that_restarts_costs_nobody_a_message,
    a_restart_of_holdover_costs_nobody_group_chat,
    a_spoofed_sender_is_refused
}
