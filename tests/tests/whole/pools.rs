//! Several pools, each a process of its own, behind one gateway.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test says no"
)]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use holdover::pool::embedded::load_text;
use holdover::run::Gateway;
use holdover::telemetry::Telemetry;
use holdover_tests::binary::holdover;
use holdover_tests::client::Client;
use holdover_tests::patience::within;
use tokio_util::sync::CancellationToken;

/// `holdover pool serve` with one room.
struct Pool {
    process: Child,
    address: SocketAddr,
}

impl Pool {
    /// Serves the room `value` from a database in `dir`.
    fn start(dir: &Path, name: &str, value: &str, address: &str) -> Self {
        let rooms = format!(
            "[[category]]\nname = \"All\"\n[[room]]\nname = \"{name}\"\nvalue = \"{value}\"\ncategory = \"All\"\nprivacy = \"open\"\n"
        );
        let database = dir.join(format!("{name}.db"));
        load_text(&database, "rooms", &rooms, jiff::Timestamp::now()).unwrap();
        let config = dir.join(format!("{name}.toml"));
        let text = format!(
            "[pool]\nuri = \"sip:{name}@contoso.com\"\ndomain = \"contoso.com\"\ndatabase = \"{name}.db\"\n\
             [[listener]]\nname = \"lab\"\naddress = \"{address}\"\n[log]\nlevel = \"warn\"\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new(holdover())
            .args(["pool", "serve", "--json", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = ready["listeners"][0]["address"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        Self { process, address }
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// A gateway in front of these pools, and where its clients connect.
async fn gateway(
    dir: &Path,
    pools: &[(&str, SocketAddr)],
    rooms: &str,
) -> (SocketAddr, CancellationToken) {
    let mut config = "[gateway]\ndomain = \"contoso.com\"\n\
                      [[listener]]\nname = \"tcp\"\naddress = \"127.0.0.1:0\"\nsign_in = \"open\"\n"
        .to_owned();
    for (name, address) in pools {
        let dialect = if *name == "old" {
            "group-chat"
        } else {
            "persistent-chat"
        };
        config.push_str(&format!(
            "[[pool]]\nname = \"{name}\"\nsip = {{ uri = \"sip:{name}@contoso.com\", servers = [\"{address}\"], transport = \"tcp\", \
             dialect = \"{dialect}\", lookup = {}, receipt_timeout_secs = 2 }}\n",
            *name == "old",
        ));
    }
    config.push_str("[directory]\nrooms = [\"rooms.csv\"]\ndefault_pool = \"hq\"\n");
    std::fs::write(dir.join("rooms.csv"), rooms).unwrap();
    let loaded = holdover_config::parse("holdover.toml", &config, dir)
        .unwrap_or_else(|faults| panic!("{}", faults.render(false)));
    let gateway = Gateway::build(loaded.settings, Telemetry::new())
        .await
        .unwrap();
    let address = gateway.addresses().next().unwrap().1;
    let stop = CancellationToken::new();
    tokio::spawn(gateway.run(stop.clone()));
    (address, stop)
}

const ROOMS: &str = "legacy,pool,migrated,state,name,note
ma-chan://contoso.com/deals,hq,ma-chan://contoso.com/m-deals,migrated,Deals,
ma-chan://contoso.com/lunch,zurich,ma-chan://contoso.com/m-lunch,migrated,Lunch,
ma-chan://contoso.com/legal,old,,pending,Legal,
";

async fn signed_in(address: SocketAddr, name: &str) -> Client {
    let mut client = Client::tcp(address, name).await;
    client.sign_in().await;
    client.open_group_chat().await;
    client
}

fn chanids(values: &[&str]) -> String {
    let chanid = |value| format!("<chanid domain=\"contoso.com\" value=\"{value}\"/>");
    values.iter().map(chanid).collect()
}

#[tokio::test]
async fn one_client_sees_the_rooms_of_three_pools_and_a_lost_one_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let hq = Pool::start(dir, "hq", "m-deals", "127.0.0.1:0");
    let zurich = Pool::start(dir, "zurich", "m-lunch", "127.0.0.1:0");
    let old = Pool::start(dir, "old", "legal", "127.0.0.1:0");
    let pools = [
        ("hq", hq.address),
        ("zurich", zurich.address),
        ("old", old.address),
    ];
    let (address, stop) = gateway(dir, &pools, ROOMS).await;
    let mut ann = signed_in(address, "ann").await;
    let mut bob = signed_in(address, "bob").await;

    let listed = ann
        .command(
            "chansrch",
            "<qib qtype=\"BYNAME\" criteria=\"\" extended=\"false\"/>",
        )
        .await;
    for value in ["deals", "lunch", "legal"] {
        assert!(
            listed.contains(&format!("uri=\"ma-chan://contoso.com/{value}\"")),
            "{listed}"
        );
    }
    assert!(!listed.contains("contoso.com/m-"), "{listed}");

    let joined = ann
        .command("bjoin", &chanids(&["legal", "lunch", "deals"]))
        .await;
    let places = ["legal", "lunch", "deals"].map(|value| {
        joined
            .find(&format!("chanib uri=\"ma-chan://contoso.com/{value}\""))
            .unwrap()
    });
    assert!(places.is_sorted(), "{joined}");
    bob.command("bjoin", &chanids(&["deals", "lunch", "legal"]))
        .await;
    for (value, text) in [
        ("deals", "to hq"),
        ("lunch", "to zurich"),
        ("legal", "to the old one"),
    ] {
        assert_eq!(ann.post(value, text).await, 200);
        assert_eq!(bob.message().await, text);
        assert_eq!(ann.message().await, text);
    }

    // One pool dies: its rooms refuse, the others go on, nobody is disconnected.
    let at = zurich.address.to_string();
    zurich.kill();
    let refused = ann.post("lunch", "into the void").await;
    assert!(matches!(refused, 503 | 504), "{refused}");
    assert_eq!(ann.post("deals", "still here").await, 200);
    assert_eq!(bob.message().await, "still here");
    assert_eq!(ann.message().await, "still here");

    // It comes back: the rooms work again without anybody doing anything.
    let _zurich = Pool::start(dir, "zurich", "m-lunch", &at);
    let again = async {
        while ann.post("lunch", "back again").await != 200 {
            // Refused at once while the pool is away; each try takes a round trip and a turn of the runtime.
            tokio::task::yield_now().await;
        }
    };
    within("the room works again", again).await;
    assert_eq!(ann.message().await, "back again");
    assert_eq!(bob.message().await, "back again");
    stop.cancel();
}
