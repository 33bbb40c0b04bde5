//! `abide wait`

use std::collections::HashSet;
use std::io::BufRead as _;
use std::process::ExitCode;
use std::time::Duration;

use abide::{
    Channel, Client, Error, Finished, Job, JobHandle, JobId, Outcome, Problem, Report, Status,
    Watch,
};
use abide_wire::problem::Code;
use clap::{Args, ValueEnum};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;

use super::create::pair;
use crate::connect::{Common, block_on, exit_code};
use crate::ends::Ends;
use crate::exit::{self, Failure};
use crate::how::{How, Plan};
use crate::interrupt::Signals;
use crate::progress::Bars;
use crate::reach::Reach;
use crate::vendor::Vendor;
use crate::{output, show};

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide wait job_...                                        as well as the server can do it
  abide wait job_... job_... --timeout 10m --json           a line each, in order of completion
  abide wait job_... --strategy poll --interval 200ms       polls, five times a second
  abide wait job_... --schedule backoff --factor 2 --max-interval 15s
  abide wait job_... --strategy webhook --listen 0.0.0.0:9000 --public-url http://me.example:9000/
  abide create | abide wait -
  abide wait --kind dub --metadata user=42                  all such jobs that haven't ended
  abide wait 5ff5c58e --for running                         a part of an id will do
  abide wait --remote replicate ufawqhfynnddngldkgtslldrkq  a job of another system

Exit codes: 0 completed, 1 failed or canceled, 3 refused or unreachable, 4 still running at the
deadline; of several jobs the highest.";

/// What `abide wait` takes.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// The jobs to wait for, by id or a part of it; `-` reads ids from stdin, one a line
    #[arg(required_unless_present_any = ["kind", "metadata"], value_name = "ID")]
    ids: Vec<String>,
    /// All jobs of this kind that haven't ended; with --remote, the kind of the jobs that are named
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// All jobs with this metadata that haven't ended (repeatable, matches all)
    #[arg(long, value_name = "NAME=TEXT", value_parser = pair, conflicts_with = "ids")]
    metadata: Vec<(String, String)>,
    /// What to wait for: the jobs' start, or their end
    #[arg(long = "for", value_enum, default_value_t = Until::Done)]
    until: Until,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    vendor: Vendor,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Until {
    /// The job's start, or its end without one
    Running,
    /// The job's end
    Done,
}

/// What became of one job's wait.
#[derive(Debug)]
enum Seen {
    /// It is running.
    Running(Box<Job>),
    Ended(Box<Finished>),
}

impl Seen {
    fn job(&self) -> &Job {
        match self {
            Self::Running(job) => job,
            Self::Ended(finished) => finished.job(),
        }
    }
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
    /// As it was seen last; none if it wasn't.
    job: Option<&'a Job>,
}

/// Waits for jobs, and tells of each when it ends.
pub(crate) fn run(common: &Common, args: &WaitArgs) -> anyhow::Result<ExitCode> {
    let plan = args.how.plan()?;
    let common = &args.vendor.applied(common, args.kind.as_deref())?;
    check_kind(common, args)?;
    let ids = read_ids(args)?;
    if args.until == Until::Running && plan.webhook.is_some() {
        return Err(Failure::new(
            exit::USAGE,
            "--strategy webhook is for the end, not for --for running",
        )
        .into());
    }
    block_on(async {
        common.check_listening().await?;
        let (client, reach) = common.client_with_memory(args.how.state_dir())?;
        let mut jobs = Vec::with_capacity(ids.len());
        for id in &ids {
            jobs.push(common.job(&client, id).await?);
        }
        if args.ids.is_empty() {
            jobs = open_jobs(common, &client, args).await?;
        }
        if jobs.is_empty() {
            output::say("abide: no such job is open");
        }
        let mut signals = Signals::listen()?;
        let client = (&client, &reach);
        wait_for(common, client, jobs, &plan, args.until, &mut signals).await
    })
}

/// Makes sure that the kind says something: which jobs to wait for, or of which kind those of another system are.
fn check_kind(common: &Common, args: &WaitArgs) -> Result<(), Failure> {
    let wrong = match (&common.remote, args.ids.is_empty()) {
        (None, false) if args.kind.is_some() => {
            "--kind chooses jobs, and so do ids: name one of both"
        }
        (Some(_), true) => "--remote needs ids: other systems don't list jobs in one way",
        _ => return Ok(()),
    };
    Err(Failure::new(exit::USAGE, wrong))
}

/// The jobs of the kind and with the metadata that haven't ended.
async fn open_jobs(
    common: &Common,
    client: &Client,
    args: &WaitArgs,
) -> Result<Vec<JobHandle>, Failure> {
    let mut list = client
        .list()
        .status(Status::Pending)
        .status(Status::Running);
    if let Some(kind) = &args.kind {
        list = list.kind(kind.as_str());
    }
    for (name, text) in &args.metadata {
        list = list.metadata(name, text.as_str());
    }
    let mut jobs = Vec::new();
    while let Some(page) = list
        .next_page()
        .await
        .map_err(|error| common.failure(&error))?
    {
        jobs.extend(page.into_iter().map(|job| client.job(job.id)));
    }
    Ok(jobs)
}

/// Waits for these jobs, writes a line for each, and says with which code to end: the highest of theirs. What `signals`
/// has heard before ends it too.
pub(crate) async fn wait_for(
    common: &Common,
    (client, reach): (&Client, &Reach),
    jobs: Vec<JobHandle>,
    plan: &Plan,
    until: Until,
    signals: &mut Signals,
) -> anyhow::Result<ExitCode> {
    let mut open: Vec<JobId> = jobs.iter().map(|job| job.id().clone()).collect();
    let bars = Bars::of_jobs(&open);
    let mut code = exit::COMPLETED;
    let mut lost = Vec::new();
    let ends = match &plan.webhook {
        Some((place, inbox)) => Some(Ends::open(common, client, place, inbox).await?),
        None => None,
    };
    let all = async {
        let mut waits = begin(&jobs, plan, until, bars.as_ref());
        while let Some((id, result)) = waits.next().await {
            open.retain(|other| *other != id);
            code = code.max(match &result {
                Ok(seen) => seen.job().outcome.map_or(exit::COMPLETED, exit::of_outcome),
                Err(error) => exit_code(error),
            });
            if result.as_ref().is_err_and(Error::is_unreachable) {
                lost.push(id.clone());
            }
            let say = || tell(common, &id, &result);
            match &bars {
                Some(bars) => bars.end(&id, say)?,
                None => say()?,
            }
        }
        anyhow::Ok(())
    };
    let say = |text: &str| match &bars {
        Some(bars) => bars.suspend(|| output::say(text)),
        None => output::say(text),
    };
    let ended = signals
        .unless_heard(async {
            tokio::select! {
                all = all => all,
                never = reach.tell(common, plan.is_patient, say) => Err(never.into()),
            }
        })
        .await;
    drop(bars);
    if let Some(ends) = ends {
        ends.close(common, client).await;
    }
    save(client);
    match ended {
        Some(Ok(())) if lost.is_empty() => {}
        Some(Ok(())) => say_how_to_resume(common, "the server is out of reach", &lost),
        Some(Err(error)) => {
            say_how_to_resume(common, "given up", &open);
            return Err(error);
        }
        None => {
            say_how_to_resume(common, "interrupted", &open);
            code = exit::INTERRUPTED;
        }
    }
    Ok(ExitCode::from(code))
}

/// All waits at once, so that they end in order of completion and under one deadline.
fn begin(
    jobs: &[JobHandle],
    plan: &Plan,
    until: Until,
    bars: Option<&Bars>,
) -> FuturesUnordered<impl Future<Output = (JobId, Result<Seen, Error>)>> {
    jobs.iter()
        .map(|job| {
            let mut wait = plan.wait(job);
            // Every change costs something where it isn't streamed, so it is wanted only if a person sees it.
            if let Some(bars) = bars {
                wait = wait.on_update(bars.updater(job.id()));
            }
            let watch = plan.watch(job);
            let id = job.id().clone();
            async move {
                let result = match until {
                    Until::Done => wait.await.map(|finished| Seen::Ended(Box::new(finished))),
                    Until::Running => begun(watch).await,
                };
                (id, result)
            }
        })
        .collect()
}

/// Watches a job until it is no longer pending.
async fn begun(mut watch: Watch) -> Result<Seen, Error> {
    let mut latest = None;
    while let Some(job) = watch.next().await {
        let job = latest.insert(job?);
        if job.done || job.status != Status::Pending {
            break;
        }
    }
    let job = latest.expect("a watch has a state or an error");
    Ok(Seen::Running(Box::new(job)))
}

/// The ids that were given, those on stdin included, each once.
fn read_ids(args: &WaitArgs) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::new();
    for id in &args.ids {
        if id != "-" {
            ids.push(id.clone());
            continue;
        }
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(|error| exit::unread_stdin(&error))?;
            ids.extend(line.split_whitespace().next().map(str::to_owned));
        }
    }
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    if ids.is_empty() && !args.ids.is_empty() {
        return Err(Failure::new(exit::USAGE, "there is no job to wait for").into());
    }
    Ok(ids)
}

/// Writes what became of one job: what is data to stdout, what is talk to stderr.
fn tell(common: &Common, id: &JobId, result: &Result<Seen, Error>) -> std::io::Result<()> {
    if common.json {
        return tell_json(id, result);
    }
    match result {
        Ok(Seen::Running(job)) => output::line(&show::line(job)),
        Ok(Seen::Ended(finished)) => {
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

fn tell_json(id: &JobId, result: &Result<Seen, Error>) -> std::io::Result<()> {
    let unknown = Report::default();
    let problem;
    let (error, report, job) = match result {
        Ok(seen) => {
            let report = match seen {
                Seen::Running(_) => &unknown,
                Seen::Ended(finished) => finished.report(),
            };
            (seen.job().error.as_ref(), report, Some(seen.job()))
        }
        Err(error) => {
            problem = problem_of(error);
            let report = error.wait_report().unwrap_or(&unknown);
            (Some(&problem), report, error.job())
        }
    };
    let outcome = result.as_ref().ok().and_then(|seen| seen.job().outcome);
    output::json(&Line {
        id: id.as_str(),
        outcome: outcome.map(Outcome::as_str),
        error,
        requests: report.requests,
        detection_ms: report.detection.map(millis),
        elapsed_ms: millis(report.elapsed),
        transport: report.channel.map(Channel::as_str),
        job,
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
        // Older than the wait.
        Some(late) if late > report.elapsed => format!("{requests}, had already ended"),
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
            "abide: what was learned of durations could not be kept: {error}; --state-dir names another directory"
        ));
    }
}

fn say_how_to_resume(common: &Common, why: &str, open: &[JobId]) {
    if open.is_empty() {
        return;
    }
    let ids: Vec<_> = open.iter().map(JobId::as_str).collect();
    let goes = match ids.len() {
        1 => "the job goes on",
        _ => "the jobs go on",
    };
    output::say(&format!(
        "abide: {why}; {goes}. To wait again:\n  abide wait {}{}",
        ids.join(" "),
        common.server_flag()
    ));
}
