//! Videos, version 3: create, read, list, bulk statuses, delete.

use serde_json::{Value, json};

use super::wire::{data, new, repeat};
use crate::http::answer::Outcome;
use crate::http::call::Call;
use crate::http::dialect::files;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, failure, request};
use crate::http::dialect::thing::{Thing, seconds, text};
use crate::http::error::ApiError;
use crate::http::seen::Seen;
use crate::http::state::AppState;

/// The words of videos, which the older interface has too.
pub(super) const WORDS: [&str; 5] = ["pending", "processing", "completed", "failed", "failed"];

/// A video.
pub(super) const VIDEO: Thing = Thing {
    kind: "heygen.video",
    id: Id::Hex(""),
    show: |seen| data(&body(seen)),
};

/// `POST /v3/videos`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let request = request(call)?;
    if text(&request, "type").is_none() {
        return Err(ApiError::invalid_member(
            "`type`: it is required, such as `avatar`",
        ));
    }
    let answer = |seen: &[Seen<'_>]| {
        let (id, status) = (VIDEO.id_of(&seen[0]), seen[0].word(&WORDS));
        data(&json!({"video_id": id, "status": status}))
    };
    let asked = Asked {
        repeat: repeat(call, "heygen video")?,
        ..Asked::one(new(request), answer)
    };
    job::create(state, call, &VIDEO, asked)
}

/// `GET /v3/videos`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    super::wire::list(state, call, &VIDEO, body)
}

/// `GET /v3/videos/statuses`
pub(super) fn statuses(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    super::wire::statuses(state, call, &VIDEO, "video_ids")
}

/// `DELETE /v3/videos/{id}`
pub(super) fn delete(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let key = VIDEO.in_path(state, call)?.key;
    job::remove(state, call, key, data(&json!({"id": VIDEO.id.text(key)})))
}

fn body(seen: &Seen<'_>) -> Value {
    let (input, (code, message)) = (seen.input(), failure(seen).unzip());
    json!({
        "id": VIDEO.id_of(seen),
        "status": seen.word(&WORDS),
        "title": text(&input, "title"),
        "video_url": seen.result.map(|_| files::url(seen, "mp4")),
        "duration": seen.result.map(|_| 60.0),
        "failure_code": code,
        "failure_message": message,
        "callback_id": text(&input, "callback_id"),
        "created_at": seconds(Some(seen.created_at)),
        "completed_at": seconds(seen.finished_at),
    })
}
