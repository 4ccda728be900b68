//! Bystanders: what two users who chat notice while others attack the gateway.
//!
//! For each attack a gateway of its own is started as a process. Two users chat at a fixed pace, first undisturbed, then while
//! the attack goes on, played by a third process of low priority. Printed are the latencies of their posts before and
//! during it, posts that were lost, and the memory of the gateway before, during and after it. The budget: the 99th percentile
//! at most doubles, no post is lost, memory is back within a tenth, health checks are answered within a second, and the
//! gateway ends when it is asked to.

#[path = "../support/process.rs"]
mod process;

mod attack;
mod chat;
mod health;
mod lab;
mod measure;
mod options;
mod table;
mod warm;

use std::process::ExitCode;

use options::Options;

fn main() -> anyhow::Result<ExitCode> {
    if attack::serve()? {
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options::read(process::is_measured());
    let is_kept = measure::all(&options)?;
    Ok(if is_kept || !options.check {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
