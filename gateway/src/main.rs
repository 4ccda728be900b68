//! The program. Everything it can do is in [`holdover::cli`].

use std::process::ExitCode;

#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: holdover::Allocator = holdover::Allocator;

fn main() -> ExitCode {
    holdover::cli::main()
}
