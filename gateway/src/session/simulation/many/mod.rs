//! A session and several pools whose legs break, freeze, refuse and repeat themselves. The oracle knows nothing of how the
//! session works: it holds what the client and the pools see against what was posted, asked and answered.

mod client;
mod commands;
mod directory;
mod pool;
mod posts;
mod upstream;
mod windows;
mod world;

pub(super) use world::World;
