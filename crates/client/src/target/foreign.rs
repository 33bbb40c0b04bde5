//! A job on an API that isn't ours, by its description.

use std::sync::Arc;

use abide_wire::{Job, JobId, Outcome, Revision, Timestamp};

use super::{Asked, Exchange, Target};
use crate::answer::Answer;
use crate::error::Error;
use crate::exchange::{Call, Failure, exchange};
use crate::origin::Origin;
use crate::remote::Remote;
use crate::report::Channel;
use crate::resume::ResumeToken;
use crate::telemetry::Purpose;

/// One wait's view of one foreign job.
#[derive(Debug)]
pub(crate) struct Foreign {
    pub(crate) origin: Arc<Origin>,
    pub(crate) remote: Arc<Remote>,
    pub(crate) id: JobId,
    pub(crate) kind: String,
    pub(crate) token: ResumeToken,
    /// When the job was made, as far as the create noted it.
    pub(crate) created_at: Option<Timestamp>,
    /// The latest answer. Foreign jobs have no revisions: every answer that differs from the one before is one.
    pub(crate) seen: Option<Job>,
}

impl Foreign {
    async fn look(&mut self, terms: Exchange<'_>) -> Result<Answer<Arc<Job>>, Failure> {
        let Self { origin, remote, .. } = self;
        terms
            .account
            .spend(&origin.budget, &origin.clock, terms.weight)
            .await;
        let url = |path| remote.url(origin, path, &self.id, &self.kind);
        let url_of_status = url(&remote.status);
        let reply = exchange(
            origin,
            &Call::get(Purpose::Look, url_of_status),
            terms.limit,
        )
        .await?;
        terms.account.cost.received += reply.body.len() as u64;
        origin.memory.note_rtt(reply.took());
        let mut job = remote.read(origin, &reply, &self.id, &self.kind)?;
        // What we can't know of the first answer is how long the job has existed; what it says of itself counts.
        job.revision = match &self.seen {
            None => Revision(1),
            Some(seen) if is_same(seen, &job) => seen.revision,
            Some(seen) => seen.revision.next(),
        };
        if remote.created_at.is_none() {
            job.created_at = *self.created_at.get_or_insert(job.created_at);
        }
        if let (Some(Outcome::Completed), Some(path)) = (job.outcome, &remote.result_path) {
            terms
                .account
                .spend(&origin.budget, &origin.clock, None)
                .await;
            let call = Call::get(Purpose::Look, url(path));
            let result = exchange(origin, &call, terms.limit).await?;
            terms.account.cost.received += result.body.len() as u64;
            job.result = remote.result_of(&result)?;
        }
        self.seen = Some(job.clone());
        let told = origin.answer(&reply, job, Channel::Poll, false);
        let dates_start = remote.created_at.is_some();
        let dates_end = remote.finished_at.is_some();
        Ok(Answer {
            hint: remote.hint(&reply).filter(|_| !told.done),
            remaining: remote.remaining_of(&reply),
            accepted_for: told.accepted_for.filter(|_| dates_start),
            age: told.age.filter(|_| dates_end),
            duration: told.duration.filter(|_| dates_start && dates_end),
            ..told
        })
    }
}

/// Whether two answers show the same state.
fn is_same(a: &Job, b: &Job) -> bool {
    a.status == b.status && a.progress == b.progress && a.result == b.result && a.done == b.done
}

impl Target for Foreign {
    type View = Arc<Job>;

    fn ask<'a>(&'a mut self, exchange: Exchange<'a>) -> Asked<'a, Arc<Job>> {
        Box::pin(self.look(exchange))
    }

    fn pushed(&mut self, job: &Job) -> Option<Answer<Arc<Job>>> {
        (job.id == self.id).then(|| self.origin.told(job.clone(), Channel::Push))
    }

    fn job<'v>(&self, job: &'v Arc<Job>) -> Option<&'v Arc<Job>> {
        Some(job)
    }

    fn complete(&self, error: Error, last: Option<&Arc<Job>>) -> Error {
        error.about(last.cloned()).token(self.token.clone())
    }
}
