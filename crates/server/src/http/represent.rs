//! A job as an answer, with the headers that go with it.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use abide_engine::{Claimed, Job};
use abide_wire::{Remaining, Timestamp, headers};

use super::answer::{Answer, Body, empty};
use super::error::ApiError;
use super::json;
use super::state::AppState;
use super::value::{number, tag_of_revision, value};

/// Most jobs' JSON is shorter, in bytes.
const JSON_BYTES: usize = 1_024;
/// The longest pause that is recommended between two reads.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static(headers::PREFERENCE_APPLIED);
const SERVER_TIMING: HeaderName = HeaderName::from_static(headers::SERVER_TIMING);

/// A job, shown.
#[derive(Debug)]
pub(super) struct Shown {
    /// The answer.
    pub answer: Answer,
    /// The seconds after which the client is told to look again.
    pub retry_after: Option<u32>,
}

/// The job as it is; a `304` without a body if the client has it already.
pub(super) fn show(state: &AppState, job: &Job, is_known: bool, now: Timestamp) -> Shown {
    let remaining = state.board.remaining(job, now);
    let answer = if is_known {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        json::written(state.board.json(job, remaining))
    };
    with_job(state, job, answer, remaining, now)
}

/// A job as it is when it has been made. Its JSON isn't kept: most jobs have changed before they are read.
pub(super) fn show_new(state: &AppState, job: &Job, now: Timestamp) -> Answer {
    let remaining = state.board.remaining(job, now);
    let mut json = Vec::with_capacity(JSON_BYTES);
    job.write_json(job.revision, remaining, &mut json);
    with_job(state, job, json::written(json), remaining, now).answer
}

/// Puts the headers on an answer that go with a job.
fn with_job(
    state: &AppState,
    job: &Job,
    mut answer: Answer,
    remaining: Option<Remaining>,
    now: Timestamp,
) -> Shown {
    let out = answer.headers_mut();
    out.insert(header::ETAG, tag_of_revision(job.revision));
    let kept = HeaderValue::from_static("private, no-cache");
    out.insert(header::CACHE_CONTROL, kept);
    let retry_after = if add_age(out, job, now) {
        None
    } else {
        let seconds = retry_after(remaining, state.clock.speed().unwrap_or(1));
        out.insert(header::RETRY_AFTER, number(seconds.into()));
        Some(seconds)
    };
    Shown {
        answer,
        retry_after,
    }
}

/// The job as it is, with the lease that the worker holds which asks.
///
/// # Errors
///
/// The job has something in it that isn't JSON, which would be a fault of ours.
pub(super) fn show_lease(
    state: &AppState,
    claimed: &Claimed,
    now: Timestamp,
) -> Result<Answer, ApiError> {
    let Claimed { job, lease } = claimed;
    let mut answer = show(state, job, false, now).answer;
    if let Some(lease) = lease {
        let mut shown = job.to_wire(state.board.remaining(job, now));
        shown.lease = Some((*lease).into());
        let body = serde_json::to_vec(&shown).map_err(|error| ApiError::internal(&error))?;
        *answer.body_mut() = Body::Bytes(body.into());
    }
    Ok(answer)
}

/// Says how long the request was allowed to be held.
pub(super) fn add_preference(out: &mut HeaderMap, granted: Duration) {
    out.insert(
        PREFERENCE_APPLIED,
        value(|text| {
            text.str("wait=").number(granted.as_secs());
        }),
    );
}

/// Says that a preference was followed.
pub(super) fn add_respond_async(out: &mut HeaderMap) {
    out.insert(
        PREFERENCE_APPLIED,
        HeaderValue::from_static("respond-async"),
    );
}

/// The age of the news, if the job has ended.
pub(super) fn add_age(out: &mut HeaderMap, job: &Job, now: Timestamp) -> bool {
    let Some(finished_at) = job.finished_at else {
        return false;
    };
    let age = now.since(finished_at).as_millis();
    out.insert(
        SERVER_TIMING,
        value(|text| {
            text.str("since-end;dur=").number(age);
        }),
    );
    true
}

/// When a read is worth while: when one job in ten of this kind would have ended, in whole seconds of the client's
/// clock, of which a faster server clock leaves fewer.
pub(super) fn retry_after(remaining: Option<Remaining>, speed: u32) -> u32 {
    let soon = remaining.map_or(1, |remaining| remaining.p10 / 1_000 / u64::from(speed));
    let seconds = soon.clamp(1, RETRY_AFTER_MAX.as_secs());
    u32::try_from(seconds).unwrap_or(u32::MAX)
}
