//! A session and a single pool, whose every step is told in advance: the oracle keeps the session's books itself.

mod checks;
mod client;
mod directory;
mod oracle;
mod pool;
mod world;

pub(super) use world::World;
