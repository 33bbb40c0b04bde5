//! `abide wait`

use std::collections::HashSet;
use std::io::BufRead as _;
use std::process::ExitCode;
use std::time::Duration;

use abide::{Channel, Client, Error, Finished, JobHandle, JobId, Problem, Report};
use abide_wire::problem::Code;
use clap::Args;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;

use crate::connect::{Common, block_on, exit_code};
use crate::endpoint::Ends;
use crate::exit::{self, Failure};
use crate::how::{How, Plan};
use crate::interrupt::Signals;
use crate::progress::Bars;
use crate::{output, show};

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide wait job_...                                        as well as the server can do it
  abide wait job_... job_... --timeout 10m --json           several: a line each, in order of completion
  abide wait job_... --strategy poll --interval 200ms       polls, five times a second
  abide wait job_... --schedule backoff --factor 2 --max-interval 15s
  abide wait job_... --strategy webhook --listen 0.0.0.0:9000 --public-url http://me.example:9000/
  abide create | abide wait -

Exit codes: 0 completed, 1 failed or canceled, 3 refused or unreachable, 4 still running at the deadline;
of several jobs the highest.";

/// What `abide wait` takes.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// The jobs to wait for; `-` reads ids from stdin, one a line
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    how: How,
}

/// What is written of each job with `--json`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    id: &'a str,
    /// None where the end was not seen; `error` says why.
    outcome: Option<&'static str>,
    error: Option<&'a Problem>,
    requests: u32,
    detection_ms: Option<f64>,
    elapsed_ms: f64,
    transport: Option<&'static str>,
}

/// Waits for jobs, and tells of each when it ends.
pub(crate) fn run(common: &Common, args: &WaitArgs) -> anyhow::Result<ExitCode> {
    let plan = args.how.plan()?;
    let ids = read_ids(&args.ids)?;
    block_on(async {
        common.check_listening().await?;
        let client = common.client_with_memory(args.how.state_dir())?;
        let jobs = ids.into_iter().map(|id| client.job(id)).collect();
        wait_for(common, &client, jobs, &plan).await
    })
}

/// Waits for these jobs, writes a line for each, and says with which code to end: the highest of theirs.
pub(crate) async fn wait_for(
    common: &Common,
    client: &Client,
    jobs: Vec<JobHandle>,
    plan: &Plan,
) -> anyhow::Result<ExitCode> {
    let mut open: Vec<JobId> = jobs.iter().map(|job| job.id().clone()).collect();
    // Whoever sees a bar may press Ctrl-C, so listening for it comes first.
    let mut signals = Signals::listen()?;
    let bars = Bars::of_jobs(&open);
    let mut code = exit::COMPLETED;
    let ends = match &plan.webhook {
        Some((place, inbox)) => Some(Ends::open(common, place, inbox).await?),
        None => None,
    };
    let all = async {
        let mut waits = begin(&jobs, plan, bars.as_ref());
        while let Some((id, result)) = waits.next().await {
            open.retain(|other| *other != id);
            code = code.max(match &result {
                Ok(finished) => exit::of_outcome(finished.outcome()),
                Err(error) => exit_code(error),
            });
            let say = || tell(common, &id, &result);
            match &bars {
                Some(bars) => bars.end(&id, say)?,
                None => say()?,
            }
        }
        anyhow::Ok(())
    };
    let ended = signals.unless_heard(all).await;
    drop(bars);
    if let Some(ends) = ends {
        ends.close(common).await;
    }
    save(client);
    match ended {
        Some(result) => result?,
        None => {
            say_how_to_resume(common, &open);
            code = exit::INTERRUPTED;
        }
    }
    Ok(ExitCode::from(code))
}

/// All waits at once, so that they end in order of completion and under one deadline.
fn begin(
    jobs: &[JobHandle],
    plan: &Plan,
    bars: Option<&Bars>,
) -> FuturesUnordered<impl Future<Output = (JobId, Result<Finished, Error>)>> {
    jobs.iter()
        .map(|job| {
            let mut wait = plan.wait(job);
            // Every change costs something where it isn't streamed, so it is wanted only where somebody sees it.
            if let Some(bars) = bars {
                wait = wait.on_update(bars.updater(job.id()));
            }
            let id = job.id().clone();
            async move { (id, wait.await) }
        })
        .collect()
}

/// The ids that were given, those on stdin included, each once.
fn read_ids(given: &[String]) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::new();
    for id in given {
        if id != "-" {
            ids.push(id.clone());
            continue;
        }
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            ids.extend(line.split_whitespace().next().map(str::to_owned));
        }
    }
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    if ids.is_empty() {
        return Err(Failure::new(exit::USAGE, "there is no job to wait for").into());
    }
    Ok(ids)
}

/// Writes what became of one job: what is data to stdout, what is talk to stderr.
fn tell(common: &Common, id: &JobId, result: &Result<Finished, Error>) -> std::io::Result<()> {
    if common.json {
        return tell_json(id, result);
    }
    match result {
        Ok(finished) => {
            let cost = show::styled(show::DIM, cost(finished.report()));
            output::line(&format!("{}  {cost}", show::line(finished.job())))
        }
        Err(error) if error.is_still_running() => {
            if let Some(job) = error.job() {
                output::line(&show::line(job))?;
            }
            output::say(&format!("abide: {error}; the job goes on"));
            Ok(())
        }
        Err(error) => {
            output::say(&format!("abide: {}", common.failure(error)));
            Ok(())
        }
    }
}

fn tell_json(id: &JobId, result: &Result<Finished, Error>) -> std::io::Result<()> {
    let unknown = Report::default();
    let problem;
    let (outcome, error, report) = match result {
        Ok(finished) => (
            Some(finished.outcome().as_str()),
            finished.job().error.as_ref(),
            finished.report(),
        ),
        Err(error) => {
            problem = problem_of(error);
            (
                None,
                Some(&problem),
                error.wait_report().unwrap_or(&unknown),
            )
        }
    };
    output::json(&Line {
        id: id.as_str(),
        outcome,
        error,
        requests: report.requests,
        detection_ms: report.detection.map(millis),
        elapsed_ms: millis(report.elapsed),
        transport: report.channel.map(Channel::as_str),
    })
}

/// Why there is no outcome: in the server's words where it has said any.
fn problem_of(error: &Error) -> Problem {
    if let Some(problem) = error.problem() {
        return problem.clone();
    }
    let (code, title) = if error.is_still_running() {
        (
            "still_running",
            "The job was still running at the deadline.",
        )
    } else if error.is_unreachable() {
        ("unreachable", "The server can't be reached.")
    } else if error.is_garbled() {
        ("garbled", "What answers doesn't speak this protocol.")
    } else {
        ("refused", "The server refused.")
    };
    let status = error.status().unwrap_or(0);
    let mut problem = Problem::new(status, Code::new(code), title).detail(error.to_string());
    problem.retryable = error.is_still_running() || error.is_unreachable();
    problem
}

fn cost(report: &Report) -> String {
    let requests = match report.requests {
        1 => "1 request".to_owned(),
        more => format!("{more} requests"),
    };
    match report.detection {
        Some(late) => format!("{requests}, {} late", show::duration(late)),
        None => requests,
    }
}

/// Milliseconds to the microsecond: finer than any network, so that more digits would be noise.
fn millis(length: Duration) -> f64 {
    (length.as_secs_f64() * 1e6).round() / 1e3
}

fn save(client: &Client) {
    // It isn't worth failing for: the next process learns it again.
    if let Err(error) = client.save_history() {
        output::say(&format!(
            "abide: what was learned of durations could not be kept: {error}"
        ));
    }
}

fn say_how_to_resume(common: &Common, open: &[JobId]) {
    let ids: Vec<_> = open.iter().map(JobId::as_str).collect();
    let goes = match ids.len() {
        1 => "the job goes on",
        _ => "the jobs go on",
    };
    output::say(&format!(
        "abide: interrupted; {goes}. To wait again:\n  abide wait {}{}",
        ids.join(" "),
        common.server_flag()
    ));
}
