//! Replicate: predictions, `https://api.replicate.com`.
//!
//! The closest to the native interface: a create may be held (`Prefer: wait`), a job can be canceled, listed and
//! streamed, and webhooks follow Standard Webhooks. A webhook tells the prediction as a read shows it.

mod model;
mod prediction;
mod webhooks;
mod wire;

use super::Dialect;
use super::vendor::Vendor;
use crate::http::access::KeyForm;
use crate::http::door::Door;
use crate::http::route::{Counts, Row};

/// All that the rest of the server knows of it.
pub(super) const DIALECT: Dialect = Dialect::mounted(
    "replicate",
    ROUTES,
    &Vendor::new(&[KeyForm::Bearer, KeyForm::Scheme("Token")], wire::error),
)
.tells(webhooks::tell);

const fn create(path: &'static str) -> Row {
    Row::post(path, prediction::create)
        .holds(prediction::asks_to_hold)
        .creates()
}

/// The routes.
const ROUTES: &[Row] = &[
    create("/v1/predictions"),
    create("/v1/models/{owner}/{name}/predictions"),
    create("/v1/deployments/{owner}/{name}/predictions"),
    Row::get("/v1/predictions", prediction::list).counts(Counts::Refusals),
    read!("/v1/predictions/{id}", prediction::PREDICTION),
    cancel!(post "/v1/predictions/{id}/cancel", prediction::PREDICTION),
    // Clients send no key to the URL of a stream, which the vendor makes hard to guess.
    Row::get("/v1/predictions/{id}/stream", prediction::stream)
        .door(Door::Apart)
        .streams(|_, call| prediction::PREDICTION.subject(call)),
    Row::get("/v1/webhooks/default/secret", webhooks::secret),
    Row::get("/v1/models/{owner}/{name}", model::read),
    Row::get(
        "/v1/models/{owner}/{name}/versions/{version}",
        model::version,
    ),
    Row::post("/v1/files", model::upload)
        .takes_body()
        .takes_form(),
];
