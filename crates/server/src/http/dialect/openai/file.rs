//! Files: an upload is counted, answered and forgotten, and a batch's output has one line.

use abide_engine::JobKey;
use abide_engine::rng::digest;
use serde_json::{Value, json};

use super::batch::BATCH;
use crate::http::answer::{self, Outcome};
use crate::http::call::Call;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::request;
use crate::http::dialect::thing::{seconds, text};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::state::AppState;

const FILE: Id = Id::Hex("file-");

/// `POST /v1/files`
pub(super) fn upload(_: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let form = request(call)?;
    let file = &form["file"];
    let required = || ApiError::invalid_member("`file`: it is required, a file");
    let bytes = file["bytes"].as_u64().ok_or_else(required)?;
    let at = call.now.as_millis().to_le_bytes();
    let id = FILE.text(JobKey::from_u128(digest(&[&call.body, &at]).into()));
    let purpose = text(&form, "purpose").unwrap_or("batch");
    let name = text(file, "filename").unwrap_or("file");
    Ok(json::ok(&show(call, &id, (name, purpose), bytes)).into())
}

/// `GET /v1/files/{id}`
pub(super) fn read(_: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let id = call.param("id")?;
    let unknown = || ApiError::not_found("there is no such file");
    FILE.key(&id).ok_or_else(unknown)?;
    let named = ("output.jsonl", "batch_output");
    Ok(json::ok(&show(call, &id, named, 0)).into())
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
    Ok(Outcome::Now(answer::text(format!("{line}\n"))))
}

fn show(call: &Call, id: &str, (filename, purpose): (&str, &str), bytes: u64) -> Value {
    json!({
        "id": id,
        "object": "file",
        "bytes": bytes,
        "created_at": seconds(Some(call.now)),
        "filename": filename,
        "purpose": purpose,
        "status": "processed",
    })
}
