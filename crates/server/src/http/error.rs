//! What an answer says when something is wrong: problem details, always.
//!
//! A handler returns [`ApiError`]. It becomes `application/problem+json` at once, so that it is whole even where nothing
//! wraps the handler, and leaves its [`Problem`] with the response, so that the [shell](super::shell) can add the name of the request and
//! count it by its code. A fault of the server's own is logged whole where it arises and shown as nothing.

use std::fmt::Display;
use std::time::Duration;

use abide_wire::{Code, Problem, headers};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

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

    /// `401`: a key is needed.
    #[must_use]
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::of(401, Code::UNAUTHORIZED, "An API key is needed")
            .detail(detail)
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// `404`: there is no such thing, or it is somebody else's.
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

    /// `503`: the server is going down.
    #[must_use]
    pub fn shutting_down() -> Self {
        Self::of(503, Code::SHUTTING_DOWN, "The server is going down")
            .retry_after(Duration::from_secs(1))
    }

    /// `500`: a fault of the server's. It is logged here, whole, and shown as nothing.
    #[must_use]
    pub fn internal(error: &(impl Display + ?Sized)) -> Self {
        tracing::error!(%error, "a request met a fault of the server's");
        Self::of(500, Code::INTERNAL, "The server has a fault")
            .detail("it has been logged under the request's id")
    }

    /// An answer with that status and code.
    #[must_use]
    pub fn of(status: u16, code: Code, title: &'static str) -> Self {
        Self::new(Problem::new(status, code, title))
    }

    /// Says what is wrong this time.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.problem.detail = Some(detail.into());
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Inner { problem, headers } = *self.0;
        let mut response = problem_response(&problem);
        response.headers_mut().extend(headers);
        response.extensions_mut().insert(problem);
        response
    }
}

/// The problem as an answer, and nothing else.
pub(crate) fn problem_response(problem: &Problem) -> Response {
    let body = serde_json::to_vec(problem).expect("a problem has only text and numbers");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() =
        StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(headers::PROBLEM_JSON),
    );
    response
}

/// A wait as `Retry-After` tells it: whole seconds, rounded up and never zero, because zero means at once.
pub(crate) fn retry_after(wait: Duration) -> HeaderValue {
    let seconds = wait.as_millis().div_ceil(1_000).max(1);
    HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_is_a_problem_with_its_headers() {
        let response = ApiError::rate_limited(Duration::from_millis(1_001)).into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            headers::PROBLEM_JSON
        );
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        let body = axum::body::to_bytes(response.into_body(), 10_000)
            .await
            .unwrap();
        let problem: Problem = serde_json::from_slice(&body).unwrap();
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
