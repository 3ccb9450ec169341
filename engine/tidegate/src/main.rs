//! The command `tidegate`: runs the command line, prints what went wrong and what to do about it.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use tidegate::cli::{self, Arguments};

/// Column buffers are filled on one thread and freed on another, all the time: the system's allocator keeps a heap per thread
/// and returns little of it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody listens, if that fails.
            let _ = error.print();
            // 2 is for findings. Help that was asked for is no error.
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    let result = cli::run(&arguments);
    if let Err(error) = &result {
        cli::say_error(&arguments, error);
    }
    ExitCode::from(cli::exit_code(&result))
}
