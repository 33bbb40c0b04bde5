//! Video translations, version 3: create, read, list, bulk statuses, delete.

use serde_json::{Value, json};

use super::wire::{data, new, repeat};
use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::dialect::files;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, failure, request};
use crate::http::dialect::thing::{Thing, seconds, text};
use crate::http::error::ApiError;
use crate::http::seen::Seen;
use crate::http::state::AppState;

const WORDS: [&str; 5] = ["pending", "running", "completed", "failed", "failed"];
const LANGUAGES: [&str; 8] = [
    "English",
    "Spanish (Spain)",
    "French (France)",
    "German (Germany)",
    "Hindi (India)",
    "Italian (Italy)",
    "Japanese (Japan)",
    "Portuguese (Brazil)",
];

/// A translation into one language.
pub(super) const TRANSLATION: Thing = Thing {
    kind: "heygen.translation",
    id: Id::Hex(""),
    show: |seen| data(&body(seen)),
};

/// `POST /v3/video-translations`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let request = request(call)?;
    let languages = request["output_languages"]
        .as_array()
        .filter(|all| !all.is_empty());
    let languages = languages.ok_or_else(|| {
        ApiError::invalid_member("`output_languages`: it is required, a list of languages")
    })?;
    if languages.len() > LANGUAGES_MAX {
        let detail = format!("`output_languages`: it may have {LANGUAGES_MAX} languages");
        return Err(ApiError::invalid_member(detail));
    }
    if !request["video"].is_object() {
        return Err(ApiError::invalid_member(
            "`video`: it is required, an object with `type`",
        ));
    }
    let job = |language: &Value| new(request.clone()).note("language", language.clone());
    let asked = Asked {
        jobs: languages.iter().map(job).collect(),
        repeat: repeat(call, "heygen translation")?,
        hold: None,
        answer: created,
    };
    job::create(state, call, &TRANSLATION, asked)
}

/// The most languages of one request.
const LANGUAGES_MAX: usize = 100;

fn created(seen: &[Seen<'_>]) -> Answer {
    let ids: Vec<String> = seen.iter().map(|seen| TRANSLATION.id_of(seen)).collect();
    data(&json!({"video_translation_ids": ids}))
}

/// `GET /v3/video-translations`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    super::wire::list(state, call, &TRANSLATION, body)
}

/// `GET /v3/video-translations/statuses`
pub(super) fn statuses(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    super::wire::statuses(state, call, &TRANSLATION, "video_translation_ids")
}

/// `DELETE /v3/video-translations/{id}`
pub(super) fn delete(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let key = TRANSLATION.in_path(state, call)?.key;
    job::remove(
        state,
        call,
        key,
        data(&json!({"id": TRANSLATION.id.text(key)})),
    )
}

/// `GET /v3/video-translations/languages`
pub(super) fn languages(_: &AppState, _: &Call) -> Result<Outcome, ApiError> {
    Ok(Outcome::Now(data(&json!({"languages": LANGUAGES}))))
}

fn body(seen: &Seen<'_>) -> Value {
    let (input, notes) = (seen.input(), seen.notes());
    let file = |ending| seen.result.map(|_| files::url(seen, ending));
    json!({
        "id": TRANSLATION.id_of(seen),
        "status": seen.word(&WORDS),
        "title": text(&input, "title"),
        "input_language": text(&input, "input_language"),
        "output_language": notes["language"],
        "video_url": file("mp4"),
        "audio_url": file("mp3"),
        "srt_caption_url": file("srt"),
        "vtt_caption_url": file("vtt"),
        "duration": seen.result.map(|_| 60.0),
        "failure_message": failure(seen).map(|(_, message)| message),
        "callback_id": text(&input, "callback_id"),
        "created_at": seconds(Some(seen.created_at)),
    })
}
