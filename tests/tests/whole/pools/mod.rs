//! Several pools, each a process of its own, behind one gateway.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test says no"
)]

mod certificates;
mod failures;

use holdover_tests::binary::get;
use holdover_tests::client::{Client, room};
use holdover_tests::gateway::{Installation, TestGateway};
use holdover_tests::upstream::{Cable, Pool, PoolSpec};

const ROOMS: &str = "legacy,pool,migrated,state,name,note
ma-chan://contoso.com/deals,hq,ma-chan://contoso.com/m-deals,migrated,Deals,
ma-chan://contoso.com/lunch,zurich,ma-chan://contoso.com/m-lunch,migrated,Lunch,
ma-chan://contoso.com/legal,old,,pending,Legal,
";

/// The rooms, as clients know them.
const DEALS: &str = "deals";
const LUNCH: &str = "lunch";
const LEGAL: &str = "legal";

/// How long a pool may take for a receipt, by the configuration.
const RECEIPT_SECS: u64 = 2;

/// Three pools in plain TCP and a gateway in front of them. The one that will fail is at the end of a cable.
struct World {
    gateway: TestGateway,
    zurich: Pool,
    cable: Cable,
    _others: [Pool; 2],
}

impl World {
    async fn start() -> Self {
        Self::with_limits("").await
    }

    /// Starts one with these keys of `[limits]`.
    async fn with_limits(limits: &str) -> Self {
        Self::with_config(&format!("[limits]\n{limits}\n")).await
    }

    /// Starts one with these keys of `[gateway]`, and then further tables.
    async fn with_config(config: &str) -> Self {
        let installation = Installation::empty();
        let pool = |name, rooms: &[(&str, &str)]| {
            let more = "";
            let tls = None;
            #[rustfmt::skip]
            let spec = PoolSpec { name, rooms, tls, more };
            Pool::start(installation.dir(), spec)
        };
        let hq = pool("hq", &[("Deals", "m-deals")]);
        let zurich = pool("zurich", &[("Lunch", "m-lunch")]);
        let old = pool("old", &[("Legal", "legal")]);
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
                 transport = \"tcp\", receipt_timeout_secs = {RECEIPT_SECS}{more} }}\n"
            ));
        }
        pools.push_str("[directory]\nrooms = [\"rooms.csv\"]\ndefault_pool = \"hq\"\npreferences_pool = \"zurich\"\n");
        installation.configure("\"open\"", &pools, config);
        installation.write("rooms.csv", ROOMS);
        let gateway = TestGateway::serve(installation).await;
        gateway
            .metric_reaches("holdover_pool_servers", |up| up == 3)
            .await;
        Self {
            gateway,
            zurich,
            cable,
            _others: [hq, old],
        }
    }

    /// A client who has all rooms open, and has asked for the history of each as real ones do.
    async fn client(&self, name: &str) -> Client {
        let mut client = Client::tcp(self.gateway.tcp, name).await;
        client.sign_in().await;
        let joined = client
            .command("bjoin", &chanids(&[DEALS, LUNCH, LEGAL]))
            .await;
        assert!(!joined.contains("<fib"), "{joined}");
        for value in [DEALS, LUNCH, LEGAL] {
            let room = room(value);
            let data = format!("<chanib uri=\"{room}\"/><bcq><last cnt=\"25\"/></bcq>");
            client.command("bccontext", &data).await;
        }
        client
    }

    /// Somebody who is in the room of Zurich without the gateway, as people with the new client are.
    async fn colleague(&self, name: &str) -> Client {
        let mut client = Client::tcp(self.zurich.direct(), name).await;
        let (_, dialog) = client.invite("sip:zurich@contoso.com").await;
        client.channel = dialog;
        client.join("m-lunch").await;
        client
    }
}

fn chanids(values: &[&str]) -> String {
    let chanid = |value| format!("<chanid domain=\"contoso.com\" value=\"{value}\"/>");
    values.iter().map(chanid).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_sees_the_rooms_of_three_pools() {
    let world = World::start().await;
    let mut ann = Client::tcp(world.gateway.tcp, "ann").await;
    ann.sign_in().await;
    let mut bob = world.client("bob").await;

    let metrics = get(world.gateway.admin, "/metrics").unwrap();
    let server = world.cable.address();
    let up =
        format!("holdover_pool_server_state{{pool=\"zurich\",server=\"{server}\",state=\"up\"}} 1");
    assert!(metrics.contains(&up), "{metrics}");

    let everything = "<qib qtype=\"BYNAME\" criteria=\"\" extended=\"false\"/>";
    let listed = ann.command("chansrch", everything).await;
    for value in [DEALS, LUNCH, LEGAL] {
        assert!(
            listed.contains(&format!("uri=\"ma-chan://contoso.com/{value}\"")),
            "{listed}"
        );
    }
    assert!(!listed.contains("contoso.com/m-"), "{listed}");

    let order = [LEGAL, LUNCH, DEALS];
    let joined = ann.command("bjoin", &chanids(&order)).await;
    let places = order.map(|value| {
        joined
            .find(&format!("chanib uri=\"ma-chan://contoso.com/{value}\""))
            .unwrap()
    });
    assert!(places.is_sorted(), "{joined}");
    for (value, text) in [
        (DEALS, "to hq"),
        (LUNCH, "to zurich"),
        (LEGAL, "to the old one"),
    ] {
        assert_eq!(ann.post(value, text).await, 200);
        assert_eq!(bob.message().await, text);
        assert_eq!(ann.message().await, text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preferences_are_kept_by_the_pool_that_is_named() {
    let world = World::start().await;
    let mut ann = Client::tcp(world.gateway.tcp, "ann").await;
    ann.sign_in().await;
    let label = "label=\"kedzie.GroupChannels\"";
    let content = "content=\"eA==\"";
    let set = format!("<pref {label} seqid=\"0\" createdefault=\"false\" {content}/>");
    ann.command("setpref", &set).await;
    let get = format!("<pref {label} seqid=\"0\" createdefault=\"false\"/>");
    assert!(ann.command("getpref", &get).await.contains(content));
    let mut there = world.colleague("ann").await;
    assert!(there.command("getpref", &get).await.contains(content));
}
