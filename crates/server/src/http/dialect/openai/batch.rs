//! Batches: create, read, list, cancel.

use abide_wire::Outcome as End;
use serde_json::{Value, json};

use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New, failure, request};
use crate::http::dialect::thing::{Thing, required, seconds};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::seen::Seen;
use crate::http::state::AppState;

const WORDS: [&str; 5] = [
    "validating",
    "in_progress",
    "completed",
    "failed",
    "cancelled",
];
/// How many requests every batch has.
const REQUESTS: u32 = 3;

/// A batch.
pub(super) const BATCH: Thing = Thing {
    kind: "openai.batch",
    id: Id::Hex("batch_"),
    show,
};

/// `POST /v1/batches`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let request = request(call)?;
    for member in ["input_file_id", "endpoint", "completion_window"] {
        required(&request, member)?;
    }
    let asked = Asked::one(New::of(request), |seen| show(&seen[0]));
    job::create(state, call, &BATCH, asked)
}

/// `GET /v1/batches`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    super::wire::list(state, call, &BATCH, body)
}

fn show(seen: &Seen<'_>) -> Answer {
    json::ok(&body(seen))
}

fn body(seen: &Seen<'_>) -> Value {
    let (input, id) = (seen.input(), BATCH.id_of(seen));
    let at = |end| seconds(seen.finished_at.filter(|_| seen.outcome == Some(end)));
    let errors = failure(seen).map(|(code, message)| {
        json!({"object": "list", "data": [{"code": code, "message": message, "line": 1, "param": null}]})
    });
    let done = f64::from(REQUESTS) * seen.share();
    json!({
        "id": id,
        "object": "batch",
        "endpoint": input["endpoint"],
        "completion_window": input["completion_window"],
        "input_file_id": input["input_file_id"],
        "output_file_id": seen.result.map(|_| id.replacen("batch_", "file-", 1)),
        "error_file_id": null,
        "status": seen.word(&WORDS),
        "errors": errors,
        "created_at": seconds(Some(seen.created_at)),
        "in_progress_at": seconds(seen.started_at),
        "finalizing_at": at(End::Completed),
        "completed_at": at(End::Completed),
        "failed_at": at(End::Failed),
        "cancelling_at": at(End::Canceled),
        "cancelled_at": at(End::Canceled),
        "expired_at": null,
        "expires_at": null,
        "request_counts": {"total": REQUESTS, "completed": done as u32, "failed": 0},
        "metadata": input["metadata"],
    })
}
