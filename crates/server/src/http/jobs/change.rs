//! Cancel and delete.

use http::StatusCode;

use abide_engine::{Cancel, Delete};

use crate::http::answer::{Outcome, empty};
use crate::http::call::Call;
use crate::http::error::ApiError;
use crate::http::find::key_of;
use crate::http::represent::show;
use crate::http::state::AppState;

/// `POST /v1/jobs/{id}/cancel`
pub(super) fn cancel(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let command = Cancel {
        owner: call.caller.owner,
        job: key_of(&call.param("id")?)?,
    };
    state.ask(command, |state, job| {
        Ok(show(state, &job, false, state.clock.now()).answer)
    })
}

/// `DELETE /v1/jobs/{id}`
pub(super) fn delete(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let command = Delete {
        owner: call.caller.owner,
        job: key_of(&call.param("id")?)?,
    };
    state.ask(command, |_, ()| Ok(empty(StatusCode::NO_CONTENT)))
}
