//! Runway: tasks, `https://api.dev.runwayml.com`.
//!
//! The smallest of the vendors: a create is answered with an id, a task is read, and one verb cancels it or removes it.
//! There are no lists and no webhooks.

mod task;
mod wire;

use super::Dialect;
use super::vendor::Vendor;
use crate::http::access::KeyForm;
use crate::http::route::Row;

/// All that the rest of the server knows of it.
pub(super) const DIALECT: Dialect = Dialect::mounted(
    "runway",
    ROUTES,
    &Vendor::new(&[KeyForm::Bearer], wire::error),
);

const fn create(path: &'static str) -> Row {
    Row::post(path, task::create).creates()
}

/// The routes.
const ROUTES: &[Row] = &[
    create("/v1/image_to_video"),
    create("/v1/text_to_video"),
    create("/v1/video_to_video"),
    create("/v1/video_upscale"),
    create("/v1/character_performance"),
    create("/v1/video_to_audio"),
    create("/v1/video_to_hdr"),
    create("/v1/avatar_videos"),
    create("/v1/recipes/{recipe}"),
    create("/v1/image_upscale"),
    create("/v1/text_to_image"),
    create("/v1/text_to_speech"),
    create("/v1/speech_to_speech"),
    create("/v1/sound_effect"),
    create("/v1/voice_dubbing"),
    create("/v1/voice_isolation"),
    Row::get("/v1/tasks/{id}", task::read).reads(|_, call| task::TASK.subject(call)),
    Row::delete("/v1/tasks/{id}", task::delete).writes(|_, call| task::TASK.subject(call)),
];
