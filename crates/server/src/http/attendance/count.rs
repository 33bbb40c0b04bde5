//! Counts a request by its answer. Reads are counted by the handlers that show a job.

use std::time::Duration;

use abide_engine::JobKey;
use abide_wire::{FaultKind, Timestamp, headers};
use http::{StatusCode, header};

use crate::attendance::{FailedRequest, PendingCreate};
use crate::http::access::Caller;
use crate::http::answer::Answer;
use crate::http::route::Counts;
use crate::http::state::AppState;

/// Counts the answer to a request of that sort, about that job.
pub(in crate::http) fn answered(
    state: &AppState,
    caller: &Caller,
    counts: Counts,
    job: Option<JobKey>,
    answer: &mut Answer,
    now: Timestamp,
) {
    let status = answer.status();
    let is_failed = status.is_client_error() || status.is_server_error();
    match counts {
        Counts::Nothing => {}
        Counts::Create if let Some(create) = answer.extensions_mut().remove::<PendingCreate>() => {
            if !is_failed && !is_cut(answer) {
                create.answered();
            }
        }
        _ if is_failed => {
            let failed = FailedRequest {
                asked_at: now,
                at: now,
                job,
                retry_after: retry_after(answer),
            };
            state.attendance.failed(caller.counted(), failed);
        }
        Counts::Request => state.attendance.request(caller.counted(), now),
        Counts::Refusals | Counts::Read | Counts::Create => {}
    }
}

/// Whether a fault has cut the body short, so that the client doesn't get it whole.
fn is_cut(answer: &Answer) -> bool {
    let decision = answer.headers().get(headers::SIM_DECISION);
    decision
        .and_then(|decision| decision.to_str().ok())
        .is_some_and(|decision| decision.contains(FaultKind::Truncate.as_str()))
}

/// How long the answer asks its client to wait, if it says so in seconds.
fn retry_after(answer: &Answer) -> Option<Duration> {
    if answer.status() == StatusCode::OK {
        return None;
    }
    let text = answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}
