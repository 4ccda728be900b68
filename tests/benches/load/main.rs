//! Load: what a gateway costs between clients and a pool in another process, beside what could stand in its place.
//!
//! The same clients, the same pool and the same bodies, four times in one run: straight to the pool; through the floor, a
//! relay that only frames and splices; through Kamailio with a table of room identifiers; through Holdover. Every part is a
//! process, and what stands between has a processor to itself.

#[path = "../support/client.rs"]
mod client;
#[path = "../support/floor.rs"]
mod floor;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/samples.rs"]
mod samples;

mod kamailio;
mod lab;
mod measure;
mod options;
mod relay;
mod table;

fn main() -> anyhow::Result<()> {
    if client::serve()? || relay::serve()? {
        return Ok(());
    }
    measure::all(&options::Options::read(process::is_measured()))
}
