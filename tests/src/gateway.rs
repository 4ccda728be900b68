//! A whole gateway in this process, on ports of the system's choice, with a pool, a directory and certificates in a
//! folder of its own.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test says that its own set-up failed"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdover::pool::embedded::load_text;
use holdover::reload::Reader;
use holdover::run::Gateway;
use holdover::telemetry::Telemetry;
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::patience::within;
use crate::upstream::Authority;

/// The SIP domain of the users, and of the rooms on both sides.
pub const DOMAIN: &str = "contoso.com";

/// The rooms of the pool, by the value of their migrated identifiers.
const POOL: &str = r#"
[[category]]
name = "All"

[[room]]
name = "Deals"
value = "m-deals"
category = "All"
privacy = "closed"
members = ["*@contoso.com"]
managers = ["ann@contoso.com"]

[[room]]
name = "Lunch"
value = "m-lunch"
category = "All"
privacy = "open"

[[room]]
name = "Noise"
value = "m-noise"
category = "All"
privacy = "open"
"#;

/// The directory: legacy identifiers and where they lead.
const ROOMS: &str = "legacy,pool,migrated,state,name,note
ma-chan://contoso.com/deals,here,ma-chan://contoso.com/m-deals,migrated,Deals,
ma-chan://contoso.com/lunch,here,ma-chan://contoso.com/m-lunch,migrated,Lunch,
ma-chan://contoso.com/lunch-2,here,ma-chan://contoso.com/m-lunch,merged,Lunch upstairs,
ma-chan://contoso.com/noise,here,ma-chan://contoso.com/m-noise,migrated,Noise,
ma-chan://contoso.com/falcon,here,,retired,Falcon,Ask the archive about Falcon.
ma-chan://contoso.com/legal,here,,pending,Legal,Legal moves in December.
";

/// How often a metric that a test waits for is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// A folder with everything a gateway needs.
pub struct Installation {
    dir: TempDir,
    authority: Authority,
}

impl Installation {
    /// Makes one. `sign_in` is the value of both listeners' key. `config` is added to the configuration: keys of
    /// `[gateway]`, and then `[limits]` and `[log]`.
    ///
    /// # Panics
    ///
    /// When the folder cannot be written.
    #[must_use]
    pub fn new(sign_in: &str, config: &str) -> Self {
        let pool = "[[pool]]\nname = \"here\"\nembedded = { database = \"rooms.db\" }\n\
                    [directory]\nrooms = [\"rooms.csv\"]\n";
        let installation = Self::empty();
        installation.configure(sign_in, pool, config);
        installation.write("rooms.csv", ROOMS);
        installation.write("pool.toml", POOL);
        load_text(&installation.database(), "pool", POOL, Timestamp::now()).unwrap();
        installation
    }

    /// A folder with the certificates of the listeners and nothing else.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    #[must_use]
    pub fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new("Contoso, for its clients");
        let installation = Self { dir, authority };
        installation.write_certificates();
        installation
    }

    /// Writes the configuration: with `sign_in` on both listeners, the tables `[[pool]]` and `[directory]` in `pools`, and
    /// `config`, which is keys of `[gateway]` and then further tables.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn configure(&self, sign_in: &str, pools: &str, config: &str) {
        let tables = config.find('[').unwrap_or(config.len());
        let (gateway, tables) = config.split_at(tables);
        self.write(
            "holdover.toml",
            &format!(
                r#"[gateway]
domain = "{DOMAIN}"
{gateway}

[[listener]]
name = "tcp"
address = "127.0.0.1:0"
sign_in = {sign_in}

[[listener]]
name = "tls"
address = "127.0.0.1:0"
tls = {{ certificate = "sip.pem", private_key = "sip.key" }}
sign_in = {sign_in}

{pools}

[admin]
address = "127.0.0.1:0"

{tables}
"#
            ),
        );
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A file in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.path("holdover.toml")
    }

    /// The pool's database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.path("rooms.db")
    }

    /// Writes a file into it.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Rewrites the configuration.
    ///
    /// # Panics
    ///
    /// When it cannot be read or written.
    pub fn edit(&self, edit: impl FnOnce(String) -> String) {
        let config = std::fs::read_to_string(self.config()).unwrap();
        self.write("holdover.toml", &edit(config));
    }

    /// The messages of a room, in its order.
    ///
    /// # Panics
    ///
    /// When the database cannot be read.
    #[must_use]
    pub fn messages(&self, value: &str) -> Vec<String> {
        messages(&self.database(), value)
    }

    /// Who issued the listeners' certificates: `ca.pem`.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    fn write_certificates(&self) {
        self.write("ca.pem", self.authority.pem());
        self.authority.issue(self.dir(), "sip", "localhost");
    }
}

/// The messages of a room of a pool's database, in the room's order.
pub(crate) fn messages(database: &Path, value: &str) -> Vec<String> {
    let database = rusqlite::Connection::open(database).unwrap();
    let mut query = database
        .prepare(
            "SELECT text FROM message JOIN room ON room.key = message.room
             WHERE room.value = ?1 ORDER BY message.id",
        )
        .unwrap();
    let rows = query.query_map([value], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// A gateway that serves.
pub struct TestGateway {
    /// Its folder.
    pub installation: Installation,
    /// Where it takes clients over TCP.
    pub tcp: SocketAddr,
    /// Where it takes clients over TLS.
    pub tls: SocketAddr,
    /// Where the admin server listens.
    pub admin: SocketAddr,
    addresses: Vec<(String, SocketAddr)>,
    telemetry: Telemetry,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl TestGateway {
    /// Starts one with open sign-in and `config` at the end of its configuration.
    pub async fn start(config: &str) -> Self {
        Self::serve(Installation::new("\"open\"", config)).await
    }

    /// Starts one on an installation.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn serve(installation: Installation) -> Self {
        let mut reader = Reader::new(installation.config());
        let version = reader.read().version;
        let version = version.unwrap_or_else(|faults| panic_with(&faults.render(false)));
        let telemetry = Telemetry::new();
        let gateway = Gateway::open(reader, version, telemetry.clone())
            .await
            .unwrap();
        let addresses: Vec<_> = gateway
            .addresses()
            .map(|(name, address)| (name.to_owned(), address))
            .collect();
        let (tcp, tls) = (of(&addresses, "tcp"), of(&addresses, "tls"));
        let admin = gateway.admin_address().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(gateway.run(stop.clone()));
        Self {
            installation,
            tcp,
            tls,
            admin,
            addresses,
            telemetry,
            stop,
            served,
        }
    }

    /// Where another listener listens.
    #[must_use]
    pub fn address(&self, listener: &str) -> SocketAddr {
        of(&self.addresses, listener)
    }

    /// How often something was counted for this reason.
    ///
    /// # Panics
    ///
    /// When there is no such series.
    #[must_use]
    pub fn counted(&self, name: &str, reason: &str) -> u64 {
        let series = format!("{name}{{reason=\"{reason}\"}} ");
        let exposition = self.telemetry.exposition();
        let mut lines = exposition.lines();
        let count = lines.find_map(|line| line.strip_prefix(&series));
        count.unwrap().parse().unwrap()
    }

    /// Waits until something was counted so often for this reason.
    pub async fn counts(&self, name: &str, reason: &str, count: u64) {
        within(reason, async {
            let mut again = tokio::time::interval(LOOK);
            while self.counted(name, reason) < count {
                again.tick().await;
            }
        })
        .await;
    }

    /// The sum of a counter over all its labels, or a gauge.
    ///
    /// # Panics
    ///
    /// When there is no such metric.
    #[must_use]
    pub fn metric(&self, name: &str) -> u64 {
        let exposition = self.telemetry.exposition();
        let mut values = exposition
            .lines()
            .filter_map(|line| {
                let rest = line.strip_prefix(name)?;
                if !rest.starts_with([' ', '{']) {
                    return None;
                }
                rest.rsplit(' ').next()?.parse::<u64>().ok()
            })
            .peekable();
        assert!(values.peek().is_some(), "no metric {name} in\n{exposition}");
        values.sum()
    }

    /// Waits until a metric satisfies `reached`.
    pub async fn metric_reaches(&self, name: &str, reached: impl Fn(u64) -> bool) {
        within(name, async {
            let mut again = tokio::time::interval(LOOK);
            while !reached(self.metric(name)) {
                again.tick().await;
            }
        })
        .await;
    }

    /// Stops it and waits until it is down. Returns its folder.
    ///
    /// # Panics
    ///
    /// When it failed.
    pub async fn stop(self) -> Installation {
        self.stop.cancel();
        within("the gateway stops", self.served).await.unwrap();
        self.installation
    }
}

fn of(addresses: &[(String, SocketAddr)], listener: &str) -> SocketAddr {
    let mut addresses = addresses.iter();
    addresses.find(|(name, _)| name == listener).unwrap().1
}

#[expect(clippy::panic, reason = "a panic is how a test says no")]
fn panic_with(text: &str) -> ! {
    panic!("{text}")
}
