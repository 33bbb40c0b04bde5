//! What operators and their probes read.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};

use super::error::ApiError;
use super::state::AppState;
use crate::metrics::{CONTENT_TYPE, Levels};

/// `GET /healthz`: the process answers. It says nothing more, so that a slow disk doesn't get it restarted.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: whether to send requests here.
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
