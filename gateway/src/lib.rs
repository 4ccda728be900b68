//! Holdover, the gateway: sockets, tasks, stores, the admin server and the command line.

mod address;
pub mod admin;
pub mod admission;
mod answer;
pub mod audit;
pub mod cli;
#[cfg(feature = "lab")]
pub mod client;
pub mod decide;
pub mod decision_log;
pub mod descriptors;
pub mod directory;
pub mod hash;
pub mod health;
pub mod history;
#[cfg(test)]
mod layers;
pub mod listener;
pub mod peer;
pub mod pool;
pub mod queue;
mod random;
pub mod registrar;
pub mod reload;
pub mod routing;
pub mod run;
#[cfg(feature = "lab")]
pub mod serve;
pub mod session;
pub mod shadow;
pub mod telemetry;
pub mod transport;

/// Gives memory back to the system soon after a peak, which that of the C library does not.
#[cfg(target_os = "linux")]
pub use tikv_jemallocator::Jemalloc as Allocator;
