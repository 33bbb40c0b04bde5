//! One held request for many jobs.

use std::sync::Arc;

use abide_engine::{Job, JobKey};
use abide_wire::{JobId, Until, WaitFailure, WaitRequest, limits};

use super::many::Many;
use crate::attendance::Read;
use crate::board::Channel;
use crate::http::access::Caller;
use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::error::{ApiError, held};
use crate::http::find::{find, key_of};
use crate::http::hold::Hold;
use crate::http::represent::add_preference;
use crate::http::state::AppState;

/// What a job that is waited for takes, in bytes: here, and among the waiters of the job.
const WANTED_BYTES: usize = 100;

/// The jobs that are waited for, sorted, each with the newest revision that the client has, or 0.
type Wanted = Vec<(JobKey, u64)>;

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
    let bytes = found.wanted.len() * WANTED_BYTES;
    let held_bytes = state.inflight.take(caller.client, bytes);
    let held_bytes = held_bytes.map_err(ApiError::too_many_bytes)?;
    let state = state.clone();
    held(async move {
        let found = found.wait(&state, &caller, &hold).await;
        for job in &found.many.jobs {
            hold.note_wake(&state, job);
            let known = found.wanted.binary_search_by_key(&job.key, |(key, _)| *key);
            let known = known.ok().map(|place| found.wanted[place].1);
            let read = Read {
                asked_at,
                channel: Some(Channel::Set),
                known: known.filter(|revision| *revision > 0),
                ..Read::of(job, state.clock.now())
            };
            state.attendance.read(caller.counted(), read);
        }
        drop(held_bytes);
        let mut answer = found.answer(&state, &caller)?;
        add_preference(answer.headers_mut(), hold.length());
        Ok(answer)
    })
}

/// What has been found so far.
struct Found {
    until: Until,
    wanted: Wanted,
    /// The jobs that have news, and those of them that the answer has room for.
    news: Vec<Arc<Job>>,
    many: Many,
    errors: Vec<WaitFailure>,
    /// How many of the wanted jobs can still have news.
    open: usize,
}

impl Found {
    /// Nothing yet, of what that request wants.
    fn new(request: &WaitRequest) -> Self {
        let mut found = Self {
            until: request.until,
            wanted: Wanted::with_capacity(request.jobs.len()),
            news: Vec::new(),
            many: Many::default(),
            errors: Vec::new(),
            open: 0,
        };
        for item in &request.jobs {
            match key_of(item.id.as_str()) {
                Ok(key) => {
                    let after = item.after.map_or(0, |revision| revision.0);
                    found.wanted.push((key, after));
                }
                Err(error) => found.fail(item.id.clone(), error),
            }
        }
        found.wanted.sort_unstable();
        // Of the same job twice, the one that has seen less wants more.
        found.wanted.dedup_by_key(|(key, _)| *key);
        found
    }

    /// Holds until there is an answer, and gives what has been found then.
    async fn wait(mut self, state: &AppState, caller: &Caller, hold: &Hold) -> Self {
        let watcher = hold.watcher(state, caller);
        let mut waiter = state.board.waiter(self.until, watcher);
        waiter.register_all(self.wanted.iter().map(|(key, _)| *key));
        let mut expiry = std::pin::pin!(state.clock.hold(hold.stretched(state)));
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.retain(|wanted| self.look(state, caller, *wanted));
        self.wanted = wanted;
        loop {
            self.answer_news();
            if self.is_answer() || hold.length().is_zero() {
                return self;
            }
            tokio::select! {
                () = waiter.rung() => self.look_again(state, caller, waiter.news()),
                () = &mut expiry => return self,
                () = state.stop.cancelled() => return self,
            }
        }
    }

    fn fail(&mut self, id: JobId, error: ApiError) {
        let error = error.into_problem().instance(format!("/v1/jobs/{id}"));
        self.errors.push(WaitFailure { id, error });
    }

    /// Looks at a job that is waited for. `false` if there is no such job any more.
    fn look(&mut self, state: &AppState, caller: &Caller, (key, after): (JobKey, u64)) -> bool {
        match find(state, caller, key) {
            Ok(job) => {
                let is_newer = job.revision > after;
                if is_newer && (self.until == Until::Any || job.is_done()) {
                    self.news.push(job);
                } else if !job.is_done() {
                    self.open += 1;
                }
                true
            }
            Err(error) => {
                self.fail(key.to_id(), error);
                false
            }
        }
    }

    /// Looks again at those that have changed; each was open.
    fn look_again(&mut self, state: &AppState, caller: &Caller, mut changed: Vec<JobKey>) {
        changed.sort_unstable();
        changed.dedup();
        for key in changed {
            if let Ok(place) = self.wanted.binary_search_by_key(&key, |(key, _)| *key) {
                self.open = self.open.saturating_sub(1);
                if !self.look(state, caller, self.wanted[place]) {
                    self.wanted.remove(place);
                }
            }
        }
    }

    /// Puts the news into the answer, in order of their last change.
    fn answer_news(&mut self) {
        self.news.sort_by_key(|job| (job.updated_at(), job.key));
        for job in self.news.drain(..) {
            // What one answer has no room for is news at the next request too.
            if !self.many.add(job) {
                break;
            }
        }
    }

    /// Whether there is news, a bad id among it, or none to come.
    fn is_answer(&self) -> bool {
        !self.many.jobs.is_empty() || !self.errors.is_empty() || self.open == 0
    }

    fn answer(self, state: &AppState, caller: &Caller) -> Result<Answer, ApiError> {
        let errors = serde_json::to_string(&self.errors).expect("a problem has only text keys");
        let tail = format!("\"errors\":{errors}");
        self.many.answer(state, caller.client, &tail)
    }
}
