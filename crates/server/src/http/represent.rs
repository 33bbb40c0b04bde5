//! A job as an answer, with the headers that go with it.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};

use abide_engine::{Job, Refusal};
use abide_wire::{Code, Remaining, Timestamp, headers};

use super::error::ApiError;
use super::extract::tag_of_revision;
use super::lines::Lines;
use super::state::AppState;
use crate::board::JobText;
use crate::driver::Failure;

/// The longest pause that is recommended between two reads.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Few jobs are longer, in bytes.
const BODY_BYTES: usize = 1_024;

/// What an answer shows of a job, beside its headers.
#[derive(Debug)]
pub(super) struct Shown {
    /// Its body; none where the client has it already, which is a `304`.
    pub body: Option<Bytes>,
    /// After how many seconds the client is told to look again.
    pub retry_after: Option<u32>,
}

/// The job, whole.
pub(super) fn represent(state: &AppState, job: &Job) -> Response {
    let mut out = HeaderMap::new();
    match show(state, job, false, state.clock.now(), &mut out) {
        Ok(shown) => respond(shown.body, out),
        Err(error) => error.into_response(),
    }
}

/// That body with those headers; without one it is a `304`: the job is as the client has it.
pub(super) fn respond(body: Option<Bytes>, headers: HeaderMap) -> Response {
    let status = match body {
        Some(_) => StatusCode::OK,
        None => StatusCode::NOT_MODIFIED,
    };
    let mut response = Response::new(body.map_or_else(Body::empty, Body::from));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Writes the headers of an answer that shows that job, and gives its body, unless the client has it already.
///
/// # Errors
///
/// The job has something in it that isn't JSON, which would be a fault of ours.
pub(super) fn show(
    state: &AppState,
    job: &Job,
    is_known: bool,
    now: Timestamp,
    out: &mut impl Lines,
) -> Result<Shown, ApiError> {
    let remaining = state.board.remaining(job, now);
    let body = if is_known {
        None
    } else {
        let body = body(state, job, remaining).map_err(|error| ApiError::internal(&error))?;
        out.word("content-type", "application/json");
        Some(body)
    };
    add_tag(out, job);
    out.word("cache-control", "private, no-cache");
    let retry_after = if add_age(out, job, now) {
        None
    } else {
        let seconds = retry_after(remaining);
        out.line("retry-after", |text| {
            text.number(seconds);
        });
        Some(seconds)
    };
    Ok(Shown { body, retry_after })
}

/// Says how long the request was allowed to be held.
pub(super) fn apply_preference(out: &mut impl Lines, granted: Duration) {
    let seconds = granted.as_secs();
    out.line(headers::PREFERENCE_APPLIED, |text| {
        text.str("wait=").number(seconds);
    });
}

/// The entity tag, which is the revision.
pub(super) fn add_tag(out: &mut impl Lines, job: &Job) {
    out.line("etag", |text| {
        text.str("\"").number(job.revision).str("\"");
    });
}

/// The age of the news, where the job has ended.
pub(super) fn add_age(out: &mut impl Lines, job: &Job, now: Timestamp) -> bool {
    let Some(finished_at) = job.finished_at else {
        return false;
    };
    let age = now.since(finished_at).as_millis();
    out.line(headers::SERVER_TIMING, |text| {
        text.str("since-end;dur=").number(age);
    });
    true
}

/// When a look is worth while: when one job in ten of this kind would have ended, in whole seconds, as the header has them.
pub(super) fn retry_after(remaining: Option<Remaining>) -> u32 {
    let soon = remaining.map_or(1, |remaining| remaining.p10 / 1_000);
    let seconds = soon.clamp(1, RETRY_AFTER_MAX.as_secs());
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// The job's JSON. Made once for each revision, and shared by all who read it.
///
/// # Errors
///
/// The job has something in it that isn't JSON, which would be a fault of ours.
pub(super) fn body(
    state: &AppState,
    job: &Job,
    remaining: Option<Remaining>,
) -> Result<Bytes, serde_json::Error> {
    let shared = state.board.text(job, |job| {
        let mut bytes = Vec::with_capacity(BODY_BYTES);
        serde_json::to_writer(&mut bytes, &job.to_wire(None))?;
        Ok(JobText::new(job.revision, bytes))
    })?;
    match remaining {
        None => Ok(shared.bytes),
        // It is another one with every millisecond, so it is put in where the others have `null`.
        Some(remaining) => {
            let mut body = Vec::with_capacity(shared.bytes.len() + 64);
            body.extend_from_slice(&shared.bytes[..shared.remaining.start]);
            serde_json::to_writer(&mut body, &remaining)?;
            body.extend_from_slice(&shared.bytes[shared.remaining.end..]);
            Ok(body.into())
        }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        let wait = Duration::from_secs(1);
        let unavailable = |code, title| {
            Self::of(503, code, title)
                .detail(failure.to_string())
                .retry_after(wait)
        };
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::Storage => unavailable(Code::STORAGE_UNAVAILABLE, "The server can't write"),
            Failure::Overloaded => unavailable(Code::OVERLOADED, "The server is overloaded"),
            Failure::ShuttingDown => Self::shutting_down(),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::NotFound | Refusal::NoSuchEndpoint | Refusal::NoSuchDelivery => {
                Self::not_found(detail)
            }
            Refusal::Gone => Self::gone(detail),
            Refusal::Done => Self::of(409, Code::JOB_DONE, "The job is done").detail(detail),
            Refusal::NotDone | Refusal::NotExternal => {
                Self::of(409, Code::CONFLICT, "The job's state doesn't allow this").detail(detail)
            }
            Refusal::Changed { current } => {
                Self::of(412, Code::PRECONDITION_FAILED, "The job has changed")
                    .detail(detail)
                    .header(header::ETAG, tag_of_revision(current.0))
            }
            Refusal::IdempotencyMismatch { .. } => Self::of(
                422,
                Code::IDEMPOTENCY_MISMATCH,
                "The idempotency key was used before",
            )
            .detail(detail),
            Refusal::TooManyJobs { .. } => Self::of(503, Code::TOO_MANY_JOBS, "The server is full")
                .detail(detail)
                .retry_after(Duration::from_secs(5)),
            Refusal::EndpointDisabled { .. } | Refusal::TooManyEndpoints { .. } => Self::of(
                409,
                Code::CONFLICT,
                "The endpoint's state doesn't allow this",
            )
            .detail(detail),
            Refusal::Invalid(_) => Self::invalid_member(detail),
        }
    }
}
