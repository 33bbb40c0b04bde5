//! `abide simulate`: schedules on a virtual clock.

mod chart;
mod command;
mod picture;
mod schedules;
mod series;
mod table;
mod trial;

pub(crate) use self::command::{SimulateArgs, run};

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide simulate                                learned against twelve well-known clients
  abide simulate --law uniform:10s:30s --observe polls
  abide simulate --durations past.txt --schedule learned --schedule fixed:5s --plot picture.svg
  abide simulate --durations jobs.csv --column seconds --context model --context steps
  abide simulate --law lognormal:20s:0.5 --law lognormal:60s:0.5    durations that change
  abide simulate --at-once 50                   batches instead of one job after the other
  abide simulate --law pareto:10s:1.5 --price 2 --json

Laws:
  20s  uniform:10s:30s  exponential:20s  lognormal:20s:0.5  weibull:20s:1.5  pareto:10s:1.5
  empirical:3s:41s  shifted:5s:LAW  mixture:0.3:LAW+0.7:LAW";
