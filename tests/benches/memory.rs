//! Memory of an idle signed-in session: all that the gateway's process holds for it.
//!
//! Clients are in another process. They sign in as real ones do, lookup and channel dialog included, and join rooms. The
//! first ones are not counted: with them comes what a gateway needs once. The budget: 8 KiB for a session over TCP, 24 KiB
//! over TLS. What the kernel holds for the sockets is not in it.

#[path = "support/client.rs"]
mod client;
#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/process.rs"]
mod process;
#[path = "support/samples.rs"]
mod samples;

use std::time::Duration;

use anyhow::Result;
use client::{Clients, Rooms};

/// Clients in each room.
const MEMBERS: usize = 20;

/// Threads of the gateway, as on a machine with two cores.
const THREADS: usize = 2;

fn main() -> Result<()> {
    if client::serve()? {
        return Ok(());
    }
    let scale = if process::is_measured() { 1 } else { 100 };
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    println!(
        "{:<28}{:>10}{:>14}{:>12}",
        "", "sessions", "KiB/session", "budget"
    );
    for (name, is_tls, sessions, rooms, budget) in [
        ("tcp, no room", false, 2_000, 0, 8),
        ("tcp, 4 rooms", false, 2_000, 4, 8),
        ("tls, no room", true, 1_000, 0, 24),
        ("tls, 4 rooms", true, 1_000, 4, 24),
    ] {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let sessions = sessions / scale;
        let each = measure(is_tls, sessions, rooms)?;
        println!("{name:<28}{sessions:>10}{each:>14.1}{budget:>12}");
    }
    Ok(())
}

/// KiB for each session.
fn measure(is_tls: bool, sessions: usize, rooms: usize) -> Result<f64> {
    let first = sessions / 4;
    let rooms = Rooms {
        members: MEMBERS,
        each: rooms,
    };
    let mut clients = Clients::start(rooms)?;
    let gateway = gateway::Running::start(rooms.count(first + sessions), THREADS)?;
    let certificate = gateway.certificate();
    if is_tls {
        clients.connect_to(gateway.tls, Some(&certificate))?;
    } else {
        clients.connect_to(gateway.tcp, None)?;
    }
    clients.sign_in(first)?;
    let before = settled()?;
    clients.sign_in(sessions)?;
    let after = settled()?;
    Ok(after.saturating_sub(before) as f64 / 1024.0 / sessions as f64)
}

/// Memory in use once it does not change any more.
fn settled() -> Result<u64> {
    let mut last = 0;
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(150));
        let now = process::resident()?;
        if now == last {
            break;
        }
        last = now;
    }
    Ok(last)
}
