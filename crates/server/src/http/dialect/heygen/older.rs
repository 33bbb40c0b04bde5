//! Versions 1 and 2: the same translations and videos in other words.

use serde_json::{Value, json};

use super::translation::TRANSLATION;
use super::video::{VIDEO, WORDS};
use super::wire::new;
use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::dialect::files;
use crate::http::dialect::job::{self, Asked, failure, request};
use crate::http::dialect::list::parameter;
use crate::http::dialect::thing::{Thing, seconds, text};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::route::Subject;
use crate::http::seen::Seen;
use crate::http::state::AppState;

const OF_TRANSLATION: [&str; 5] = ["pending", "running", "success", "failed", "failed"];

pub(super) const OLD_TRANSLATION: Thing = Thing {
    show: show_translation,
    ..TRANSLATION
};
const OLD_VIDEO: Thing = Thing {
    show: show_video,
    ..VIDEO
};

/// `{error: null, data}`.
fn data(data: &Value) -> Answer {
    json::ok(&json!({"error": null, "data": data}))
}

/// `POST /v2/video_translate`
pub(super) fn translate(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let request = request(call)?;
    let language = request["output_language"].clone();
    let asked = Asked::one(new(request).note("language", language), |seen| {
        data(&json!({"video_translate_id": TRANSLATION.id_of(&seen[0])}))
    });
    job::create(state, call, &OLD_TRANSLATION, asked)
}

fn show_translation(seen: &Seen<'_>) -> Answer {
    data(&json!({
        "video_translate_id": TRANSLATION.id_of(seen),
        "title": text(&seen.input(), "title"),
        "output_language": seen.notes()["language"],
        "status": seen.word(&OF_TRANSLATION),
        "url": seen.result.map(|_| files::url(seen, "mp4")),
        "message": failure(seen).map(|(_, message)| message),
    }))
}

/// `POST /v2/video/generate`
pub(super) fn generate(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let asked = Asked::one(new(request(call)?), |seen| {
        data(&json!({"video_id": VIDEO.id_of(&seen[0])}))
    });
    job::create(state, call, &OLD_VIDEO, asked)
}

/// `GET /v1/video_status.get?video_id=`
pub(super) fn read_video(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let id = parameter(call, "video_id").unwrap_or_default();
    let job = VIDEO.find(state, call, &id)?;
    Ok(Outcome::Now(job::counted(state, call, &OLD_VIDEO, &job)))
}

/// The video that the query names.
pub(super) fn subject(_: &AppState, call: &Call) -> Option<Subject> {
    VIDEO.subject_of(call, &parameter(call, "video_id")?)
}

fn show_video(seen: &Seen<'_>) -> Answer {
    let error = failure(seen)
        .map(|(code, message)| json!({"code": code, "message": message, "detail": message}));
    let video = json!({
        "id": VIDEO.id_of(seen),
        "status": seen.word(&WORDS),
        "video_url": seen.result.map(|_| files::url(seen, "mp4")),
        "duration": seen.result.map(|_| 60.0),
        "callback_id": text(&seen.input(), "callback_id"),
        "created_at": seconds(Some(seen.created_at)),
        "error": error,
    });
    let answer = json!({"code": 100, "message": "Success", "data": video});
    json::ok(&answer)
}

/// `GET /v2/user/remaining_quota`
pub(super) fn quota(_: &AppState, _: &Call) -> Result<Outcome, ApiError> {
    let quota = json!({"remaining_quota": 6_000, "details": {"api": 6_000}});
    Ok(Outcome::Now(data(&quota)))
}
