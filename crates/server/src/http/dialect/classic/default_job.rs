//! The default job: what `/status` without an id refers to.

use std::sync::Arc;

use abide_engine::Job;

use crate::board::Look;
use crate::config::DEFAULT_JOB;
use crate::http::error::ApiError;
use crate::http::state::AppState;

/// The default job, if it has been asked for since the start and is there.
pub(super) fn known(state: &AppState) -> Option<Arc<Job>> {
    if !state.default_job_asked() {
        return None;
    }
    match state.board.look(state.board.named(DEFAULT_JOB)?) {
        Look::Found(job) => Some(job),
        _ => None,
    }
}

/// The default job, started if it isn't there.
///
/// # Errors
///
/// The loop refuses.
pub(super) async fn start(state: &AppState) -> Result<Arc<Job>, ApiError> {
    let is_first = !state.default_job_asked();
    let start = state.config.default_job(is_first);
    let job = state.commands.ask(start).await?;
    state.note_default_job_asked();
    Ok(job)
}
