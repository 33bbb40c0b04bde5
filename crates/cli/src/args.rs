//! The command line, parsed and nothing more: parsing never does anything.

use clap::{Args, Parser, Subcommand};

use crate::commands::attack::AttackArgs;
use crate::commands::backup::BackupArgs;
use crate::commands::cancel::CancelArgs;
use crate::commands::check::CheckArgs;
use crate::commands::completions::{CompletionsArgs, ManArgs};
use crate::commands::create::CreateArgs;
use crate::commands::demo::DemoArgs;
use crate::commands::list::ListArgs;
use crate::commands::listen::ListenArgs;
use crate::commands::serve::SettingFlags;
use crate::commands::simulate::SimulateArgs;
use crate::commands::status::StatusArgs;
use crate::commands::wait::WaitArgs;
use crate::commands::watch::WatchArgs;

/// Where a server listens unless it is told otherwise.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// Waits for long-running jobs without wasting a request or a second
#[derive(Debug, Parser)]
#[command(
    name = "abide",
    version,
    max_term_width = 100,
    propagate_version = true
)]
#[command(
    after_help = "Exit codes: 0 completed, 1 failed or canceled, 2 usage, 3 refused or unreachable, \
                        4 still running at the deadline, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What every command that talks to a server takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// The server to talk to
    #[arg(
        long,
        global = true,
        env = "ABIDE_SERVER",
        default_value = DEFAULT_SERVER,
        value_name = "URL"
    )]
    pub(crate) server: String,
    /// The key to show to it; for `serve`, a key to accept, which may be repeated
    #[arg(
        long = "api-key",
        id = "api-key",
        global = true,
        env = "ABIDE_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub(crate) api_key: Vec<String>,
    /// Writes JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Common {
    /// The flag that names the same server again; nothing for the default one.
    pub(crate) fn server_flag(&self) -> String {
        match self.server.as_str() {
            DEFAULT_SERVER => String::new(),
            server => format!(" --server {server}"),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts the server
    #[command(after_help = SERVE)]
    Serve(SettingFlags),
    /// Waits for the same jobs in every way side by side, and shows what each way costs
    #[command(after_help = DEMO)]
    Demo(DemoArgs),
    /// Creates a job and writes its id
    #[command(after_help = CREATE)]
    Create(CreateArgs),
    /// Shows how a job stands
    #[command(after_help = STATUS)]
    Status(StatusArgs),
    /// Lists jobs, the newest first
    #[command(after_help = LIST)]
    List(ListArgs),
    /// Waits until jobs end, and tells of each when it does
    #[command(after_help = WAIT)]
    Wait(WaitArgs),
    /// Shows every change of a job until it ends
    #[command(after_help = WATCH)]
    Watch(WatchArgs),
    /// Cancels a job
    #[command(after_help = CANCEL)]
    Cancel(CancelArgs),
    /// Tries schedules on a virtual clock, against a law of durations or your own past ones
    #[command(after_help = SIMULATE)]
    Simulate(SimulateArgs),
    /// Receives webhooks, verifies them and writes them
    #[command(after_help = LISTEN)]
    Listen(ListenArgs),
    /// Tries a receiver of webhooks with deliveries that it must refuse, and with good ones
    #[command(after_help = ATTACK)]
    Attack(AttackArgs),
    /// Shows the configuration that `serve` would run with, and where each value comes from
    #[command(after_help = CONFIG)]
    Config(SettingFlags),
    /// Reads a data directory and says what is damaged
    #[command(after_help = CHECK)]
    Check(CheckArgs),
    /// Copies a data directory, also while a server uses it
    #[command(after_help = BACKUP)]
    Backup(BackupArgs),
    /// Writes what a shell needs to complete these commands
    #[command(after_help = COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Writes manual pages
    #[command(after_help = MAN)]
    Man(ManArgs),
}

const SERVE: &str = "\
Examples:
  abide serve --data jobs                          keeps its jobs in ./jobs
  abide serve --ephemeral --listen :0 --speed 60   forgets them; any free port; a minute a second
  abide serve --clock manual --seed 7              time that you advance yourself";
const DEMO: &str = "\
Examples:
  abide demo
  abide demo --seed 7 --json | jq -r '[.strategy, .requests, .late_mean_s] | @tsv'

It runs a server of its own and takes less than 20 seconds.";
const CREATE: &str = "\
Examples:
  abide create
  abide create --kind dub --input '{\"language\": \"es\"}' --metadata user=42
  abide create --duration 5s --error-chance 0 --wait
  abide wait $(abide create)";
const STATUS: &str = "\
Examples:
  abide status job_...
  abide status job_... --json | jq .progress
  until abide status job_... --exit-status; do sleep 5; done   (but see `abide wait`)";
const LIST: &str = "\
Examples:
  abide list
  abide list --status failed --kind dub --limit 10
  abide list --metadata user=42 --json | jq -r .id
  abide wait $(abide list --status running --json | jq -r .id)";
const WAIT: &str = "\
Examples:
  abide wait job_...                                        as well as the server can do it
  abide wait job_... job_... --timeout 10m --json           several: a line each, in order of completion
  abide wait job_... --strategy poll --interval 200ms       polls, five times a second
  abide wait job_... --schedule backoff --factor 2 --max-interval 15s
  abide wait job_... --strategy webhook --listen 0.0.0.0:9000 --public-url http://me.example:9000/
  abide create | abide wait -

Exit codes: 0 completed, 1 failed or canceled, 3 refused or unreachable, 4 still running at the deadline;
of several jobs the highest.";
const WATCH: &str = "\
Examples:
  abide watch                                               every change of every job
  abide watch job_...
  abide watch job_... --json | jq -c '[.revision, .status, .progress.percent]'";
const CANCEL: &str = "\
Examples:
  abide cancel job_...";
const SIMULATE: &str = "\
Examples:
  abide simulate                                               learned against twelve well-known clients
  abide simulate --law uniform:10s:30s --observe polls
  abide simulate --durations past.txt --schedule learned --schedule fixed:5s --plot picture.svg
  abide simulate --law pareto:10s:1.5 --price 2 --json

Laws:
  20s  uniform:10s:30s  exponential:20s  lognormal:20s:0.5  weibull:20s:1.5  pareto:10s:1.5  empirical:3s:41s
  shifted:5s:LAW  mixture:0.3:LAW+0.7:LAW";
const LISTEN: &str = "\
Examples:
  abide listen                                       every event of the server's jobs, until Ctrl-C
  abide listen --events job.failed --json | jq .body.data.error
  abide listen --forward http://127.0.0.1:3000/hook  to a handler in the making
  abide listen --no-register --secret whsec_...      for a sender that knows the address

Exit codes: 0 ended as asked, 3 refused or unreachable, 4 not --count deliveries within --timeout.";
const ATTACK: &str = "\
Examples:
  abide attack http://127.0.0.1:3000/hook --secret whsec_...
  abide attack http://127.0.0.1:3000/hook --only old_timestamp --only forged_signature
  abide attack $URL --strict --json | jq 'select(.grade == \"fail\")'

Exit codes: 0 every check passed, 1 one failed (with --strict, or has a warning), 3 the receiver can't be reached.";
const CONFIG: &str = "\
Examples:
  abide config                          a TOML file that says the same
  abide config --speed 60 --json
  abide config > abide.toml && abide serve --config abide.toml";
const CHECK: &str = "\
Examples:
  abide check jobs
  abide check jobs --json | jq -r .damage[]

Exit codes: 0 everything is whole, 1 something is damaged or can't be read.";
const BACKUP: &str = "\
Examples:
  abide backup jobs copy && abide check copy
  abide serve --data copy                            goes on from the copy";
const COMPLETIONS: &str = "\
Examples:
  abide completions bash > ~/.local/share/bash-completion/completions/abide
  abide completions zsh > ~/.zfunc/_abide
  abide completions fish > ~/.config/fish/completions/abide.fish";
const MAN: &str = "\
Examples:
  abide man man && man man/abide.1";
