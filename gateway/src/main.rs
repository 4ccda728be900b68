//! Holdover.

fn main() {}
