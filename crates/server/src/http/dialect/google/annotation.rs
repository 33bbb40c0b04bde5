//! Annotations of videos: create; and their operations: read, list, cancel, remove.

use serde_json::{Value, json};

use super::wire::operation;
use crate::http::answer::Outcome;
use crate::http::call::Call;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New, request};
use crate::http::dialect::list::{after_cursor, limit};
use crate::http::dialect::thing::Thing;
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::seen::Seen;
use crate::http::state::AppState;

const PAGE: usize = 50;
const PAGE_MAX: usize = 1_000;
const TYPES: &str = "type.googleapis.com/google.cloud.videointelligence.v1.";

/// An annotation.
pub(super) const ANNOTATION: Thing = Thing {
    kind: "google.annotation",
    id: Id::Hex(""),
    show: |seen| json::ok(&body(seen)),
};

/// `POST /v1/videos:annotate`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let request = request(call)?;
    if !request["features"].is_array() {
        return Err(ApiError::invalid_member("`features`: it is required"));
    }
    let new = New::of(request);
    let asked = Asked::one(new, |seen| json::ok(&body(&seen[0])));
    job::create(state, call, &ANNOTATION, asked)
}

/// `POST /v1/projects/…/operations/{id}:cancel`
pub(super) fn cancel(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let job = ANNOTATION.in_path(state, call)?;
    job::end(state, call, job.key, json::ok(&json!({})))
}

/// `DELETE /v1/projects/…/operations/{id}`
pub(super) fn delete(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let job = ANNOTATION.in_path(state, call)?;
    job::remove(state, call, job.key, json::ok(&json!({})))
}

/// `GET /v1/projects/…/operations`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let limit = limit(call, "pageSize", PAGE, PAGE_MAX)?;
    let page = after_cursor(state, call, &ANNOTATION, limit, "pageToken", body)?;
    let mut list = json!({"operations": page.items});
    if let Some(last) = page.next {
        list["nextPageToken"] = json!(last);
    }
    Ok(json::ok(&list).into())
}

fn body(seen: &Seen<'_>) -> Value {
    let request = seen.input();
    let location = request["locationId"].as_str().unwrap_or("us-east1");
    let id = ANNOTATION.id_of(seen);
    let progress = json!({
        "inputUri": request["inputUri"],
        "progressPercent": (seen.share() * 100.0).round() as u8,
        "startTime": seen.started_at.unwrap_or(seen.created_at),
        "updateTime": seen.finished_at.unwrap_or(seen.updated_at),
    });
    let metadata = json!({
        "@type": format!("{TYPES}AnnotateVideoProgress"),
        "annotationProgress": [progress],
    });
    let entity = json!({"entityId": "/m/0kpmf", "description": "corgi", "languageCode": "en-US"});
    let response = json!({
        "@type": format!("{TYPES}AnnotateVideoResponse"),
        "annotationResults": [{
            "inputUri": request["inputUri"],
            "segmentLabelAnnotations": [{"entity": entity}],
        }],
    });
    let name = format!("projects/abide/locations/{location}/operations/{id}");
    operation(seen, &name, Some(metadata), response)
}
