//! The HTTP surface.
//!
//! Handlers see the board and the door to the loop, by [`AppState`]; never the engine, the journal or the courier.
//! What happens around every request, whatever it asks for, is the [`Shell`]'s.

pub mod access;
mod dashboard;
mod dialect;
pub mod error;
mod events;
pub mod extract;
mod faults;
mod feed;
pub mod fields;
mod hold;
mod jobs;
pub mod limits;
mod lines;
mod list;
mod looks;
mod ops;
mod quick;
mod registrations;
mod report;
mod represent;
mod routes;
mod set;
pub mod shell;
mod simulator;
pub mod state;
mod strict;
mod visit;
mod webhooks;

use axum::Router;
use axum::routing::{delete, get, post};

use abide_wire::Code;

pub use shell::Shell;
pub use state::AppState;

/// All routes. Apart from any socket; a [`Shell`] goes around them.
pub fn app(state: AppState) -> Router {
    Router::new()
        .route("/v1/jobs", post(jobs::create).get(list::list))
        .route("/v1/jobs/wait", post(set::wait))
        .route(
            "/v1/jobs/{id}",
            get(jobs::read).delete(jobs::delete).patch(jobs::report),
        )
        .route("/v1/jobs/{id}/cancel", post(jobs::cancel))
        .route("/v1/jobs/{id}/events", get(events::stream))
        .route("/v1/jobs/{id}/watchers", get(jobs::watchers))
        .route("/v1/jobs/{id}/looks", get(looks::of_job))
        .route("/v1/report", get(report::card).delete(report::clear))
        .route("/v1/events", get(feed::stream))
        .route("/v1/jobs/{id}/deliveries", get(webhooks::of_job))
        .route("/v1/webhooks", post(webhooks::create).get(webhooks::list))
        .route(
            "/v1/webhooks/{id}",
            get(webhooks::read)
                .patch(webhooks::change)
                .delete(webhooks::delete),
        )
        .route("/v1/webhooks/{id}/rotate", post(webhooks::rotate))
        .route("/v1/webhooks/{id}/test", post(webhooks::test))
        .route("/v1/webhooks/{id}/replay", post(webhooks::replay))
        .route("/v1/webhooks/{id}/deliveries", get(webhooks::deliveries))
        .route("/v1/deliveries/{id}", get(webhooks::delivery))
        .route("/v1/deliveries/{id}/retry", post(webhooks::retry))
        .route("/webhooks/register", post(registrations::register_result))
        .route(
            "/webhooks/unregister",
            delete(registrations::unregister_result),
        )
        .route("/register-webhook", post(registrations::register_status))
        .route("/healthz", get(ops::healthz))
        .route("/readyz", get(ops::readyz))
        .route("/metrics", get(ops::metrics))
        .route(
            "/v1/simulator",
            get(simulator::read).patch(simulator::change),
        )
        .route("/v1/simulator/scenarios", get(simulator::scenarios))
        .route("/v1/clock", get(simulator::clock))
        .route("/v1/clock/advance", post(simulator::advance))
        .merge(dialect::classic::routes())
        .merge(dashboard::routes())
        .fallback(async || error::ApiError::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            error::ApiError::of(405, Code::METHOD_NOT_ALLOWED, "Not this method")
                .detail("the path exists, and the header `Allow` says by which methods")
        })
        .with_state(state)
}
