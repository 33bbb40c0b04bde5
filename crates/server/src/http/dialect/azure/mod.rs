//! Azure's long-running operations: document translation and video translation,
//! `https://NAME.cognitiveservices.azure.com`.
//!
//! A create says in `Operation-Location` where its operation is read; a read says in `Retry-After` when to read again.
//! Videos are named by the client, and found by those names. There are no webhooks.

mod document;
mod video;
mod wire;

use super::Dialect;
use super::vendor::Vendor;
use crate::http::access::KeyForm;
use crate::http::route::{Counts, Row};

/// All that the rest of the server knows of it.
pub(super) const DIALECT: Dialect = Dialect::mounted(
    "azure",
    ROUTES,
    &Vendor::new(
        &[
            KeyForm::Header("ocp-apim-subscription-key"),
            KeyForm::Bearer,
        ],
        wire::error,
    ),
)
.finds(video::names);

/// The routes.
const ROUTES: &[Row] = &[
    Row::post("/translator/document/batches", document::create).creates(),
    Row::get("/translator/document/batches", document::list).counts(Counts::Refusals),
    read!("/translator/document/batches/{id}", document::TRANSLATION),
    cancel!(delete "/translator/document/batches/{id}", document::TRANSLATION),
    Row::get(
        "/translator/document/batches/{id}/documents",
        document::documents,
    )
    .counts(Counts::Refusals),
    Row::put("/videotranslation/translations/{name}", video::create).creates(),
    Row::get("/videotranslation/translations/{name}", video::read).counts(Counts::Read),
    Row::delete("/videotranslation/translations/{name}", video::delete),
    Row::put(
        "/videotranslation/translations/{name}/iterations/{iteration}",
        video::create,
    )
    .creates(),
    Row::get(
        "/videotranslation/translations/{name}/iterations/{iteration}",
        video::read,
    )
    .counts(Counts::Read),
    Row::get("/videotranslation/operations/{id}", video::operation).reads(video::subject),
];
