//! Leonardo: generations of images and videos, `https://cloud.leonardo.ai/api/rest/v1`.
//!
//! A create is answered with an id alone, under a name that each sort of it has. A read of a generation that isn't
//! there is a `200` with nothing in it. There is no cancel, and webhooks belong to keys of the vendor's dashboard.

mod generation;
mod wire;

use super::Dialect;
use super::vendor::Vendor;
use crate::http::access::KeyForm;
use crate::http::route::{Counts, Row};

/// All that the rest of the server knows of it.
pub(super) const DIALECT: Dialect = Dialect::mounted(
    "leonardo",
    ROUTES,
    &Vendor::new(&[KeyForm::Bearer], wire::error),
);

/// The routes.
const ROUTES: &[Row] = &[
    Row::post("/api/rest/v1/generations", generation::create).creates(),
    Row::post(
        "/api/rest/v1/generations-image-to-video",
        generation::create_video,
    )
    .creates(),
    Row::post(
        "/api/rest/v1/generations-text-to-video",
        generation::create_video,
    )
    .creates(),
    Row::post(
        "/api/rest/v1/generations-motion-svd",
        generation::create_motion,
    )
    .creates(),
    Row::get("/api/rest/v1/generations/user/{user}", generation::list).counts(Counts::Refusals),
    Row::get("/api/rest/v1/generations/{id}", generation::read)
        .reads(|_, call| generation::GENERATION.subject(call))
        .absent(generation::absent),
    Row::delete("/api/rest/v1/generations/{id}", generation::delete)
        .writes(|_, call| generation::GENERATION.subject(call)),
    Row::get("/api/rest/v1/me", generation::me),
];
