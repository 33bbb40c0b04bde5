//! Videos, which the vendor has given up and gateways have kept: create, read, list, content, remix, delete.

use http::{HeaderValue, header};
use serde_json::{Value, json};

use super::wire::deleted;
use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::dialect::files;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New, failure, request};
use crate::http::dialect::thing::{Thing, seconds, text};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::seen::Seen;
use crate::http::state::AppState;

const WORDS: [&str; 5] = ["queued", "in_progress", "completed", "failed", "failed"];
/// Milliseconds after which a look is worth while.
const POLL_AFTER_MS: &str = "500";

/// A video.
pub(super) const VIDEO: Thing = Thing {
    kind: "openai.video",
    id: Id::Hex("video_"),
    show: |seen| {
        let mut answer = json::ok(&body(seen));
        if seen.outcome.is_none() {
            let pause = HeaderValue::from_static(POLL_AFTER_MS);
            answer.headers_mut().insert("openai-poll-after-ms", pause);
        }
        answer
    },
};

/// The content of a video, a read of it too.
pub(super) const CONTENT: Thing = Thing {
    show: show_content,
    ..VIDEO
};

/// `POST /v1/videos`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    made(state, call, New::of(request(call)?))
}

/// `POST /v1/videos/{id}/remix`
pub(super) fn remix(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let of = VIDEO.in_path(state, call)?.key;
    let new = New::of(request(call)?).note("remix", VIDEO.id.text(of));
    made(state, call, new)
}

fn made(state: &AppState, call: &Call, new: New) -> Result<Outcome, ApiError> {
    let asked = Asked::one(new, |seen| (VIDEO.show)(&seen[0]));
    job::create(state, call, &VIDEO, asked)
}

/// `GET /v1/videos`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    super::wire::list(state, call, &VIDEO, body)
}

/// `DELETE /v1/videos/{id}`
pub(super) fn delete(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let key = VIDEO.in_path(state, call)?.key;
    let answer = deleted(&VIDEO.id.text(key), "video.deleted");
    job::remove(state, call, key, answer)
}

fn show_content(seen: &Seen<'_>) -> Answer {
    if seen.result.is_none() {
        return ApiError::not_found("the video isn't ready").into();
    }
    let mut answer = Answer::new(files::FILM.into());
    let film = HeaderValue::from_static("video/mp4");
    answer.headers_mut().insert(header::CONTENT_TYPE, film);
    answer
}

fn body(seen: &Seen<'_>) -> Value {
    let (input, notes) = (seen.input(), seen.notes());
    let error = failure(seen).map(|(code, message)| json!({"code": code, "message": message}));
    json!({
        "id": VIDEO.id_of(seen),
        "object": "video",
        "model": text(&input, "model").unwrap_or("sora-2"),
        "status": seen.word(&WORDS),
        "progress": (100.0 * seen.share()) as u32,
        "created_at": seconds(Some(seen.created_at)),
        "completed_at": seconds(seen.finished_at),
        "expires_at": null,
        "size": text(&input, "size").unwrap_or("720x1280"),
        "seconds": text(&input, "seconds").unwrap_or("4"),
        "prompt": text(&input, "prompt"),
        "remixed_from_video_id": text(&notes, "remix"),
        "error": error,
    })
}
