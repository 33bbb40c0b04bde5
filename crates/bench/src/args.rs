//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::limit::LimitArgs;
use crate::suite::cluster::ClusterArgs;
use crate::suite::probe::ProbeArgs;
use crate::work::WorkArgs;

/// Measures the server beside the least that a server can be.
///
/// The server under test runs in a process of its own on the first core, the load on the second. Every figure is the
/// median of its rounds, in which all contestants take turns.
#[derive(Debug, Parser)]
#[command(name = "abide-bench")]
pub(crate) struct Cli {
    /// What to measure.
    #[command(subcommand)]
    pub(crate) suite: Suite,
    /// Smaller sizes and one round: seconds instead of minutes.
    #[arg(long, global = true)]
    pub(crate) quick: bool,
    /// How many rounds.
    #[arg(long, global = true, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// How long a measurement under load goes on, in seconds.
    #[arg(long, global = true, default_value_t = 4.0)]
    pub(crate) seconds: f64,
    /// Writes the figures there as JSON, too.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Writes the figures of goals there as a table, between the lines `<!-- figures -->` and `<!-- /figures -->`.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) docs: Option<PathBuf>,
    /// Where stores lie: a directory on the disk whose syncs count.
    #[arg(long, global = true, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    pub(crate) directory: PathBuf,
    /// The server to measure; built first where it isn't named.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) server: Option<PathBuf>,
}

/// What to measure.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Suite {
    /// Status reads, alone and beside other work (P1, P2).
    Reads,
    /// Reads in vendors' words (P1).
    Dialects,
    /// Held requests: memory, wake-ups together and one by one (P3, P5, P6).
    Parked,
    /// Event streams: memory and wake-ups (P4).
    Streams,
    /// Durable creates, under load and alone (P7, P8).
    Creates,
    /// A million live jobs: memory, reads, restart (P9).
    Jobs,
    /// Restart time by the size of the checkpoint and of the log.
    Restart,
    /// A million deadlines over a minute (P10).
    Timers,
    /// Webhooks: from end to push, deliveries a second, beside receivers that misbehave (P11).
    Deliveries,
    /// The client's learned schedule (P12).
    Learned,
    /// Twice the load that the server can take.
    Overload,
    /// Half to four times the load that the server can take, drawn (P13).
    Goodput,
    /// All of these.
    All,
    /// Three nodes on one PostgreSQL (P15).
    Cluster(ClusterArgs),
    /// Runs what is compared with; for the benchmark itself.
    #[command(hide = true)]
    Limit(LimitArgs),
    /// Measures a server that is already running.
    Probe(ProbeArgs),
    /// Does bits of the server's work in this process, for counting instructions.
    Work(WorkArgs),
}
