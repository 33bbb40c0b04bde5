//! `abide cancel`

use std::process::ExitCode;

use abide::{Outcome, Status};
use clap::Args;

use super::status::ask;
use crate::connect::Common;
use crate::{output, show};

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide cancel job_...";

/// What `abide cancel` takes.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// The job
    #[arg(value_name = "ID")]
    id: String,
}

/// Cancels a job. One that has ended stays as it ended, and that is no error.
pub(crate) fn run(common: &Common, args: &CancelArgs) -> anyhow::Result<ExitCode> {
    let job = ask(common, &args.id, async |job| job.cancel().await)?;
    if common.json {
        output::json(&job)?;
    } else {
        output::line(&show::line(&job))?;
    }
    if job
        .outcome
        .is_some_and(|outcome| outcome != Outcome::Canceled)
    {
        let ended = Status::from(job.status.as_str().to_owned());
        output::say(&format!(
            "abide: {} had ended before, as {ended}; nothing was changed",
            job.id
        ));
    }
    Ok(ExitCode::SUCCESS)
}
