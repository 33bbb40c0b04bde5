//! The HTTP surface.
//!
//! Handlers see the board and the door to the loop, by [`AppState`]; never the engine, the journal or the courier.
//! What happens around every request, whatever it asks for, is the [`Shell`]'s.

pub mod access;
pub mod answer;
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
mod openapi;
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
pub mod trace;
mod visit;
mod webhooks;

use axum::Router;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use abide_wire::Code;

pub use shell::Shell;
pub use state::AppState;

/// The interface: every route with its description, which is why none is added here in another way than by `routes!`.
fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(jobs::create, list::list))
        .routes(routes!(set::wait))
        .routes(routes!(jobs::read, jobs::delete, jobs::report))
        .routes(routes!(jobs::cancel))
        .routes(routes!(events::stream))
        .routes(routes!(feed::stream))
        .routes(routes!(jobs::watchers))
        .routes(routes!(looks::of_job))
        .routes(routes!(webhooks::of_job))
        .routes(routes!(webhooks::create, webhooks::list))
        .routes(routes!(webhooks::read, webhooks::change, webhooks::delete))
        .routes(routes!(webhooks::rotate))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::replay))
        .routes(routes!(webhooks::deliveries))
        .routes(routes!(webhooks::delivery))
        .routes(routes!(webhooks::retry))
        .routes(routes!(simulator::read, simulator::change))
        .routes(routes!(simulator::scenarios))
        .routes(routes!(simulator::clock))
        .routes(routes!(simulator::advance))
        .routes(routes!(report::card, report::clear))
        .merge(dialect::classic::routes())
        .routes(routes!(registrations::register_result))
        .routes(routes!(registrations::unregister_result))
        .routes(routes!(registrations::register_status))
        .routes(routes!(ops::healthz))
        .routes(routes!(ops::readyz))
        .routes(routes!(ops::metrics))
        .routes(routes!(openapi::json))
}

/// All routes, and the pages for people. Apart from any socket; a [`Shell`] goes around them.
pub fn app(state: AppState) -> Router {
    let (router, _description) = api().split_for_parts();
    router
        .merge(openapi::routes())
        .merge(dashboard::routes())
        .fallback(async || error::ApiError::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            error::ApiError::of(405, Code::METHOD_NOT_ALLOWED, "Not this method")
                .detail("the path exists, and the header `Allow` says by which methods")
        })
        .with_state(state)
}
