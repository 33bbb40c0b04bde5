//! OpenAI: background responses, batches, webhook endpoints, `https://api.openai.com`; videos, as gateways still have
//! them.
//!
//! The three sorts of job differ in their members and agree in everything else: lists go on after an id, errors are
//! `{error}`, and webhooks follow Standard Webhooks.

mod batch;
mod file;
mod response;
mod video;
mod webhooks;
mod wire;

use super::Dialect;
use super::vendor::Vendor;
use crate::http::access::KeyForm;
use crate::http::route::{Counts, Row};

/// All that the rest of the server knows of it.
pub(super) const DIALECT: Dialect = Dialect::mounted(
    "openai",
    ROUTES,
    &Vendor::new(&[KeyForm::Bearer], wire::error),
)
.tells(webhooks::tell);

/// The routes.
const ROUTES: &[Row] = &[
    Row::post("/v1/responses", response::create).creates(),
    Row::get("/v1/responses/{id}", response::read)
        .reads(|_, call| response::RESPONSE.subject(call)),
    cancel!(post "/v1/responses/{id}/cancel", response::RESPONSE),
    Row::delete("/v1/responses/{id}", response::delete)
        .writes(|_, call| response::RESPONSE.subject(call)),
    Row::post("/v1/batches", batch::create).creates(),
    Row::get("/v1/batches", batch::list).counts(Counts::Refusals),
    read!("/v1/batches/{id}", batch::BATCH),
    cancel!(post "/v1/batches/{id}/cancel", batch::BATCH),
    Row::post("/v1/files", file::upload)
        .takes_body()
        .takes_form(),
    Row::get("/v1/files/{id}", file::read),
    Row::get("/v1/files/{id}/content", file::content),
    Row::post("/v1/videos", video::create)
        .creates()
        .takes_form(),
    Row::get("/v1/videos", video::list).counts(Counts::Refusals),
    read!("/v1/videos/{id}", video::VIDEO),
    read!("/v1/videos/{id}/content", video::CONTENT),
    Row::post("/v1/videos/{id}/remix", video::remix)
        .creates()
        .takes_form(),
    Row::delete("/v1/videos/{id}", video::delete).writes(|_, call| video::VIDEO.subject(call)),
    Row::post("/v1/webhook_endpoints", webhooks::register).takes_body(),
    Row::get("/v1/webhook_endpoints", webhooks::list),
    Row::get("/v1/webhook_endpoints/{id}", webhooks::read),
    Row::delete("/v1/webhook_endpoints/{id}", webhooks::delete),
    Row::post("/v1/webhook_endpoints/{id}/rotate_secret", webhooks::rotate).takes_body(),
];
