//! Predictions: create, read, list, cancel, stream.

use std::time::Duration;

use abide_wire::Span;
use http::StatusCode;
use serde_json::{Value, json};

use super::webhooks;
use super::wire::{body, show, written};
use crate::http::answer::Outcome;
use crate::http::base::Base;
use crate::http::call::Call;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New, request};
use crate::http::dialect::list::after_cursor;
use crate::http::dialect::thing::{Thing, text};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::state::AppState;

/// How long `Prefer: wait` without a number holds, and at most.
const WAIT_MAX: Duration = Duration::from_mins(1);
const PAGE: usize = 100;

/// A prediction.
pub(super) const PREDICTION: Thing = Thing {
    kind: "replicate.prediction",
    id: Id::Letters,
    show,
};

/// Whether the create is to be held until the prediction has ended.
pub(super) fn asks_to_hold(call: &Call) -> bool {
    wanted_hold(call).is_some()
}

fn wanted_hold(call: &Call) -> Option<Duration> {
    let prefer = call.prefer.wait.map(|wait| wait.min(WAIT_MAX));
    let is_bare = call
        .field("prefer")
        .is_some_and(|prefer| prefer.trim() == "wait");
    prefer.or(is_bare.then_some(WAIT_MAX))
}

/// `POST /v1/predictions`, and of a model, and of a deployment
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let request = request(call)?;
    if !request["input"].is_object() {
        return Err(ApiError::invalid_member(
            "`input`: it is required, and an object",
        ));
    }
    let (owner, name) = (call.param("owner")?, call.param("name")?);
    let deadline = call
        .field("cancel-after")
        .map(str::parse::<Span>)
        .transpose();
    let mut new = New {
        hook: text(&request, "webhook").map(|url| webhooks::hook(call, url, &request)),
        deadline: deadline.map_err(|error| {
            ApiError::invalid_member(format!("the header `Cancel-After`: {error}"))
        })?,
        ..New::of(request)
    };
    if !name.is_empty() {
        new = new.note("model", format!("{owner}/{name}"));
    }
    let asked = Asked {
        hold: wanted_hold(call),
        ..Asked::one(new, |seen| {
            json::answer(StatusCode::CREATED, &body(&seen[0]))
        })
    };
    job::create(state, call, &PREDICTION, asked)
}

/// `GET /v1/predictions`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let page = after_cursor(state, call, &PREDICTION, PAGE, "cursor", body)?;
    let base = Base::of(call);
    let url = |last| format!("{}/v1/predictions?cursor={last}", base.as_str());
    let next = page.next.map(url);
    let list = json!({"previous": Value::Null, "next": next, "results": page.items});
    Ok(json::ok(&list).into())
}

/// `GET /v1/predictions/{id}/stream`
pub(super) fn stream(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    job::stream(state, call, &PREDICTION, written)
}
