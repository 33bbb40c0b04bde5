//! `abide watch`

use std::process::ExitCode;

use abide::{Change, Client, Error, Event, Job, JobHandle};
use clap::Args;

use crate::connect::{Common, block_on};
use crate::exit;
use crate::interrupt::unless_interrupted;
use crate::progress::Bars;
use crate::{output, show};

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide watch                                               every change of every job
  abide watch job_...
  abide watch job_... --json | jq -c '[.revision, .status, .progress.percent]'";

/// What `abide watch` takes.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// The job [default: all of them, until you interrupt it]
    #[arg(value_name = "ID")]
    id: Option<String>,
}

/// Shows every change of a job until it ends, or of all jobs.
pub(crate) fn run(common: &Common, args: &WatchArgs) -> anyhow::Result<ExitCode> {
    block_on(async {
        common.check_listening().await?;
        let client = common.client()?;
        let Some(id) = &args.id else {
            // There is no other way to end a watch of all jobs.
            let followed = unless_interrupted(all(common, &client)).await?;
            return followed.unwrap_or(Ok(ExitCode::SUCCESS));
        };
        let job = common.job(&client, id).await?;
        match unless_interrupted(one(common, &job)).await? {
            Some(code) => Ok(ExitCode::from(code?)),
            None => {
                output::say(&format!(
                    "abide: interrupted; the job goes on. To watch again:\n  abide watch {}{}",
                    id,
                    common.server_flag()
                ));
                Ok(ExitCode::from(exit::INTERRUPTED))
            }
        }
    })
}

async fn one(common: &Common, job: &JobHandle) -> anyhow::Result<u8> {
    let bars = Bars::of_jobs(std::slice::from_ref(job.id()));
    let mut update = bars.as_ref().map(|bars| bars.updater(job.id()));
    let mut watch = job.watch();
    let mut outcome = None;
    while let Some(state) = watch.next().await {
        let state = state.map_err(|error: Error| common.failure(&error))?;
        if let Some(update) = &mut update {
            update(&state);
        }
        match &bars {
            Some(bars) => bars.suspend(|| write(common, &state))?,
            None => write(common, &state)?,
        }
        outcome = state.outcome;
    }
    Ok(outcome.map_or(exit::STILL_RUNNING, exit::of_outcome))
}

async fn all(common: &Common, client: &Client) -> anyhow::Result<ExitCode> {
    let mut feed = client.feed();
    while let Some(change) = feed.next().await {
        match change.map_err(|error| common.failure(&error))? {
            Change::Event(event) => write_event(common, &event)?,
            _ => output::say(
                "abide: some changes were missed; `abide status ID` tells how a job stands",
            ),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What happened to one of many, in a line.
fn write_event(common: &Common, event: &Event) -> std::io::Result<()> {
    if common.json {
        return output::json(event);
    }
    let when = show::styled(show::DIM, show::time_of_day(event.timestamp));
    output::line(&format!("{when}  {}", show::line(&event.data)))
}

/// A change, in a line: when, and how the job stands since then.
fn write(common: &Common, job: &Job) -> std::io::Result<()> {
    if common.json {
        return output::json(job);
    }
    let when = show::styled(show::DIM, show::time_of_day(job.updated_at));
    output::line(&format!("{when}  {}", show::line(job)))
}
