//! Waiting for the end of one job.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use abide_wire::{Job, JobId, Json, Outcome};

use super::begin::{begin, read_kind};
use super::findings::Step;
use crate::error::Error;
use crate::job::JobHandle;
use crate::options::{Options, settings};
use crate::report::Report;
use crate::rt::Instant;
use crate::telemetry::WaitSpan;
use crate::transport::BoxFuture;

/// What happens to the job when the wait's deadline comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDeadline {
    /// It goes on: only the waiting is over.
    #[default]
    Detach,
    /// It is canceled, by one request that is tried once, takes at most a second beyond the deadline, and whose failure
    /// is not told. A wait that ends for another reason than its deadline cancels nothing.
    Cancel,
}

/// A wait for the end of a job, to be awaited: made by [`JobHandle::wait`].
///
/// | setting | default |
/// |---|---|
/// | [`deadline`](Self::deadline) | that of the client; none unless set there |
/// | [`strategy`](Self::strategy) | [`Auto`](crate::strategy::Auto) |
/// | [`schedule`](Self::schedule) | that of the client |
/// | [`dial`](Self::dial), [`max_interval`](Self::max_interval) | those of the client |
/// | [`retry`](Self::retry), [`attempt_timeout`](Self::attempt_timeout) | those of the client |
/// | [`size`](Self::size) | unknown |
/// | [`on_update`](Self::on_update) | no callback |
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
    job: JobHandle,
    pub(super) options: Options,
    /// The deadline of a whole set, which its members share.
    pub(super) deadline_at: Option<Instant>,
    /// Whether it is one of many that begin together.
    pub(super) crowded: bool,
    on_update: Option<OnUpdate>,
    on_deadline: OnDeadline,
}

/// Told of every change.
type OnUpdate = Box<dyn FnMut(&Job) + Send>;

impl JobHandle {
    /// Waits for the end. Nothing is sent before the [`Wait`] is awaited.
    ///
    /// ```no_run
    /// # async fn example(job: abide::JobHandle) -> Result<(), abide::Error> {
    /// let done = job.wait().deadline(std::time::Duration::from_secs(600)).await?;
    /// println!("{}", done.outcome());
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait(&self) -> Wait {
        Wait::new(self.clone())
    }
}

impl Wait {
    pub(super) fn new(job: JobHandle) -> Self {
        Self {
            job,
            options: Options::default(),
            deadline_at: None,
            crowded: false,
            on_update: None,
            on_deadline: OnDeadline::default(),
        }
    }

    settings! { deadline strategy schedule dial max_interval retry attempt_timeout size feature metadata_feature }

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
        let span = WaitSpan::new(self.job.id());
        let result = span.within(self.drive()).await;
        let report = match &result {
            Ok(finished) => Some(finished.report()),
            Err(error) => error.wait_report(),
        };
        if let Some(report) = report {
            let outcome = result.as_ref().map(|finished| finished.outcome().as_str());
            span.record(outcome.unwrap_or_else(|error| error.kind_word()), report);
            if let Some(hook) = &self.job.client().core.on_report {
                hook(self.job.id(), report);
            }
        }
        if let (OnDeadline::Cancel, Err(error)) = (self.on_deadline, &result)
            && error.is_still_running()
            && error.is_timeout()
        {
            Box::pin(self.job.cancel_once()).await;
        }
        result
    }

    async fn drive(&mut self) -> Result<Finished, Error> {
        let updates = self.on_update.is_some();
        let deadline = self.deadline_at;
        read_kind(&self.job, &self.options).await;
        let mut driver = begin(&self.job, &self.options, deadline, updates, self.crowded);
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
    const fn new(job: Arc<Job>, report: Report) -> Self {
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
        let job = self.completed()?;
        let text = job.result.as_ref().map_or("null", Json::get);
        serde_json::from_str(text)
            .map_err(|error| Error::ended(Outcome::Completed, Arc::new(job), report).because(error))
    }
}
