//! Webhook endpoints, and what they are told.
//!
//! The signature is an HMAC of the body and of nothing else, its key the whole text of the secret. A `callback_url` of
//! a create is told the same, unsigned.

use abide_engine::Endpoint;
use abide_wire::EventKind;
use abide_wire::webhook::{Secret, seconds_of};
use http::HeaderMap;
use serde_json::{Value, json};

use super::translation::TRANSLATION;
use super::video::VIDEO;
use super::wire::data;
use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::dialect::files;
use crate::http::dialect::hook::{self, Event, Registration, event, hmac_hex, id_text, note, told};
use crate::http::dialect::job::{failure, request};
use crate::http::dialect::thing::{required, seconds, text};
use crate::http::error::ApiError;
use crate::http::seen::Seen;
use crate::http::state::AppState;
use crate::telling::{Telling, Told, put};

const NAME: &str = "heygen";

const EVENTS: &[Event] = &[
    (
        "video_translate.success",
        &TRANSLATION,
        EventKind::Completed,
    ),
    ("video_translate.fail", &TRANSLATION, EventKind::Failed),
    ("avatar_video.success", &VIDEO, EventKind::Completed),
    ("avatar_video.fail", &VIDEO, EventKind::Failed),
];

/// `POST /v3/webhooks/endpoints`
pub(super) fn register(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let request = request(call)?;
    let url = required(&request, "url")?;
    let new = Registration::of(url, &wanted(&request["events"])?, "heygen.");
    hook::register(state, call, NAME, new, with_secret)
}

/// The events that are wanted: all if none are named.
fn wanted(names: &Value) -> Result<Vec<&'static Event>, ApiError> {
    let Some(names) = names.as_array().filter(|names| !names.is_empty()) else {
        return Ok(EVENTS.iter().collect());
    };
    let find = |name: &Value| {
        let found = EVENTS.iter().find(|(word, ..)| name == word);
        found.ok_or_else(|| ApiError::invalid_member(format!("`events`: {name} isn't played here")))
    };
    names.iter().map(find).collect()
}

/// `GET /v3/webhooks/endpoints`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let endpoints = hook::registered(state, call, NAME);
    let endpoints: Vec<Value> = endpoints.iter().map(|endpoint| show(endpoint)).collect();
    Ok(Outcome::Now(data(&json!(endpoints))))
}

/// `GET /v3/webhooks/endpoints/{id}`
pub(super) fn read(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let endpoint = hook::in_path(state, call, NAME, "")?;
    Ok(Outcome::Now(data(&show(&endpoint))))
}

/// `DELETE /v3/webhooks/endpoints/{id}`
pub(super) fn delete(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let endpoint = hook::in_path(state, call, NAME, "")?;
    let answer = data(&json!({"endpoint_id": id_text(endpoint.key)}));
    hook::remove(state, call, endpoint.key, answer)
}

/// `POST /v3/webhooks/endpoints/{id}/rotate-secret`: the old one is dead at once.
pub(super) fn rotate(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let endpoint = hook::in_path(state, call, NAME, "")?;
    hook::rotate(state, call, endpoint.key, false, with_secret)
}

/// `GET /v3/webhooks/event-types`
pub(super) fn types(_: &AppState, _: &Call) -> Result<Outcome, ApiError> {
    let words: Vec<&str> = EVENTS.iter().map(|(word, ..)| *word).collect();
    Ok(Outcome::Now(data(&json!(words))))
}

fn show(endpoint: &Endpoint) -> Value {
    json!({
        "endpoint_id": id_text(endpoint.key),
        "url": endpoint.url.as_ref(),
        "events": note(endpoint).split(',').collect::<Vec<_>>(),
        "status": if endpoint.is_enabled() { "enabled" } else { "disabled" },
        "created_at": seconds(Some(endpoint.created_at)),
    })
}

fn with_secret(endpoint: &Endpoint) -> Answer {
    let mut shown = show(endpoint);
    shown["secret"] = json!(endpoint.secret.as_ref().map(Secret::expose));
    data(&shown)
}

/// Says an end in the vendor's words; nothing if the endpoint doesn't want to hear of it.
pub(super) fn tell(telling: &Telling<'_>) -> Option<Told> {
    told(telling, |kind, seen, wanted| {
        let Some((word, ..)) = event(EVENTS, kind, seen, wanted) else {
            return Told::default();
        };
        let body = json!({
            "event_id": telling.id,
            "event_type": word,
            "event_data": data_of(seen),
            "created_at": seconds(Some(seen.now())),
        });
        let body = body.to_string();
        let mut headers = HeaderMap::new();
        put(&mut headers, "heygen-event-id", telling.id);
        let at = seconds_of(telling.at).to_string();
        put(&mut headers, "heygen-timestamp", &at);
        if let (Some(secret), Some(_)) = (telling.secrets.first(), wanted) {
            let signature = hmac_hex(secret.expose().as_bytes(), &[body.as_bytes()]);
            put(&mut headers, "heygen-signature", &signature);
        }
        Told {
            has_titles: false,
            body,
            headers: Some(headers),
        }
    })
}

fn data_of(seen: &Seen<'_>) -> Value {
    let is_translation = seen.kind == TRANSLATION.kind;
    let (id, message) = match is_translation {
        true => ("video_translate_id", "message"),
        false => ("video_id", "msg"),
    };
    let mut data = json!({
        id: TRANSLATION.id_of(seen),
        "url": seen.result.map(|_| files::url(seen, "mp4")),
        "callback_id": text(&seen.input(), "callback_id"),
    });
    if is_translation {
        data["output_language"] = seen.notes()["language"].clone();
    }
    if let Some((_, why)) = failure(seen) {
        data[message] = json!(why);
    }
    data
}
