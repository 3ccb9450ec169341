//! The command `tidegate`: runs the command line, prints what went wrong and what to do about it.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use tidegate::cli::{Arguments, Outcome};

/// Column buffers are filled on one thread and freed on another, all the time: the system's allocator keeps a heap per thread
/// and returns little of it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match tidegate::cli::run(&Arguments::parse()) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(2),
        Err(error) => {
            eprintln!("error: {error}");
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}
