//! Rooms on three upstreams at once: two Persistent Chat pools over mutual TLS and an old Group Chat server, each a process
//! of its own, behind `holdover run`.

use std::path::Path;
use std::time::{Duration, Instant};

use holdover_tests::gateway::Installation;
use holdover_tests::program::{Addresses, Executable, Program};
use holdover_tests::real_client::{Client, Driver};
use holdover_tests::upstream::{Authority, Cable, Pool, PoolSpec};
use serde_json::json;

use crate::world::{Over, account};

const DEALS: &str = "ma-chan://contoso.com/300";
const LUNCH: &str = "ma-chan://contoso.com/lunch";
const LEGAL: &str = "ma-chan://contoso.com/legal";

const ROOMS: &str = "legacy,pool,migrated,state,name,note
ma-chan://contoso.com/300,hq,ma-chan://contoso.com/0d9e8f70-1a2b-4c3d-8e4f-5a6b7c8d9e0f,migrated,Deals,
ma-chan://contoso.com/lunch,zurich,ma-chan://contoso.com/7f0c1e52-93d4-4d0e-9a35-6b1f6f2a8c11,migrated,Lunch,
ma-chan://contoso.com/legal,old,,pending,Legal,
";

/// No room of a pool that works stalls for longer, whatever another pool does.
const STALL: Duration = Duration::from_secs(1);

struct Upstreams {
    installation: Installation,
    over: Over,
    driver: &'static Driver,
    program: Program,
    addresses: Addresses,
    zurich: Pool,
    cable: Cable,
    _others: [Pool; 2],
}

/// Plays a scenario, unless there is no real client to play it with, which was said then.
fn play(over: Over, scenario: fn(&mut Upstreams)) {
    let Some(driver) = Driver::build(Path::new(env!("CARGO_TARGET_TMPDIR"))) else {
        return;
    };
    let installation = Installation::empty();
    let dir = installation.dir();
    let authority = Authority::new("Contoso");
    installation.write("pools-ca.pem", authority.pem());
    authority.issue(dir, "gateway", "holdover.contoso.com");
    let pool = |name: &str, rooms: &[(&str, &str)], more: &str| {
        authority.issue(dir, name, &format!("{name}.contoso.com"));
        let tls = format!(
            "{{ certificate = \"{name}.pem\", private_key = \"{name}.key\", \
             client_authorities = \"pools-ca.pem\", client_names = [\"holdover.contoso.com\"] }}"
        );
        let tls = Some(tls.as_str());
        #[rustfmt::skip]
        let spec = PoolSpec { name, rooms, tls, more };
        Pool::start(dir, spec)
    };
    let hq = pool(
        "hq",
        &[("Deals", "0d9e8f70-1a2b-4c3d-8e4f-5a6b7c8d9e0f")],
        "",
    );
    let zurich = pool(
        "zurich",
        &[("Lunch", "7f0c1e52-93d4-4d0e-9a35-6b1f6f2a8c11")],
        "",
    );
    let old = pool(
        "old",
        &[("Legal", "legal")],
        "[switches]\nmasks = \"legacy\"\ngetservinfo_spelling = \"getservinfo\"",
    );
    let cable = Cable::to(zurich.address());
    let mut pools = String::new();
    for (name, address, more) in [
        ("hq", hq.address(), ""),
        ("zurich", cable.address(), ""),
        (
            "old",
            old.address(),
            ", dialect = \"group-chat\", lookup = true",
        ),
    ] {
        pools.push_str(&format!(
            "[[pool]]\nname = \"{name}\"\nsip = {{ uri = \"sip:{name}@contoso.com\", servers = [\"{address}\"], \
             receipt_timeout_secs = 2, tls = {{ authorities = \"pools-ca.pem\", certificate = \"gateway.pem\", \
             private_key = \"gateway.key\", names = [\"{name}.contoso.com\"] }}{more} }}\n"
        ));
    }
    pools.push_str("[directory]\nrooms = [\"rooms.csv\"]\ndefault_pool = \"hq\"\n");
    installation.configure("\"open\"", &pools, "[log]\nformat = \"json\"\n");
    installation.write("rooms.csv", ROOMS);
    let executable = Executable::new(env!("CARGO_BIN_EXE_holdover-under-test"));
    let (mut program, addresses) = executable.run(&installation.config());
    for _ in 0..3 {
        program.event("pool.server-up", |_| true);
    }
    let mut upstreams = Upstreams {
        installation,
        over,
        driver,
        program,
        addresses,
        zurich,
        cable,
        _others: [hq, old],
    };
    scenario(&mut upstreams);
    let status = upstreams.program.interrupt();
    assert!(status.success(), "Ctrl-C: {status}");
}

impl Upstreams {
    /// The clients of these users, with Group Chat ready and all rooms open.
    fn sign_in<const N: usize>(&self, users: [&str; N]) -> [Client; N] {
        users.map(|user| {
            let ca = self.installation.path("ca.pem");
            let transport = self.over.transport(self.addresses, ca);
            let mut client = Client::start(self.driver, &account(user, transport));
            client.login();
            client.expect("groupchat-ready", json!({}));
            client
        })
    }
}

/// Says something and waits until both hear it.
#[track_caller]
fn talk(from: &mut Client, to: &mut Client, room: &str, text: &str) {
    from.say(room, text);
    to.hears(room, &from.uri(), text);
    from.hears(room, &from.uri(), text);
}

/// Nobody was disconnected, told of an error or of a message twice.
fn farewell(clients: [Client; 2]) {
    for mut client in clients {
        for room in [DEALS, LUNCH, LEGAL] {
            let mut heard = client.texts(room);
            let count = heard.len();
            heard.sort_unstable();
            heard.dedup();
            assert_eq!(heard.len(), count, "{room}: {heard:?}");
        }
        assert_eq!(client.count("notify", json!({})), 0);
        let transcript = client.quit();
        let ended = |event: &&serde_json::Value| event["event"] == "disconnected";
        let ends = transcript.events.iter().filter(ended).count();
        assert_eq!(ends, 1, "it was its own doing");
    }
}

fn one_client_uses_the_rooms_of_three_upstreams(upstreams: &mut Upstreams) {
    let [mut ann, mut bob] = upstreams.sign_in(["ann", "bob"]);

    // One list.
    let mut listed = ann.rooms();
    listed.sort_by_key(|room| room["name"].to_string());
    let listed: Vec<_> = listed
        .iter()
        .map(|room| {
            (
                room["name"].as_str().unwrap(),
                room["uri"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        listed,
        [("Deals", DEALS), ("Legal", LEGAL), ("Lunch", LUNCH)]
    );

    // Each room by its old identifier; they see each other come, talk and go.
    for room in [DEALS, LUNCH, LEGAL] {
        bob.join(room);
        ann.join(room);
        let arrival = json!({"uri": room, "user": ann.uri(), "arrived": true});
        bob.expect("member-join", arrival);
        let present = json!({"uri": room, "user": bob.uri(), "arrived": false});
        ann.expect("member-join", present);
        talk(&mut ann, &mut bob, room, &format!("To {room}"));
        talk(&mut bob, &mut ann, room, &format!("From {room}"));
    }

    // After a lost connection all come back by one bjoin, with what was missed in their histories.
    ann.cut();
    for room in [DEALS, LUNCH, LEGAL] {
        bob.say(room, "While Ann was away.");
        bob.hears(room, &bob.uri(), "While Ann was away.");
    }
    ann.reconnect();
    for room in [DEALS, LUNCH, LEGAL] {
        ann.expect("joined", json!({"uri": room, "again": true}));
        let missed = json!({"uri": room, "text": "While Ann was away.", "history": true});
        ann.expect("message", missed);
        ann.expect("history", json!({"uri": room}));
        talk(&mut ann, &mut bob, room, "Here I am.");
        assert_eq!(
            ann.count("message", json!({"uri": room, "text": "Here I am."})),
            1
        );
        assert_eq!(
            bob.count("message", json!({"uri": room, "text": "Here I am."})),
            1
        );
    }
    for room in [DEALS, LUNCH, LEGAL] {
        bob.part(room);
        ann.expect("member-part", json!({"uri": room, "user": bob.uri()}));
    }
    assert_eq!(ann.count("send-failed", json!({})), 0);
    assert_eq!(bob.count("send-failed", json!({})), 0);
    let ann = ann.quit();
    let bjoins: Vec<_> = ann
        .sip
        .iter()
        .filter(|sip| sip.sent && sip.body.contains("\"cmd:bjoin\""))
        .collect();
    assert_eq!(bjoins.len(), 1);
    for room in [DEALS, LUNCH, LEGAL] {
        let (_, value) = room.rsplit_once('/').unwrap();
        assert!(bjoins[0].body.contains(&format!("value=\"{value}\"")));
    }
    bob.quit();
}

/// The clients with all rooms open.
fn settled(upstreams: &Upstreams) -> [Client; 2] {
    let [mut ann, mut bob] = upstreams.sign_in(["ann", "bob"]);
    for room in [DEALS, LUNCH, LEGAL] {
        ann.join(room);
        bob.join(room);
        talk(&mut ann, &mut bob, room, "Before.");
    }
    [ann, bob]
}

/// A post to the pool that is away fails in time, and the rooms of the others do not stall.
fn away(ann: &mut Client, bob: &mut Client, what: &str) {
    let begun = Instant::now();
    ann.say(LUNCH, &format!("{what}: into the void"));
    for round in 0..5 {
        for room in [DEALS, LEGAL] {
            let begun = Instant::now();
            talk(ann, bob, room, &format!("{what} {round}"));
            let took = begun.elapsed();
            assert!(took < STALL, "{room} took {took:?}");
        }
    }
    ann.expect("send-failed", json!({"uri": LUNCH}));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "told after {took:?}");
}

fn a_pool_that_is_killed_comes_back_by_itself(upstreams: &mut Upstreams) {
    let [mut ann, mut bob] = settled(upstreams);
    upstreams.zurich.kill();
    away(&mut ann, &mut bob, "dead");
    upstreams.zurich.start_again();
    for _ in 0..2 {
        upstreams
            .program
            .event("rooms.rejoined", |event| event["pool"] == "zurich");
    }
    talk(&mut ann, &mut bob, LUNCH, "We are back.");
    talk(&mut bob, &mut ann, LUNCH, "So are we.");
    farewell([ann, bob]);
}

fn a_pool_that_freezes_is_taken_back(upstreams: &mut Upstreams) {
    let [mut ann, mut bob] = settled(upstreams);
    upstreams.zurich.freeze();
    away(&mut ann, &mut bob, "frozen");
    // Who looks for the message finds the room, the pool, and what it is called in traces of either side.
    let unknown = upstreams.program.event("post.unknown", |_| true);
    assert_eq!(unknown["room.legacy"], LUNCH);
    assert_eq!(unknown["pool"], "zurich");
    assert_eq!(unknown["user.uri"], ann.uri());
    ann.expect_sip("the INFO", |sip| {
        sip.sent
            && sip.body.contains("into the void")
            && unknown["sip.call_id"] == sip.header("Call-ID")
            && sip.header("CSeq") == format!("{} INFO", unknown["sip.cseq"])
    });
    assert!(unknown["xccos.envid"].is_u64());
    assert!(!unknown.to_string().contains("into the void"), "{unknown}");
    upstreams
        .program
        .event("pool.server-down", |event| event["pool"] == "zurich");
    ann.say(LUNCH, "While it is given up.");
    ann.expect("send-failed", json!({"uri": LUNCH}));
    upstreams.zurich.thaw();
    for _ in 0..2 {
        upstreams
            .program
            .event("rooms.rejoined", |event| event["pool"] == "zurich");
    }
    talk(&mut ann, &mut bob, LUNCH, "We are back.");
    farewell([ann, bob]);
}

fn a_pool_that_is_cut_off_misses_nothing(upstreams: &mut Upstreams) {
    let [mut ann, mut bob] = settled(upstreams);
    upstreams.cable.cut();
    away(&mut ann, &mut bob, "cut off");
    let said = colleague(upstreams, &["One.", "Two.", "Three."]);
    upstreams.cable.heal();
    for client in [&mut ann, &mut bob] {
        for text in &said {
            client.hears(LUNCH, "sip:carol@contoso.com", text);
        }
        let heard = client.texts(LUNCH);
        assert_eq!(heard[heard.len() - said.len()..], said, "in order");
    }
    talk(&mut ann, &mut bob, LUNCH, "We are back.");
    farewell([ann, bob]);
}

/// Somebody says this at the pool itself, as people with the new client do.
fn colleague(upstreams: &Upstreams, texts: &[&str]) -> Vec<String> {
    let address = upstreams.zurich.direct();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut carol = holdover_tests::client::Client::tcp(address, "carol").await;
        let (_, dialog) = carol.invite("sip:zurich@contoso.com").await;
        carol.channel = dialog;
        let lunch = "7f0c1e52-93d4-4d0e-9a35-6b1f6f2a8c11";
        carol.join(lunch).await;
        for text in texts {
            assert_eq!(carol.post(lunch, text).await, 200);
        }
    });
    texts.iter().map(|&text| text.to_owned()).collect()
}

over_both! {
    one_client_uses_the_rooms_of_three_upstreams,
    a_pool_that_is_killed_comes_back_by_itself,
    a_pool_that_freezes_is_taken_back,
    a_pool_that_is_cut_off_misses_nothing
}
