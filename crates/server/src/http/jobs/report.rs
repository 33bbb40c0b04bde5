//! `PATCH /v1/jobs/{id}`: what an external worker reports.

use serde::{Deserialize, Deserializer};

use abide_engine::{Job, Json, Refusal, Report, Work};
use abide_wire::{Problem, Progress, Revision};

use super::change::job_after;
use crate::http::answer::Outcome;
use crate::http::call::{Call, Tags};
use crate::http::error::{ApiError, soon};
use crate::http::find::{find, key_of};
use crate::http::state::AppState;

/// What an external worker says: exactly one of these.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1, max_properties = 1)]
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
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    error: Option<Problem>,
}

/// `PATCH /v1/jobs/{id}`
pub(super) fn report(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let id = call.param("id")?;
    let body: WorkerReport = call.json()?;
    let job = key_of(&id)?;
    let work = match (body.progress, body.result, body.error) {
        (Some(progress), None, None) => Work::Progress(progress),
        (None, Some(result), None) => Work::Result(result),
        (None, None, Some(error)) => Work::Error(Box::new(error)),
        _ => {
            return Err(ApiError::invalid_member(
                "a report must have exactly one of `progress`, `result` and `error`",
            ));
        }
    };
    let current = find(state, &call.caller, job)?;
    let command = Report {
        owner: call.caller.owner,
        job,
        if_match: if_match(call, &current)?,
        work,
    };
    soon(job_after(state.clone(), command))
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

/// A member that is there has a value; `null` is one if the type says so.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
