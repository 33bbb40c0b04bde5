//! The caller's job, by its id.

use std::sync::Arc;

use abide_engine::{Job, JobKey, Refusal};

use super::access::Caller;
use super::error::ApiError;
use super::state::AppState;
use crate::board::Look;

/// The caller's job of that key, as it is now.
///
/// # Errors
///
/// There is none that the caller may see, or its record was removed.
pub(super) fn find(state: &AppState, caller: &Caller, key: JobKey) -> Result<Arc<Job>, ApiError> {
    match state.board.look_as(caller.owner, key) {
        Look::Found(job) => Ok(job),
        Look::Gone(_) => Err(Refusal::Gone.into()),
        Look::Unknown => Err(Refusal::NotFound.into()),
    }
}

/// The key that an id on the wire stands for.
///
/// # Errors
///
/// It isn't one of ours, and so names nothing.
pub(super) fn key_of(id: &str) -> Result<JobKey, ApiError> {
    id.parse().map_err(|_| Refusal::NotFound.into())
}
