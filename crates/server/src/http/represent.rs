//! A job as an answer, with the headers that go with it.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use abide_engine::{Job, Refusal};
use abide_wire::{Code, Remaining, headers};

use super::error::ApiError;
use super::extract::tag_of_revision;
use super::state::AppState;
use crate::driver::Failure;

/// The longest pause that is recommended between two reads.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// The job, whole.
pub(super) fn represent(state: &AppState, job: &Job) -> Response {
    let remaining = state.board.remaining(job, state.clock.now());
    let body = match serde_json::to_vec(&job.to_wire(remaining)) {
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
pub(super) fn apply_preference(out: &mut HeaderMap, granted: Duration) {
    let value = HeaderValue::from_str(&format!("wait={}", granted.as_secs()));
    out.insert(
        HeaderName::from_static(headers::PREFERENCE_APPLIED),
        value.expect("digits are a header value"),
    );
}

fn add_headers(state: &AppState, out: &mut HeaderMap, job: &Job, remaining: Option<Remaining>) {
    out.insert(header::ETAG, tag_of_revision(job.revision));
    out.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-cache"),
    );
    match job.finished_at {
        Some(finished_at) => {
            let age = state.clock.now().since(finished_at).as_millis();
            let value = HeaderValue::from_str(&format!("since-end;dur={age}"));
            out.insert(
                HeaderName::from_static(headers::SERVER_TIMING),
                value.expect("words and digits are a header value"),
            );
        }
        None => {
            out.insert(header::RETRY_AFTER, retry_after(remaining));
        }
    }
}

/// When a look is worth while: when one job in ten of this kind would have ended, in whole seconds, as the header has them.
fn retry_after(remaining: Option<Remaining>) -> HeaderValue {
    let soon = remaining.map_or(1, |remaining| remaining.p10 / 1_000);
    HeaderValue::from(soon.clamp(1, RETRY_AFTER_MAX.as_secs()))
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
