//! `ElevenLabs`: flows, dubbing projects and the older dubbing, `https://api.elevenlabs.io`.
//!
//! A read of a generation that goes on says in `Retry-After` when to read again, which the vendor's clients obey. A
//! dubbing project and its languages are jobs: the first language is the project's own job, seen from another side.
//! Webhooks are registered, and a create names those that are told. There is no cancel.

mod dubbing;
mod flow;
mod project;
mod webhooks;
mod wire;

use super::Dialect;
use super::vendor::Vendor;
use crate::http::access::KeyForm;
use crate::http::route::{Counts, Row};

/// All that the rest of the server knows of it.
pub(super) const DIALECT: Dialect = Dialect::mounted(
    "elevenlabs",
    ROUTES,
    &Vendor::new(&[KeyForm::Header("xi-api-key")], wire::error),
)
.tells(webhooks::tell);

/// The routes.
const ROUTES: &[Row] = &[
    Row::post("/v1/flows/{sort}", flow::create).creates(),
    Row::get("/v1/flows/{sort}", flow::list).counts(Counts::Refusals),
    Row::get("/v1/flows/{sort}/{id}", flow::read).reads(flow::subject),
    Row::post("/v1/dubbing/project", project::create)
        .takes_form()
        .creates(),
    Row::get("/v1/dubbing/project", project::list).counts(Counts::Refusals),
    read!("/v1/dubbing/project/{id}", project::PROJECT),
    Row::delete("/v1/dubbing/project/{id}", project::delete)
        .writes(|_, call| project::PROJECT.subject(call)),
    Row::post(
        "/v1/dubbing/project/{id}/language",
        project::create_language,
    )
    .creates(),
    Row::get("/v1/dubbing/project/{id}/language", project::languages).counts(Counts::Refusals),
    Row::get(
        "/v1/dubbing/project/{id}/language/{language}",
        project::read_language,
    )
    .reads(project::language_subject),
    Row::post("/v1/dubbing", dubbing::create)
        .takes_form()
        .creates(),
    Row::get("/v1/dubbing", dubbing::list).counts(Counts::Refusals),
    read!("/v1/dubbing/{id}", dubbing::DUBBING),
    Row::delete("/v1/dubbing/{id}", dubbing::delete)
        .writes(|_, call| dubbing::DUBBING.subject(call)),
    Row::get("/v1/dubbing/{id}/audio/{language}", dubbing::audio).counts(Counts::Refusals),
    Row::post("/v1/workspace/webhooks", webhooks::register).takes_body(),
    Row::get("/v1/workspace/webhooks", webhooks::list),
    Row::delete("/v1/workspace/webhooks/{id}", webhooks::delete),
];
