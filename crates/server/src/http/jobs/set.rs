//! One held request for many jobs.

use std::collections::HashMap;
use std::sync::Arc;

use http::StatusCode;
use serde_json::value::RawValue;

use abide_engine::{Job, JobKey};
use abide_wire::{JobId, Until, WaitFailure, WaitRequest, WaitResponse, limits};

use crate::attendance::Read;
use crate::board::Channel;
use crate::http::access::Caller;
use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::error::{ApiError, held};
use crate::http::find::{find, key_of};
use crate::http::hold::Hold;
use crate::http::json;
use crate::http::represent::add_preference;
use crate::http::state::AppState;

/// The jobs that are waited for, each with the newest revision that the client has.
type Wanted = HashMap<JobKey, Option<u64>>;

/// `POST /v1/jobs/wait`
pub(super) fn wait(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let request: WaitRequest = call.json()?;
    if request.jobs.len() > limits::SET_JOBS_MAX {
        return Err(ApiError::invalid_member(format!(
            "`jobs` must have at most {} ids, but has {}",
            limits::SET_JOBS_MAX,
            request.jobs.len()
        )));
    }
    let (caller, asked_at) = (call.caller, call.now);
    let hold = Hold::grant(state, &caller, Channel::Set, request.wait.get())?;
    let found = Found::new(&request);
    let state = state.clone();
    held(async move {
        let found = found.wait(&state, &caller, &hold).await;
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
        let mut answer = found.answer(&state);
        add_preference(answer.headers_mut(), hold.length());
        Ok(answer)
    })
}

/// What has been found so far.
struct Found {
    until: Until,
    wanted: Wanted,
    jobs: Vec<Arc<Job>>,
    errors: Vec<WaitFailure>,
    /// How many of the wanted jobs can still have news.
    open: usize,
}

impl Found {
    /// Nothing yet, of what that request wants.
    fn new(request: &WaitRequest) -> Self {
        let mut found = Self {
            until: request.until,
            wanted: Wanted::new(),
            jobs: Vec::new(),
            errors: Vec::new(),
            open: 0,
        };
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
        found
    }

    /// Holds until there is an answer, and gives what has been found then.
    async fn wait(mut self, state: &AppState, caller: &Caller, hold: &Hold) -> Self {
        let watcher = hold.watcher(state, caller);
        let mut waiter = state.board.waiter(self.until, watcher);
        for key in self.wanted.keys() {
            waiter.register(*key);
        }
        let mut expiry = std::pin::pin!(state.clock.hold(hold.stretched(state)));
        loop {
            self.look(state, caller);
            if self.is_answer() || hold.length().is_zero() {
                return self;
            }
            tokio::select! {
                () = waiter.rung() => {}
                () = &mut expiry => return self,
                () = state.stop.cancelled() => return self,
            }
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

    fn answer(mut self, state: &AppState) -> Answer {
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
        json::answer(StatusCode::OK, &response)
    }
}
