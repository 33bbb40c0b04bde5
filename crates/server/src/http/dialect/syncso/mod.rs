//! sync.so: lip sync, `https://api.sync.so`.
//!
//! A `webhookUrl` is told the generation at its end, signed with the secret that the vendor's dashboard shows. Lists
//! are plain arrays. There is no cancel.

mod generation;
mod webhooks;
mod wire;

use super::Dialect;
use super::vendor::Vendor;
use crate::http::access::KeyForm;
use crate::http::route::{Counts, Row};

/// All that the rest of the server knows of it.
pub(super) const DIALECT: Dialect = Dialect::mounted(
    "syncso",
    ROUTES,
    &Vendor::new(&[KeyForm::Header("x-api-key")], wire::error),
)
.tells(webhooks::tell);

/// The routes.
const ROUTES: &[Row] = &[
    Row::post("/v2/generate", generation::create).creates(),
    Row::get("/v2/generations", generation::list).counts(Counts::Refusals),
    read!("/v2/generate/{id}", generation::GENERATION),
    Row::post("/v2/analyze/cost", generation::cost).takes_body(),
    // The vendor shows it on its dashboard alone.
    Row::get("/dashboard/webhook-secret", webhooks::secret),
];
