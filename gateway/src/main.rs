//! The program. Everything it can do is in [`holdover::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    holdover::cli::main()
}
