//! What an answer says when something is wrong: problem details, always.
//!
//! A handler returns [`ApiError`]. As an answer it has its status and headers, and its [`Problem`] among the answer's
//! extensions: the [gate](super::gate) adds the request's id and writes it, in the words of the route's door. A fault
//! of the server's own is logged whole where it arises and shown as nothing.

use std::any::Any;
use std::fmt::Display;
use std::time::Duration;

use abide_engine::Refusal;
use abide_wire::{Code, Problem, headers};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::answer::{Answer, Body, Later, Outcome};
use super::limits::Full;
use super::value::{tag_of_revision, value};
use crate::driver::Failure;

/// Why there is no other answer.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Inner>);

// Boxed, because results that carry it are passed through every handler.
#[derive(Clone, Debug)]
struct Inner {
    problem: Problem,
    headers: HeaderMap,
}

impl ApiError {
    /// An answer that says that.
    #[must_use]
    pub fn new(problem: Problem) -> Self {
        Self(Box::new(Inner {
            problem,
            headers: HeaderMap::new(),
        }))
    }

    /// What it says.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// What it says, to put it somewhere else than into an answer.
    #[must_use]
    pub fn into_problem(self) -> Problem {
        self.0.problem
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Says when to try again, in whole seconds, rounded up and never zero.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        self.header(header::RETRY_AFTER, retry_after(wait))
    }

    /// `400`: the body is not JSON.
    #[must_use]
    pub fn invalid_json(detail: impl Into<String>) -> Self {
        Self::of(400, Code::INVALID_JSON, "The body is not JSON").detail(detail)
    }

    /// `422`: a member, parameter or header is unknown or has a value it can't have.
    #[must_use]
    pub fn invalid_member(detail: impl Into<String>) -> Self {
        Self::of(
            422,
            Code::INVALID_MEMBER,
            "The request has a member it can't have",
        )
        .detail(detail)
    }

    /// `401`: a key is needed, or a token in its place.
    #[must_use]
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::challenge(Some("Bearer"), detail)
    }

    /// `401`: a key is needed, with that scheme of `Authorization`; in another header if there is none.
    #[must_use]
    pub fn challenge(scheme: Option<&'static str>, detail: impl Into<String>) -> Self {
        let error = Self::of(401, Code::UNAUTHORIZED, "An API key is needed").detail(detail);
        match scheme {
            None => error,
            Some(scheme) => {
                let scheme = HeaderValue::from_static(scheme);
                error.header(header::WWW_AUTHENTICATE, scheme)
            }
        }
    }

    /// `403`: only a key of the role `admin` may do that.
    #[must_use]
    pub fn admin_key_needed(has_admin: bool) -> Self {
        let detail = if has_admin {
            "this is everybody's: it needs a key of the role `admin`"
        } else {
            "this is everybody's, and no key of the server has the role `admin`: start it with `--api-key NAME:admin:SECRET`"
        };
        Self::of(403, Code::new("admin_key_needed"), "An admin key is needed").detail(detail)
    }

    /// `404`: there is no such thing, or it is another owner's.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::of(404, Code::NOT_FOUND, "There is no such thing").detail(detail)
    }

    /// `410`: there was, and its record has been deleted.
    #[must_use]
    pub fn gone(detail: impl Into<String>) -> Self {
        Self::of(410, Code::GONE, "Its record has been deleted").detail(detail)
    }

    /// `413`: the body is larger than its limit, in bytes.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        Self::of(413, Code::TOO_LARGE, "The body is too large")
            .detail(format!("a body may have {limit} bytes"))
    }

    /// `415`: the content type is not JSON.
    #[must_use]
    pub fn unsupported_type(found: Option<&HeaderValue>) -> Self {
        let found = found.map_or("none".to_owned(), |found| format!("{found:?}"));
        Self::of(415, Code::UNSUPPORTED_TYPE, "The body must be JSON").detail(format!(
            "the content type must be application/json, but is {found}"
        ))
    }

    /// `408`: the body didn't come in time.
    #[must_use]
    pub fn slow_body(limit: Duration) -> Self {
        Self::of(
            408,
            Code::new("request_timeout"),
            "The body came too slowly",
        )
        .detail(format!("a body may take {} s", limit.as_secs()))
    }

    /// `429`: more requests than the limit allows.
    #[must_use]
    pub fn rate_limited(wait: Duration) -> Self {
        Self::of(429, Code::RATE_LIMITED, "Too many requests")
            .detail(format!(
                "ask again in {} s",
                wait.as_millis().div_ceil(1_000).max(1)
            ))
            .retry_after(wait)
    }

    /// `503`: more held requests or streams than the limit allows.
    #[must_use]
    pub fn too_many_waits(detail: impl Into<String>, wait: Duration) -> Self {
        Self::of(503, Code::TOO_MANY_WAITS, "Too many requests are held")
            .detail(detail)
            .retry_after(wait)
    }

    /// `503`: more bytes in flight than the limit allows.
    #[must_use]
    pub fn too_many_bytes(full: Full) -> Self {
        let detail = match full {
            Full::Client(max) => format!(
                "requests, answers and streams of a client may have {max} bytes at the same time, which is the limit \
                 `--inflight-bytes-per-owner`"
            ),
            Full::All(max) => format!(
                "requests, answers and streams may have {max} bytes at the same time, which is the limit \
                 `--inflight-bytes-max`"
            ),
        };
        Self::of(503, Code::OVERLOADED, "Too many bytes are in flight")
            .detail(detail)
            .retry_after(Duration::from_secs(1))
    }

    /// `503`: the server is shutting down.
    #[must_use]
    pub fn shutting_down() -> Self {
        Self::of(503, Code::SHUTTING_DOWN, "The server is shutting down")
            .retry_after(Duration::from_secs(1))
    }

    /// `500`: a fault of the server's. It is logged here, whole, and shown as nothing.
    #[must_use]
    pub fn internal(error: &(impl Display + ?Sized)) -> Self {
        tracing::error!(%error, "a request met a fault of the server's");
        Self::of(500, Code::INTERNAL, "The server failed")
            .detail("it has been logged under the request's id")
    }

    /// `500`: a handler panicked.
    #[must_use]
    pub fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::internal(text.unwrap_or("a panic without words"))
    }

    /// An answer with that status and code.
    #[must_use]
    pub fn of(status: u16, code: Code, title: &'static str) -> Self {
        Self::new(Problem::new(status, code, title))
    }

    /// Says that the same request may succeed later, where the status doesn't.
    #[must_use]
    fn retryable(mut self) -> Self {
        self.0.problem.retryable = true;
        self
    }

    /// Says what is wrong this time.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.problem.detail = Some(detail.into());
        self
    }
}

impl From<ApiError> for Answer {
    fn from(error: ApiError) -> Self {
        let Inner { problem, headers } = *error.0;
        let mut answer = Self::new(Body::Empty);
        *answer.status_mut() = status_of(&problem);
        *answer.headers_mut() = headers;
        answer.extensions_mut().insert(problem);
        answer
    }
}

/// The answer, or else the one that says why there is none.
pub(super) fn answer_of(result: Result<Answer, ApiError>) -> Answer {
    result.unwrap_or_else(Answer::from)
}

/// An answer that waits for the loop.
pub(super) fn soon(
    answer: impl Future<Output = Result<Answer, ApiError>> + Send + 'static,
) -> Result<Outcome, ApiError> {
    // Mapped, because an `async` block around it would have room for it twice.
    let outcome = answer.map(|result| Outcome::Now(answer_of(result)));
    Ok(Outcome::Soon(Box::pin(outcome)))
}

/// An answer that may wait long.
pub(super) fn held(
    answer: impl Future<Output = Result<Answer, ApiError>> + Send + 'static,
) -> Result<Outcome, ApiError> {
    let answer: Later = Box::pin(answer.map(answer_of));
    Ok(Outcome::Held(answer))
}

/// The problem as an answer, and nothing else.
pub(super) fn problem_answer(problem: &Problem) -> Answer {
    let body = serde_json::to_vec(problem).expect("a problem has only text and numbers");
    let mut answer = Answer::new(body.into());
    *answer.status_mut() = status_of(problem);
    let kind = HeaderValue::from_static(headers::PROBLEM_JSON);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

fn status_of(problem: &Problem) -> StatusCode {
    StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A wait as `Retry-After` tells it: whole seconds, rounded up and never zero, because zero means at once.
fn retry_after(wait: Duration) -> HeaderValue {
    let seconds = wait.as_millis().div_ceil(1_000).max(1);
    value(|text| {
        text.number(seconds);
    })
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
            Failure::NoLeader => {
                unavailable(Code::new("no_leader"), "No node of the cluster leads")
            }
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
            Refusal::LeaseEnded { .. } => {
                Self::of(409, Code::JOB_DONE, "The job is done").detail(detail)
            }
            Refusal::LeaseLost { .. } => {
                Self::of(409, Code::LEASE_LOST, "The lease is lost").detail(detail)
            }
            Refusal::NotDone | Refusal::NotExternal | Refusal::Leased => {
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
            Refusal::EndpointDisabled { .. }
            | Refusal::TooManyEndpoints { .. }
            | Refusal::Replaying => Self::of(
                409,
                Code::CONFLICT,
                "The endpoint's state doesn't allow this",
            )
            .detail(detail),
            Refusal::StoredBytes { .. } => Self::of(
                507,
                Code::INSUFFICIENT_STORAGE,
                "There is no room to store it",
            )
            .detail(detail)
            .retryable()
            .retry_after(Duration::from_secs(30)),
            Refusal::Invalid(_) => Self::invalid_member(detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_is_a_problem_with_its_headers() {
        let error = ApiError::rate_limited(Duration::from_millis(1_001));
        let answer = problem_answer(error.problem());
        assert_eq!(
            answer.headers()[header::CONTENT_TYPE],
            headers::PROBLEM_JSON
        );
        let body = answer.into_body().collect(10_000).await.unwrap();
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        let answer = Answer::from(error);
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()[header::RETRY_AFTER], "2");
        assert_eq!(problem.code, Code::RATE_LIMITED);
        assert!(problem.retryable);
    }

    #[test]
    fn a_wait_is_never_told_as_zero() {
        for (millis, told) in [
            (0, "1"),
            (1, "1"),
            (1_000, "1"),
            (1_001, "2"),
            (60_000, "60"),
        ] {
            assert_eq!(retry_after(Duration::from_millis(millis)), told);
        }
    }

    #[test]
    fn a_fault_of_the_servers_shows_nothing() {
        let error = ApiError::internal("the password is swordfish");
        assert!(!format!("{:?}", error.problem()).contains("swordfish"));
    }
}
