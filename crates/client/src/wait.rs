//! Waiting for the end of one job.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::Instant;

use abide_wire::{Job, JobId, Outcome};

use crate::client::{Core, check_id};
use crate::clock::after;
use crate::drive::{Driver, Step, Terms};
use crate::error::Error;
use crate::foreign::Foreign;
use crate::job::JobHandle;
use crate::native::Native;
use crate::report::Report;
use crate::retry::RetryPolicy;
use crate::schedule::{Schedule, Start};
use crate::strategy::{Auto, Begin, Strategy};
use crate::telemetry::WaitSpan;
use crate::transport::BoxFuture;

/// What happens to the job when the wait's deadline comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDeadline {
    /// It goes on: only the waiting is over.
    #[default]
    Detach,
    /// It is canceled, by one request that is tried once, takes at most a second beyond the deadline, and whose failure is
    /// not told. A wait that ends for another reason than its deadline cancels nothing.
    Cancel,
}

/// A wait for the end of a job, to be awaited: made by [`JobHandle::wait`].
///
/// | setting | default |
/// |---|---|
/// | [`deadline`](Self::deadline) | that of the client; none unless set there |
/// | [`strategy`](Self::strategy) | [`Auto`] |
/// | [`schedule`](Self::schedule) | that of the client |
/// | [`retry`](Self::retry) | that of the client |
/// | [`on_update`](Self::on_update) | nobody is told |
/// | [`on_deadline`](Self::on_deadline) | the job goes on |
///
/// # Errors
///
/// See [`Error`] for the kinds. A job that *failed* is not an error of the wait: the wait has done its work, and
/// [`Finished::outcome`] tells. Ask [`Finished::result`] or [`Finished::completed`] for the result, and a job that
/// didn't complete becomes an error there, where it can't be overlooked.
///
/// # Cancel safety
///
/// The future may be dropped at any time. The request in flight is given up with it, the job goes on, and the handle
/// can be waited on again.
#[must_use = "a wait does nothing until it is awaited"]
pub struct Wait {
    pub(crate) job: JobHandle,
    pub(crate) options: Options,
    on_update: Option<OnUpdate>,
    on_deadline: OnDeadline,
}

/// Told of every change.
type OnUpdate = Box<dyn FnMut(&Job) + Send>;

/// What waits, watches and sets have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) deadline: Option<Duration>,
    /// The deadline of a whole set, which its members share.
    pub(crate) deadline_at: Option<Instant>,
    pub(crate) strategy: Option<Arc<dyn Strategy>>,
    pub(crate) schedule: Option<Arc<dyn Schedule>>,
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) size: Option<f64>,
    /// Whether it is one of many that begin together.
    pub(crate) crowded: bool,
}

impl Options {
    /// The deadline of a wait that begins now.
    pub(crate) fn deadline_from(&self, core: &Core, now: Instant) -> Option<Instant> {
        self.deadline
            .or(core.deadline)
            .map(|deadline| after(now, deadline))
    }

    /// The loop for one job.
    pub(crate) fn drive(&self, job: &JobHandle, updates: bool) -> Driver<'static, Arc<Job>> {
        let core = &job.client.core;
        let origin = &core.origin;
        let schedule = self
            .schedule
            .clone()
            .unwrap_or_else(|| core.schedule(job.known.kind.as_deref()));
        let mut start = Start::new(origin.luck.seed()).history(job.client.history());
        if let Some(size) = self.size {
            start = start.size(size);
        }
        let begin = Begin::new(schedule, start).updates(updates);
        let auto;
        let strategy: &dyn Strategy = match &self.strategy {
            Some(strategy) => strategy,
            None => {
                auto = Auto::new();
                &auto
            }
        };
        let terms = Terms {
            plan: strategy.begin(&begin),
            strategy: strategy.name(),
            inbox: strategy.inbox().map(|inbox| inbox.subscribe(&job.id)),
            retry: self.retry.clone().unwrap_or_else(|| origin.retry.clone()),
            attempt_timeout: self.attempt_timeout.unwrap_or(origin.attempt_timeout),
            deadline: self
                .deadline_at
                .or_else(|| self.deadline_from(core, origin.clock.now())),
            accepted: job.known.accepted,
            // To whoever waits for the end only, what an earlier process saw is of no use.
            revision: job
                .known
                .revision
                .filter(|_| updates || job.known.accepted.is_some()),
            wrong: check_id(&job.id).err(),
        };
        match &core.remote {
            None => {
                let native = Native::new(job.clone()).crowded(self.crowded);
                Driver::new(native, Arc::clone(origin), terms)
            }
            Some(remote) => {
                let kind = job.known.kind.clone();
                let kind = kind.unwrap_or_else(|| remote.name.clone());
                let foreign = Foreign::new(
                    Arc::clone(origin),
                    Arc::clone(remote),
                    job.id.clone(),
                    kind,
                    job.resume_token(),
                );
                Driver::new(foreign, Arc::clone(origin), terms)
            }
        }
    }
}

impl Wait {
    pub(crate) fn new(job: JobHandle) -> Self {
        Self {
            job,
            options: Options::default(),
            on_update: None,
            on_deadline: OnDeadline::default(),
        }
    }

    /// Bounds the wait, from the moment it is first polled: requests in flight, pauses after failures, the server's
    /// wishes, everything. One last look is taken just before it, and an end seen then is a result.
    /// Default: the client's; without one the wait goes on for as long as the server answers.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.options.deadline = Some(deadline);
        self
    }

    /// How to learn of the end. Default: [`Auto`].
    pub fn strategy(mut self, strategy: impl Strategy) -> Self {
        self.options.strategy = Some(Arc::new(strategy));
        self
    }

    /// When to poll, where it comes to polling. Default: the client's.
    pub fn schedule(mut self, schedule: impl Schedule) -> Self {
        self.options.schedule = Some(Arc::new(schedule));
        self
    }

    /// How failures are met. Default: the client's.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.options.retry = Some(retry);
        self
    }

    /// The most that one exchange may take, beside the time that the server was asked to hold it.
    /// Default: the client's, 10 s unless set there.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.options.attempt_timeout = Some(timeout);
        self
    }

    /// How big the job is, in any unit that is the same within one kind, such as seconds of video: a schedule that
    /// learns scales its expectation by it. Default: unknown, and so is a size that isn't a positive number.
    pub fn size(mut self, size: f64) -> Self {
        self.options.size = Some(size);
        self
    }

    /// Calls this with every change that is seen, the end included, in order of revisions and never twice with one.
    pub fn on_update(mut self, on_update: impl FnMut(&Job) + Send + 'static) -> Self {
        self.on_update = Some(Box::new(on_update));
        self
    }

    /// What happens to the job when the deadline comes first. Default: it goes on.
    pub fn on_deadline(mut self, on_deadline: OnDeadline) -> Self {
        self.on_deadline = on_deadline;
        self
    }

    async fn run(mut self) -> Result<Finished, Error> {
        let span = WaitSpan::new(&self.job.id);
        let result = span.within(self.drive()).await;
        let report = match &result {
            Ok(finished) => Some(finished.report()),
            Err(error) => error.wait_report(),
        };
        if let Some(report) = report {
            let outcome = result.as_ref().map(|finished| finished.outcome().as_str());
            span.record(outcome.unwrap_or_else(|error| error.kind_word()), report);
            if let Some(hook) = &self.job.client.core.on_report {
                hook(self.job.id(), report);
            }
        }
        if let (OnDeadline::Cancel, Err(error)) = (self.on_deadline, &result)
            && error.is_still_running()
            && error.is_timeout()
        {
            let token = self.job.resume_token();
            Box::pin(self.job.client.cancel_once(&self.job.id, &token)).await;
        }
        result
    }

    async fn drive(&mut self) -> Result<Finished, Error> {
        let updates = self.on_update.is_some();
        let mut driver = self.options.drive(&self.job, updates);
        loop {
            match driver.step().await? {
                Step::News(job) => {
                    if let Some(on_update) = &mut self.on_update {
                        on_update(&job);
                    }
                }
                Step::Ended(job) => {
                    if let Some(on_update) = &mut self.on_update {
                        on_update(&job);
                    }
                    return Ok(Finished::new(job, driver.report()));
                }
            }
        }
    }
}

impl IntoFuture for Wait {
    type Output = Result<Finished, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("job", &self.job)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A job that has ended, and what it took to learn of it.
#[derive(Clone, Debug)]
#[must_use = "the job may have failed: see `outcome` or `completed`"]
pub struct Finished {
    job: Arc<Job>,
    report: Report,
}

impl Finished {
    pub(crate) const fn new(job: Arc<Job>, report: Report) -> Self {
        Self { job, report }
    }

    /// How it ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        // A job without an outcome isn't done: it was checked when it was read.
        self.job.outcome.unwrap_or(Outcome::Failed)
    }

    /// Whether it ended well.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.outcome() == Outcome::Completed
    }

    /// The job.
    #[must_use]
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &JobId {
        &self.job.id
    }

    /// The job, for keeps.
    #[must_use]
    pub fn into_job(self) -> Job {
        Arc::unwrap_or_clone(self.job)
    }

    /// What the wait cost.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// The job, if it completed.
    ///
    /// # Errors
    ///
    /// A job that failed or was canceled, as an error that carries it.
    pub fn completed(self) -> Result<Job, Error> {
        match self.outcome() {
            Outcome::Completed => Ok(Arc::unwrap_or_clone(self.job)),
            outcome => Err(Error::ended(outcome, self.job, self.report)),
        }
    }

    /// What the job made, if it completed, as a type of yours. `serde_json::Value` takes anything.
    ///
    /// # Errors
    ///
    /// A job that failed or was canceled, or a result that isn't of that type, as an error that carries the job.
    pub fn result<T: DeserializeOwned>(self) -> Result<T, Error> {
        let report = self.report.clone();
        let mut job = self.completed()?;
        let value = job.result.take().unwrap_or_default();
        T::deserialize(&value).map_err(|error| {
            job.result = Some(value);
            Error::ended(Outcome::Completed, Arc::new(job), report).because(error)
        })
    }
}
