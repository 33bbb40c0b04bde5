//! Generations: create, read, list.

use std::cmp::Reverse;

use http::StatusCode;
use serde_json::{Value, json};

use super::webhooks;
use super::wire::{body, show};
use crate::http::answer::Outcome;
use crate::http::base::Base;
use crate::http::call::Call;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New, request};
use crate::http::dialect::list::page;
use crate::http::dialect::repeat::KeyRule;
use crate::http::dialect::thing::{Thing, seen, text};
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

/// `GET /v2/generations`: the newest ones, or those of the ids that are asked for; of the statuses that are.
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let wanted = |name: &str| -> Vec<String> {
        let values = call.pairs().filter(|(found, _)| found == name);
        let values = values.map(|(_, values)| values.into_owned());
        values
            .flat_map(|values| values.split(',').map(str::to_owned).collect::<Vec<_>>())
            .collect()
    };
    let (ids, statuses) = (wanted("ids"), wanted("status"));
    let mut generations = match ids.is_empty() {
        true => page(state, call, &GENERATION, LIST_MAX, None, body).items,
        false => {
            let found = ids
                .iter()
                .filter_map(|id| GENERATION.find(state, call, id).ok());
            let mut jobs: Vec<_> = found.take(LIST_MAX).collect();
            jobs.sort_unstable_by_key(|job| Reverse(job.key));
            jobs.dedup_by_key(|job| job.key);
            let base = Base::of(call);
            jobs.iter()
                .map(|job| seen(state, &base, job, body))
                .collect()
        }
    };
    let is_wanted = |shown: &Value| {
        let status = text(shown, "status").unwrap_or_default();
        statuses.is_empty() || statuses.iter().any(|wanted| wanted == status)
    };
    generations.retain(is_wanted);
    Ok(json::ok(&generations).into())
}

/// `POST /v2/analyze/cost`: every generation costs the same.
pub(super) fn cost(_: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    request(call)?;
    let cost = json!({"estimatedFrameCount": FRAMES, "estimatedGenerationCost": COST});
    Ok(json::ok(&[cost]).into())
}
