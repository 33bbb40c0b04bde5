//! `abide watch`

use std::process::ExitCode;

use abide::{Error, Job, JobHandle};
use clap::Args;

use crate::args::Common;
use crate::connect::block_on;
use crate::exit;
use crate::interrupt::unless_interrupted;
use crate::progress::Bars;
use crate::{output, show};

/// What `abide watch` takes.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// The job
    #[arg(value_name = "ID")]
    id: String,
}

/// Shows every change of a job until it ends.
pub(crate) fn run(common: &Common, args: &WatchArgs) -> anyhow::Result<ExitCode> {
    block_on(async {
        common.check_listening().await?;
        let job = common.client()?.job(args.id.as_str());
        match unless_interrupted(one(common, &job)).await? {
            Some(code) => Ok(ExitCode::from(code?)),
            None => {
                output::say(&format!(
                    "abide: interrupted; the job goes on. To watch again:\n  abide watch {}{}",
                    args.id,
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

/// A change, in a line: when, and how the job stands since then.
fn write(common: &Common, job: &Job) -> std::io::Result<()> {
    if common.json {
        return output::json(job);
    }
    let when = show::styled(show::DIM, show::time_of_day(job.updated_at));
    output::line(&format!("{when}  {}", show::line(job)))
}
