//! One file per command.

pub(crate) mod attack;
pub(crate) mod backup;
pub(crate) mod cancel;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod create;
pub(crate) mod demo;
pub(crate) mod list;
pub(crate) mod listen;
pub(crate) mod serve;
pub(crate) mod simulate;
pub(crate) mod status;
pub(crate) mod wait;
pub(crate) mod watch;

use std::process::ExitCode;

use crate::args::{Cli, Command};

/// Runs the command.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let common = &cli.common;
    match cli.command {
        Command::Serve(flags) => serve::run(&flags),
        Command::Demo(args) => demo::run(&args, common.json),
        Command::Create(args) => create::run(common, &args),
        Command::Status(args) => status::run(common, &args),
        Command::List(args) => list::run(common, &args),
        Command::Wait(args) => wait::run(common, &args),
        Command::Watch(args) => watch::run(common, &args),
        Command::Cancel(args) => cancel::run(common, &args),
        Command::Simulate(args) => simulate::run(&args, common.json),
        Command::Listen(args) => listen::run(common, &args),
        Command::Attack(args) => attack::run(common, &args),
        Command::Config(flags) => config::run(&flags, common.json),
        Command::Check(args) => check::run(&args, common.json),
        Command::Backup(args) => backup::run(&args, common.json),
        Command::Completions(args) => completions::completions(&args),
        Command::Man(args) => completions::man(&args),
    }
}
