//! `abide status`

use std::process::ExitCode;

use abide::{Job, JobHandle};
use clap::Args;

use crate::connect::{Common, block_on};
use crate::exit;
use crate::vendor::Vendor;
use crate::{output, show};

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide status job_...
  abide status job_... --json | jq .progress
  until abide status job_... --exit-status; do sleep 5; done   (but see `abide wait`)";

/// What `abide status` takes.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The job
    #[arg(value_name = "ID")]
    id: String,
    /// Exit with 1 if the job failed or was canceled, with 4 if it is still running
    #[arg(long)]
    exit_status: bool,
    /// With --remote, the kind of the job, if that system's paths contain it
    #[arg(long, value_name = "KIND", requires = "remote")]
    kind: Option<String>,
    #[command(flatten)]
    vendor: Vendor,
}

/// Shows how a job stands.
pub(crate) fn run(common: &Common, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let common = &args.vendor.applied(common, args.kind.as_deref())?;
    let job = ask(common, &args.id, async |job| job.status().await)?;
    if common.json {
        output::json(&job)?;
    } else {
        for line in lines(&job) {
            output::line(&line)?;
        }
    }
    if !args.exit_status {
        return Ok(ExitCode::SUCCESS);
    }
    let code = match job.outcome {
        Some(outcome) => exit::of_outcome(outcome),
        None => exit::STILL_RUNNING,
    };
    Ok(ExitCode::from(code))
}

/// Asks something of one job.
pub(crate) fn ask(
    common: &Common,
    id: &str,
    question: impl AsyncFnOnce(JobHandle) -> Result<Job, abide::Error>,
) -> anyhow::Result<Job> {
    block_on(async {
        common.check_listening().await?;
        let job = common.job(&common.client()?, id).await?;
        Ok(question(job)
            .await
            .map_err(|error| common.failure(&error))?)
    })
}

/// How a job stands, with what is worth knowing beside it.
fn lines(job: &Job) -> Vec<String> {
    let mut lines = vec![show::line(job)];
    let mut more = |name: &str, value: String| {
        let name = show::styled(show::DIM, format!("{name:<9}"));
        lines.push(format!("  {name} {}", show::plain(&value)));
    };
    more("kind", job.kind.clone());
    more("created", job.created_at.to_string());
    if let Some(finished_at) = job.finished_at {
        more("finished", finished_at.to_string());
    }
    for (name, json) in [
        ("input", &job.input),
        ("metadata", &job.metadata),
        ("result", &job.result),
    ] {
        if let Some(json) = json.as_ref().filter(|json| json.get() != "{}") {
            more(name, json.to_string());
        }
    }
    lines
}
