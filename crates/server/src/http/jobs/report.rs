//! `PATCH /v1/jobs/{id}`: what an external worker reports.

use serde::{Deserialize, Deserializer};

use abide_engine::{Job, Json, Refusal, Report, Token, Work};
use abide_wire::headers::LEASE_TOKEN;
use abide_wire::{Problem, ProblemInput, Progress, Revision};

use crate::http::answer::Outcome;
use crate::http::call::{Call, Tags, only};
use crate::http::error::ApiError;
use crate::http::find::{find, key_of};
use crate::http::represent::show_lease;
use crate::http::state::AppState;

/// What an external worker says: exactly one of these, or nothing under a lease.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(max_properties = 1)]
pub(super) struct WorkerReport {
    /// It has come so far.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    progress: Option<Progress>,
    /// It has ended well, with that. Also `null` is a result, so its presence is what counts.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    result: Option<Json>,
    /// It has ended badly, because of that.
    #[serde(default, deserialize_with = "problem")]
    #[schema(nullable = false, value_type = Option<ProblemInput>)]
    error: Option<Problem>,
    /// `true`: it gives the job back, which is pending again; its claim doesn't count as an attempt.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    release: Option<bool>,
}

/// `PATCH /v1/jobs/{id}`
pub(super) fn report(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let id = call.param("id")?;
    let body: WorkerReport = call.json()?;
    let job = key_of(&id)?;
    let lease = lease_token(call)?;
    let work = match (body.progress, body.result, body.error, body.release) {
        (Some(progress), None, None, None) => Work::Progress(progress),
        (None, Some(result), None, None) => Work::Result(result),
        (None, None, Some(error), None) => Work::Error(Box::new(error)),
        (None, None, None, Some(true)) if lease.is_some() => Work::Release,
        (None, None, None, None) if lease.is_some() => Work::Heartbeat,
        _ => {
            return Err(ApiError::invalid_member(
                "a report must have exactly one of `progress`, `result` and `error`, or under a lease \
                    `\"release\": true`",
            ));
        }
    };
    let current = find(state, &call.caller, job)?;
    let command = Report {
        owner: call.caller.owner,
        job,
        if_match: if_match(call, &current)?,
        lease,
        work,
    };
    state.ask_keeping(command, call.room.clone(), |state, job| {
        show_lease(state, &job, state.clock.now())
    })
}

/// The lease that the worker reports under.
fn lease_token(call: &Call) -> Result<Option<Token>, ApiError> {
    let Some(token) = only(&call.headers, LEASE_TOKEN)? else {
        return Ok(None);
    };
    let token = token.to_str().ok().and_then(|token| token.parse().ok());
    let wrong =
        || ApiError::invalid_member("`Lease-Token` isn't a token that a claim was answered with");
    token.map(Some).ok_or_else(wrong)
}

/// The revision that `If-Match` insists on.
fn if_match(call: &Call, job: &Job) -> Result<Option<Revision>, ApiError> {
    let Some(tags) = Tags::if_match(&call.headers) else {
        return Ok(None);
    };
    if tags.is_any() {
        return Ok(None);
    }
    // The loop compares again, because the job may change before it gets there.
    match tags.revision(job.revision) {
        Some(revision) => Ok(Some(Revision(revision))),
        None => Err(Refusal::Changed {
            current: Revision(job.revision),
        }
        .into()),
    }
}

/// The same for a problem.
fn problem<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Problem>, D::Error> {
    ProblemInput::deserialize(deserializer).map(Some)
}

/// A member that is there has a value; `null` is one if the type says so.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
