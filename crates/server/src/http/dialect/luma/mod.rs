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

const fn video(path: &'static str) -> Row {
    Row::post(path, generation::create_video).creates()
}

const fn image(path: &'static str) -> Row {
    Row::post(path, generation::create_image).creates()
}

/// The routes.
const ROUTES: &[Row] = &[
    video("/dream-machine/v1/generations"),
    video("/dream-machine/v1/generations/video"),
    video("/dream-machine/v1/generations/video/modify"),
    video("/dream-machine/v1/generations/video/reframe"),
    image("/dream-machine/v1/generations/image"),
    image("/dream-machine/v1/generations/image/reframe"),
    video("/dream-machine/v1/generations/{id}/upscale"),
    video("/dream-machine/v1/generations/{id}/audio"),
    Row::get("/dream-machine/v1/generations", generation::list).counts(Counts::Refusals),
    read!("/dream-machine/v1/generations/{id}", generation::GENERATION),
    Row::delete("/dream-machine/v1/generations/{id}", generation::delete)
        .writes(|_, call| generation::GENERATION.subject(call)),
    Row::get("/dream-machine/v1/credits", wire::credits),
    Row::get("/dream-machine/v1/ping", wire::ping),
];
