//! `GET /status` and `GET /status/{id}`

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use abide_engine::{Job, Owner};
use abide_wire::{Timestamp, Until};

use super::default_job;
use super::words;
use crate::attendance::Read;
use crate::board::Channel;
use crate::config::DEFAULT_JOB;
use crate::http::access::Caller;
use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::error::{ApiError, held};
use crate::http::find::{find, key_of};
use crate::http::hold::{Hold, hold};
use crate::http::represent::add_age;
use crate::http::route::Subject;
use crate::http::state::AppState;

/// How long `mode=long` holds at most, with what a hold is stretched by. The clients of these routes have time limits
/// of their own, which were chosen for a server that holds for 5 s.
const LONG_HOLD: Duration = Duration::from_millis(4_700);

/// Which job, and whether to hold until it has ended.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StatusQuery {
    /// The job. Default: the default job.
    job_id: Option<String>,
    /// `long` holds the request until the end, or for 5 s.
    #[serde(default)]
    #[param(inline)]
    mode: Mode,
}

/// Whether to hold, if the job is named by the path.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ModeQuery {
    /// `long` holds the request until the end, or for 5 s.
    #[serde(default)]
    #[param(inline)]
    mode: Mode,
}

/// Whether to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Answers at once.
    #[default]
    Short,
    /// Answers when the job has ended, or after 5 s.
    Long,
}

/// Whether the read asks to be held.
pub(super) fn asks_to_hold(call: &Call) -> bool {
    let query = call.query::<ModeQuery>();
    query.is_ok_and(|query| query.mode == Mode::Long)
}

/// The job that the query names, or the default job, which belongs to no owner.
pub(super) fn subject(state: &AppState, call: &Call) -> Option<Subject> {
    let query: StatusQuery = call.query().ok()?;
    match query.job_id {
        Some(id) => Subject::of(call, &id),
        None => state.board.named(DEFAULT_JOB).map(|job| Subject {
            job,
            owner: Owner::ANYONE,
        }),
    }
}

/// `GET /status`
pub(super) fn read(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let query: StatusQuery = call.query()?;
    if let Some(id) = &query.job_id {
        let job = find(state, &call.caller, key_of(id)?)?;
        return answer(state, call.caller, job, query.mode, call.now);
    }
    // It belongs to no owner, so every client that may ask at all may ask for it.
    let caller = Caller {
        owner: Owner::ANYONE,
        ..call.caller
    };
    if let Some(job) = default_job::known(state) {
        return answer(state, caller, job, query.mode, call.now);
    }
    let state = state.clone();
    Ok(Outcome::Soon(Box::pin(async move {
        let job = default_job::start(&state).await;
        let asked_at = state.clock.now();
        let answered = job.and_then(|job| answer(&state, caller, job, query.mode, asked_at));
        answered.unwrap_or_else(|error| Outcome::Now(error.into()))
    })))
}

/// `GET /status/{id}`
pub(super) fn read_named(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let id = call.param("id")?;
    let query: ModeQuery = call.query()?;
    let job = find(state, &call.caller, key_of(&id)?)?;
    answer(state, call.caller, job, query.mode, call.now)
}

fn answer(
    state: &AppState,
    caller: Caller,
    job: Arc<Job>,
    mode: Mode,
    asked_at: Timestamp,
) -> Result<Outcome, ApiError> {
    if mode == Mode::Short || job.is_done() {
        let answer = shown(state, &caller, &job, mode, asked_at, asked_at);
        return Ok(Outcome::Now(answer));
    }
    let granted = Hold::grant(state, &caller, Channel::LongPoll, LONG_HOLD)?;
    let state = state.clone();
    held(async move {
        let job = hold(&state, &caller, job, &granted, Until::Done, Job::is_done).await?;
        let now = state.clock.now();
        Ok(shown(&state, &caller, &job, mode, asked_at, now))
    })
}

/// The job, and counts the read.
fn shown(
    state: &AppState,
    caller: &Caller,
    job: &Arc<Job>,
    mode: Mode,
    asked_at: Timestamp,
    now: Timestamp,
) -> Answer {
    let read = Read {
        asked_at,
        channel: match mode {
            Mode::Short => None,
            Mode::Long => Some(Channel::LongPoll),
        },
        ..Read::of(job, now)
    };
    state.attendance.read(caller.counted(), read);
    let mut answer = words::show(state, job);
    if state.board.plays_faults() {
        answer.extensions_mut().insert(words::shown(job));
    }
    add_age(answer.headers_mut(), job, now);
    answer
}
