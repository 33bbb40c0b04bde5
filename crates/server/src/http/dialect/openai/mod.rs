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

use abide_engine::fault::Purpose;

use super::Dialect;
use super::vendor::Vendor;
use crate::http::access::KeyForm;
use crate::http::route::{Counts, Meets, Row};

/// All that the rest of the server knows of it.
pub(super) const DIALECT: Dialect = Dialect {
    name: "openai",
    rows: ROUTES,
    words: &Vendor {
        keys: &[KeyForm::Bearer],
        allows_no_key: false,
        error: wire::error,
    },
    trees: None,
    tell: webhooks::tell,
    proxy: None,
    tag: None,
};

const fn creates(row: Row) -> Row {
    row.takes_body().meets(Meets::Create).counts(Counts::Create)
}

const fn reads(row: Row) -> Row {
    row.meets(Meets::Job(Purpose::Read)).counts(Counts::Read)
}

const fn writes(row: Row) -> Row {
    row.meets(Meets::Job(Purpose::Write))
}

/// The routes.
const ROUTES: &[Row] = &[
    creates(Row::post("/v1/responses", response::create)),
    reads(Row::get("/v1/responses/{id}", response::read).job(response::subject)),
    writes(Row::post("/v1/responses/{id}/cancel", response::cancel).job(response::subject)),
    writes(Row::delete("/v1/responses/{id}", response::delete).job(response::subject)),
    creates(Row::post("/v1/batches", batch::create)),
    Row::get("/v1/batches", batch::list).counts(Counts::Refusals),
    reads(Row::get("/v1/batches/{id}", batch::read).job(batch::subject)),
    writes(Row::post("/v1/batches/{id}/cancel", batch::cancel).job(batch::subject)),
    Row::post("/v1/files", file::upload)
        .takes_body()
        .takes_form(),
    Row::get("/v1/files/{id}", file::read),
    Row::get("/v1/files/{id}/content", file::content),
    creates(Row::post("/v1/videos", video::create)).takes_form(),
    Row::get("/v1/videos", video::list).counts(Counts::Refusals),
    reads(Row::get("/v1/videos/{id}", video::read).job(video::subject)),
    reads(Row::get("/v1/videos/{id}/content", video::content).job(video::subject)),
    creates(Row::post("/v1/videos/{id}/remix", video::remix)).takes_form(),
    writes(Row::delete("/v1/videos/{id}", video::delete).job(video::subject)),
    Row::post("/v1/webhook_endpoints", webhooks::register).takes_body(),
    Row::get("/v1/webhook_endpoints", webhooks::list),
    Row::get("/v1/webhook_endpoints/{id}", webhooks::read),
    Row::delete("/v1/webhook_endpoints/{id}", webhooks::delete),
    Row::post("/v1/webhook_endpoints/{id}/rotate_secret", webhooks::rotate).takes_body(),
];
