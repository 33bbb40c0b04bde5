//! `abide demo`: the same jobs, waited for in every way side by side.
//!
//! The server runs in this process, on its embedded store in a directory that goes away with it. For every way of waiting it is
//! given the same handful of jobs: their luck is drawn under the same names, so that they take equally long and end alike.
//! Requests are counted where they are sent, pushes where they arrive, and lateness is read from the server's own clock in the moment in which a
//! wait returns; neither is what the client says of itself.

mod contender;
mod live;
mod meter;
mod table;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use abide::{Client, Finished, JobHandle, NewJob, Outcome, Receiver};
use abide_engine::{Job, JobKey};
use abide_server::board::Look;
use abide_server::config::{ListenAddr, RateLimit};
use abide_server::http::AppState;
use abide_server::{Config, Server};
use abide_wire::{DurationLaw, OutcomePlan, Simulate, Span};
use anyhow::Context as _;
use clap::Args;
use futures_util::future::{join_all, try_join_all};
use tokio_util::sync::CancellationToken;

use self::contender::{Contender, Way};
use self::live::{Line, Live};
use self::meter::Meter;
use super::serve::fresh_seed;
use crate::exit;
use crate::interrupt::unless_interrupted;
use crate::output;

/// The shortest and the longest job. The slowest way of waiting sees the end of the longest one after 15 s.
const SHORTEST: Duration = Duration::from_millis(3_000);
const LONGEST: Duration = Duration::from_millis(9_200);
/// How likely a job fails.
const ERROR_CHANCE: f64 = 0.2;
/// Nothing takes longer than this, whatever happens.
const PATIENCE: Duration = Duration::from_secs(18);
/// How long the server may take to end.
const DRAIN: Duration = Duration::from_secs(1);

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide demo
  abide demo --seed 7 --json | jq -r '[.strategy, .requests, .late_mean_s] | @tsv'

It runs a server of its own and takes less than 20 seconds.";

/// What `abide demo` takes.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many jobs every way of waiting is given
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=50))]
    jobs: u16,
    /// What decides how long the jobs take and how they end [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// One job, as one way of waiting learned of its end.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// How long after the end.
    late: Duration,
    /// Whether it ended as it was drawn, after as long as was drawn.
    as_drawn: bool,
    outcome: Outcome,
}

/// What one way of waiting has come to.
#[derive(Debug)]
struct Score {
    contender: &'static Contender,
    requests: u32,
    pushes: u32,
    told: Vec<anyhow::Result<Told>>,
}

/// Runs the demonstration.
pub(crate) fn run(args: &DemoArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    runtime.block_on(demo(args, as_json))
}

async fn demo(args: &DemoArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let directory = tempfile::tempdir().context("failed to make a directory for the jobs")?;
    let seed = args.seed.unwrap_or_else(fresh_seed);
    let server = Server::start(config(directory.path(), seed), seed).await?;
    let state = server.state().clone();
    let url = format!("http://{}", server.address());
    let stop = CancellationToken::new();
    let running = tokio::spawn(server.run(stop.clone()));

    output::say(&format!(
        "abide: a server at {url}, {} jobs of {} to {} s for each way of waiting (--seed {seed})",
        args.jobs,
        SHORTEST.as_secs_f64(),
        LONGEST.as_secs_f64()
    ));
    let stage = Stage {
        url,
        state,
        jobs: args.jobs,
        live: Live::new(args.jobs, as_json),
    };
    let scores = unless_interrupted(stage.play()).await?;
    drop(stage);

    stop.cancel();
    running.await??;
    let Some(scores) = scores else {
        output::say("abide: interrupted");
        return Ok(ExitCode::from(exit::INTERRUPTED));
    };
    table::write(&scores, as_json)?;
    let is_good = |told: &anyhow::Result<Told>| told.as_ref().is_ok_and(|told| told.as_drawn);
    if scores.iter().all(|score| score.told.iter().all(is_good)) {
        return Ok(ExitCode::SUCCESS);
    }
    for score in &scores {
        for wrong in score.told.iter().filter(|told| !is_good(told)) {
            let what = match wrong {
                Ok(_) => "a job did not end as it was drawn".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            output::say(&format!("abide: {}: {what}", score.contender.name));
        }
    }
    Ok(ExitCode::from(exit::FAILED))
}

fn config(directory: &std::path::Path, seed: u64) -> Config {
    Config {
        listen: ListenAddr((std::net::Ipv4Addr::LOCALHOST, 0).into()),
        data: directory.to_owned(),
        seed: Some(seed),
        rate_limit: RateLimit(None),
        drain: Span::new(DRAIN),
        ..Config::default()
    }
}

/// Where it is played.
struct Stage {
    url: String,
    state: AppState,
    jobs: u16,
    live: Live,
}

impl Stage {
    /// Plays every way of waiting at the same time.
    async fn play(&self) -> Vec<Score> {
        let all = contender::all();
        let scores = join_all(all.iter().map(|contender| self.one(contender)));
        scores.await
    }

    async fn one(&self, contender: &'static Contender) -> Score {
        let meter = Meter::default();
        let line = self.live.line(contender, &meter);
        let told = match self.contend(contender, &meter, &line).await {
            Ok(told) => told,
            Err(error) => vec![Err(error)],
        };
        line.end();
        Score {
            contender,
            requests: meter.requests(),
            pushes: meter.pushes(),
            told,
        }
    }

    /// Creates its jobs and waits for them. Fails where none could be created.
    async fn contend(
        &self,
        contender: &Contender,
        meter: &Meter,
        line: &Line,
    ) -> anyhow::Result<Vec<anyhow::Result<Told>>> {
        let client = self.client(meter)?;
        let receiver = match contender.way {
            Way::Pushed(_) => Some(meter.receiver().await?),
            Way::Wait(_) | Way::Set => None,
        };
        let receiver = receiver.as_ref();
        let jobs = (1..=self.jobs).map(|number| self.create(&client, contender, number, receiver));
        let jobs = try_join_all(jobs).await?;
        if let Way::Set = contender.way {
            return Ok(self.together(&client, &jobs, line).await);
        }
        let each = jobs.iter().map(|(job, drawn)| async {
            let wait = match (&contender.way, receiver) {
                (Way::Wait(wait), _) => wait(job),
                (Way::Pushed(wait), Some(receiver)) => wait(job, receiver.inbox()),
                (Way::Pushed(_) | Way::Set, _) => job.wait(),
            };
            let told = self.judge(wait.deadline(PATIENCE).await, drawn);
            line.told(&told);
            told
        });
        Ok(join_all(each).await)
    }

    /// Waits for all jobs as one set.
    async fn together(
        &self,
        client: &Client,
        jobs: &[(JobHandle, Arc<Job>)],
        line: &Line,
    ) -> Vec<anyhow::Result<Told>> {
        let mut set = client.set(jobs.iter().map(|(job, _)| job.clone()));
        set = set.deadline(PATIENCE);
        let mut all = Vec::with_capacity(jobs.len());
        while let Some((id, outcome)) = set.join_next().await {
            let drawn = jobs.iter().find(|(job, _)| *job.id() == id);
            let told = match drawn {
                Some((_, drawn)) => self.judge(outcome, drawn),
                None => Err(anyhow::anyhow!("{id} was told of and never inserted")),
            };
            line.told(&told);
            all.push(told);
        }
        all
    }

    fn client(&self, meter: &Meter) -> anyhow::Result<Client> {
        let client = Client::builder(&self.url)
            .transport(meter.clone())
            .build()?;
        Ok(client)
    }

    /// Creates a job, and looks up what the server drew for it.
    async fn create(
        &self,
        client: &Client,
        contender: &Contender,
        number: u16,
        receiver: Option<&Receiver>,
    ) -> anyhow::Result<(JobHandle, Arc<Job>)> {
        let mut new = new_job(contender, number);
        new.webhook = receiver.map(Receiver::target);
        let job = client.create(new).await?;
        let drawn = self.look(job.id().as_str())?;
        Ok((job, drawn))
    }

    /// Compares, in the moment in which an end is told, what is told with what the server drew.
    fn judge(&self, told: Result<Finished, abide::Error>, drawn: &Job) -> anyhow::Result<Told> {
        let known_at = self.state.clock.now();
        let done = told?;
        let ended = done.job();
        let finished_at = ended.finished_at.context("an end without a time")?;
        let plan = drawn.plan.as_ref().context("a job that nobody drew")?;
        let outcome = match plan.error {
            None => Outcome::Completed,
            Some(_) => Outcome::Failed,
        };
        let ran = finished_at.since(ended.started_at.unwrap_or(ended.created_at));
        Ok(Told {
            late: known_at.since(finished_at),
            as_drawn: done.outcome() == outcome && ran.as_millis() == u128::from(plan.duration_ms),
            outcome: done.outcome(),
        })
    }

    /// The server's own record, with what it has drawn and tells nobody.
    fn look(&self, id: &str) -> anyhow::Result<Arc<Job>> {
        let key: JobKey = id
            .parse()
            .ok()
            .with_context(|| format!("{id} is no id of this server's"))?;
        match self.state.board.look(key) {
            Look::Found(job) => Ok(job),
            _ => anyhow::bail!("{id} was acknowledged and isn't there"),
        }
    }
}

/// A job whose luck is drawn under its number, so that every way of waiting has the same ones. The kind is the way's own, so
/// that nobody learns from the jobs of the others.
fn new_job(contender: &Contender, number: u16) -> NewJob {
    NewJob::new(contender.kind).simulate(Simulate {
        duration: Some(DurationLaw::Uniform {
            min: Span::new(SHORTEST),
            max: Span::new(LONGEST),
        }),
        outcome: Some(OutcomePlan {
            error_chance: Some(ERROR_CHANCE),
            error: None,
        }),
        key: Some(format!("job {number}")),
        ..Simulate::default()
    })
}
