//! A worker's hold on a job.
//!
//! A task beside the work renews the lease every third of its length and waits, in one held request that all leases of
//! the client share, for the job's end: so a cancel is known at once and a lost lease at the next renewal. It lives as
//! long as the [`Lease`].

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{HeaderValue, Method};
use serde::Serialize;
use tokio::sync::watch;

use abide_wire::{Code, Job, JobId, Json, Outcome, Problem, Progress, headers};

use crate::answer::read_job;
use crate::budget::Cost;
use crate::call::persist;
use crate::client::Client;
use crate::error::{Error, Kind};
use crate::exchange::{Call, Failure, Reply, exchange};
use crate::hub::Want;
use crate::rt::{after, sleep_until, spawn};
use crate::telemetry::Purpose;

/// A job that this worker has claimed, and works on: made by [`Client::claim`].
///
/// It renews itself for as long as it lives, whatever the work does, as long as the runtime turns; in async code let
/// long computations run in `spawn_blocking`. A worker ends it by [`complete`](Self::complete), [`fail`](Self::fail) or
/// [`release`](Self::release). Dropped without any of these it is silent, and the server gives the job up when the
/// lease runs out, as its creator chose.
///
/// While the server doesn't answer the lease goes on: the time in which a server is down counts for no lease. If only
/// this worker can't reach it, the job may get another worker meanwhile, and this one's result is refused. Work that
/// has effects elsewhere should bear being done twice.
///
/// # Errors
///
/// Every report has the errors of [`JobHandle::status`](crate::JobHandle::status), and where the work should stop:
/// [canceled](Error::is_canceled), [failed](Error::is_failed) if the job ran past its deadline, or that the
/// [lease is lost](Error::is_lease_lost).
pub struct Lease {
    held: Arc<Held>,
    over: watch::Receiver<Option<Over>>,
}

/// What a lease is on.
struct Held {
    client: Client,
    job: Job,
    token: HeaderValue,
    length: Duration,
}

/// Why there is nothing more to do for the worker.
#[derive(Clone, Debug)]
enum Over {
    /// The job ended by another hand.
    Ended(Arc<Job>),
    /// The job isn't this worker's any more.
    Lost(Option<Problem>),
}

/// A report that says nothing but that the worker lives.
const RENEWAL: Bytes = Bytes::from_static(b"{}");

/// What a worker says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Report<'a> {
    Progress(&'a Progress),
    Result(Json),
    Error(&'a Problem),
    Release(bool),
}

impl Lease {
    pub(super) fn begin(client: Client, job: Job, token: &str, length: Duration) -> Self {
        let held = Held::new(client, job, token, length);
        let (tell, over) = watch::channel(None);
        spawn(keep(Arc::clone(&held), tell));
        Self { held, over }
    }

    /// A lease without the task that renews it.
    pub(super) fn by_hand(client: Client, job: Job, token: &str, length: Duration) -> Self {
        let held = Held::new(client, job, token, length);
        let (_, over) = watch::channel(None);
        Self { held, over }
    }

    /// The job as the claim showed it.
    #[must_use]
    pub fn job(&self) -> &Job {
        &self.held.job
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &JobId {
        &self.held.job.id
    }

    /// What names the lease: a program that reports by itself sends it as `Lease-Token`. It is a secret.
    #[must_use]
    pub fn token(&self) -> &str {
        self.held.token.to_str().unwrap_or_default()
    }

    /// Waits until there is nothing more to do for this worker, and says why: the job was canceled, ran past its
    /// deadline, or is lost. It never returns while the work should go on.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time.
    pub async fn over(&self) -> Error {
        let mut over = self.over.clone();
        let over = match over.wait_for(Option::is_some).await {
            Ok(over) => over.clone(),
            // The task ends early only with its runtime.
            Err(_) => None,
        };
        match over {
            Some(over) => self.held.error(over),
            None => std::future::pending().await,
        }
    }

    /// Does the work, and drops it if there is nothing more to do for this worker.
    ///
    /// # Errors
    ///
    /// Those of [`over`](Self::over); the work was dropped then.
    ///
    /// # Cancel safety
    ///
    /// That of the work; the lease goes on.
    pub async fn while_held<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        match select(pin!(self.over()), pin!(work)).await {
            Either::Left((why, _)) => Err(why),
            Either::Right((done, _)) => Ok(done),
        }
    }

    /// Renews the lease, as every other report does too.
    ///
    /// # Errors
    ///
    /// See [`Lease`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the lease may have been renewed or not.
    #[cfg(feature = "host")]
    pub async fn renew(&self) -> Result<Job, Error> {
        let sent = self.held.send(RENEWAL).await;
        self.held.settle(sent, |_| false).await
    }

    /// Tells how far the work has come.
    ///
    /// # Errors
    ///
    /// See [`Lease`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the report may have been taken or not.
    pub async fn progress(&self, progress: &Progress) -> Result<Job, Error> {
        let sent = self.held.report(&Report::Progress(progress)).await;
        self.held.settle(sent, |_| false).await
    }

    /// Ends the job with a result, any value that is JSON. May be called again after an error: a repeated end whose
    /// first answer was lost is none.
    ///
    /// # Errors
    ///
    /// See [`Lease`]; of usage if the result is no JSON.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the job may have ended or not. Calling it again finds out.
    pub async fn complete(&self, result: &(impl Serialize + ?Sized)) -> Result<Job, Error> {
        let result = serde_json::value::to_raw_value(result).map_err(|error| {
            let wrong = Error::usage("the result can't be written as JSON").because(error);
            wrong.about(Some(Arc::new(self.held.job.clone())))
        })?;
        let sent = self.held.report(&Report::Result(Json::from(result))).await;
        let is_ours = |job: &Job| job.outcome == Some(Outcome::Completed);
        self.held.settle(sent, is_ours).await
    }

    /// Ends the job as failed, because of that. May be called again after an error.
    ///
    /// # Errors
    ///
    /// See [`Lease`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the job may have ended or not. Calling it again finds out.
    pub async fn fail(&self, problem: &Problem) -> Result<Job, Error> {
        let sent = self.held.report(&Report::Error(problem)).await;
        let is_ours = |job: &Job| {
            job.error
                .as_ref()
                .is_some_and(|error| error.code == problem.code)
        };
        self.held.settle(sent, is_ours).await
    }

    /// Gives the job back: it is pending again, and the attempt doesn't count. For a worker that is to stop.
    ///
    /// # Errors
    ///
    /// Those of [`JobHandle::status`](crate::JobHandle::status). That the job was canceled or lost is none.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped the job may have been given back or not. Calling it again is harmless.
    pub async fn release(&self) -> Result<(), Error> {
        match self.held.report(&Report::Release(true)).await {
            Err(failure) if is_over(&failure).is_none() => Err(self.held.blame(failure)),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("job", &self.id().as_str())
            .finish_non_exhaustive()
    }
}

impl Held {
    fn new(client: Client, job: Job, token: &str, length: Duration) -> Arc<Self> {
        let mut token =
            HeaderValue::from_str(token).unwrap_or_else(|_| HeaderValue::from_static(""));
        token.set_sensitive(true);
        Arc::new(Self {
            client,
            job,
            token,
            length,
        })
    }

    fn call(&self, body: Bytes) -> Call {
        let url = self.client.core.origin.job_url(&self.job.id);
        Call::new(Purpose::Report, Method::PATCH, url)
            .json(body)
            .header(headers::LEASE_TOKEN, self.token.clone())
    }

    async fn report(&self, report: &Report<'_>) -> Result<Job, Failure> {
        let body = serde_json::to_vec(report).expect("a report is plain data");
        self.send(Bytes::from(body)).await
    }

    /// Sends a report until it is answered.
    async fn send(&self, body: Bytes) -> Result<Job, Failure> {
        let origin = &self.client.core.origin;
        let make = || (self.call(body.clone()), origin.attempt_timeout);
        persist(origin, make, |reply| self.read(reply)).await
    }

    fn read(&self, reply: &Reply) -> Result<Job, Failure> {
        read_job(reply, Some(&self.job.id))
    }

    fn blame(&self, failure: Failure) -> Error {
        let job = self.client.job(self.job.id.clone());
        failure.into_error().token(job.resume_token())
    }

    fn error(&self, over: Over) -> Error {
        let (error, job) = match over {
            Over::Ended(job) => (Error::over(&job), job),
            Over::Lost(problem) => {
                let what = "the lease is lost; stop working on the job";
                let error = Error::new(Kind::LeaseLost, what).answered(None, problem);
                (error, Arc::new(self.job.clone()))
            }
        };
        error.about(Some(job))
    }

    /// What became of a report. `is_ours` tells the end that the report made from any other.
    async fn settle(
        &self,
        sent: Result<Job, Failure>,
        is_ours: impl Fn(&Job) -> bool,
    ) -> Result<Job, Error> {
        let failure = match sent {
            Ok(job) => return Ok(job),
            Err(failure) => failure,
        };
        match self.meaning(&failure).await {
            Some(Over::Ended(job)) if is_ours(&job) && job.attempts == self.job.attempts => {
                Ok(Arc::unwrap_or_clone(job))
            }
            Some(over) => Err(self.error(over)),
            None => Err(self.blame(failure)),
        }
    }

    /// What a refusal of a report says of the lease, if anything.
    async fn meaning(&self, failure: &Failure) -> Option<Over> {
        let over = is_over(failure)?;
        if over == Code::JOB_DONE
            && let Ok(job) = self.client.job(self.job.id.clone()).status().await
            && job.done
        {
            return Some(Over::Ended(Arc::new(job)));
        }
        Some(Over::Lost(failure.problem.as_deref().cloned()))
    }

    /// Renews the lease until it is over.
    async fn renew(&self) -> Over {
        let origin = &self.client.core.origin;
        let every = self.length / 3;
        let (mut failures, mut hint) = (0, None);
        loop {
            let share = origin.rng.share();
            let pause = match failures {
                // Not all at once that were claimed together.
                0 => every.mul_f64(1.0 - 0.1 * share),
                // A server that asks for a pause gets it, as far as the lease allows.
                _ => origin.retry.pause(failures, hint, share).min(every),
            };
            sleep_until(after(origin.clock.now(), pause)).await;
            let limit = origin.attempt_timeout.min(self.length);
            let answer = exchange(origin, &self.call(RENEWAL), limit).await;
            let Err(failure) = answer else {
                failures = 0;
                continue;
            };
            if let Some(over) = self.meaning(&failure).await {
                return over;
            }
            failures += 1;
            hint = failure.hint;
        }
    }

    /// Waits for the job's end, by a request that all leases of the client share.
    async fn ended(&self) -> Over {
        let core = &self.client.core;
        let mut failures = 0;
        loop {
            let mut cost = Cost::default();
            let joined = core.hub.join(&self.job.id, Want::Done, None, &mut cost);
            let pause = match joined.await {
                Some(Ok(answer)) => {
                    if let Some(job) = answer.view.filter(|job| job.done) {
                        return Over::Ended(job);
                    }
                    failures = 0;
                    Duration::ZERO
                }
                Some(Err(failure)) if failure.is_transient() => {
                    failures += 1;
                    let share = core.origin.rng.share();
                    core.origin.retry.pause(failures, failure.hint, share)
                }
                // The renewals will tell.
                Some(Err(_)) | None => return std::future::pending().await,
            };
            sleep_until(after(core.origin.clock.now(), pause)).await;
        }
    }
}

/// The code of a refusal that ends the work: the job is done, gone, or another worker's.
fn is_over(failure: &Failure) -> Option<Code> {
    let problem = failure.problem.as_deref()?;
    let ends = [
        Code::JOB_DONE,
        Code::LEASE_LOST,
        Code::NOT_FOUND,
        Code::GONE,
    ];
    ends.into_iter().find(|code| *code == problem.code)
}

/// Keeps a lease for as long as the worker does.
async fn keep(held: Arc<Held>, tell: watch::Sender<Option<Over>>) {
    let dropped = pin!(tell.closed());
    let over = pin!(async {
        let (renewing, ended) = (pin!(held.renew()), pin!(held.ended()));
        select(renewing, ended).await.factor_first().0
    });
    let over = match select(dropped, over).await {
        Either::Left(_) => return,
        Either::Right((over, _)) => over,
    };
    tell.send_replace(Some(over));
}
