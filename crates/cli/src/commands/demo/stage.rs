//! The jobs of the demonstration, waited for in every way at the same time.

use std::sync::Arc;
use std::time::Duration;

use abide::{Client, Finished, JobHandle, NewJob, Outcome, Receiver};
use abide_engine::{Job, JobKey};
use abide_server::board::Look;
use abide_server::http::AppState;
use abide_wire::{DurationLaw, OutcomePlan, Simulate, Span};
use anyhow::Context as _;
use futures_util::future::{join_all, try_join_all};

use super::contender::{self, Contender, LONGEST, SHORTEST, Way};
use super::live::{Line, Live};
use super::meter::Meter;

/// How likely a job fails.
const ERROR_CHANCE: f64 = 0.2;
/// Nothing takes longer than this, whatever happens.
const PATIENCE: Duration = Duration::from_secs(18);

/// One job, as one way of waiting learned of its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// How long after the end.
    pub(super) late: Duration,
    /// Whether it ended as it was drawn, after as long as was drawn.
    pub(super) as_drawn: bool,
    pub(super) outcome: Outcome,
}

/// What one way of waiting has come to.
#[derive(Debug)]
pub(super) struct Score {
    pub(super) contender: &'static Contender,
    pub(super) requests: u32,
    pub(super) pushes: u32,
    pub(super) told: Vec<anyhow::Result<Told>>,
}

/// Where it is played.
pub(super) struct Stage {
    pub(super) url: String,
    pub(super) state: AppState,
    pub(super) jobs: u16,
    pub(super) live: Live,
}

impl Stage {
    /// Plays every way of waiting at the same time.
    pub(super) async fn play(&self) -> Vec<Score> {
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
        let plan = drawn.plan.as_ref().context("a job without a plan")?;
        let outcome = match plan.error() {
            None => Outcome::Completed,
            Some(_) => Outcome::Failed,
        };
        let ran = finished_at.since(ended.started_at.unwrap_or(ended.created_at));
        Ok(Told {
            late: known_at.since(finished_at),
            as_drawn: done.outcome() == outcome
                && ran.as_millis() == u128::from(plan.duration_ms()),
            outcome: done.outcome(),
        })
    }

    /// The server's own record, with what it has drawn and doesn't tell.
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

/// A job whose random draws are keyed by its number, so that every way of waiting has the same ones. The kind is the
/// way's own, so that none learns from the jobs of the others.
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
