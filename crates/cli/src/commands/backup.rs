//! `abide backup`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::serve::fresh_seed;
use crate::output;

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide backup jobs copy && abide check copy
  abide serve --data copy                            goes on from the copy";

/// What `abide backup` takes.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The data directory; a server may be using it
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Directory for the copy (created if missing, must be empty)
    #[arg(value_name = "TO")]
    to: PathBuf,
}

/// Copies a data directory, and writes the last entry that the copy has.
pub(crate) fn run(args: &BackupArgs, json: bool) -> anyhow::Result<ExitCode> {
    // Below 2^63, as the files keep it.
    let life = fresh_seed() >> 1;
    let seq = abide_server::journal::backup(&args.directory, &args.to, life)?;
    if json {
        output::json(&serde_json::json!({"to": args.to.display().to_string(), "entry": seq}))?;
    } else {
        output::line(&format!(
            "{} has every entry up to {seq}",
            args.to.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
