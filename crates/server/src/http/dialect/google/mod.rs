//! Google's long-running operations (AIP-151): annotations of videos, `https://videointelligence.googleapis.com`, and
//! Veo's videos, on Vertex and in the developer API.
//!
//! An operation has no status: it is `done` or not, and then has a response or an error. What was canceled has the
//! error of that code. There are no webhooks.

mod annotation;
mod video;
mod wire;

use super::Dialect;
use super::vendor::Vendor;
use crate::http::access::KeyForm;
use crate::http::route::{Counts, Row};

/// All that the rest of the server knows of it.
pub(super) const DIALECT: Dialect = Dialect::mounted(
    "google",
    ROUTES,
    &Vendor::new(
        &[KeyForm::Bearer, KeyForm::Header("x-goog-api-key")],
        wire::error,
    )
    .or_none(),
);

const fn fetch(path: &'static str) -> Row {
    Row::post(path, video::fetch)
        .takes_body()
        .reads(video::subject_in_body)
}

/// The routes.
const ROUTES: &[Row] = &[
    Row::post("/v1/videos:annotate", annotation::create).creates(),
    Row::get(
        "/v1/projects/{project}/locations/{location}/operations",
        annotation::list,
    )
    .counts(Counts::Refusals),
    read!(
        "/v1/projects/{project}/locations/{location}/operations/{id}",
        annotation::ANNOTATION
    ),
    Row::delete(
        "/v1/projects/{project}/locations/{location}/operations/{id}",
        annotation::delete,
    )
    .writes(|_, call| annotation::ANNOTATION.subject(call)),
    Row::post(
        "/v1/projects/{project}/locations/{location}/operations/{id}:cancel",
        annotation::cancel,
    )
    .writes(|_, call| annotation::ANNOTATION.subject(call)),
    Row::post(
        "/v1beta1/publishers/google/models/{model}:predictLongRunning",
        video::create,
    ).creates(),
    fetch("/v1beta1/publishers/google/models/{model}:fetchPredictOperation"),
    Row::post(
        "/v1beta1/projects/{project}/locations/{location}/publishers/google/models/{model}:predictLongRunning",
        video::create,
    ).creates(),
    fetch(
        "/v1beta1/projects/{project}/locations/{location}/publishers/google/models/{model}:fetchPredictOperation",
    ),
    Row::post("/v1beta/models/{model}:predictLongRunning", video::create).creates(),
    read!("/v1beta/models/{model}/operations/{id}", video::VIDEO),
];
