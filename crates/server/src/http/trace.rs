//! The span of a request, for programs that collect spans.
//!
//! It is made only if something listens to its target, and else costs a comparison. It is never entered: what is
//! logged of a request carries the request's id as a field, and a held request would keep its thread's log in it.

use std::fmt::Display;

use http::StatusCode;
use tracing::Span;
use tracing::field::Empty;

/// The target of these spans, at the level `debug`.
pub const TARGET: &str = "abide::request";

/// The span of one request, from its head to its answer, which for an event stream is the head of the stream.
#[derive(Debug, Default)]
pub(super) struct Trace(Option<Box<Span>>);

impl Trace {
    /// Begins it.
    pub(super) fn begin(method: &str, route: &'static str, path: &str) -> Self {
        if !tracing::enabled!(target: TARGET, tracing::Level::DEBUG) {
            return Self::default();
        }
        let span = tracing::debug_span!(
            target: TARGET,
            parent: None,
            "request",
            otel.name = format_args!("{method} {route}"),
            otel.kind = "server",
            otel.status_code = Empty,
            http.request.method = method,
            http.route = route,
            url.path = path,
            http.response.status_code = Empty,
            request_id = Empty,
        );
        Self(Some(Box::new(span)))
    }

    /// Ends it with what it was answered.
    pub(super) fn end(self, id: &impl Display, status: StatusCode) {
        let Some(span) = self.0 else {
            return;
        };
        span.record("request_id", tracing::field::display(id));
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
    }
}
