//! Requests: create, status, result, stream, cancel.

use std::time::Duration;

use abide_engine::Cancel;
use http::StatusCode;
use serde_json::json;

use super::webhooks;
use super::wire::{show_result, show_status, status_body, written};
use crate::http::answer::Outcome;
use crate::http::call::Call;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New};
use crate::http::dialect::list::parameter;
use crate::http::dialect::thing::Thing;
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::state::AppState;

/// The header with the URL that a client asks the proxy for.
pub(super) const PROXIED: &str = "x-fal-target-url";
/// How long a create that is answered with the result asks to be held; the server cuts it.
const HOLD: Duration = Duration::from_mins(10);

/// A request, as its status shows it.
pub(super) const REQUEST: Thing = Thing {
    kind: "fal.request",
    id: Id::Uuid,
    show: show_status,
};
/// The same, as its result.
pub(super) const RESULT: Thing = Thing {
    show: show_result,
    ..REQUEST
};

/// `POST /{owner}/{alias}`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let app = format!("{}/{}", call.param("owner")?, call.param("alias")?);
    let new = New {
        hook: parameter(call, "fal_webhook").map(webhooks::hook),
        ..New::of(job::request(call)?).note("app", app)
    };
    let mut asked = Asked::one(new, |seen| json::ok(&status_body(&seen[0])));
    if is_direct(call) {
        asked.hold = Some(HOLD);
        asked.answer = |seen| show_result(&seen[0]);
    }
    job::create(state, call, &REQUEST, asked)
}

/// Whether a client asks, by the proxy, for the host that answers a request with its result.
pub(super) fn is_direct(call: &Call) -> bool {
    let target = call.field(PROXIED).unwrap_or_default();
    target.starts_with("https://fal.run/")
}

/// `GET /{owner}/{alias}/requests/{id}/status/stream`
pub(super) fn stream(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    job::stream(state, call, &REQUEST, written)
}

/// `PUT /{owner}/{alias}/requests/{id}/cancel`
pub(super) fn cancel(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let found = REQUEST.in_path(state, call)?;
    if found.is_done() {
        let status = json!({"status": "ALREADY_COMPLETED"});
        return Ok(json::answer(StatusCode::BAD_REQUEST, &status).into());
    }
    let (owner, job) = (call.caller.owner, found.key);
    state.ask(Cancel { owner, job }, |_, _| {
        let status = json!({"status": "CANCELLATION_REQUESTED"});
        Ok(json::answer(StatusCode::ACCEPTED, &status))
    })
}
