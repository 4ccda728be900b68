//! Whole INFO requests through a gateway: client, gateway, embedded pool, and back to the clients in the room; beside a
//! relay that only frames and splices.
//!
//! Clients post in a closed loop from another process, so the processor time of the gateway's threads is the gateway's
//! own; the embedded pool's thread is told apart, since a pool is not part of a relay. One relayed INFO is one INFO and
//! its 200, in either direction. The budget: at most 2.5 times the floor's processor time.

#[path = "support/client.rs"]
mod client;
#[path = "support/floor.rs"]
mod floor;
#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/process.rs"]
mod process;
#[path = "support/samples.rs"]
mod samples;

use std::time::{Duration, Instant};

use anyhow::Result;
use client::{Clients, Rooms};
use holdover::transport::tls::Acceptor;
use tokio::net::TcpListener;

/// Posts that each client has under way.
const WINDOW: usize = 2;

/// Name of the embedded pool's thread.
const POOL_THREAD: &str = "embedded-pool";

/// One measurement.
#[derive(Clone, Copy)]
struct Run {
    name: &'static str,
    is_tls: bool,
    bytes: usize,
    members: usize,
    is_floor: bool,
}

/// What it came to.
struct Measured {
    run: Run,
    /// Microseconds of the relay's processor time for each INFO.
    relay: f64,
}

fn main() -> Result<()> {
    if client::serve()? {
        return Ok(());
    }
    let (clients, time) = if process::is_measured() {
        (100, Duration::from_secs(4))
    } else {
        (10, Duration::from_millis(100))
    };
    let gateway = |name, is_tls, bytes, members| Run {
        name,
        is_tls,
        bytes,
        members,
        is_floor: false,
    };
    let floor = |name, is_tls, bytes| Run {
        name,
        is_tls,
        bytes,
        members: 1,
        is_floor: true,
    };
    let runs = [
        floor("floor tcp 400 B", false, 400),
        gateway("gateway tcp 400 B", false, 400, 1),
        floor("floor tcp 2 kB", false, 2_000),
        gateway("gateway tcp 2 kB", false, 2_000, 1),
        floor("floor tls 400 B", true, 400),
        gateway("gateway tls 400 B", true, 400, 1),
        gateway("gateway tcp 400 B x10", false, 400, 10),
    ];
    println!("{clients} clients, window {WINDOW}, one relay thread");
    println!(
        "{:<24}{:>10}{:>10}{:>14}{:>14}{:>10}{:>10}{:>10}",
        "", "INFO/s", "posts/s", "relay us/INFO", "pool us/INFO", "p50 us", "p99 us", "/ floor"
    );
    let mut results: Vec<Measured> = Vec::new();
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    for run in runs {
        if !wanted.is_empty() && !wanted.iter().any(|part| run.name.contains(part.as_str())) {
            continue;
        }
        let result = measure(run, clients, time)?;
        let floor = results.iter().find(|other| {
            other.run.is_floor && other.run.is_tls == run.is_tls && other.run.bytes == run.bytes
        });
        match floor.filter(|_| !run.is_floor) {
            Some(floor) => println!("{:>10.2}", result.relay / floor.relay),
            None => println!("{:>10}", ""),
        }
        results.push(result);
    }
    Ok(())
}

fn measure(run: Run, clients: usize, time: Duration) -> Result<Measured> {
    let rooms = Rooms {
        members: run.members,
        each: 1,
    };
    let mut clients_of = Clients::start(rooms)?;
    let count = rooms.count(clients);
    let _running: Box<dyn std::any::Any> = if run.is_floor {
        let runtime = gateway::runtime(1)?;
        let folder = tempfile::tempdir()?;
        gateway::write_certificate(folder.path())?;
        let certificate = folder.path().join("certificate.pem");
        let acceptor = match run.is_tls {
            true => Some(Acceptor::load(
                &certificate,
                &folder.path().join("key.pem"),
            )?),
            false => None,
        };
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        runtime.spawn(floor::relay(listener, acceptor, clients_of.echo, count));
        clients_of.connect_to(address, run.is_tls.then_some(certificate.as_path()))?;
        clients_of.sign_in(clients)?;
        Box::new(runtime)
    } else {
        let gateway = gateway::Running::start(count, 1)?;
        let certificate = gateway.certificate();
        if run.is_tls {
            clients_of.connect_to(gateway.tls, Some(&certificate))?;
        } else {
            clients_of.connect_to(gateway.tcp, None)?;
        }
        clients_of.sign_in(clients)?;
        Box::new(gateway)
    };
    let processor = || -> Result<(u64, u64)> {
        let relay = process::processor_time(gateway::THREADS)?;
        Ok((relay, process::processor_time(POOL_THREAD)?))
    };
    let (posted, begun) =
        clients_of.post(run.bytes, WINDOW, time, || (Instant::now(), processor()))?;
    let (after, took) = (processor()?, begun.0.elapsed().as_secs_f64());
    let before = begun.1?;
    let infos = (posted.posts + posted.delivered).max(1) as f64;
    let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / 1e3 / infos;
    let (relay, pool) = (each(before.0, after.0), each(before.1, after.1));
    print!(
        "{:<24}{:>10.0}{:>10.0}{relay:>14.2}{pool:>14.2}{:>10}{:>10}",
        run.name,
        infos / took,
        posted.posts as f64 / took,
        posted.median,
        posted.late
    );
    Ok(Measured { run, relay })
}
