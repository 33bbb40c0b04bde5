//! A job on our server, over `/v1`.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use url::Url;

use abide_wire::{Event, Job, Revision, Until};

use super::{Asked, Exchange, Hold, Target};
use crate::answer::{Answer, check, read_job};
use crate::error::Error;
use crate::exchange::{Call, Failure, FailureKind, exchange, stretched};
use crate::hub::{Hub, Want};
use crate::job::JobHandle;
use crate::origin::Origin;
use crate::report::Channel;
use crate::retry::retry_after;
use crate::sse::{Opened, open_events};
use crate::telemetry::Purpose;
use crate::transport::BoxFuture;

/// One wait's view of one job.
#[derive(Debug)]
pub(crate) struct Native {
    origin: Arc<Origin>,
    hub: Arc<Hub>,
    job: JobHandle,
    /// Whether more waits begin together than may each hold a request: then none of them tries to.
    crowded: bool,
}

impl Native {
    pub(crate) fn new(job: JobHandle, crowded: bool) -> Self {
        let core = &job.client().core;
        Self {
            origin: Arc::clone(&core.origin),
            hub: Arc::clone(&core.hub),
            job,
            crowded,
        }
    }

    async fn look(
        &self,
        call: Call,
        channel: Channel,
        terms: Exchange<'_>,
        hold: Duration,
    ) -> Result<Answer<Arc<Job>>, Failure> {
        let origin = &self.origin;
        terms
            .account
            .spend(&origin.budget, &origin.clock, terms.weight)
            .await;
        let reply = exchange(origin, &call, terms.limit.saturating_add(hold)).await?;
        terms.account.cost.received += reply.body.len() as u64;
        if channel == Channel::Poll {
            origin.memory.note_rtt(reply.took());
        }
        let granted = reply.was_held();
        if reply.status == StatusCode::NOT_MODIFIED {
            origin.note_date(&reply);
            return Ok(Answer {
                granted,
                hint: retry_after(&reply.headers),
                ..Answer::nothing_new(channel)
            });
        }
        let job = read_job(&reply, Some(self.job.id()))?;
        Ok(origin.answer(&reply, job, channel, granted))
    }

    /// Whether not all of the server may know the job yet.
    fn is_young(&self) -> bool {
        let until = self.job.young_until(&self.origin.retry);
        until.is_some_and(|until| self.origin.clock.now() < until)
    }

    fn hold_url(&self, hold: Hold) -> Url {
        let mut url = self.origin.job_url(self.job.id());
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

    fn ask<'a>(&'a mut self, exchange: Exchange<'a>) -> Asked<'a, Arc<Job>> {
        Box::pin(async move {
            let mut alone = self.hub.asks_alone();
            if alone.is_none() {
                let cost = &mut exchange.account.cost;
                if let Some(answer) = self.hub.join(self.job.id(), Want::Now, None, cost).await {
                    return answer;
                }
                alone = self.hub.asks_alone();
            }
            let call = Call::get(Purpose::Look, self.origin.job_url(self.job.id()));
            // On the heap, so that a wait that is told by another's request doesn't carry the room for its own.
            let answer = Box::pin(self.look(call, Channel::Poll, exchange, Duration::ZERO)).await;
            drop(alone);
            answer
        })
    }

    fn hold<'a>(&'a mut self, hold: Hold, exchange: Exchange<'a>) -> Asked<'a, Arc<Job>> {
        Box::pin(async move {
            let alone = || self.hub.holds_alone();
            let mut own = if self.crowded { None } else { alone() };
            if own.is_none() {
                let (id, want) = (self.job.id(), hold.until.into());
                let cost = &mut exchange.account.cost;
                if let Some(answer) = self.hub.join(id, want, hold.after, cost).await {
                    return answer;
                }
                own = alone();
            }
            let call = Call::get(Purpose::Hold, self.hold_url(hold));
            let held = stretched(hold.up_to);
            let answer = Box::pin(self.look(call, Channel::LongPoll, exchange, held)).await;
            drop(own);
            answer
        })
    }

    fn listen<'a>(
        &'a mut self,
        after: Option<Revision>,
        exchange: Exchange<'a>,
    ) -> BoxFuture<'a, Result<Opened, Failure>> {
        Box::pin(async move {
            let Some(alone) = self.hub.listens_alone() else {
                return Ok(Opened::Crowded);
            };
            let origin = &self.origin;
            exchange
                .account
                .spend(&origin.budget, &origin.clock, exchange.weight)
                .await;
            let url = origin.url(["v1", "jobs", self.job.id().as_str(), "events"]);
            let call = Call::get(Purpose::Stream, url);
            let after = after.map(|after| after.0.into());
            match open_events(origin, call, after, exchange.limit, Some(alone)).await {
                // What isn't known yet may well have a stream: this wait does without, and others will see.
                Err(failure) if failure.is_not_found() && self.is_young() => Ok(Opened::Crowded),
                Err(failure) if is_absent(&failure) => Ok(Opened::Absent),
                opened => opened,
            }
        })
    }

    fn read(&mut self, event: &str, data: &str) -> Result<Option<Answer<Arc<Job>>>, Failure> {
        if event != "message" && event != "reset" && !event.starts_with("job.") {
            // A kind of event that this version has no name for.
            return Ok(None);
        }
        let job = serde_json::from_str::<Event>(data)
            .map(|event| event.data)
            .or_else(|_| serde_json::from_str::<Job>(data))
            .map_err(|error| Failure::garbled("an event holds no job").because(error))?;
        let job = check(job, Some(self.job.id()))?;
        Ok(Some(self.origin.told(job, Channel::Stream)))
    }

    fn pushed(&mut self, job: &Job) -> Option<Answer<Arc<Job>>> {
        let job = check(job.clone(), Some(self.job.id())).ok()?;
        Some(self.origin.told(job, Channel::Push))
    }

    fn job<'v>(&self, job: &'v Arc<Job>) -> Option<&'v Arc<Job>> {
        Some(job)
    }

    fn complete(&self, error: Error, last: Option<&Arc<Job>>) -> Error {
        let token = self.job.resume_token();
        let token = match last {
            Some(job) => token.known(&job.kind, job.created_at, Some(job.revision)),
            None => token,
        };
        error.about(last.cloned()).token(token)
    }
}

/// A route that isn't there, or not for this: to be met by other means, not by failing. If it is the job that isn't
/// there, the other means will say so.
fn is_absent(failure: &Failure) -> bool {
    const NOT_THERE: [StatusCode; 3] = [
        StatusCode::NOT_FOUND,
        StatusCode::METHOD_NOT_ALLOWED,
        StatusCode::NOT_ACCEPTABLE,
    ];
    let refused = failure.kind == FailureKind::Refused;
    failure.status.is_some_and(|status| {
        status == StatusCode::NOT_IMPLEMENTED || refused && NOT_THERE.contains(&status)
    })
}

/// Seconds as the server reads them, in milliseconds if they aren't whole.
fn seconds(span: Duration) -> String {
    let millis = span.as_millis();
    if millis.is_multiple_of(1_000) {
        (millis / 1_000).to_string()
    } else {
        format!("{}.{:03}", millis / 1_000, millis % 1_000)
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
