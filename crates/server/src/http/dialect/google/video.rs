//! Veo's videos: create and read. Vertex reads an operation by a `POST`, the developer API by its name.

use serde_json::{Value, json};

use super::wire::operation;
use crate::http::answer::Outcome;
use crate::http::call::Call;
use crate::http::dialect::files;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New, request};
use crate::http::dialect::thing::{Thing, required, text};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::route::Subject;
use crate::http::seen::Seen;
use crate::http::state::AppState;

/// The note of the resource that was asked for the video: its operations are below it.
const MODEL: &str = "model";
/// How the resource begins that belongs to the developer API.
const DEVELOPERS: &str = "models/";

/// A video.
pub(super) const VIDEO: Thing = Thing {
    kind: "google.video",
    id: Id::Uuid,
    show: |seen| json::ok(&body(seen)),
};

/// `POST /v1beta1/…:predictLongRunning`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let request = request(call)?;
    if request["instances"].as_array().is_none_or(Vec::is_empty) {
        return Err(ApiError::invalid_member("`instances`: one is required"));
    }
    let path = call.uri.path()[call.mount.base..].trim_start_matches('/');
    let (_, resource) = path.split_once('/').unwrap_or_default();
    let (resource, _) = resource.rsplit_once(':').unwrap_or((resource, ""));
    let new = New::of(request).note(MODEL, resource);
    let asked = Asked::one(new, |seen| json::ok(&json!({"name": name(&seen[0])})));
    job::create(state, call, &VIDEO, asked)
}

/// `POST /v1beta1/…:fetchPredictOperation`
pub(super) fn fetch(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let id = id_in_body(call)?;
    let job = VIDEO.find(state, call, &id)?;
    Ok(Outcome::Now(job::counted(state, call, &VIDEO, &job)))
}

/// The video whose operation the body names.
pub(super) fn subject_in_body(_: &AppState, call: &Call) -> Option<Subject> {
    VIDEO.subject_of(call, &id_in_body(call).ok()?)
}

fn id_in_body(call: &Call) -> Result<String, ApiError> {
    let request = request(call)?;
    let name = required(&request, "operationName")?;
    Ok(name.rsplit('/').next().unwrap_or(name).to_owned())
}

fn name(seen: &Seen<'_>) -> String {
    let notes = seen.notes();
    let model = text(&notes, MODEL).unwrap_or_default();
    format!("{model}/operations/{}", VIDEO.id_of(seen))
}

fn body(seen: &Seen<'_>) -> Value {
    let (name, url) = (name(seen), files::url(seen, "mp4"));
    let response = match name.starts_with(DEVELOPERS) {
        true => json!({
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse",
            "generateVideoResponse": {"generatedSamples": [{"video": {"uri": url}}]},
        }),
        false => json!({
            "@type": "type.googleapis.com/cloud.ai.large_models.vision.GenerateVideoResponse",
            "raiMediaFilteredCount": 0,
            "videos": [{"gcsUri": url, "mimeType": "video/mp4"}],
        }),
    };
    operation(seen, &name, None, response)
}
