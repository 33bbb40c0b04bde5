//! `DashScope`, Alibaba's Model Studio: tasks, `https://dashscope.aliyuncs.com`.
//!
//! A task can be canceled only while it is pending. An unknown task is answered as one whose status is `UNKNOWN`.
//! There are no webhooks.

mod task;
mod wire;

use super::Dialect;
use super::vendor::Vendor;
use crate::http::access::KeyForm;
use crate::http::route::{Counts, Row};

/// All that the rest of the server knows of it.
pub(super) const DIALECT: Dialect = Dialect::mounted(
    "dashscope",
    ROUTES,
    &Vendor::new(&[KeyForm::Bearer], wire::error),
);

const fn create(path: &'static str) -> Row {
    Row::post(path, task::create).creates()
}

/// The routes.
const ROUTES: &[Row] = &[
    create("/api/v1/services/aigc/video-generation/video-synthesis"),
    create("/api/v1/services/aigc/image2video/video-synthesis"),
    create("/api/v1/services/aigc/text2image/image-synthesis"),
    create("/api/v1/services/aigc/image2image/image-synthesis"),
    create("/api/v1/services/audio/asr/transcription"),
    Row::get("/api/v1/tasks", task::list).counts(Counts::Refusals),
    Row::get("/api/v1/tasks/", task::list).counts(Counts::Refusals),
    Row::get("/api/v1/tasks/{id}", task::read)
        .reads(|_, call| task::TASK.subject(call))
        .absent(task::absent),
    Row::post("/api/v1/tasks/{id}/cancel", task::cancel).writes(|_, call| task::TASK.subject(call)),
];
