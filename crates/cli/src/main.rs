//! The binary `abide`: a job-status server and the client that waits for it.

mod announce;
mod cli;
mod columns;
mod commands;
mod connect;
mod ends;
mod exit;
mod how;
mod interrupt;
mod output;
mod progress;
mod reach;
mod secret;
mod show;
mod table;
mod telemetry;
mod url;
mod vendor;

use std::process::ExitCode;

/// musl's own takes a lock and two system calls for much of what a request takes and gives back.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}
