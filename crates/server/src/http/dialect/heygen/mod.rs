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

use super::Dialect;
use super::vendor::Vendor;
use crate::http::access::KeyForm;
use crate::http::route::{Counts, Row};

/// All that the rest of the server knows of it.
pub(super) const DIALECT: Dialect = Dialect::mounted(
    "heygen",
    ROUTES,
    &Vendor::new(
        &[KeyForm::Header("x-api-key"), KeyForm::Bearer],
        wire::error,
    ),
)
.tells(webhooks::tell);

/// The routes.
const ROUTES: &[Row] = &[
    Row::post("/v3/video-translations", translation::create).creates(),
    Row::get("/v3/video-translations", translation::list).counts(Counts::Refusals),
    Row::get("/v3/video-translations/statuses", translation::statuses).counts(Counts::Request),
    Row::get("/v3/video-translations/languages", translation::languages),
    read!("/v3/video-translations/{id}", translation::TRANSLATION),
    Row::delete("/v3/video-translations/{id}", translation::delete)
        .writes(|_, call| translation::TRANSLATION.subject(call)),
    Row::post("/v3/videos", video::create).creates(),
    Row::get("/v3/videos", video::list).counts(Counts::Refusals),
    Row::get("/v3/videos/statuses", video::statuses).counts(Counts::Request),
    read!("/v3/videos/{id}", video::VIDEO),
    Row::delete("/v3/videos/{id}", video::delete).writes(|_, call| video::VIDEO.subject(call)),
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
    Row::post("/v2/video_translate", older::translate).creates(),
    read!("/v2/video_translate/{id}", older::OLD_TRANSLATION),
    Row::post("/v2/video/generate", older::generate).creates(),
    Row::get("/v1/video_status.get", older::read_video).reads(older::subject),
    Row::get("/v2/user/remaining_quota", older::quota),
];
