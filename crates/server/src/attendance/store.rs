//! The store, and the one call that writes a read to both of its halves.

use std::hash::BuildHasher as _;
use std::time::Duration;

use abide_engine::{Job, JobKey, Owner};
use abide_wire::Timestamp;
use foldhash::fast::FixedState;

use super::client_report::ClientReports;
use super::timeline::Timelines;
use super::{AnsweredCreate, Client, ClientReport, FailedRequest, Timeline};
use crate::board::Channel;

/// Timelines by job and reports by client.
#[derive(Debug)]
pub struct Attendance {
    timelines: Timelines,
    reports: ClientReports,
}

/// A read of a job, as the handler that answers it knows it. Begin with [`Read::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// The job.
    pub job: JobKey,
    /// The revision that was shown.
    pub revision: u64,
    /// When the job ended, if the read showed that.
    pub finished_at: Option<Timestamp>,
    /// A digest of the job's kind; 0 while it goes on.
    pub kind: u64,
    /// From its creation to its end; 0 while it goes on.
    pub took: Duration,
    /// When the client asked.
    pub asked_at: Timestamp,
    /// When it was answered; later than [`Read::asked_at`] by the time for which the request was held.
    pub at: Timestamp,
    /// How the request was held; `None` for a poll.
    pub channel: Option<Channel>,
    /// The newest revision that the client said it has.
    pub known: Option<u64>,
    /// How many seconds the answer told the client to wait.
    pub retry_after: Option<u32>,
}

impl Read {
    /// A poll that showed that job, asked and answered at that moment.
    #[must_use]
    pub fn of(job: &Job, at: Timestamp) -> Self {
        let took = job.finished_at.map(|at| at.since(job.created_at));
        Self {
            job: job.key,
            revision: job.revision,
            finished_at: job.finished_at,
            kind: took.map_or(0, |_| FixedState::default().hash_one(&job.kind)),
            took: took.unwrap_or_default(),
            asked_at: at,
            at,
            channel: None,
            known: None,
            retry_after: None,
        }
    }

    pub(super) fn wait(&self) -> Option<Duration> {
        self.retry_after
            .map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// Whether a request was made for this read alone. Requests of the other channels are counted where they are
    /// answered, because several reads may belong to one.
    pub(super) const fn is_request(&self) -> bool {
        matches!(self.channel, None | Some(Channel::LongPoll))
    }
}

impl Attendance {
    /// No client has been seen. `speed` is how many times faster the server's time passes than its clients'.
    #[must_use]
    pub fn new(speed: u32) -> Self {
        Self {
            timelines: Timelines::new(),
            reports: ClientReports::new(speed),
        }
    }

    /// Counts a read.
    pub fn read(&self, client: Client, read: Read) {
        self.timelines.read(client, &read);
        self.reports.read(client, &read);
    }

    /// Counts a request to which any number of reads belong; [`Attendance::read`] counts those.
    pub fn request(&self, client: Client, at: Timestamp) {
        self.reports.request(client, at);
    }

    /// Counts a request that was refused or failed.
    pub fn failed(&self, client: Client, failed: FailedRequest) {
        self.reports.failed(client, failed);
    }

    /// Counts a create that made a job, or repeated one that had.
    pub fn created(&self, client: Client, created: AnsweredCreate) {
        self.reports.created(client, created);
    }

    /// The last reads of that job.
    #[must_use]
    pub fn timeline(&self, job: JobKey) -> Timeline {
        self.timelines.of(job)
    }

    /// The reports of all clients that see that owner's jobs, and how many different jobs they have read together, as
    /// far as that is remembered.
    #[must_use]
    pub fn reports(&self, owner: Owner) -> (Vec<ClientReport>, usize) {
        self.reports.of(owner)
    }

    /// Forgets all reads of all clients.
    pub fn clear(&self) {
        self.timelines.clear();
        self.reports.clear_all();
    }

    /// Forgets the reports of all clients that see that owner's jobs.
    pub fn clear_reports(&self, owner: Owner) {
        self.reports.clear(owner);
    }
}
