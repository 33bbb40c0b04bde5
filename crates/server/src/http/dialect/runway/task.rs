//! Tasks: create, read, cancel or remove.

use http::StatusCode;
use serde_json::json;

use super::wire::show;
use crate::http::answer::{Outcome, empty};
use crate::http::call::Call;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New, request};
use crate::http::dialect::thing::Thing;
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::state::AppState;

/// Every request names the version of the interface.
const VERSION: &str = "x-runway-version";

/// A task.
pub(super) const TASK: Thing = Thing {
    kind: "runway.task",
    id: Id::Uuid,
    show,
};

/// `POST /v1/image_to_video` and its like
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    check_version(call)?;
    let new = New::of(request(call)?);
    let asked = Asked::one(new, |seen| json::ok(&json!({"id": TASK.id_of(&seen[0])})));
    job::create(state, call, &TASK, asked)
}

/// `GET /v1/tasks/{id}`
pub(super) fn read(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    check_version(call)?;
    job::read(state, call, &TASK)
}

/// `DELETE /v1/tasks/{id}`: cancels a task, or removes one that has ended.
pub(super) fn delete(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    check_version(call)?;
    let task = TASK.in_path(state, call)?;
    let gone = empty(StatusCode::NO_CONTENT);
    match task.is_done() {
        true => job::remove(state, call, task.key, gone),
        false => job::end(state, call, task.key, gone),
    }
}

fn check_version(call: &Call) -> Result<(), ApiError> {
    match call.field(VERSION) {
        Some(_) => Ok(()),
        None => Err(ApiError::invalid_member(
            "the header `X-Runway-Version` is required",
        )),
    }
}
