//! The program. Everything it can do is in [`holdover::cli`].

use std::process::ExitCode;

use holdover::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    holdover::cli::main()
}
