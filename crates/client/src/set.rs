//! Waiting for many jobs together.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt};

use abide_wire::JobId;

use crate::client::Client;
use crate::error::Error;
use crate::hub::ALONE_MAX;
use crate::job::JobHandle;
use crate::retry::RetryPolicy;
use crate::schedule::Schedule;
use crate::strategy::Strategy;
use crate::transport::BoxFuture;
use crate::wait::{Finished, Options, Wait};

/// Jobs that are waited for together, each one told of as it ends: made by [`Client::set`].
///
/// Against our server thousands of jobs are waited for by one held request. Each job has an outcome of its own: one that
/// isn't known to the server fails by itself alone. The [deadline](Self::deadline) is one for the whole set: when it
/// comes, the jobs that haven't ended by then are all told of as [still running](Error::is_still_running).
///
/// A job that is inserted twice is waited for once.
///
/// # Cancel safety
///
/// [`JobSet::join_next`] may be dropped at any time without losing an outcome. Dropping the set gives up what is in
/// flight; the jobs go on.
#[must_use = "a set does nothing until it is polled"]
pub struct JobSet {
    client: Client,
    options: Options,
    /// Inserted, and not begun.
    fresh: Vec<JobHandle>,
    ids: HashSet<JobId>,
    waits: FuturesUnordered<BoxFuture<'static, (JobId, Result<Finished, Error>)>>,
}

impl JobSet {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            options: Options::default(),
            fresh: Vec::new(),
            ids: HashSet::new(),
            waits: FuturesUnordered::new(),
        }
    }

    /// Bounds the wait for the whole set, from its first poll on. Default: the client's.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.options.deadline = Some(deadline);
        self
    }

    /// How to learn of the ends. Default: [`Auto`](crate::strategy::Auto).
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

    /// Adds a job, at any time; the deadline stays where it is. Returns whether it wasn't in the set.
    pub fn insert(&mut self, job: JobHandle) -> bool {
        let is_new = self.ids.insert(job.id.clone());
        if is_new {
            self.fresh.push(job);
        }
        is_new
    }

    /// How many jobs haven't been told of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether all jobs have been told of.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The next job that ends, or whose wait comes to nothing; none when all have been told of.
    ///
    /// # Cancel safety
    ///
    /// No outcome is lost by dropping the future.
    pub async fn join_next(&mut self) -> Option<(JobId, Result<Finished, Error>)> {
        self.next().await
    }

    fn begin(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        let core = &self.client.core;
        if self.options.deadline_at.is_none() {
            self.options.deadline_at = self.options.deadline_from(core, core.origin.clock.now());
        }
        let crowded = self.fresh.len() > ALONE_MAX;
        for job in self.fresh.drain(..) {
            let id = job.id.clone();
            let mut wait = Wait::new(job);
            wait.options = self.options.clone();
            wait.options.crowded = crowded;
            let wait = wait.into_future();
            self.waits.push(Box::pin(async move { (id, wait.await) }));
        }
    }
}

impl Extend<JobHandle> for JobSet {
    fn extend<I: IntoIterator<Item = JobHandle>>(&mut self, jobs: I) {
        for job in jobs {
            self.insert(job);
        }
    }
}

impl Stream for JobSet {
    type Item = (JobId, Result<Finished, Error>);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.begin();
        let next = this.waits.poll_next_unpin(cx);
        if let Poll::Ready(Some((id, _))) = &next {
            this.ids.remove(id);
        }
        next
    }
}

impl fmt::Debug for JobSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobSet")
            .field("jobs", &self.len())
            .finish_non_exhaustive()
    }
}

/// A wait for many jobs until all have ended, to be awaited: made by [`Client::wait_all`].
///
/// It gives one outcome for every job, in the order in which they were given.
///
/// # Cancel safety
///
/// The future may be dropped at any time; the jobs go on.
#[derive(Debug)]
#[must_use = "a wait does nothing until it is awaited"]
pub struct WaitAll {
    set: JobSet,
    order: Vec<JobId>,
}

impl WaitAll {
    pub(crate) fn new(set: JobSet) -> Self {
        let order = set.fresh.iter().map(|job| job.id.clone()).collect();
        Self { set, order }
    }

    /// Bounds the wait for all of them. See [`JobSet::deadline`].
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.set = self.set.deadline(deadline);
        self
    }

    /// How to learn of the ends. See [`JobSet::strategy`].
    pub fn strategy(mut self, strategy: impl Strategy) -> Self {
        self.set = self.set.strategy(strategy);
        self
    }

    /// When to poll, where it comes to polling. See [`JobSet::schedule`].
    pub fn schedule(mut self, schedule: impl Schedule) -> Self {
        self.set = self.set.schedule(schedule);
        self
    }

    /// How failures are met. See [`JobSet::retry`].
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.set = self.set.retry(retry);
        self
    }

    async fn run(mut self) -> Vec<(JobId, Result<Finished, Error>)> {
        let mut outcomes = HashMap::with_capacity(self.order.len());
        while let Some((id, outcome)) = self.set.join_next().await {
            outcomes.insert(id, outcome);
        }
        self.order
            .into_iter()
            .filter_map(|id| outcomes.remove(&id).map(|outcome| (id, outcome)))
            .collect()
    }
}

impl IntoFuture for WaitAll {
    type Output = Vec<(JobId, Result<Finished, Error>)>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
