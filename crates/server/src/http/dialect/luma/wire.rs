//! How Luma writes a generation, an error and a callback.

use abide_wire::Problem;
use http::HeaderMap;
use serde_json::{Value, json};

use super::generation::GENERATION;
use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::dialect::files;
use crate::http::dialect::hook::told;
use crate::http::dialect::job::why;
use crate::http::dialect::vendor::{message, status_of};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::seen::Seen;
use crate::http::state::AppState;
use crate::telling::{Telling, Told};

/// It has no word for what was canceled.
const WORDS: [&str; 5] = ["queued", "dreaming", "completed", "failed", "failed"];
/// What is left of the account, in cents.
const CREDITS: u32 = 10_000;

/// `{detail}`.
pub(super) fn error(problem: &Problem) -> Answer {
    json::answer(
        status_of(problem, 422),
        &json!({"detail": message(problem)}),
    )
}

/// A generation as a read shows it.
pub(super) fn show(seen: &Seen<'_>) -> Answer {
    json::ok(&body(seen))
}

/// A generation.
pub(super) fn body(seen: &Seen<'_>) -> Value {
    let (request, notes) = (seen.input(), seen.notes());
    let assets = seen.result.map(|_| match notes["type"] == "image" {
        true => json!({"image": files::url(seen, "png")}),
        false => json!({"video": files::url(seen, "mp4")}),
    });
    json!({
        "id": GENERATION.id_of(seen),
        "generation_type": notes["type"],
        "state": seen.word(&WORDS),
        "failure_reason": why(seen).map(|(_, message)| message),
        "created_at": seen.created_at,
        "assets": assets,
        "model": request["model"],
        "request": request,
    })
}

/// The generation as it was at the event.
pub(super) fn tell(telling: &Telling<'_>) -> Option<Told> {
    told(telling, |_, seen, _| Told {
        has_titles: false,
        body: body(seen).to_string(),
        headers: Some(HeaderMap::new()),
    })
}

/// `GET /dream-machine/v1/credits`
pub(super) fn credits(_: &AppState, _: &Call) -> Result<Outcome, ApiError> {
    Ok(json::ok(&json!({"credit_balance": CREDITS})).into())
}

/// `GET /dream-machine/v1/ping`
pub(super) fn ping(_: &AppState, _: &Call) -> Result<Outcome, ApiError> {
    Ok(json::ok(&json!({"message": "pong"})).into())
}
