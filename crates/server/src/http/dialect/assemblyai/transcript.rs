//! Transcripts: create, read, list, remove.

use serde_json::{Value, json};

use super::webhooks;
use super::wire::{body, deleted, row, show};
use crate::http::answer::Outcome;
use crate::http::base::Base;
use crate::http::call::Call;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New, request};
use crate::http::dialect::list::{after_cursor, limit};
use crate::http::dialect::thing::{Thing, required, seen};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::state::AppState;

const PAGE: usize = 10;
const PAGE_MAX: usize = 200;

/// A transcript.
pub(super) const TRANSCRIPT: Thing = Thing {
    kind: "assemblyai.transcript",
    id: Id::Uuid,
    show,
};

/// `POST /v2/transcript`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let request = request(call)?;
    required(&request, "audio_url")?;
    let new = New {
        hook: webhooks::hook(&request)?,
        ..New::of(request)
    };
    let asked = Asked::one(new, |seen| json::ok(&body(&seen[0])));
    job::create(state, call, &TRANSCRIPT, asked)
}

/// `DELETE /v2/transcript/{id}`
pub(super) fn delete(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let job = TRANSCRIPT.in_path(state, call)?;
    let answer = seen(state, &Base::of(call), &job, deleted);
    job::remove(state, call, job.key, answer)
}

/// `GET /v2/transcript`: the newest first, so that the "previous" page is the one to go on with.
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let limit = limit(call, "limit", PAGE, PAGE_MAX)?;
    let page = after_cursor(state, call, &TRANSCRIPT, limit, "before_id", row)?;
    let url = format!("{}/v2/transcript", Base::of(call).as_str());
    let older = page
        .next
        .map(|last| format!("{url}?limit={limit}&before_id={last}"));
    let query = call.uri.query().map(|query| format!("?{query}"));
    let list = json!({
        "page_details": {
            "limit": limit,
            "result_count": page.items.len(),
            "current_url": format!("{url}{}", query.unwrap_or_default()),
            "prev_url": older,
            "next_url": Value::Null,
        },
        "transcripts": page.items,
    });
    Ok(json::ok(&list).into())
}
