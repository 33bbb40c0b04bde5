//! xAI: videos, `https://api.x.ai`.
//!
//! A read is a `202` until the video has ended. There are no lists, no cancel and no webhooks.

mod video;

use super::Dialect;
use super::vendor::Vendor;
use crate::http::access::KeyForm;
use crate::http::route::Row;

/// All that the rest of the server knows of it.
pub(super) const DIALECT: Dialect = Dialect::mounted(
    "xai",
    ROUTES,
    &Vendor::new(&[KeyForm::Bearer], video::error),
);

const fn create(path: &'static str) -> Row {
    Row::post(path, video::create).creates()
}

/// The routes.
const ROUTES: &[Row] = &[
    create("/v1/videos/generations"),
    create("/v1/videos/edits"),
    create("/v1/videos/extensions"),
    read!("/v1/videos/{id}", video::VIDEO),
];
