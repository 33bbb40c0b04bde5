//! `abide check`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::exit::FAILED;
use crate::output;

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide check jobs
  abide check jobs --json | jq -r .damage[]

Exit codes: 0 everything is whole, 1 something is damaged or can't be read.";

/// What `abide check` takes.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The data directory; a server may be using it
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

#[derive(Serialize)]
struct Report {
    parts: u64,
    entries: u64,
    damage: Vec<String>,
}

/// Reads everything and writes what is damaged, a line each.
pub(crate) fn run(args: &CheckArgs, json: bool) -> anyhow::Result<ExitCode> {
    let found = abide_server::check::check(&args.directory);
    let report = Report {
        parts: found.parts,
        entries: found.entries,
        damage: found.damage.iter().map(ToString::to_string).collect(),
    };
    if json {
        output::json(&report)?;
    } else {
        for line in &report.damage {
            output::line(line)?;
        }
        if report.damage.is_empty() {
            let Report { parts, entries, .. } = &report;
            let directory = args.directory.display();
            output::line(&format!(
                "{directory} is whole: {parts} parts of the state and {entries} entries of the log"
            ))?;
        }
    }
    Ok(match report.damage.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FAILED),
    })
}
