//! The older dubbing: create, read, remove, and the audio.

use abide_engine::State;
use abide_wire::Code;
use serde_json::{Value, json};

use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::dialect::files;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New, request, why};
use crate::http::dialect::list::{Page, after_cursor, limit};
use crate::http::dialect::thing::{Thing, text};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::seen::Seen;
use crate::http::state::AppState;

/// It has one word for what goes on, and none for what was canceled.
const WORDS: [&str; 5] = ["dubbing", "dubbing", "dubbed", "failed", "failed"];
/// How long every dubbing is expected to take, in seconds.
const EXPECTED_S: f64 = 20.0;

const PAGE: usize = 100;
const PAGE_MAX: usize = 200;

/// A dubbing.
pub(super) const DUBBING: Thing = Thing {
    kind: "elevenlabs.dubbing",
    id: Id::Hex(""),
    show,
};

/// `POST /v1/dubbing`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let request = request(call)?;
    if request["file"].is_null() && request["source_url"].is_null() {
        return Err(ApiError::invalid_member(
            "`file` or `source_url`: one is required",
        ));
    }
    let new = New::of(request);
    let asked = Asked::one(new, |seen| {
        let id = DUBBING.id_of(&seen[0]);
        let made = json!({"dubbing_id": id, "expected_duration_sec": EXPECTED_S});
        json::ok(&made)
    });
    job::create(state, call, &DUBBING, asked)
}

/// `GET /v1/dubbing`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let limit = limit(call, "page_size", PAGE, PAGE_MAX)?;
    let Page { items, next } = after_cursor(state, call, &DUBBING, limit, "cursor", body)?;
    let list = json!({"dubs": items, "has_more": next.is_some(), "next_cursor": next});
    Ok(json::ok(&list).into())
}

/// `DELETE /v1/dubbing/{id}`
pub(super) fn delete(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let job = DUBBING.in_path(state, call)?;
    let gone = json::ok(&json!({"status": "ok"}));
    job::remove(state, call, job.key, gone)
}

/// `GET /v1/dubbing/{id}/audio/{language}`
pub(super) fn audio(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let job = DUBBING.in_path(state, call)?;
    if job.state != State::Completed {
        let error = ApiError::of(425, Code::new("dubbing_not_dubbed"), "It isn't dubbed");
        return Err(error.detail("the dubbing has not ended yet, or has failed"));
    }
    Ok(Outcome::Now(files::file("mp3")))
}

fn show(seen: &Seen<'_>) -> Answer {
    json::ok(&body(seen))
}

fn body(seen: &Seen<'_>) -> Value {
    let request = seen.input();
    json!({
        "dubbing_id": DUBBING.id_of(seen),
        "name": text(&request, "name").unwrap_or("untitled"),
        "status": seen.word(&WORDS),
        "source_language": text(&request, "source_lang").unwrap_or("auto"),
        "target_languages": text(&request, "target_lang").map_or(vec![], |one| vec![one]),
        "editable": false,
        "created_at": seen.created_at,
        "error": why(seen).map(|(_, message)| message),
    })
}
