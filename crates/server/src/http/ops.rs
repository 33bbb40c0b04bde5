//! What operators and their probes read.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};

use super::error::ApiError;
use super::state::AppState;
use crate::metrics::{CONTENT_TYPE, Levels};

/// `GET /healthz`: the process answers. It says nothing more, so that a slow disk doesn't get it restarted.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "Operations",
    operation_id = "readHealth",
    summary = "Whether the process lives",
    responses(
        (status = 200, description = "It does.", body = String, content_type = "text/plain")
    )
)]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: whether to send requests here.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "Operations",
    operation_id = "readReadiness",
    summary = "Whether to send requests here",
    responses(
        (status = 200, description = "Yes.", body = String, content_type = "text/plain"),
        (status = 503, description = "No: the server goes down, or can't write.", body = abide_wire::Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn readyz(State(state): State<AppState>) -> Result<&'static str, ApiError> {
    if state.stop.is_cancelled() {
        return Err(ApiError::shutting_down());
    }
    if let Some(failure) = state.commands.failure() {
        return Err(failure.into());
    }
    Ok("ready\n")
}

/// `GET /metrics`
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "Operations",
    operation_id = "readMetrics",
    summary = "Metrics for Prometheus",
    responses(
        (status = 200, description = "The metrics.", body = String, content_type = "application/openmetrics-text")
    )
)]
pub(super) async fn metrics(State(state): State<AppState>) -> Response {
    let text = state.metrics.encode(Levels {
        jobs: state.board.len(),
        held: state.waits.len(),
        streams: state.streams.len(),
        commands_waiting: state.commands.waiting(),
        webhooks: state.board.webhooks().counts(),
    });
    let mut response = text.into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}
