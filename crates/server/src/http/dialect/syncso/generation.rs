//! Generations: create, read, list.

use http::StatusCode;
use serde_json::{Value, json};

use super::webhooks;
use super::wire::{body, show};
use crate::http::answer::Outcome;
use crate::http::call::Call;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New, request};
use crate::http::dialect::list::page;
use crate::http::dialect::repeat::KeyRule;
use crate::http::dialect::thing::{Thing, text};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::state::AppState;

const LIST_MAX: usize = 100;
/// The frames of every generation.
const FRAMES: u32 = 125;
/// What it costs, in dollars.
const COST: f64 = 0.25;

/// A generation.
pub(super) const GENERATION: Thing = Thing {
    kind: "syncso.generation",
    id: Id::Uuid,
    show,
};

/// A repeat must say the same.
const KEYS: KeyRule = KeyRule {
    place: "syncso",
    bytes_max: 128,
    signs: b"._~-",
    may_differ: false,
};

/// `POST /v2/generate`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let request = request(call)?;
    if !request["model"].is_string() || !request["input"].is_array() {
        return Err(ApiError::invalid_member(
            "`model` and `input` are required, a text and an array",
        ));
    }
    let new = New {
        hook: text(&request, "webhookUrl").map(|url| webhooks::hook(call, url)),
        ..New::of(request)
    };
    let asked = Asked {
        repeat: KEYS.read(call)?,
        ..Asked::one(new, |seen| {
            json::answer(StatusCode::CREATED, &body(&seen[0]))
        })
    };
    job::create(state, call, &GENERATION, asked)
}

/// `GET /v2/generate/{id}`
pub(super) fn read(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    job::read(state, call, &GENERATION)
}

/// `GET /v2/generations`: the newest ones, those of the statuses and ids that are asked for.
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let query = call.uri.query().unwrap_or_default();
    let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
    let mut generations = page(state, call, &GENERATION, LIST_MAX, None, body).items;
    for member in ["status", "id"] {
        let name = if member == "id" { "ids" } else { member };
        let wanted = pairs.iter().filter(|(found, _)| found == name);
        let wanted: Vec<&str> = wanted.flat_map(|(_, values)| values.split(',')).collect();
        let is_wanted =
            |shown: &Value| text(shown, member).is_some_and(|value| wanted.contains(&value));
        generations.retain(|shown| wanted.is_empty() || is_wanted(shown));
    }
    Ok(json::ok(&generations).into())
}

/// `POST /v2/analyze/cost`: every generation costs the same.
pub(super) fn cost(_: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    request(call)?;
    let cost = json!({"estimatedFrameCount": FRAMES, "estimatedGenerationCost": COST});
    Ok(json::ok(&[cost]).into())
}
