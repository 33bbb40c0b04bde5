//! The words of these systems: a job's status, and what is left of a client's limits.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;

use abide_engine::Job;
use abide_engine::State as JobState;

use crate::http::answer::Answer;
use crate::http::base::Base;
use crate::http::door::Words;
use crate::http::json;
use crate::http::limits::Verdict;
use crate::http::seen::{Seen, Shown};
use crate::http::state::AppState;
use crate::http::value::{number, tag_of_revision};

/// About as long is the body of an answer, in bytes.
const BODY_BYTES: usize = 128;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// How these systems say what every route may have to say.
#[derive(Debug)]
pub(super) struct Classic;

/// A job, in the words of these systems.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ClassicJob<'a> {
    /// Its id.
    job_id: abide_wire::JobId,
    /// `pending`, `completed` or `error`.
    status: &'a str,
    /// The same as `status`.
    result: &'a str,
}

impl Words for Classic {
    fn write_limits(&self, verdict: &Verdict, out: &mut HeaderMap) {
        out.insert(LIMIT, number(verdict.requests().into()));
        out.insert(REMAINING, number(verdict.remaining.into()));
        out.insert(RESET, number(verdict.wait_s()));
    }

    fn limits(&self) -> &'static [(&'static str, bool, &'static str)] {
        &[
            ("X-RateLimit-Limit", true, "The most requests in a window."),
            ("X-RateLimit-Remaining", true, "How many are left."),
            ("X-RateLimit-Reset", true, "Seconds until one more is free."),
        ]
    }

    fn of_a_job(&self) -> &'static [(&'static str, bool, &'static str)] {
        &[("Cache-Control", false, "`no-store`.")]
    }
}

/// The word of these systems for where a job stands.
pub(super) const fn word(state: JobState) -> &'static str {
    match state {
        JobState::Pending | JobState::Running => "pending",
        JobState::Completed => "completed",
        JobState::Failed | JobState::Canceled => "error",
    }
}

/// The job as it is.
pub(super) fn show(state: &AppState, job: &Arc<Job>) -> Answer {
    state.kept.find_or(job, show_seen, &Base::default(), || {
        let answer = show_as(job.key.to_id().as_str(), word(job.state), job.revision);
        (answer, true)
    })
}

/// How the job can be shown otherwise.
pub(super) fn shown(job: &Job) -> Shown {
    Shown {
        job: job.key,
        show: show_seen,
        base: Base::default(),
        has_result: false,
    }
}

fn show_seen(seen: &Seen<'_>) -> Answer {
    let word = seen.word(&["pending", "pending", "completed", "error", "error"]);
    show_as(seen.id, word, seen.revision)
}

/// The job with that word for its status.
fn show_as(id: &str, word: &str, revision: u64) -> Answer {
    let mut body = Vec::with_capacity(BODY_BYTES);
    let shown = ClassicJob {
        job_id: id.into(),
        status: word,
        result: word,
    };
    serde_json::to_writer(&mut body, &shown).expect("three words are JSON");
    let mut answer = json::written(body);
    let out = answer.headers_mut();
    out.insert(header::ETAG, tag_of_revision(revision));
    let never = HeaderValue::from_static("no-store");
    out.insert(header::CACHE_CONTROL, never);
    answer
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use abide_engine::Owner;

    use super::*;
    use crate::config::{Quota, RateLimit};
    use crate::http::limits::{Class, Client, Rates};

    #[test]
    fn the_limits_are_told_as_these_clients_know_them() {
        let rates = Rates::new(RateLimit(Some(Quota {
            requests: 600.try_into().unwrap(),
            window: Duration::from_mins(1),
        })));
        let now = Duration::from_secs(1_000);
        let verdict = rates
            .take(Client::Key(Owner(1)), Class::Request, now)
            .unwrap();
        let mut out = HeaderMap::new();
        Classic.write_limits(&verdict, &mut out);
        assert_eq!(out.len(), 3);
        assert_eq!(out["x-ratelimit-limit"], "600");
        assert_eq!(out["x-ratelimit-remaining"], "599");
        assert_eq!(out["x-ratelimit-reset"], "1");
    }
}
