//! The command line, parsed and nothing more: parsing never does anything.

use clap::{Args, Parser, Subcommand};

use crate::commands::serve::SettingFlags;

/// Waits for long-running jobs without wasting a request or a second.
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
    /// The server to talk to.
    #[arg(
        long,
        global = true,
        env = "ABIDE_SERVER",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub(crate) server: String,
    /// The key to show to it; for `serve`, a key to accept, which may be repeated.
    #[arg(
        long = "api-key",
        id = "api-key",
        global = true,
        env = "ABIDE_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub(crate) api_key: Vec<String>,
    /// Writes JSON, one object a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts the server.
    #[command(
        after_help = "Examples:\n  abide serve --data jobs\n  abide serve --ephemeral --listen :0 --speed 60\n  abide serve --clock manual --seed 7"
    )]
    Serve(SettingFlags),
    /// Shows the configuration that `serve` would run with, and where each value comes from.
    Config(SettingFlags),
}
