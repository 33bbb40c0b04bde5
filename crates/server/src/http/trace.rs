//! The span of a request, for programs that collect spans.
//!
//! It is made only if something listens to its target, and else costs a comparison. It is never entered: what is
//! logged of a request carries the request's id as a field, and a held request would keep its thread's log in it.
//!
//! A request that says its trace by `traceparent` (W3C Trace Context) has its span in that trace, and a job keeps the
//! trace of its create for the webhooks that tell of it.

use std::fmt::Display;

use abide_wire::{headers, limits};
use http::{HeaderMap, StatusCode};
use tracing::Span;
use tracing::field::Empty;

/// The target of these spans, at the level `debug`.
pub const TARGET: &str = "abide::request";

/// The span of one request, from its head to its answer, which for an event stream is the head of the stream.
#[derive(Debug, Default)]
pub(super) struct Trace(Option<Box<Span>>);

impl Trace {
    /// Begins it.
    pub(super) fn begin(
        method: &str,
        route: &'static str,
        path: &str,
        headers: &HeaderMap,
    ) -> Self {
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
            traceparent = Empty,
        );
        if let Some(parent) = parent(headers) {
            span.record("traceparent", parent);
            #[cfg(feature = "otel")]
            otel::join(&span, parent);
        }
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

/// The trace that a request says it belongs to: version, trace, parent and flags in lower-case hexadecimal, in the
/// length of version 00. What isn't that is passed over, as the standard wants it.
pub(super) fn parent(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(headers::TRACEPARENT).iter();
    let text = lines.next().filter(|_| lines.next().is_none())?;
    let text = text.to_str().ok()?;
    let is_hex = |part: &str| {
        let mut bytes = part.bytes();
        bytes.all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_set = |part: &str| part.bytes().any(|byte| byte != b'0');
    let parts: Vec<&str> = text.splitn(4, '-').collect();
    let [version, trace, span, flags] = parts[..] else {
        return None;
    };
    let is_known = text.len() == limits::TRACEPARENT_BYTES
        && (version.len(), trace.len(), span.len()) == (2, 32, 16)
        && version != "ff"
        && [version, trace, span, flags].into_iter().all(is_hex)
        && is_set(trace)
        && is_set(span);
    is_known.then_some(text)
}

#[cfg(feature = "otel")]
mod otel {
    use opentelemetry::Context;
    use opentelemetry::trace::{
        SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    };
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    /// Puts the span under the one that this `traceparent` names.
    pub(super) fn join(span: &tracing::Span, parent: &str) {
        let number = |from, to| u8::from_str_radix(&parent[from..to], 16).unwrap_or_default();
        let context = SpanContext::new(
            TraceId::from_hex(&parent[3..35]).unwrap_or(TraceId::INVALID),
            SpanId::from_hex(&parent[36..52]).unwrap_or(SpanId::INVALID),
            TraceFlags::new(number(53, 55)),
            true,
            TraceState::default(),
        );
        // It fails where no layer listens that could use it.
        let _none = span.set_parent(Context::new().with_remote_span_context(context));
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_trace_is_taken_from_a_header_of_the_standard_form_alone() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let table = [
            (vec![good], true),
            (
                vec!["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
                true,
            ),
            (vec![], false),
            (vec![good, good], false),
            (
                vec!["ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
                false,
            ),
            (
                vec!["00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
                false,
            ),
            (
                vec!["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"],
                false,
            ),
            (
                vec!["00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"],
                false,
            ),
            (
                vec!["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1"],
                false,
            ),
            (
                vec!["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011"],
                false,
            ),
            (
                vec!["00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01"],
                false,
            ),
            (
                vec!["00 4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7 01"],
                false,
            ),
            (vec![""], false),
        ];
        for (lines, is_known) in table {
            let mut map = HeaderMap::new();
            for line in &lines {
                map.append(headers::TRACEPARENT, HeaderValue::from_static(line));
            }
            let expected = lines.first().copied().filter(|_| is_known);
            assert_eq!(parent(&map), expected, "{lines:?}");
        }
    }
}
