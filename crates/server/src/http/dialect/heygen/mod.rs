//! HeyGen: video translations and videos, `https://api.heygen.com`.
//!
//! One request makes a translation for each language that it names. Webhook endpoints are registered, and deliveries
//! signed by an HMAC of the body alone. Version 3 is the living interface; the older ones are a few other words for the
//! same things.

mod older;
mod translation;
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
    name: "heygen",
    rows: ROUTES,
    words: &Vendor {
        keys: &[KeyForm::Header("x-api-key"), KeyForm::Bearer],
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
    creates(Row::post("/v3/video-translations", translation::create)),
    Row::get("/v3/video-translations", translation::list).counts(Counts::Refusals),
    Row::get("/v3/video-translations/statuses", translation::statuses).counts(Counts::Request),
    Row::get("/v3/video-translations/languages", translation::languages),
    reads(Row::get("/v3/video-translations/{id}", translation::read).job(translation::subject)),
    writes(
        Row::delete("/v3/video-translations/{id}", translation::delete).job(translation::subject),
    ),
    creates(Row::post("/v3/videos", video::create)),
    Row::get("/v3/videos", video::list).counts(Counts::Refusals),
    Row::get("/v3/videos/statuses", video::statuses).counts(Counts::Request),
    reads(Row::get("/v3/videos/{id}", video::read).job(video::subject)),
    writes(Row::delete("/v3/videos/{id}", video::delete).job(video::subject)),
    Row::get("/v3/users/me", wire::account),
    Row::post("/v3/webhooks/endpoints", webhooks::register).takes_body(),
    Row::get("/v3/webhooks/endpoints", webhooks::list),
    Row::get("/v3/webhooks/endpoints/{id}", webhooks::read),
    Row::delete("/v3/webhooks/endpoints/{id}", webhooks::delete),
    Row::post(
        "/v3/webhooks/endpoints/{id}/rotate-secret",
        webhooks::rotate,
    ),
    Row::get("/v3/webhooks/event-types", webhooks::types),
    creates(Row::post("/v2/video_translate", older::translate)),
    reads(Row::get("/v2/video_translate/{id}", older::read_translation).job(translation::subject)),
    creates(Row::post("/v2/video/generate", older::generate)),
    reads(Row::get("/v1/video_status.get", older::read_video).job(older::subject)),
    Row::get("/v2/user/remaining_quota", older::quota),
];
