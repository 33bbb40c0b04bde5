//! Generations of flows: create, read, list.

use serde_json::{Value, json};

use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::dialect::files;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New, request, why};
use crate::http::dialect::list::{Page, after_cursor, limit};
use crate::http::dialect::thing::Thing;
use crate::http::dialect::vendor::pace;
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::route::Subject;
use crate::http::seen::Seen;
use crate::http::state::AppState;

const PAGE: usize = 20;
const PAGE_MAX: usize = 100;
/// It has no word for what was canceled.
const WORDS: [&str; 5] = ["pending", "generating", "completed", "failed", "failed"];
/// The reason for a failure that isn't one of the vendor's.
const REASON: &str = "model_error";
const REASONS: &[&str] = &[
    REASON,
    "timeout",
    "moderated",
    "invalid_parameters",
    "dependency_failed",
    "charging_failed",
    "internal_error",
];

/// A generation of each sort, by its word in the path.
const SORTS: &[(&str, Thing)] = &[
    ("video", sort("elevenlabs.video", |seen| show(seen, "mp4"))),
    ("image", sort("elevenlabs.image", |seen| show(seen, "png"))),
    (
        "text-to-speech",
        sort("elevenlabs.speech", |seen| show(seen, "mp3")),
    ),
];

const fn sort(kind: &'static str, show: fn(&Seen<'_>) -> Answer) -> Thing {
    Thing {
        kind,
        id: Id::Hex("gen_"),
        show,
    }
}

/// Whether it is the kind of a generation.
pub(super) fn is_generation(kind: &str) -> bool {
    SORTS.iter().any(|(_, thing)| thing.kind == kind)
}

fn of_path(call: &Call) -> Result<&'static Thing, ApiError> {
    let sort = call.param("sort")?;
    let found = SORTS.iter().find(|(word, _)| *word == sort);
    let found = found.map(|(_, thing)| thing);
    found.ok_or_else(|| ApiError::not_found("there is nothing at this path"))
}

/// `POST /v1/flows/{sort}`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let new = New::of(request(call)?);
    let asked = Asked::one(new, |seen| {
        let made = json!({"id": id_of(&seen[0]), "status": seen[0].word(&WORDS)});
        json::ok(&made)
    });
    job::create(state, call, of_path(call)?, asked)
}

/// `GET /v1/flows/{sort}/{id}`
pub(super) fn read(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    job::read(state, call, of_path(call)?)
}

/// `GET /v1/flows/{sort}`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let thing = of_path(call)?;
    let limit = limit(call, "page_size", PAGE, PAGE_MAX)?;
    let each = match thing.kind {
        "elevenlabs.image" => |seen: &Seen<'_>| body(seen, "png"),
        "elevenlabs.speech" => |seen: &Seen<'_>| body(seen, "mp3"),
        _ => |seen: &Seen<'_>| body(seen, "mp4"),
    };
    let Page { items, next } = after_cursor(state, call, thing, limit, "cursor", each)?;
    let list = json!({"generations": items, "has_more": next.is_some(), "next_cursor": next});
    Ok(json::ok(&list).into())
}

/// The generation that a request is about.
pub(super) fn subject(_: &AppState, call: &Call) -> Option<Subject> {
    of_path(call).ok()?.subject(call)
}

fn id_of(seen: &Seen<'_>) -> String {
    Id::Hex("gen_").text(seen.key())
}

fn show(seen: &Seen<'_>, ending: &str) -> Answer {
    let mut answer = json::ok(&body(seen, ending));
    pace(seen, answer.headers_mut());
    answer
}

/// A generation whose content is a file with that ending.
pub(super) fn body(seen: &Seen<'_>, ending: &str) -> Value {
    let why = why(seen);
    let known = |code: &str| REASONS.iter().copied().find(|reason| *reason == code);
    let has_result = seen.result.is_some();
    json!({
        "id": id_of(seen),
        "status": seen.word(&WORDS),
        "content_url": has_result.then(|| files::url(seen, ending)),
        "content_mime_type": has_result.then(|| files::type_of(ending)),
        "failure_reason": why.as_ref().map(|(code, _)| known(code).unwrap_or(REASON)),
        "error_message": why.map(|(_, message)| message),
    })
}
