//! What clients ask for on the way to a prediction: the model, its version, and a place for a file of its input.

use abide_engine::rng::digest;
use http::StatusCode;
use serde_json::{Value, json};

use crate::http::answer::Outcome;
use crate::http::base::Base;
use crate::http::call::Call;
use crate::http::dialect::job::request;
use crate::http::dialect::thing::text;
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::state::AppState;

/// The version of every model.
const LATEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// `GET /v1/models/{owner}/{name}`: every model is there.
pub(super) fn read(_: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let (owner, name) = (call.param("owner")?, call.param("name")?);
    let model = json!({
        "url": format!("https://replicate.com/{owner}/{name}"),
        "owner": owner,
        "name": name,
        "description": null,
        "visibility": "public",
        "github_url": null,
        "paper_url": null,
        "license_url": null,
        "run_count": 0,
        "cover_image_url": null,
        "default_example": null,
        "latest_version": shown(call, LATEST),
    });
    Ok(json::ok(&model).into())
}

/// `GET /v1/models/{owner}/{name}/versions/{version}`: so is every version. `run()` of the SDK for Python asks for it,
/// to know whether the output comes piece by piece.
pub(super) fn version(_: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    Ok(json::ok(&shown(call, &call.param("version")?)).into())
}

fn shown(call: &Call, version: &str) -> Value {
    let output = json!({"type": "string", "format": "uri", "title": "Output"});
    json!({
        "id": version,
        "created_at": call.now,
        "cog_version": "0.9.0",
        "openapi_schema": {"components": {"schemas": {"Output": output}}},
    })
}

/// `POST /v1/files`: the file is counted, answered and forgotten.
pub(super) fn upload(_: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let form = request(call)?;
    let file = &form["content"];
    let required = || ApiError::invalid_member("`content`: it is required, a file");
    let size = file["bytes"].as_u64().ok_or_else(required)?;
    let at = call.now.as_millis().to_le_bytes();
    let id = format!("{:016x}", digest(&[&call.body, &at]));
    let url = format!("{}/v1/files/{id}", Base::of(call).as_str());
    let file = json!({
        "id": id,
        "name": text(file, "filename").unwrap_or("file"),
        "content_type": "application/octet-stream",
        "size": size,
        "etag": id,
        "checksums": {},
        "metadata": {},
        "created_at": call.now,
        "expires_at": null,
        "urls": {"get": url},
    });
    Ok(json::answer(StatusCode::CREATED, &file).into())
}
