//! Certificates that keep the gateway and a pool apart: each is told with its reason, and better files are enough to make
//! the pool work.

use std::net::SocketAddr;
use std::path::Path;

use holdover_tests::binary::{Addresses, Process, get};
use holdover_tests::client::Client;
use holdover_tests::gateway::Installation;
use holdover_tests::patience::within;
use holdover_tests::upstream::{Authority, Pool, PoolSpec};
use serde_json::Value;

/// A gateway and a pool that could talk over mutual TLS, were their files not as a test has them.
struct World {
    installation: Installation,
    /// Who issues the certificates that both accept.
    authority: Authority,
    pool: Pool,
    gateway: Process,
    addresses: Addresses,
}

const NAME: &str = "pool.contoso.com";
const GATEWAY: &str = "holdover.contoso.com";

impl World {
    /// `names` is more of the gateway's TLS settings; `spoil` makes files worse before anybody reads them.
    fn start(names: &str, spoil: impl Fn(&Path, &Authority)) -> Self {
        let installation = Installation::empty();
        let dir = installation.dir();
        let authority = Authority::new("Contoso");
        // Both sides have their own list of authorities.
        installation.write("pools-ca.pem", authority.pem());
        installation.write("gateways-ca.pem", authority.pem());
        authority.issue(dir, "hq", NAME);
        authority.issue(dir, "gateway", GATEWAY);
        spoil(dir, &authority);
        let tls = format!(
            "{{ certificate = \"hq.pem\", private_key = \"hq.key\", client_authorities = \"gateways-ca.pem\", \
             client_names = [\"{GATEWAY}\"] }}"
        );
        let spec = PoolSpec {
            name: "hq",
            rooms: &[("Deals", "m-deals")],
            tls: Some(&tls),
            more: "",
        };
        let pool = Pool::start(dir, spec);
        let pools = format!(
            "[[pool]]\nname = \"hq\"\n\
             sip = {{ uri = \"sip:hq@contoso.com\", servers = [\"localhost:{}\"], \
             tls = {{ authorities = \"pools-ca.pem\", certificate = \"gateway.pem\", private_key = \"gateway.key\"{names} }} }}\n\
             [directory]\nunlisted = \"same-id\"\n",
            pool.address().port()
        );
        installation.configure("\"open\"", &pools, "[log]\nformat = \"json\"\n");
        let gateway = Process::start(&installation.config());
        let addresses = gateway.ready();
        Self {
            installation,
            authority,
            pool,
            gateway,
            addresses,
        }
    }

    fn dir(&self) -> &Path {
        self.installation.dir()
    }

    /// The gateway tells why it does not talk to the pool, and shows it.
    fn is_apart(&self, reason: &str, words: &str) {
        let failed = self.event("pool.tls-failed");
        assert_eq!(failed["pool"], "hq");
        assert_eq!(failed["reason"], reason, "{failed}");
        let error = failed["error"].as_str().unwrap();
        assert!(error.contains(words), "{error}");
        let down = self.event("pool.server-down");
        assert_eq!(down["reason"], "tls");
        assert_eq!(down["server.was_up"], false);
        let server = server(self.addresses.admin);
        assert_eq!(server["state"], "down");
        assert_eq!(server["last_error"], error);
    }

    /// The pool tells why it does not talk to the gateway.
    fn is_turned_away(&self, reason: &str) {
        let failed = self.pool.event("tls.failed");
        assert_eq!(failed["reason"], reason, "{failed}");
    }

    /// They come together, and a client is none the wiser.
    fn come_together(&self) {
        self.event("pool.server-up");
        let server = server(self.addresses.admin);
        assert_eq!(server["state"], "up");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut ann = Client::tcp(self.addresses.tcp, "ann").await;
            ann.sign_in().await;
            within("a room", ann.join("m-deals")).await;
            assert_eq!(ann.post("m-deals", "Here we are.").await, 200);
        });
    }

    /// The next event of this name.
    fn event(&self, name: &str) -> Value {
        let line = self
            .gateway
            .line(|line| line.contains(&format!("\"{name}\"")));
        serde_json::from_str(&line).unwrap()
    }
}

/// The pool's server, as the admin server shows it.
fn server(admin: SocketAddr) -> Value {
    let response = get(admin, "/v1/pools").unwrap();
    let (_, body) = response.split_once("\r\n\r\n").unwrap();
    let pools: Value = serde_json::from_str(body).unwrap();
    let server = pools[0]["servers"][0].clone();
    assert!(server.is_object(), "{pools}");
    server
}

/// The pool's certificate is bad in this way until a good one takes its place.
fn the_pool_is_not_trusted(
    names: &str,
    reason: &str,
    words: &str,
    good: &str,
    spoil: impl Fn(&Path, &Authority),
) {
    let world = World::start(names, spoil);
    world.is_apart(reason, words);
    world.authority.issue(world.dir(), "hq", good);
    world.come_together();
}

#[test]
fn a_pool_with_a_certificate_for_another_name_is_refused() {
    the_pool_is_not_trusted("", "wrong-name", NAME, "localhost", |_, _| {});
}

#[test]
fn a_pool_with_a_name_that_is_not_listed_is_refused() {
    let names = format!(", names = [\"{NAME}\"]");
    let words = "none of the listed names; its names are localhost";
    the_pool_is_not_trusted(&names, "not-listed", words, NAME, |dir, authority| {
        authority.issue(dir, "hq", "localhost");
    });
}

#[test]
fn a_pool_with_an_expired_certificate_is_refused() {
    the_pool_is_not_trusted("", "expired", "expired", "localhost", |dir, authority| {
        authority.issue_expired(dir, "hq", "localhost");
    });
}

#[test]
fn a_pool_of_another_authority_is_refused() {
    let words = "none of the authorities that are trusted";
    the_pool_is_not_trusted("", "unknown-authority", words, "localhost", |dir, _| {
        Authority::new("Fabrikam").issue(dir, "hq", "localhost");
    });
}

#[test]
fn a_pool_of_another_authority_of_the_same_name_is_refused() {
    let words = "not signed by the authority";
    the_pool_is_not_trusted("", "unknown-authority", words, "localhost", |dir, _| {
        Authority::new("Contoso").issue(dir, "hq", "localhost");
    });
}

/// The gateway's certificate is bad in this way until a good one takes its place.
fn the_gateway_is_not_trusted(told: &str, spoil: impl Fn(&Path, &Authority)) {
    let world = World::start(&format!(", names = [\"{NAME}\"]"), spoil);
    world.is_apart("rejected", "alert");
    world.is_turned_away(told);
    world.authority.issue(world.dir(), "gateway", GATEWAY);
    world.come_together();
}

#[test]
fn a_gateway_that_is_not_on_the_list_is_turned_away() {
    the_gateway_is_not_trusted("client-not-listed", |dir, authority| {
        authority.issue(dir, "gateway", "fe9.contoso.com");
    });
}

#[test]
fn a_gateway_with_an_expired_certificate_is_turned_away() {
    the_gateway_is_not_trusted("client-certificate-expired", |dir, authority| {
        authority.issue_expired(dir, "gateway", GATEWAY);
    });
}

#[test]
fn a_gateway_of_another_authority_is_turned_away() {
    the_gateway_is_not_trusted("client-authority-unknown", |dir, _| {
        Authority::new("Fabrikam").issue(dir, "gateway", GATEWAY);
    });
}

#[test]
fn a_gateway_of_another_authority_of_the_same_name_is_turned_away() {
    the_gateway_is_not_trusted("client-authority-unknown", |dir, _| {
        Authority::new("Contoso").issue(dir, "gateway", GATEWAY);
    });
}

/// The other end's authority changes: its new certificate is enough, on either side.
#[test]
fn authorities_change_without_a_restart() {
    let names = format!(", names = [\"{NAME}\"]");
    let next = Authority::new("Contoso, from now on");
    let world = World::start(&names, |dir, _| {
        next.issue(dir, "hq", NAME);
        next.issue(dir, "gateway", GATEWAY);
    });
    world.is_apart(
        "unknown-authority",
        "none of the authorities that are trusted",
    );
    world.installation.write("pools-ca.pem", next.pem());
    // Now it is the pool that does not trust.
    let failed = loop {
        let failed = world.event("pool.tls-failed");
        if failed["reason"] != "unknown-authority" {
            break failed;
        }
    };
    assert_eq!(failed["reason"], "rejected", "{failed}");
    world.installation.write("gateways-ca.pem", next.pem());
    world.come_together();
}

/// A key that is not the certificate's is told as our own fault, and nothing is sent to the pool.
#[test]
fn files_of_our_own_that_cannot_be_used_are_told() {
    let mut world = World::start(&format!(", names = [\"{NAME}\"]"), |_, _| {});
    world.come_together();
    let key = world.installation.path("gateway.key");
    let good = std::fs::read(&key).unwrap();
    std::fs::copy(world.installation.path("hq.key"), &key).unwrap();
    world.pool.kill();
    world.pool.start_again();
    let failed = world.event("pool.tls-failed");
    assert_eq!(failed["reason"], "own-files", "{failed}");
    let error = failed["error"].as_str().unwrap();
    assert!(error.contains("gateway.key"), "{error}");
    std::fs::write(&key, good).unwrap();
    world.event("pool.server-up");
}
