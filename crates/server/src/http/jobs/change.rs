//! Cancel and delete.

use std::sync::Arc;

use http::StatusCode;

use abide_engine::{Cancel, Command, Delete, Job};

use crate::http::answer::{Answer, Outcome, empty};
use crate::http::call::Call;
use crate::http::error::{ApiError, soon};
use crate::http::find::key_of;
use crate::http::represent::show;
use crate::http::state::AppState;

/// `POST /v1/jobs/{id}/cancel`
pub(super) fn cancel(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let command = Cancel {
        owner: call.caller.owner,
        job: key_of(&call.param("id")?)?,
    };
    soon(job_after(state.clone(), command))
}

/// `DELETE /v1/jobs/{id}`
pub(super) fn delete(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let command = Delete {
        owner: call.caller.owner,
        job: key_of(&call.param("id")?)?,
    };
    let state = state.clone();
    soon(async move {
        state.commands.ask(command).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    })
}

/// Has the command carried out, and shows the job as it is then.
async fn job_after(
    state: AppState,
    command: impl Command<Answer = Arc<Job>>,
) -> Result<Answer, ApiError> {
    let job = state.commands.ask(command).await?;
    Ok(show(&state, &job, false, state.clock.now()).answer)
}
