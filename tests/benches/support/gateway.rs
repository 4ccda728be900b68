//! A whole gateway in this process, its rooms in an embedded pool.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use holdover::pool::embedded;
use holdover::run::Gateway;
use holdover::telemetry::Telemetry;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::samples;

/// Name of the threads that serve clients, by which their time is found.
pub(crate) const THREADS: &str = "gateway";

/// A gateway that serves.
pub(crate) struct Running {
    /// Where clients connect without TLS.
    pub(crate) tcp: SocketAddr,
    /// Where clients connect over TLS.
    pub(crate) tls: SocketAddr,
    folder: tempfile::TempDir,
    stop: CancellationToken,
    runtime: Runtime,
}

impl Running {
    /// Starts a gateway with so many rooms on so many threads. It logs nothing, as in production below `info`.
    pub(crate) fn start(rooms: usize, threads: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        write_certificate(folder.path())?;
        write_rooms(folder.path(), rooms)?;
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
            name = "here"
            embedded = {{ database = "rooms.db" }}
            [directory]
            rooms = ["rooms.csv"]
            [limits]
            connections = 100000
            connections_per_address = 100000
            requests_per_second = 10000000
            requests_per_second_per_address = 10000000
            "#,
            domain = samples::DOMAIN
        );
        let loaded = holdover_config::parse("bench.toml", &text, folder.path())
            .map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
        let runtime = runtime(threads)?;
        let gateway = runtime.block_on(Gateway::build(loaded.settings, Telemetry::new()))?;
        let address = |name| {
            let mut addresses = gateway.addresses();
            addresses
                .find(|(found, _)| *found == name)
                .map(|(_, address)| address)
        };
        let (tcp, tls) = (
            address("tcp").context("tcp")?,
            address("tls").context("tls")?,
        );
        let stop = CancellationToken::new();
        runtime.spawn(gateway.run(stop.clone()));
        Ok(Self {
            tcp,
            tls,
            folder,
            stop,
            runtime,
        })
    }

    /// The certificate to trust.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        let _serving = self.runtime.enter();
    }
}

/// A runtime whose threads can be told from others.
pub(crate) fn runtime(threads: usize) -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder
        .worker_threads(threads)
        .thread_name(THREADS)
        .enable_all()
        .build()?)
}

/// Writes a certificate for `localhost` and its key.
pub(crate) fn write_certificate(folder: &Path) -> Result<()> {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    std::fs::write(folder.join("certificate.pem"), pair.cert.pem())?;
    std::fs::write(folder.join("key.pem"), pair.signing_key.serialize_pem())?;
    Ok(())
}

/// Fills the pool, and the directory with an entry for each room.
fn write_rooms(folder: &Path, rooms: usize) -> Result<()> {
    let domain = samples::DOMAIN;
    let mut load = String::from("[[category]]\nname = \"All\"\n");
    let mut csv = String::from("legacy,pool,migrated,state,name,note\n");
    for number in 0..rooms {
        let (legacy, migrated) = (samples::room(number, false), samples::room(number, true));
        writeln!(
            load,
            "[[room]]\nname = \"Room {number}\"\nvalue = \"{migrated}\"\ncategory = \"All\"\nprivacy = \"open\""
        )?;
        writeln!(
            csv,
            "ma-chan://{domain}/{legacy},here,ma-chan://{domain}/{migrated},migrated,Room {number},"
        )?;
    }
    std::fs::write(folder.join("rooms.csv"), csv)?;
    embedded::load_text(
        &folder.join("rooms.db"),
        "rooms.toml",
        &load,
        jiff::Timestamp::now(),
    )?;
    Ok(())
}
