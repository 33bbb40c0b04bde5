//! Webhooks: registered ones, of which a create names those that are told.

use abide_engine::Endpoint;
use abide_wire::EventKind;
use abide_wire::webhook::Secret;
use serde_json::{Value, json};

use super::flow;
use super::project::{self, is_failed, is_language, is_project, is_ready};
use crate::http::answer::Outcome;
use crate::http::call::Call;
use crate::http::dialect::hook::{self, Registration, id_text, timed_signature, told};
use crate::http::dialect::job::request;
use crate::http::dialect::thing::{seconds, text};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::seen::Seen;
use crate::http::state::AppState;
use crate::telling::{Telling, Told};

const NAME: &str = "elevenlabs";
/// The stage with whose beginning a project is ready.
const TRANSLATING: &str = "translating";

/// `POST /v1/workspace/webhooks`
pub(super) fn register(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let request = request(call)?;
    let settings = &request["settings"];
    let url = text(settings, "webhook_url");
    let url =
        url.ok_or_else(|| ApiError::invalid_member("`settings.webhook_url`: it is required"))?;
    let new = Registration {
        url: url.to_owned(),
        events: vec![
            EventKind::Progress,
            EventKind::Completed,
            EventKind::Failed,
            EventKind::Canceled,
        ],
        kinds: "elevenlabs.",
        note: String::new(),
        description: text(settings, "name").map(str::to_owned),
    };
    hook::register(state, call, NAME, new, |endpoint| {
        let secret = endpoint.secret.as_ref().map(Secret::expose);
        let made = json!({"webhook_id": id_text(endpoint.key), "webhook_secret": secret});
        json::ok(&made)
    })
}

/// `GET /v1/workspace/webhooks`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let endpoints = hook::registered(state, call, NAME);
    let show = |endpoint: &Endpoint| {
        json!({
            "webhook_id": id_text(endpoint.key),
            "webhook_url": endpoint.url.as_ref(),
            "name": endpoint.description.as_deref().unwrap_or_default(),
            "auth_type": "hmac",
            "is_disabled": !endpoint.is_enabled(),
            "is_auto_disabled": false,
            "created_at_unix": seconds(Some(endpoint.created_at)),
        })
    };
    let webhooks: Vec<Value> = endpoints.iter().map(|endpoint| show(endpoint)).collect();
    Ok(json::ok(&json!({"webhooks": webhooks})).into())
}

/// `DELETE /v1/workspace/webhooks/{id}`
pub(super) fn delete(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let endpoint = hook::in_path(state, call, NAME, "")?;
    let gone = json::ok(&json!({"status": "ok"}));
    hook::remove(state, call, endpoint.key, gone)
}

/// Says an event in the vendor's words; nothing if the create doesn't name the webhook, or the vendor has no words for
/// it.
pub(super) fn tell(telling: &Telling<'_>) -> Option<Told> {
    let id = id_text(telling.endpoint);
    told(telling, |kind, seen, _| {
        let event = event(kind, seen).filter(|_| is_named(&seen.input(), &id));
        let Some((word, data)) = event else {
            return Told::default();
        };
        let body =
            json!({"type": word, "event_timestamp": seconds(Some(seen.now())), "data": data});
        let body = body.to_string();
        Told {
            has_titles: false,
            headers: Some(timed_signature(
                telling,
                &body,
                "elevenlabs-signature",
                "v0",
            )),
            body,
        }
    })
}

/// Whether the create names that webhook: among `webhook_ids`, or in `webhook`, by its id or as one of all.
fn is_named(request: &Value, id: &str) -> bool {
    let among = |ids: &Value| match ids {
        Value::Array(ids) => ids.iter().any(|one| one == id),
        one => one == id,
    };
    let webhook = &request["webhook"];
    among(&request["webhook_ids"]) || among(&webhook["ids"]) || webhook["type"] == "all"
}

fn event(kind: &EventKind, seen: &Seen<'_>) -> Option<(&'static str, Value)> {
    if flow::is_generation(seen.kind) {
        let has_ended = *kind != EventKind::Progress;
        return has_ended.then(|| ("flows_generation", flow::body(seen, "mp4")));
    }
    let stage = seen.progress.and_then(|progress| progress.stage.as_deref());
    match kind {
        EventKind::Progress if is_project(seen) && is_ready(seen) && stage == Some(TRANSLATING) => {
            Some(("dubbing_project_ready", project::project(seen)))
        }
        EventKind::Progress => None,
        _ if is_project(seen) && is_failed(seen) => {
            Some(("dubbing_project_failed", project::project(seen)))
        }
        _ if !is_language(seen) => None,
        EventKind::Completed => Some(("dubbing_language_completed", project::language(seen))),
        _ => Some(("dubbing_language_failed", project::language(seen))),
    }
}
