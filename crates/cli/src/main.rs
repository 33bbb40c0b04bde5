//! The binary `abide`: a job-status server and the client that waits for it.

mod args;
mod commands;
mod connect;
mod endpoint;
mod exit;
mod how;
mod interrupt;
mod output;
mod progress;
mod show;
mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match commands::run(args::Cli::parse()) {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}
