//! See the package description.

pub mod fuzzing;
