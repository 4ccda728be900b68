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

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use client::{Clients, Rooms};

/// Clients in each room.
const MEMBERS: usize = 20;

/// Threads of the gateway, as on a machine with two cores.
const THREADS: usize = 2;

/// What is measured.
struct Row {
    name: &'static str,
    is_tls: bool,
    sessions: usize,
    /// Rooms that each session has open.
    rooms: usize,
    /// KiB.
    budget: u32,
}

const ROWS: [Row; 4] = [
    Row {
        name: "tcp, no room",
        is_tls: false,
        sessions: 2_000,
        rooms: 0,
        budget: 8,
    },
    Row {
        name: "tcp, 4 rooms",
        is_tls: false,
        sessions: 2_000,
        rooms: 4,
        budget: 8,
    },
    Row {
        name: "tls, no room",
        is_tls: true,
        sessions: 1_000,
        rooms: 0,
        budget: 24,
    },
    Row {
        name: "tls, 4 rooms",
        is_tls: true,
        sessions: 1_000,
        rooms: 4,
        budget: 24,
    },
];

fn main() -> Result<()> {
    if client::serve()? {
        return Ok(());
    }
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let rows: Vec<&Row> = ROWS
        .iter()
        .filter(|row| wanted.is_empty() || wanted.iter().any(|part| row.name.contains(part)))
        .collect();
    if let [row] = rows.as_slice() {
        return measure(row);
    }
    println!(
        "{:<28}{:>10}{:>14}{:>12}",
        "", "sessions", "KiB/session", "budget"
    );
    for row in rows {
        // Each in a process of its own: memory that one gateway leaves behind is taken up by the next.
        let mut only = Command::new(std::env::current_exe()?);
        only.arg(row.name);
        if process::is_measured() {
            only.arg("--bench");
        }
        anyhow::ensure!(only.status()?.success(), "{} failed", row.name);
    }
    Ok(())
}

fn measure(row: &Row) -> Result<()> {
    let sessions = if process::is_measured() {
        row.sessions
    } else {
        20
    };
    let first = sessions / 4;
    let rooms = Rooms {
        members: MEMBERS,
        each: row.rooms,
    };
    let mut clients = Clients::start(rooms)?;
    let gateway = gateway::Running::start(rooms.count(first + sessions), THREADS)?;
    let certificate = gateway.certificate();
    if row.is_tls {
        clients.connect_to(gateway.tls, Some(&certificate))?;
    } else {
        clients.connect_to(gateway.tcp, None)?;
    }
    clients.sign_in(first)?;
    let before = settled()?;
    clients.sign_in(sessions)?;
    let after = settled()?;
    let each = after.saturating_sub(before) as f64 / 1024.0 / sessions as f64;
    println!(
        "{:<28}{sessions:>10}{each:>14.1}{:>12}",
        row.name, row.budget
    );
    Ok(())
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
