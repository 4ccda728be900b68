//! Rules that an admin toggles while the real client is in its rooms.

use std::path::Path;
use std::time::{Duration, Instant};

use holdover::pool::embedded::load_text;
use holdover_tests::binary;
use holdover_tests::gateway::Installation;
use holdover_tests::program::{Addresses, Executable, Program};
use holdover_tests::real_client::{Client, Driver};
use serde_json::{Value, json};

use crate::world::{Over, account};

const DEALS: &str = "ma-chan://contoso.com/300";

/// Deals is on both pools.
const ROOMS: &str = "legacy,pool,migrated,state,name,note
ma-chan://contoso.com/300,hq,ma-chan://contoso.com/hq-deals,migrated,Deals,
ma-chan://contoso.com/300,branch,ma-chan://contoso.com/branch-deals,also,,
";

/// How long a change of a file may take until it counts.
const LIVE: Duration = Duration::from_secs(1);

/// Two pools with one room, behind `holdover run` with rules.
struct Rules {
    installation: Installation,
    over: Over,
    driver: &'static Driver,
    program: Program,
    addresses: Addresses,
}

/// Plays a scenario with these rules, unless there is no real client to play it with, which was said then.
fn play(over: Over, rules: &str, scenario: fn(&mut Rules)) {
    let Some(driver) = Driver::build(Path::new(env!("CARGO_TARGET_TMPDIR"))) else {
        return;
    };
    let installation = Installation::empty();
    let mut pools = String::new();
    for pool in ["hq", "branch"] {
        let rooms = format!(
            "[[category]]\nname = \"All\"\n[[room]]\nname = \"Deals\"\nvalue = \"{pool}-deals\"\n\
             category = \"All\"\nprivacy = \"open\"\n"
        );
        let database = installation.dir().join(format!("{pool}.db"));
        load_text(&database, "rooms", &rooms, jiff::Timestamp::now()).unwrap();
        pools.push_str(&format!(
            "[[pool]]\nname = \"{pool}\"\nembedded = {{ database = \"{pool}.db\" }}\n"
        ));
    }
    pools.push_str("[directory]\nrooms = [\"rooms.csv\"]\ndefault_pool = \"hq\"\n");
    installation.configure("\"open\"", &pools, "[log]\nformat = \"json\"\n");
    installation.write("rooms.csv", ROOMS);
    std::fs::create_dir(installation.dir().join("rules.d")).unwrap();
    installation.write("rules.d/weekend.toml", rules);
    let executable = Executable::new(env!("CARGO_BIN_EXE_holdover-under-test"));
    let (program, addresses) = executable.run(&installation.config());
    let mut rules = Rules {
        installation,
        over,
        driver,
        program,
        addresses,
    };
    scenario(&mut rules);
    let status = rules.program.interrupt();
    assert!(status.success(), "Ctrl-C: {status}");
}

impl Rules {
    fn client(&self, user: &str) -> Client {
        let ca = self.installation.path("ca.pem");
        let transport = self.over.transport(self.addresses, ca);
        Client::start(self.driver, &account(user, transport))
    }

    fn sign_in<const N: usize>(&self, users: [&str; N]) -> [Client; N] {
        let mut clients = users.map(|user| self.client(user));
        for client in &mut clients {
            client.login();
        }
        for client in &mut clients {
            client.expect("groupchat-ready", json!({}));
        }
        clients
    }

    /// When a user was let in last, in milliseconds, by the gateway's own record.
    fn let_in_at(&mut self, user: &str) -> i64 {
        let opened = self.program.event_at_any_time("admin.opened", |_| true);
        let admin = opened["address"].as_str().unwrap().parse().unwrap();
        let path = format!("/v1/decisions?user={user}@contoso.com&limit=1000");
        let answer = binary::get(admin, &path).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        let mut newest_first = body["decisions"].as_array().unwrap().iter();
        let signed_in = newest_first
            .find(|shown| shown["act"] == "sign-in")
            .unwrap();
        assert_eq!(signed_in["allowed"], true, "{signed_in}");
        let at: jiff::Timestamp = signed_in["at"].as_str().unwrap().parse().unwrap();
        at.as_millisecond()
    }

    /// The admin edits one line. Waits until it counts.
    fn edit(&mut self, from: &str, to: &str) {
        let file = self.installation.dir().join("rules.d/weekend.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        let begun = Instant::now();
        self.installation
            .write("rules.d/weekend.toml", &text.replacen(from, to, 1));
        self.program.event("config.applied", |_| true);
        let took = begun.elapsed();
        assert!(took < LIVE, "it took {took:?}");
    }
}

const PILOT: &str = "[[rule]]
name = \"Bob goes first\"
enabled = false
when = { user = [\"bob@contoso.com\"] }
then = { pool = \"branch\" }
";

/// Two users in one room; one line sends one of them to another pool and back. Nobody signs out, and every post is where
/// its author was.
fn a_line_moves_a_user_and_moves_them_back(rules: &mut Rules) {
    let [mut ann, mut bob, mut eve] = rules.sign_in(["ann", "bob", "eve"]);
    for client in [&mut ann, &mut bob, &mut eve] {
        client.join(DEALS);
    }
    bob.say(DEALS, "Still with you.");
    ann.hears(DEALS, &bob.uri(), "Still with you.");

    rules.edit("enabled = false", "enabled = true");
    bob.say(DEALS, "On the other side.");
    bob.hears(DEALS, &bob.uri(), "On the other side.");
    let moved = rules.program.event_at_any_time("room.moved", |event| {
        event["user.uri"] == "sip:bob@contoso.com"
    });
    assert_eq!(
        (&moved["pool"], &moved["rule"]),
        (&json!("branch"), &json!("Bob goes first"))
    );
    ann.say(DEALS, "Where is Bob?");
    eve.hears(DEALS, &ann.uri(), "Where is Bob?");

    rules.edit("enabled = true", "enabled = false");
    bob.say(DEALS, "Back again.");
    ann.hears(DEALS, &bob.uri(), "Back again.");
    assert_eq!(
        ann.count("message", json!({"text": "On the other side."})),
        0
    );
    assert_eq!(bob.count("message", json!({"text": "Where is Bob?"})), 0);
    for mut client in [ann, bob, eve] {
        assert_eq!(client.count("disconnected", json!({})), 0);
        assert_eq!(client.count("send-failed", json!({})), 0);
        client.logout();
        client.quit();
    }
}

const MAINTENANCE: &str = "[[rule]]
name = \"weekend\"
enabled = true
when = { user = [\"bob@contoso.com\", \"eve@contoso.com\"] }
then = { maintenance = { text = \"Rooms are being moved until Sunday night.\", sign_ins_per_sec = 1 } }
";

/// Those whom a maintenance concerns are told so, the others go on, and when it is over they come back.
fn a_maintenance_says_why_and_ends(rules: &mut Rules) {
    let [mut ann] = rules.sign_in(["ann"]);
    ann.join(DEALS);
    let mut bob = rules.client("bob");
    bob.login();
    let refused = bob.expect("disconnected", json!({}));
    let text = refused["text"].as_str().unwrap_or_default();
    assert!(
        text.contains("Rooms are being moved until Sunday night."),
        "{refused}"
    );
    let decided = rules
        .program
        .event("decision", |event| event["outcome"] == "maintenance");
    assert_eq!(decided["rule"], "weekend");
    assert!(
        decided["rule.place"]
            .as_str()
            .unwrap()
            .ends_with("weekend.toml:1"),
        "{decided}"
    );

    rules.edit("enabled = true", "enabled = false");
    bob.login();
    bob.expect("groupchat-ready", json!({}));
    bob.join(DEALS);
    bob.say(DEALS, "Here I am.");
    ann.hears(DEALS, &bob.uri(), "Here I am.");

    // Who is in a room when it begins keeps the window, is told, and goes on when it is over.
    rules.edit("enabled = false", "enabled = true");
    rules.program.event_at_any_time("room.shut", |_| true);
    ann.say(DEALS, "Bob?");
    ann.hears(DEALS, &ann.uri(), "Bob?");
    rules.edit("enabled = true", "enabled = false");
    bob.hears(DEALS, &ann.uri(), "Bob?");
    bob.say(DEALS, "I did not miss it.");
    ann.hears(DEALS, &bob.uri(), "I did not miss it.");
    for mut client in [ann, bob] {
        client.logout();
        client.quit();
    }
}

const PACED: &str = "[[rule]]
name = \"weekend\"
enabled = true
when = { not = { user = [\"ann@contoso.com\"] } }
then = { maintenance = { text = \"Rooms are being moved.\", sign_ins_per_sec = 1 } }
";

/// Everybody comes back at once when a maintenance is over, and is let in one by one: by the times of the gateway's own record
/// no two within a second. Whom it did not concern is not kept waiting.
fn a_maintenance_lets_people_back_in_at_its_pace(rules: &mut Rules) {
    let users = ["bob", "eve", "dan", "fay"];
    let [mut ann] = rules.sign_in(["ann"]);
    ann.join(DEALS);
    let mut clients = users.map(|user| rules.client(user));
    for client in &mut clients {
        client.login();
        let refused = client.expect("disconnected", json!({}));
        let text = refused["text"].as_str().unwrap_or_default();
        assert!(text.contains("Rooms are being moved."), "{refused}");
    }

    rules.edit("enabled = true", "enabled = false");
    let mut outside: Vec<(&str, &mut Client)> = users.into_iter().zip(&mut clients).collect();
    let mut times = Vec::new();
    while !outside.is_empty() {
        for (_, client) in &mut outside {
            client.login();
        }
        // Whoever is turned away tries again.
        outside.retain_mut(|(user, client)| {
            let came = client.expect_one_of(&["groupchat-ready", "disconnected"]);
            if came["event"] == "groupchat-ready" {
                times.push(rules.let_in_at(user));
            }
            came["event"] == "disconnected"
        });
    }
    times.sort_unstable();
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= 1_000, "{times:?}");
    }
    for (user, client) in users.iter().zip(&mut clients) {
        client.join(DEALS);
        let text = format!("{user} is back.");
        client.say(DEALS, &text);
        ann.hears(DEALS, &client.uri(), &text);
    }
    assert_eq!(ann.count("disconnected", json!({})), 0);

    for mut client in clients.into_iter().chain([ann]) {
        client.logout();
        client.quit();
    }
}

macro_rules! tests {
    ($($name:ident by $rules:ident,)*) => {
        mod over_tcp {
            use super::Over;
            $(#[test] fn $name() { super::play(Over::Tcp, super::$rules, super::$name); })*
        }
        mod over_tls {
            use super::Over;
            $(#[test] fn $name() { super::play(Over::Tls, super::$rules, super::$name); })*
        }
    };
}

tests! {
    a_line_moves_a_user_and_moves_them_back by PILOT,
    a_maintenance_says_why_and_ends by MAINTENANCE,
    a_maintenance_lets_people_back_in_at_its_pace by PACED,
}
