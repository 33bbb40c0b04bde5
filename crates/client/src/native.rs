//! A job on our server, over `/v1`.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use tokio::time::timeout;
use url::Url;

use abide_wire::{Event, Job, JobId, Revision, Until, headers};

use crate::drive::{Answer, Cost, Exchange, Heard, Hold, Target};
use crate::error::Error;
use crate::exchange::{Call, Failure, FailureKind, Reply, exchange, open};
use crate::hub::{Hub, Want};
use crate::job::JobHandle;
use crate::origin::Origin;
use crate::report::{Channel, since_end};
use crate::retry::retry_after;
use crate::schedule::Remaining;
use crate::sse::Events;
use crate::telemetry::{self, Purpose};
use crate::transport::BoxFuture;

/// For how long an answer may have been on its way before a round trip was measured.
const DATE_DOUBT: Duration = Duration::from_millis(200);

/// One wait's view of one job.
#[derive(Debug)]
pub(crate) struct Native {
    origin: Arc<Origin>,
    hub: Arc<Hub>,
    job: JobHandle,
    /// Whether it is one of so many that none need try to hold a request of its own.
    crowded: bool,
    /// Its place in the queue for the request budget.
    turn: f64,
    cost: Cost,
}

impl Native {
    pub(crate) fn new(job: JobHandle) -> Self {
        let core = &job.client.core;
        Self {
            origin: Arc::clone(&core.origin),
            hub: Arc::clone(&core.hub),
            job,
            crowded: false,
            turn: 0.0,
            cost: Cost::default(),
        }
    }

    /// The same as one of many that begin together.
    pub(crate) fn crowded(mut self, crowded: bool) -> Self {
        self.crowded = crowded;
        self
    }

    /// Waits for a turn, and counts a request.
    async fn spend(&mut self, terms: Exchange) {
        let origin = &self.origin;
        match terms.weight {
            Some(weight) => {
                origin
                    .budget
                    .take(&origin.clock, &mut self.turn, weight)
                    .await;
            }
            None => origin.budget.overdraw(),
        }
        self.cost.requests += 1;
        self.cost.share += 1.0;
    }

    async fn look(
        &mut self,
        call: Call,
        channel: Channel,
        terms: Exchange,
        hold: Duration,
    ) -> Result<Answer<Arc<Job>>, Failure> {
        self.spend(terms).await;
        let reply = exchange(&self.origin, &call, terms.limit.saturating_add(hold)).await?;
        self.cost.received += reply.body.len() as u64;
        if channel == Channel::Poll {
            self.origin.memory.note_rtt(reply.took());
        }
        let granted = reply
            .header(headers::PREFERENCE_APPLIED)
            .is_some_and(|applied| applied.contains("wait"));
        if reply.status == StatusCode::NOT_MODIFIED {
            self.origin.note_date(&reply);
            return Ok(Answer {
                granted,
                hint: retry_after(&reply.headers),
                ..nothing_new(channel)
            });
        }
        let job = read_job(&reply, Some(&self.job.id))?;
        Ok(self.origin.answer(&reply, job, channel, granted))
    }
}

impl Native {
    fn hold_url(&self, hold: Hold) -> Url {
        let mut url = self.origin.job_url(&self.job.id);
        let mut query = url.query_pairs_mut();
        query.append_pair("wait", &seconds(hold.up_to));
        match (hold.until, hold.after) {
            (Until::Done, _) => {
                query.append_pair("until", "done");
            }
            (Until::Any, Some(after)) => {
                query.append_pair("after", &after.to_string());
            }
            // Without a validator every state is news, and is answered at once.
            (Until::Any, None) => {}
        }
        drop(query);
        url
    }
}

impl Target for Native {
    type View = Arc<Job>;

    fn ask(&mut self, terms: Exchange) -> BoxFuture<'_, Result<Answer<Arc<Job>>, Failure>> {
        Box::pin(async move {
            let mut alone = self.hub.asks_alone();
            if alone.is_none() {
                let joined = self
                    .hub
                    .join(&self.job.id, Want::Now, None, &mut self.cost)
                    .await;
                if let Some(answer) = joined {
                    return answer;
                }
                alone = self.hub.asks_alone();
            }
            let call = Call::get(Purpose::Look, self.origin.job_url(&self.job.id));
            // On the heap, so that a wait that is told by another's request doesn't carry the room for its own.
            let answer = Box::pin(self.look(call, Channel::Poll, terms, Duration::ZERO)).await;
            drop(alone);
            answer
        })
    }

    fn hold(
        &mut self,
        hold: Hold,
        terms: Exchange,
    ) -> BoxFuture<'_, Result<Answer<Arc<Job>>, Failure>> {
        Box::pin(async move {
            let mut alone = if self.crowded {
                None
            } else {
                self.hub.holds_alone()
            };
            if alone.is_none() {
                let want = hold.until.into();
                let joined = self
                    .hub
                    .join(&self.job.id, want, hold.after, &mut self.cost)
                    .await;
                if let Some(answer) = joined {
                    return answer;
                }
                alone = self.hub.holds_alone();
            }
            let call = Call::get(Purpose::Hold, self.hold_url(hold));
            let held = stretched(hold.up_to);
            let answer = Box::pin(self.look(call, Channel::LongPoll, terms, held)).await;
            drop(alone);
            answer
        })
    }

    fn listen(
        &mut self,
        after: Option<Revision>,
        terms: Exchange,
    ) -> BoxFuture<'_, Result<Heard, Failure>> {
        let mut call = Call::get(
            Purpose::Stream,
            self.origin
                .url(["v1", "jobs", self.job.id.as_str(), "events"]),
        );
        call = call.header(
            header::ACCEPT.as_str(),
            HeaderValue::from_static("text/event-stream"),
        );
        if let Some(after) = after {
            call = call.header(headers::LAST_EVENT_ID, HeaderValue::from(after.0));
        }
        Box::pin(async move {
            let Some(alone) = self.hub.listens_alone() else {
                return Ok(Heard::Crowded);
            };
            self.spend(terms).await;
            let clock = &self.origin.clock;
            let sent = clock.now();
            let answer = timeout(terms.limit, open(&self.origin, &call))
                .await
                .unwrap_or_else(|_| Err(Failure::timed_out(terms.limit)));
            let took = clock.now().saturating_duration_since(sent);
            telemetry::exchanged(call.purpose, took, &answer);
            let answer = match answer {
                Ok(answer) => answer,
                Err(failure) if is_absent(&failure) => return Ok(Heard::Absent),
                Err(failure) => return Err(failure),
            };
            if answer.status() == StatusCode::NO_CONTENT {
                return Ok(Heard::Over);
            }
            let is_stream = answer
                .headers()
                .get(header::CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"));
            if !is_stream {
                return Ok(Heard::Absent);
            }
            Ok(Heard::Open(Events::new(answer.into_body(), Some(alone))))
        })
    }

    fn read(&mut self, event: &str, data: &str) -> Result<Option<Answer<Arc<Job>>>, Failure> {
        self.cost.received += data.len() as u64;
        if event != "message" && event != "reset" && !event.starts_with("job.") {
            // A kind of event that this version has no name for.
            return Ok(None);
        }
        let job = serde_json::from_str::<Event>(data)
            .map(|event| event.data)
            .or_else(|_| serde_json::from_str::<Job>(data))
            .map_err(|error| Failure::garbled("an event holds no job").because(error))?;
        let job = check(job, Some(&self.job.id))?;
        Ok(Some(self.origin.told(job, Channel::Stream)))
    }

    fn pushed(&mut self, job: &Job) -> Option<Answer<Arc<Job>>> {
        let job = check(job.clone(), Some(&self.job.id)).ok()?;
        Some(self.origin.told(job, Channel::Push))
    }

    fn complete(&self, error: Error, last: Option<&Arc<Job>>) -> Error {
        let token = self.job.resume_token();
        let token = match last {
            Some(job) => token.known(&job.kind, job.created_at, job.revision),
            None => token,
        };
        error.about(last.cloned()).token(token)
    }

    fn cost(&self) -> Cost {
        self.cost
    }
}

/// A route that isn't there, or not for this: to be met by other means, not by failing. Where it is the job that isn't
/// there, the other means will say so.
fn is_absent(failure: &Failure) -> bool {
    failure.kind == FailureKind::Refused
        && matches!(
            failure.status,
            Some(
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_ACCEPTABLE
            )
        )
        || failure.status == Some(StatusCode::NOT_IMPLEMENTED)
}

/// How long a server may hold in truth: it may let go a little later, so that not all are let go together.
pub(crate) fn stretched(hold: Duration) -> Duration {
    hold.saturating_add(hold / 8)
}

/// Seconds as the server reads them, in milliseconds where they aren't whole.
pub(crate) fn seconds(span: Duration) -> String {
    let millis = span.as_millis();
    if millis.is_multiple_of(1_000) {
        (millis / 1_000).to_string()
    } else {
        format!("{}.{:03}", millis / 1_000, millis % 1_000)
    }
}

/// Reads the job that an answer holds, and checks that it is the one that was asked for.
pub(crate) fn read_job(reply: &Reply, id: Option<&JobId>) -> Result<Job, Failure> {
    let job: Job = serde_json::from_slice(&reply.body).map_err(|error| {
        let kind = reply
            .header(header::CONTENT_TYPE.as_str())
            .unwrap_or("no content type");
        Failure::garbled(format!("the answer ({kind}) holds no job"))
            .with_status(reply.status)
            .because(error)
    })?;
    check(job, id)
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

pub(crate) const fn nothing_new(channel: Channel) -> Answer<Arc<Job>> {
    Answer {
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
        let accepted_for = reply
            .date()
            .map(|date| date.since(job.created_at).saturating_add(half_way));
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
            ..nothing_new(channel)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_are_written_as_the_server_reads_them() {
        for (millis, text) in [(60_000, "60"), (12_345, "12.345"), (7, "0.007"), (0, "0")] {
            assert_eq!(seconds(Duration::from_millis(millis)), text);
        }
    }
}
