//! Luma Dream Machine: generations, `https://api.lumalabs.ai`.
//!
//! Lists are read by offset. A `callback_url` is told the generation at each change of its state, unsigned. There is no
//! cancel.

mod generation;
mod wire;

use super::Dialect;
use super::vendor::Vendor;
use crate::http::access::KeyForm;
use crate::http::route::{Counts, Row};

/// All that the rest of the server knows of it.
pub(super) const DIALECT: Dialect = Dialect::mounted(
    "luma",
    ROUTES,
    &Vendor::new(&[KeyForm::Bearer], wire::error),
)
.tells(wire::tell);

/// The routes.
const ROUTES: &[Row] = &[
    Row::post("/dream-machine/v1/generations", generation::create_video).creates(),
    Row::post(
        "/dream-machine/v1/generations/video",
        generation::create_video,
    )
    .creates(),
    Row::post(
        "/dream-machine/v1/generations/video/modify",
        generation::create_video,
    )
    .creates(),
    Row::post(
        "/dream-machine/v1/generations/video/reframe",
        generation::create_video,
    )
    .creates(),
    Row::post(
        "/dream-machine/v1/generations/image",
        generation::create_image,
    )
    .creates(),
    Row::post(
        "/dream-machine/v1/generations/image/reframe",
        generation::create_image,
    )
    .creates(),
    Row::post(
        "/dream-machine/v1/generations/{id}/upscale",
        generation::create_video,
    )
    .creates(),
    Row::post(
        "/dream-machine/v1/generations/{id}/audio",
        generation::create_video,
    )
    .creates(),
    Row::get("/dream-machine/v1/generations", generation::list).counts(Counts::Refusals),
    Row::get("/dream-machine/v1/generations/{id}", generation::read)
        .reads(|_, call| generation::GENERATION.subject(call)),
    Row::delete("/dream-machine/v1/generations/{id}", generation::delete)
        .writes(|_, call| generation::GENERATION.subject(call)),
    Row::get("/dream-machine/v1/credits", wire::credits),
    Row::get("/dream-machine/v1/ping", wire::ping),
];
