//! The processes of a measurement: pool, what stands before it, and clients.
//!
//! What stands between has one processor to itself, all others share the rest.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use holdover::pool::embedded;
use holdover_tests::binary::holdover;

use crate::client::{Clients, POOL_URI, Rooms, Way};
use crate::options::{Box, Options, Transport};
use crate::{kamailio, process, relay, samples};

/// Where a process runs.
#[derive(Clone, Copy)]
enum Place {
    /// On the last processor, alone.
    Measured,
    /// On the others.
    Rest,
}

/// A command whose first argument is the program to run in this place.
fn at(place: Place) -> Command {
    static LAST: OnceLock<Option<usize>> = OnceLock::new();
    let last = LAST.get_or_init(|| {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let pinned = Command::new("taskset").arg("-V").output().is_ok();
        if !pinned || count < 2 {
            println!("!! One processor, or no taskset (apt-get install util-linux): everything runs everywhere.");
        }
        (pinned && count >= 2).then(|| count - 1)
    });
    let Some(last) = last else {
        return Command::new("env");
    };
    let mut command = Command::new("taskset");
    match place {
        Place::Measured => command.args(["-c", &last.to_string()]),
        Place::Rest => command.args(["-c", &format!("0-{}", last - 1)]),
    };
    command
}

/// A process that ends with this value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Kamailio's children end when it is asked to, not when it is killed.
        let pid = self.0.id().to_string();
        let asked = Command::new("kill").arg(&pid).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _gone = self.0.kill();
        }
        let _reaped = self.0.wait();
    }
}

/// The files of a measurement: in memory where that is possible, so that a disk's time is not part of it.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() {
            tempfile::tempdir_in(memory)?
        } else {
            tempfile::tempdir()?
        };
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        std::fs::write(folder.path().join("certificate.pem"), pair.cert.pem())?;
        std::fs::write(
            folder.path().join("key.pem"),
            pair.signing_key.serialize_pem(),
        )?;
        Ok(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.path().join("certificate.pem")
    }
}

/// `holdover pool serve`, with so many rooms.
pub(crate) struct Pool {
    _process: Process,
    address: SocketAddr,
    rooms: usize,
}

impl Pool {
    pub(crate) fn start(folder: &Path, name: &str, rooms: usize) -> Result<Self> {
        let mut load = String::from("[[category]]\nname = \"All\"\n");
        for number in 0..rooms {
            let value = samples::room(number, true);
            writeln!(
                load,
                "[[room]]\nname = \"Room {number}\"\nvalue = \"{value}\"\ncategory = \"All\"\nprivacy = \"open\""
            )?;
        }
        // Not beside the gateway's configuration: the gateway would be woken by each write, and a pool is elsewhere.
        let folder = &folder.join(format!("{name}-pool"));
        std::fs::create_dir(folder)?;
        let database = folder.join(format!("{name}.db"));
        embedded::load_text(&database, "rooms.toml", &load, jiff::Timestamp::now())?;
        let config = folder.join("pool.toml");
        let text = format!(
            "[pool]\nuri = \"{POOL_URI}\"\ndomain = \"{}\"\ndatabase = \"{name}.db\"\noutstanding_infos = 8\n\
             [[listener]]\naddress = \"127.0.0.1:0\"\n[log]\nlevel = \"error\"\n",
            samples::DOMAIN
        );
        std::fs::write(&config, text)?;
        let mut child = at(Place::Rest)
            .arg(holdover())
            .args(["pool", "serve", "--json", "--config"])
            .arg(&config)
            .stdout(Stdio::piped())
            .spawn()?;
        let ready = first_line(&mut child)?;
        let process = Process(child);
        let ready: serde_json::Value = serde_json::from_str(&ready)?;
        let address = ready.pointer("/listeners/0/address");
        let address = address.and_then(|address| address.as_str()?.parse().ok());
        Ok(Self {
            _process: process,
            address: address.context("the pool says no address")?,
            rooms,
        })
    }
}

fn first_line(child: &mut Child) -> Result<String> {
    let mut line = String::new();
    let stdout = child.stdout.take().context("no standard output")?;
    BufReader::new(stdout).read_line(&mut line)?;
    if line.is_empty() {
        bail!("a process ended at once");
    }
    Ok(line)
}

/// What stands between clients and pool, running.
pub(crate) struct Middle {
    kind: Box,
    process: Option<Process>,
    tcp: SocketAddr,
    tls: SocketAddr,
}

impl Middle {
    /// Starts it, for so many connections.
    pub(crate) fn start(
        options: &Options,
        kind: Box,
        pool: &Pool,
        folder: &Folder,
        connections: usize,
    ) -> Result<Self> {
        let command = at(Place::Measured);
        let (child, tcp, tls) = match kind {
            Box::Straight => (None, pool.address, pool.address),
            Box::Floor => {
                let (child, tcp, tls) =
                    relay::start(command, folder.path(), pool.address, pool.rooms)?;
                (Some(child), tcp, tls)
            }
            Box::Kamailio | Box::KamailioStateless => {
                let setup = kamailio::Setup {
                    command,
                    folder: folder.path(),
                    pool: pool.address,
                    rooms: pool.rooms,
                    connections: connections + 100,
                    children: options.kamailio_children,
                    is_stateful: kind == Box::Kamailio,
                };
                let (child, addresses) = kamailio::start(setup)?;
                (Some(child), addresses.tcp, addresses.tls)
            }
            Box::Holdover | Box::Beside => {
                let beside = options.beside.as_deref().filter(|_| kind == Box::Beside);
                let program = beside.unwrap_or_else(|| holdover());
                let (child, tcp, tls) = start_gateway(command, program, folder.path(), pool)?;
                (Some(child), tcp, tls)
            }
        };
        Ok(Self {
            kind,
            process: child.map(Process),
            tcp,
            tls,
        })
    }

    /// Clients of it, none of which has signed in yet.
    pub(crate) fn clients(
        &self,
        transport: Transport,
        folder: &Folder,
        rooms: Rooms,
        first: usize,
    ) -> Result<Clients> {
        let mut command = at(Place::Rest);
        command.arg(std::env::current_exe()?);
        let mut clients = Clients::start_with(command, rooms, first)?;
        let way = match self.kind {
            Box::Straight => Way::Straight,
            Box::Floor | Box::Kamailio | Box::KamailioStateless => Way::Rewritten,
            Box::Holdover | Box::Beside => Way::Gateway,
        };
        match transport {
            Transport::Tcp => clients.connect_by(way, self.tcp, None)?,
            Transport::Tls => {
                clients.connect_by(way, self.tls, Some(&folder.certificate()))?;
            }
        }
        Ok(clients)
    }

    fn family(&self) -> Result<Vec<u32>> {
        match &self.process {
            Some(process) => process::family(process.0.id()),
            None => Ok(Vec::new()),
        }
    }

    /// Its processor time up to now, nanoseconds.
    pub(crate) fn processor_time(&self) -> Result<u64> {
        process::processor_time_of(&self.family()?)
    }

    /// Its memory once that does not change any more, bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let family = self.family()?;
        let mut last = 0;
        for _ in 0..20 {
            std::thread::sleep(std::time::Duration::from_millis(150));
            let now = process::memory_of(&family)?;
            if now == last {
                break;
            }
            last = now;
        }
        Ok(last)
    }
}

/// Everybody connects from one address and as fast as the gateway lets them.
const PACE: &str = "requests_per_second = 10000000\nrequests_per_second_per_address = 10000000";

/// `holdover run`, with every room of the pool in its directory.
fn start_gateway(
    mut command: Command,
    program: &Path,
    folder: &Path,
    pool: &Pool,
) -> Result<(Child, SocketAddr, SocketAddr)> {
    let domain = samples::DOMAIN;
    let mut csv = String::from("legacy,pool,migrated,state,name,note\n");
    for number in 0..pool.rooms {
        let (legacy, migrated) = (samples::room(number, false), samples::room(number, true));
        writeln!(
            csv,
            "ma-chan://{domain}/{legacy},away,ma-chan://{domain}/{migrated},migrated,Room {number},"
        )?;
    }
    std::fs::write(folder.join("rooms.csv"), csv)?;
    let config = folder.join("holdover.toml");
    let text = format!(
        r#"
        [gateway]
        domain = "{domain}"
        drain_secs = 1
        [[listener]]
        name = "tcp"
        address = "127.0.0.1:0"
        sign_in = "open"
        [[listener]]
        name = "tls"
        address = "127.0.0.1:0"
        tls = {{ certificate = "certificate.pem", private_key = "key.pem" }}
        sign_in = "open"
        [[pool]]
        name = "away"
        sip = {{ uri = "{POOL_URI}", servers = ["{}"], transport = "tcp" }}
        [directory]
        rooms = ["rooms.csv"]
        [limits]
        connections = 100000
        connections_per_address = 100000
        outstanding_infos = 8
        {PACE}
        [log]
        format = "json"
        level = "info"
        "#,
        pool.address
    );
    std::fs::write(&config, &text)?;
    // A build from before there was a pace has no such keys.
    let mut check = Command::new(program);
    check.arg("check").arg(&config).stdout(Stdio::null());
    if !check.stderr(Stdio::null()).status()?.success() {
        std::fs::write(&config, text.replace(PACE, ""))?;
    }
    let mut child = command
        .arg(program)
        .args(["run", "--config"])
        .arg(&config)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let stderr = child.stderr.take().context("no standard error")?;
    let mut lines = BufReader::new(stderr).lines();
    let mut found = [None, None];
    while let [None, _] | [_, None] = found {
        let line = lines.next().context("the gateway ended at once")??;
        let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let text = |key: &str| event.get(key).and_then(serde_json::Value::as_str);
        if text("message") != Some("listener.opened") {
            continue;
        }
        let address = text("listen.addr").and_then(|address| address.parse().ok());
        match text("listener") {
            Some("tcp") => found[0] = address,
            Some("tls") => found[1] = address,
            _ => {}
        }
    }
    // Whatever it has to say after that is taken from it, so that it never waits.
    std::thread::spawn(move || lines.for_each(drop));
    let [Some(tcp), Some(tls)] = found else {
        bail!("the gateway does not listen");
    };
    Ok((child, tcp, tls))
}
