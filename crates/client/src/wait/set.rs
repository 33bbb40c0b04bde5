//! Waiting for many jobs together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt};

use abide_wire::JobId;

use super::end::{Finished, Wait};
use crate::client::Client;
use crate::error::Error;
use crate::hub::ALONE_MAX;
use crate::job::JobHandle;
use crate::options::{Options, settings};
use crate::rt::{Instant, after};
use crate::transport::BoxFuture;

/// Jobs that are waited for together, each one told of as it ends: made by [`Client::set`].
///
/// Against our server thousands of jobs are waited for by one held request. Each job has an outcome of its own: one
/// that isn't known to the server fails by itself alone. The [deadline](Self::deadline) is one for the whole set: when
/// it comes, the jobs that haven't ended by then are all told of as [still running](Error::is_still_running).
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
    /// When the deadline is; set by the first poll.
    deadline_at: Option<Instant>,
    /// Inserted, and not begun.
    fresh: Vec<JobHandle>,
    /// Inserted, and not told of; each with its place in the order.
    ids: HashMap<JobId, usize>,
    inserted: usize,
    waits: FuturesUnordered<BoxFuture<'static, (JobId, Result<Finished, Error>)>>,
}

impl Client {
    /// Waits for many jobs together: for [each as it ends](JobSet::join_next), or, by awaiting the set, for all.
    ///
    /// ```no_run
    /// # async fn example(client: abide::Client, jobs: Vec<abide::JobHandle>) {
    /// let mut set = client.set(jobs).deadline(std::time::Duration::from_secs(600));
    /// while let Some((id, outcome)) = set.join_next().await {
    ///     println!("{id}: {outcome:?}");
    /// }
    /// # }
    /// ```
    pub fn set(&self, jobs: impl IntoIterator<Item = JobHandle>) -> JobSet {
        let mut set = JobSet {
            client: self.clone(),
            options: Options::default(),
            deadline_at: None,
            fresh: Vec::new(),
            ids: HashMap::new(),
            inserted: 0,
            waits: FuturesUnordered::new(),
        };
        set.extend(jobs);
        set
    }
}

impl JobSet {
    settings! { deadline strategy schedule dial max_interval retry attempt_timeout metadata_feature }

    /// Adds a job, at any time; the deadline stays where it is. Returns whether it wasn't in the set.
    pub fn insert(&mut self, job: JobHandle) -> bool {
        let Entry::Vacant(entry) = self.ids.entry(job.id().clone()) else {
            return false;
        };
        entry.insert(self.inserted);
        self.inserted += 1;
        self.fresh.push(job);
        true
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

    /// All that haven't been told of, in the order in which they were inserted. Awaiting the set is the same.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the set; the jobs go on.
    pub async fn join_all(mut self) -> Vec<(JobId, Result<Finished, Error>)> {
        let order = self.ids.clone();
        let mut outcomes = Vec::with_capacity(order.len());
        while let Some(outcome) = self.join_next().await {
            outcomes.push(outcome);
        }
        outcomes.sort_by_key(|(id, _)| order.get(id).copied());
        outcomes
    }

    fn begin(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        if self.deadline_at.is_none() {
            let core = &self.client.core;
            let deadline = self.options.deadline.or(core.options.deadline);
            let now = core.origin.clock.now();
            self.deadline_at = deadline.map(|deadline| after(now, deadline));
        }
        let crowded = self.fresh.len() > ALONE_MAX;
        for job in self.fresh.drain(..) {
            let id = job.id().clone();
            let mut wait = Wait::new(job);
            wait.options = self.options.clone();
            wait.deadline_at = self.deadline_at;
            wait.crowded = crowded;
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

impl IntoFuture for JobSet {
    type Output = Vec<(JobId, Result<Finished, Error>)>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.join_all())
    }
}
