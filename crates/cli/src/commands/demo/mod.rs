//! `abide demo`: the same jobs, waited for in every way side by side.
//!
//! The server runs in this process, on its embedded store in a directory that goes away with it. For every way of
//! waiting it is given the same handful of jobs: their random draws have the same keys, so that they take equally long
//! and end alike. Requests are counted where they are sent, pushes where they arrive, and lateness is read from the
//! server's own clock in the moment in which a wait returns; neither is what the client says of itself.

mod command;
mod contender;
mod live;
mod meter;
mod stage;
mod table;

pub(crate) use self::command::{DemoArgs, run};

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide demo
  abide demo --seed 7 --json | jq -r '[.strategy, .requests, .late_mean_s] | @tsv'

It runs a server of its own and takes less than 20 seconds.";
