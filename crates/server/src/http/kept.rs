//! Answers in other systems' words, kept for the next read of the job.
//!
//! Such an answer is a function of the job as it is and of where its client reaches the server, and making it takes
//! longer than all else that is done for a read. What is true for the moment alone isn't kept.

use std::sync::{Arc, Weak};

use abide_engine::{Job, JobKey};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::answer::{Answer, Body, room};
use super::base::Base;
use super::seen::Seen;
use crate::recent::Recent;
use crate::sharded::Sharded;

/// How many shards the answers are divided into.
const SHARDS: usize = 16;
/// The most answers per shard, one for each job.
const ANSWERS_MAX: usize = 64;
/// The longest body of an answer that is kept, and the longest base, in bytes.
const BYTES_MAX: usize = 4 * 1024;

/// Shows a job.
pub(super) type Show = fn(&Seen<'_>) -> Answer;

/// The answers that jobs were shown by last.
#[derive(Debug)]
pub(super) struct KeptAnswers(Sharded<JobKey, Recent<JobKey, Option<Kept>>>);

#[derive(Debug)]
struct Kept {
    /// The job as it was: the board has another one once it has changed.
    job: Weak<Job>,
    show: Show,
    base: Base,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl KeptAnswers {
    /// None is kept yet.
    pub(super) fn new() -> Self {
        Self(Sharded::new(SHARDS, || Recent::new(ANSWERS_MAX)))
    }

    /// What `show` makes of that job for a client that reaches the server there. Unless it is kept it is made by
    /// `make`, which says whether it stays true until the job changes.
    pub(super) fn find_or(
        &self,
        job: &Arc<Job>,
        show: Show,
        base: &Base,
        make: impl FnOnce() -> (Answer, bool),
    ) -> Answer {
        self.find(job, show, base).unwrap_or_else(|| {
            let (answer, stays) = make();
            if stays {
                self.keep(job, show, base, &answer);
            }
            answer
        })
    }

    fn find(&self, job: &Arc<Job>, show: Show, base: &Base) -> Option<Answer> {
        let shard = self.0.read(&job.key);
        let kept = shard.get(&job.key)?.as_ref()?;
        let is_same = std::ptr::eq(kept.job.as_ptr(), Arc::as_ptr(job))
            && std::ptr::fn_addr_eq(kept.show, show)
            && kept.base == *base;
        is_same.then(|| {
            let mut headers = room();
            for (name, value) in &kept.headers {
                headers.append(name, value.clone());
            }
            let mut answer = Answer::new(Body::Bytes(kept.body.clone()));
            *answer.status_mut() = kept.status;
            *answer.headers_mut() = headers;
            answer
        })
    }

    fn keep(&self, job: &Arc<Job>, show: Show, base: &Base, answer: &Answer) {
        let Body::Bytes(body) = answer.body() else {
            return;
        };
        if body.len() + base.as_str().len() > BYTES_MAX || !answer.extensions().is_empty() {
            return;
        }
        let mut shard = self.0.write(&job.key);
        *shard.get_or_add(job.key).0 = Some(Kept {
            job: Arc::downgrade(job),
            show,
            base: base.clone(),
            status: answer.status(),
            headers: answer.headers().clone(),
            body: body.clone(),
        });
    }
}
