//! Webhook endpoints, and what they are told: that something happened, and to what. Standard Webhooks signs it.

use abide_engine::Endpoint;
use abide_wire::EventKind;
use abide_wire::webhook::Secret;
use serde_json::{Value, json};

use super::batch::BATCH;
use super::response::RESPONSE;
use super::video::VIDEO;
use super::wire::deleted;
use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::dialect::hook::{self, Event, Registration, event, id_text, note, told};
use crate::http::dialect::job::request;
use crate::http::dialect::thing::{required, seconds, text};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::state::AppState;
use crate::telling::{Telling, Told};

const NAME: &str = "openai";
const PREFIX: &str = "we_";

const EVENTS: &[Event] = &[
    ("response.completed", &RESPONSE, EventKind::Completed),
    ("response.failed", &RESPONSE, EventKind::Failed),
    ("response.cancelled", &RESPONSE, EventKind::Canceled),
    ("batch.completed", &BATCH, EventKind::Completed),
    ("batch.failed", &BATCH, EventKind::Failed),
    ("batch.cancelled", &BATCH, EventKind::Canceled),
    ("video.completed", &VIDEO, EventKind::Completed),
    ("video.failed", &VIDEO, EventKind::Failed),
];

/// `POST /v1/webhook_endpoints`
pub(super) fn register(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let request = request(call)?;
    let url = required(&request, "url")?;
    let types = request["event_types"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let is_wanted = |word: &str| types.iter().any(|wanted| wanted == word);
    let wanted: Vec<&Event> = EVENTS.iter().filter(|(word, ..)| is_wanted(word)).collect();
    if types.is_empty() || wanted.len() < types.len() {
        let known: Vec<_> = EVENTS.iter().map(|(word, ..)| *word).collect();
        let detail = format!("`event_types`: those played here are {}", known.join(", "));
        return Err(ApiError::invalid_member(detail));
    }
    let new = Registration {
        description: text(&request, "name").map(str::to_owned),
        ..Registration::of(url, &wanted, "openai.")
    };
    hook::register(state, call, NAME, new, with_secret)
}

/// `GET /v1/webhook_endpoints`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let endpoints = hook::registered(state, call, NAME);
    let data: Vec<Value> = endpoints.iter().map(|endpoint| show(endpoint)).collect();
    let id_of = |item: Option<&Value>| item.map_or(Value::Null, |item| item["id"].clone());
    let list = json!({
        "object": "list",
        "first_id": id_of(data.first()),
        "last_id": id_of(data.last()),
        "has_more": false,
        "data": data,
    });
    Ok(json::ok(&list).into())
}

/// `GET /v1/webhook_endpoints/{id}`
pub(super) fn read(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let endpoint = hook::in_path(state, call, NAME, PREFIX)?;
    Ok(json::ok(&show(&endpoint)).into())
}

/// `DELETE /v1/webhook_endpoints/{id}`
pub(super) fn delete(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let endpoint = hook::in_path(state, call, NAME, PREFIX)?;
    let answer = deleted(&id_of(&endpoint), "webhook_endpoint");
    hook::remove(state, call, endpoint.key, answer)
}

/// `POST /v1/webhook_endpoints/{id}/rotate_secret`
pub(super) fn rotate(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let endpoint = hook::in_path(state, call, NAME, PREFIX)?;
    let keeps_old = request(call)?["keep_old_secret_active_for_24_hours"] == true;
    hook::rotate(state, call, endpoint.key, keeps_old, with_secret)
}

fn id_of(endpoint: &Endpoint) -> String {
    format!("{PREFIX}{}", id_text(endpoint.key))
}

fn show(endpoint: &Endpoint) -> Value {
    json!({
        "id": id_of(endpoint),
        "object": "webhook_endpoint",
        "name": endpoint.description.as_deref(),
        "url": endpoint.url.as_ref(),
        "event_types": note(endpoint).split(',').collect::<Vec<_>>(),
        "created_at": seconds(Some(endpoint.created_at)),
        "updated_at": seconds(Some(endpoint.updated_at)),
    })
}

fn with_secret(endpoint: &Endpoint) -> Answer {
    let mut shown = show(endpoint);
    shown["signing_secret"] = json!(endpoint.secret.as_ref().map(Secret::expose));
    json::ok(&shown)
}

/// Says an end; nothing if the endpoint doesn't want to hear of it.
pub(super) fn tell(telling: &Telling<'_>) -> Option<Told> {
    told(telling, |kind, seen, wanted| {
        let Some((word, of, _)) = event(EVENTS, kind, seen, wanted) else {
            return Told::default();
        };
        let body = json!({
            "id": telling.id.replacen("msg_", "evt_", 1),
            "object": "event",
            "created_at": seconds(Some(seen.now())),
            "type": word,
            "data": {"id": of.id_of(seen)},
        });
        Told {
            has_titles: false,
            body: body.to_string(),
            headers: None,
        }
    })
}
