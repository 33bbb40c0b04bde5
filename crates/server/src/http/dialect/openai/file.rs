//! Files: an upload is answered and forgotten, and a batch's output has one line.

use abide_engine::JobKey;
use abide_engine::rng::digest;
use http::StatusCode;
use serde_json::{Value, json};

use super::batch::BATCH;
use crate::http::answer::{Outcome, text};
use crate::http::call::Call;
use crate::http::dialect::id::Id;
use crate::http::dialect::thing::seconds;
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::state::AppState;

const FILE: Id = Id::Hex("file-");

/// `POST /v1/files`
pub(super) fn upload(_: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let key = JobKey::from_u128(u128::from(digest(&[&call.body])));
    let file = show(call, &FILE.text(key), "batch", call.body.len());
    json::now(StatusCode::OK, &file)
}

/// `GET /v1/files/{id}`
pub(super) fn read(_: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let id = call.param("id")?;
    let unknown = || ApiError::not_found("there is no such file");
    FILE.key(&id).ok_or_else(unknown)?;
    json::now(StatusCode::OK, &show(call, &id, "batch_output", 0))
}

/// `GET /v1/files/{id}/content`: what a batch has made.
pub(super) fn content(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let id = call.param("id")?.replacen("file-", "batch_", 1);
    BATCH.find(state, call, &id)?;
    let line = json!({
        "id": "batch_req_1",
        "custom_id": "1",
        "response": {"status_code": 200, "request_id": "req_1", "body": {}},
        "error": null,
    });
    Ok(Outcome::Now(text(format!("{line}\n"))))
}

fn show(call: &Call, id: &str, purpose: &str, bytes: usize) -> Value {
    json!({
        "id": id,
        "object": "file",
        "bytes": bytes,
        "created_at": seconds(Some(call.now)),
        "filename": "file.jsonl",
        "purpose": purpose,
        "status": "processed",
    })
}
