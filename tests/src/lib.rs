//! See the package description.

pub mod fuzzing;
pub mod binary;
pub mod client;
pub mod gateway;
pub mod pair;
pub mod patience;
