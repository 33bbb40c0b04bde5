//! The HTTP surface.
//!
//! Handlers see the board and the door to the loop, by [`AppState`]; never the engine, the journal or the courier.

pub mod error;
pub mod extract;
mod jobs;
pub mod state;

use axum::Router;
use axum::routing::{get, post};

pub use state::AppState;

/// All routes. Apart from any socket, so that tests call it in process.
pub fn app(state: AppState) -> Router {
    Router::new()
        .route("/v1/jobs", post(jobs::create))
        .route("/v1/jobs/{id}", get(jobs::read))
        .route("/v1/jobs/{id}/cancel", post(jobs::cancel))
        .route("/healthz", get(async || "ok\n"))
        .fallback(async || error::ApiError::not_found("there is nothing at this path"))
        .with_state(state)
}
