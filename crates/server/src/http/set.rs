//! One held request for many jobs.

use std::collections::HashMap;

use axum::Json as Respond;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde_json::value::RawValue;

use abide_engine::{Job, JobKey};
use abide_wire::{JobId, Until, WaitFailure, WaitRequest, WaitResponse, limits};

use super::access::Caller;
use super::error::ApiError;
use super::extract::Json;
use super::hold::Hold;
use super::jobs::{find, key_of};
use super::represent::apply_preference;
use super::state::AppState;
use crate::attendance::Read;
use crate::board::Channel;

/// The jobs that are waited for, each with the newest revision that the client has.
type Wanted = HashMap<JobKey, Option<u64>>;

/// `POST /v1/jobs/wait`
#[utoipa::path(
    post,
    path = "/v1/jobs/wait",
    tag = "Waiting",
    operation_id = "waitForJobs",
    summary = "Wait for many jobs",
    description = "Holds until any of up to 1,000 jobs has news, and answers with all that have. A bad id is an error for itself alone.",
    request_body(content = abide_wire::WaitRequest),
    responses(
        (status = 200, description = "The jobs with news; none where the hold ran out.", body = abide_wire::WaitResponse)
    )
)]
pub(super) async fn wait(
    State(state): State<AppState>,
    caller: Caller,
    Json(request): Json<WaitRequest>,
) -> Result<Response, ApiError> {
    if request.jobs.len() > limits::SET_JOBS_MAX {
        return Err(ApiError::invalid_member(format!(
            "`jobs` must have at most {} ids, but has {}",
            limits::SET_JOBS_MAX,
            request.jobs.len()
        )));
    }
    let asked_at = state.clock.now();
    let hold = Hold::grant(&state, &caller, Channel::Set, request.wait.get())?;
    let mut found = Found::new(request.until);
    for item in &request.jobs {
        match key_of(item.id.as_str()) {
            // Of the same job twice, the one that has seen less wants more.
            Ok(key) => {
                let after = item.after.map(|revision| revision.0);
                let known = found.wanted.entry(key).or_insert(after);
                *known = (*known).min(after);
            }
            Err(error) => found.fail(item.id.clone(), error),
        }
    }

    let mut waiter = state
        .board
        .waiter(request.until, hold.watcher(&state, &caller));
    for key in found.wanted.keys() {
        waiter.register(*key);
    }
    let mut expiry = std::pin::pin!(state.clock.hold(hold.stretched(&state)));
    loop {
        found.look(&state, &caller);
        if found.is_answer() || hold.length().is_zero() {
            break;
        }
        tokio::select! {
            () = waiter.rung() => {}
            () = &mut expiry => break,
            () = state.stop.cancelled() => break,
        }
    }
    for job in &found.jobs {
        hold.note_wake(&state, job);
        let read = Read {
            asked_at,
            channel: Some(Channel::Set),
            known: found.wanted.get(&job.key).copied().flatten(),
            ..Read::of(job, state.clock.now())
        };
        state.attendance.read(caller.counted(), read);
    }
    let mut response = found.respond(&state);
    apply_preference(response.headers_mut(), hold.length());
    Ok(response)
}

/// What has been found so far.
struct Found {
    until: Until,
    wanted: Wanted,
    jobs: Vec<std::sync::Arc<Job>>,
    errors: Vec<WaitFailure>,
    /// How many of the wanted can still have news.
    open: usize,
}

impl Found {
    fn new(until: Until) -> Self {
        Self {
            until,
            wanted: Wanted::new(),
            jobs: Vec::new(),
            errors: Vec::new(),
            open: 0,
        }
    }

    fn fail(&mut self, id: JobId, error: ApiError) {
        let error = error.into_problem().instance(format!("/v1/jobs/{id}"));
        self.errors.push(WaitFailure { id, error });
    }

    /// Looks at every job that is waited for.
    fn look(&mut self, state: &AppState, caller: &Caller) {
        let mut lost = Vec::new();
        self.open = 0;
        for (key, after) in &self.wanted {
            match find(state, caller, *key) {
                Ok(job) => {
                    let is_newer = after.is_none_or(|after| job.revision > after);
                    if is_newer && (self.until == Until::Any || job.is_done()) {
                        self.jobs.push(job);
                    } else if !job.is_done() {
                        self.open += 1;
                    }
                }
                Err(error) => lost.push((*key, error)),
            }
        }
        for (key, error) in lost {
            self.wanted.remove(&key);
            self.fail(key.to_id(), error);
        }
    }

    /// Whether there is news, a bad id among it, or none to come.
    fn is_answer(&self) -> bool {
        !self.jobs.is_empty() || !self.errors.is_empty() || self.open == 0
    }

    fn respond(mut self, state: &AppState) -> Response {
        self.jobs.sort_by_key(|job| (job.updated_at(), job.key));
        let now = state.clock.now();
        let jobs = self
            .jobs
            .iter()
            .map(|job| job.to_wire(state.board.remaining(job, now)))
            .collect();
        let response: WaitResponse<&RawValue> = WaitResponse {
            jobs,
            errors: self.errors,
        };
        Respond(response).into_response()
    }
}
