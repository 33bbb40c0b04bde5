//! One file per command.

pub(crate) mod config;
pub(crate) mod serve;

use std::process::ExitCode;

use crate::args::{Cli, Command};

/// Runs the command.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(flags) => serve::run(&flags),
        Command::Config(flags) => config::run(&flags, cli.common.json),
    }
}
