//! What operators and their probes read.

use http::{HeaderMap, HeaderValue, header};

use super::answer::{Outcome, text};
use super::call::Call;
use super::described::{Response, inline};
use super::door::Door;
use super::error::ApiError;
use super::route::Row;
use super::state::AppState;
use crate::metrics::{self, Levels};

/// The routes.
pub(super) const ROUTES: &[Row] = &[
    Row::get("/healthz", healthz)
        .door(Door::Open)
        .about("Operations", "readHealth", "Whether the process lives")
        .answers(&[Response::of(
            200,
            "The process lives.",
            "text/plain",
            inline::<String>,
        )]),
    Row::get("/readyz", readyz)
        .door(Door::Open)
        .about(
            "Operations",
            "readReadiness",
            "Whether to send requests here",
        )
        .answers(&[
            Response::of(200, "Yes.", "text/plain", inline::<String>),
            Response::problem(503, "The server is shutting down, or can't write."),
        ]),
    Row::get("/metrics", metrics)
        .door(Door::Operator)
        .about("Operations", "readMetrics", "Metrics for Prometheus")
        .answers(&[Response::of(
            200,
            "The metrics: OpenMetrics if `Accept` names it.",
            "text/plain, application/openmetrics-text",
            inline::<String>,
        )]),
];

/// `GET /healthz`: the process answers. It says nothing more, so that a slow disk doesn't get it restarted.
fn healthz(_: &AppState, _: &Call) -> Result<Outcome, ApiError> {
    Ok(Outcome::Now(text("ok\n")))
}

/// `GET /readyz`: whether to send requests here.
fn readyz(state: &AppState, _: &Call) -> Result<Outcome, ApiError> {
    if state.stop.is_cancelled() {
        return Err(ApiError::shutting_down());
    }
    if let Some(failure) = state.commands.failure() {
        return Err(failure.into());
    }
    if let Some(cluster) = &state.cluster {
        cluster.check()?;
    }
    Ok(Outcome::Now(text("ready\n")))
}

/// `GET /metrics`
fn metrics(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let open = state.metrics.encode(Levels {
        jobs: state.board.len(),
        held: state.waits.len(),
        claims: state.board.claims(),
        streams: state.streams.len(),
        commands_waiting: state.commands.waiting(),
        webhooks: state.board.webhooks().counts(),
        stored_bytes: [state.board.stored_bytes(), state.byte_limits.stored],
        inflight_bytes: [state.inflight.len(), state.byte_limits.inflight],
        cluster: state.cluster.as_ref().map(|cluster| cluster.figures()),
    });
    let (text_form, kind) = match asks_for_openmetrics(&call.headers) {
        true => (open, metrics::OPENMETRICS),
        false => (metrics::plain(&open), metrics::PLAIN),
    };
    let mut answer = text(text_form);
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(Outcome::Now(answer))
}

fn asks_for_openmetrics(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(header::ACCEPT).iter();
    kinds.any(|kinds| {
        let kinds = kinds.to_str().unwrap_or_default();
        kinds.contains("application/openmetrics-text")
    })
}
