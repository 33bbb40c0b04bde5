//! What an answer shows of a job.
//!
//! An answer that contradicts itself, or is about another job, is not believed. What it tells of ages and durations is
//! brought to this process's clock.

use std::sync::Arc;
use std::time::Duration;

use http::header;
use url::Url;

use abide_wire::{Job, JobId, Json, Revision, headers};

use crate::exchange::{Failure, Reply, object};
use crate::origin::Origin;
use crate::report::{Channel, since_end};
use crate::retry::retry_after;
use crate::schedule::Remaining;

/// The time an answer may have been on its way before a round trip was measured.
const DATE_DOUBT: Duration = Duration::from_millis(200);

/// What a look has shown.
#[derive(Clone, Debug)]
pub(crate) struct Answer<V> {
    /// The state; none where the answer said "nothing new".
    pub(crate) view: Option<V>,
    pub(crate) done: bool,
    pub(crate) revision: Option<Revision>,
    /// The share of the work that is done.
    pub(crate) progress: Option<f64>,
    pub(crate) remaining: Option<Remaining>,
    /// How long the server wants to be left alone.
    pub(crate) hint: Option<Duration>,
    /// Whether the server says that it held the request.
    pub(crate) granted: bool,
    /// The channel by which it came.
    pub(crate) channel: Channel,
    /// How old the end was when the answer was received.
    pub(crate) age: Option<Duration>,
    /// How long the job took by the server's clock.
    pub(crate) duration: Option<Duration>,
    /// How long the job has been accepted, by the server's clock.
    pub(crate) accepted_for: Option<Duration>,
}

impl<V> Answer<V> {
    /// An answer that says "nothing new".
    pub(crate) const fn nothing_new(channel: Channel) -> Self {
        Self {
            view: None,
            done: false,
            revision: None,
            progress: None,
            remaining: None,
            hint: None,
            granted: false,
            channel,
            age: None,
            duration: None,
            accepted_for: None,
        }
    }
}

/// Reads the job that an answer holds, and checks that it is the one that was asked for.
pub(crate) fn read_job(reply: &Reply, id: Option<&JobId>) -> Result<Job, Failure> {
    let job: Job = object(&reply.body).map_err(|error| {
        if looks_like_a_job(&reply.body) {
            return reply
                .unreadable("the job in the answer can't be read")
                .because(error);
        }
        let kind = reply
            .header(header::CONTENT_TYPE.as_str())
            .unwrap_or("no content type");
        reply
            .garbled(format!("the answer ({kind}) holds no job"))
            .because(error)
    })?;
    check(job, id)
}

/// Whether it is an object with the members that every job of ours has.
fn looks_like_a_job(body: &[u8]) -> bool {
    let json = serde_json::from_slice::<Json>(body).ok();
    json.is_some_and(|json| {
        ["/id", "/status", "/done", "/revision"]
            .into_iter()
            .all(|member| json.pointer(member).is_some())
    })
}

/// Reads one job among others. Of one that can't be read the id is told, if at least that is there.
pub(crate) fn parse_job(json: &Json) -> Result<Job, (Option<JobId>, Failure)> {
    let sound = json
        .parse::<Job>()
        .map_err(|error| Failure::unreadable("the job can't be read").because(error));
    sound.and_then(|job| check(job, None)).map_err(|failure| {
        let id = json.pointer("/id").and_then(|id| id.parse().ok());
        (id, failure)
    })
}

/// What contradicts itself or answers another question is not believed.
pub(crate) fn check(job: Job, id: Option<&JobId>) -> Result<Job, Failure> {
    if let Some(id) = id
        && *id != job.id
    {
        return Err(Failure::garbled(format!(
            "the answer is about job {}",
            job.id
        )));
    }
    if job.done != job.outcome.is_some() {
        return Err(Failure::garbled(format!(
            "the answer says done: {} with outcome: {}",
            job.done,
            job.outcome.map_or("null", abide_wire::Outcome::as_str)
        )));
    }
    Ok(job)
}

impl Origin {
    pub(crate) fn job_url(&self, id: &JobId) -> Url {
        self.url(["v1", "jobs", id.as_str()])
    }

    /// Learns how the server's clock stands to ours.
    pub(crate) fn note_date(&self, reply: &Reply) {
        if let Some(date) = reply.date() {
            // `Date` is written when the answer leaves: less than a round trip ago, and twice that to be sure.
            let doubt = self.memory.rtt().map_or(DATE_DOUBT, |rtt| rtt * 2);
            let received = self.clock.wall();
            let sent = received - reply.took().min(doubt);
            self.memory.note_date(sent, received, date);
        }
    }

    /// What an answer shows of a job.
    pub(crate) fn answer(
        &self,
        reply: &Reply,
        job: Job,
        channel: Channel,
        granted: bool,
    ) -> Answer<Arc<Job>> {
        self.note_date(reply);
        let half_way = self.memory.rtt().unwrap_or_default() / 2;
        let age = reply
            .header(headers::SERVER_TIMING)
            .and_then(since_end)
            .map(|age| age.saturating_add(half_way));
        // Not by this answer's `Date` alone, which has whole seconds.
        let accepted_for = self.memory.age(job.created_at, self.clock.wall());
        let told = self.told(job, channel);
        Answer {
            hint: retry_after(&reply.headers).filter(|_| !told.done),
            granted,
            age: age.filter(|_| told.done).or(told.age),
            accepted_for,
            ..told
        }
    }

    /// What a job shows by itself.
    pub(crate) fn told(&self, job: impl Into<Arc<Job>>, channel: Channel) -> Answer<Arc<Job>> {
        let job = job.into();
        let age = job
            .finished_at
            .filter(|_| job.done)
            .and_then(|finished| self.memory.age(finished, self.clock.wall()));
        let duration = job
            .finished_at
            .filter(|finished| job.done && *finished >= job.created_at)
            .map(|finished| finished.since(job.created_at));
        Answer {
            done: job.done,
            revision: Some(job.revision),
            progress: job
                .progress
                .as_ref()
                .map(|progress| progress.percent / 100.0)
                .filter(|share| (0.0..=1.0).contains(share)),
            remaining: job.remaining_ms.map(|remaining| {
                let [p10, p50, p90] =
                    [remaining.p10, remaining.p50, remaining.p90].map(Duration::from_millis);
                Remaining::quantiles(p10, p50, p90)
            }),
            age,
            duration,
            view: Some(job),
            ..Answer::nothing_new(channel)
        }
    }
}
