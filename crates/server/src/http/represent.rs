//! A job as an answer, with the headers that go with it.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use abide_engine::{Job, Refusal};
use abide_wire::{Code, Remaining, headers};

use super::error::ApiError;
use super::extract::tag_of_revision;
use super::lines::Lines;
use super::state::AppState;
use crate::board::JobText;
use crate::driver::Failure;

/// The longest pause that is recommended between two reads.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// The job, whole.
pub(super) fn represent(state: &AppState, job: &Job) -> Response {
    let remaining = state.board.remaining(job, state.clock.now());
    let body = match body(state, job, remaining) {
        Ok(body) => body,
        Err(error) => return ApiError::internal(&error).into_response(),
    };
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    add_headers(state, response.headers_mut(), job, remaining);
    response
}

/// `304`: the job is as the client has it.
pub(super) fn not_modified(state: &AppState, job: &Job) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    let remaining = state.board.remaining(job, state.clock.now());
    add_headers(state, response.headers_mut(), job, remaining);
    response
}

/// Says how long the request was allowed to be held.
pub(super) fn apply_preference(out: &mut impl Lines, granted: Duration) {
    let seconds = granted.as_secs();
    out.line(headers::PREFERENCE_APPLIED, format_args!("wait={seconds}"));
}

/// The headers of an answer that shows that job, but for its content type.
pub(super) fn add_headers(
    state: &AppState,
    out: &mut impl Lines,
    job: &Job,
    remaining: Option<Remaining>,
) {
    out.line("etag", format_args!("\"{}\"", job.revision));
    out.line("cache-control", format_args!("private, no-cache"));
    if !add_age(state, out, job) {
        out.line("retry-after", format_args!("{}", retry_after(remaining)));
    }
}

/// The age of the news, where the job has ended.
pub(super) fn add_age(state: &AppState, out: &mut impl Lines, job: &Job) -> bool {
    let Some(finished_at) = job.finished_at else {
        return false;
    };
    let age = state.clock.now().since(finished_at).as_millis();
    out.line(headers::SERVER_TIMING, format_args!("since-end;dur={age}"));
    true
}

/// When a look is worth while: when one job in ten of this kind would have ended, in whole seconds, as the header has them.
pub(super) fn retry_after(remaining: Option<Remaining>) -> u64 {
    let soon = remaining.map_or(1, |remaining| remaining.p10 / 1_000);
    soon.clamp(1, RETRY_AFTER_MAX.as_secs())
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
        let bytes = serde_json::to_vec(&job.to_wire(None))?;
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
