//! Pools that are processes of their own: `holdover pool serve`, with certificates, and ways to take them away.

mod authority;
mod proxy;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use holdover::pool::embedded::load_text;
use serde_json::Value;

pub use authority::Authority;
pub use proxy::Cable;

use crate::binary::holdover;
use crate::gateway::{DOMAIN, messages};
use crate::patience;

/// What a pool is started with.
#[derive(Clone, Copy, Debug)]
pub struct PoolSpec<'a> {
    /// Its name, which is the user part of its URI and names its files.
    pub name: &'a str,
    /// Its rooms, by name and by the value of their identifiers. All of them are open.
    pub rooms: &'a [(&'a str, &'a str)],
    /// The value of the key `tls` of the listener for gateways. `None`: plain TCP.
    pub tls: Option<&'a str>,
    /// More of its configuration: `[switches]`.
    pub more: &'a str,
}

/// A pool that runs. Dropped, it is killed.
#[derive(Debug)]
pub struct Pool {
    process: Child,
    config: PathBuf,
    log: PathBuf,
    /// Where the gateway connects, and where tests do.
    addresses: [SocketAddr; 2],
}

impl Pool {
    /// Makes a pool in `dir` and serves it.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn start(dir: &Path, spec: PoolSpec<'_>) -> Self {
        let PoolSpec {
            name,
            rooms,
            tls,
            more,
        } = spec;
        let mut content = "[[category]]\nname = \"All\"\n".to_owned();
        for (room, value) in rooms {
            content.push_str(&format!(
                "[[room]]\nname = \"{room}\"\nvalue = \"{value}\"\ncategory = \"All\"\nprivacy = \"open\"\n"
            ));
        }
        let database = dir.join(format!("{name}.db"));
        load_text(&database, "rooms", &content, jiff::Timestamp::now()).unwrap();
        let config = dir.join(format!("{name}.toml"));
        let listener = |name: &str, tls: &str| {
            format!("[[listener]]\nname = \"{name}\"\naddress = \"127.0.0.1:0\"\n{tls}\n")
        };
        let tls = tls.map(|tls| format!("tls = {tls}")).unwrap_or_default();
        let text = format!(
            "[pool]\nuri = \"sip:{name}@{DOMAIN}\"\nserver_uri = \"sip:{name}-1@{DOMAIN}\"\n\
             domain = \"{DOMAIN}\"\ndatabase = \"{name}.db\"\n{}{}\
             [log]\nlevel = \"info\"\nformat = \"json\"\n{more}\n",
            listener("gateways", &tls),
            listener("tests", ""),
        );
        std::fs::write(&config, text).unwrap();
        let log = dir.join(format!("{name}.log"));
        let (process, addresses) = serve(&config, &log);
        // A pool that dies comes back where it was.
        let mut text = std::fs::read_to_string(&config).unwrap();
        for address in addresses {
            text = text.replacen("127.0.0.1:0", &address.to_string(), 1);
        }
        std::fs::write(&config, text).unwrap();
        Self {
            process,
            config,
            log,
            addresses,
        }
    }

    /// Where the gateway connects.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where tests connect to be users of the pool itself, in plain TCP.
    #[must_use]
    pub fn direct(&self) -> SocketAddr {
        self.addresses[1]
    }

    /// Waits until it has logged an event of this name. Returns the first one.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[must_use]
    pub fn event(&self, name: &str) -> Value {
        let begun = Instant::now();
        loop {
            let log = std::fs::read_to_string(&self.log).unwrap();
            let mut events = log
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(event) = events.find(|event| event["message"] == name) {
                return event;
            }
            assert!(begun.elapsed() < patience(), "no {name} in\n{log}");
            std::thread::yield_now();
        }
    }

    /// The messages of a room as it has stored them, in the room's order.
    ///
    /// # Panics
    ///
    /// When the database cannot be read.
    #[must_use]
    pub fn messages(&self, value: &str) -> Vec<String> {
        messages(&self.config.with_extension("db"), value)
    }

    /// `kill -9`.
    ///
    /// # Panics
    ///
    /// When it is gone already.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Serves it again after [`kill`](Self::kill), at the same addresses.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start_again(&mut self) {
        let (process, addresses) = serve(&self.config, &self.log);
        assert_eq!(addresses, self.addresses);
        self.process = process;
    }

    /// `kill -STOP`: it keeps its connections and does nothing. Waits until it does nothing.
    ///
    /// # Panics
    ///
    /// When it goes on.
    pub fn freeze(&self) {
        self.signal("STOP");
        let begun = Instant::now();
        let stat = format!("/proc/{}/stat", self.process.id());
        // The state follows the name, which is in parentheses.
        while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
            assert!(begun.elapsed() < patience(), "the pool does not stop");
            std::thread::yield_now();
        }
    }

    /// `kill -CONT`: it goes on where it stopped.
    ///
    /// # Panics
    ///
    /// When it is gone.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.process.id());
        let sent = Command::new("sh").args(["-c", &command]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("--- what {} logged:\n{log}", self.config.display());
        }
    }
}

fn serve(config: &Path, log: &Path) -> (Child, [SocketAddr; 2]) {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .unwrap();
    let mut process = Command::new(holdover())
        .args(["pool", "serve", "--json", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(process.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).expect("a pool that serves says so");
    let address = |at: usize| {
        let address = ready["listeners"][at]["address"].as_str();
        address.unwrap().parse().unwrap()
    };
    (process, [address(0), address(1)])
}
