//! `GET /v1/jobs/{id}`

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use abide_engine::Job;
use abide_wire::{Span, Timestamp, Until};

use crate::attendance::Read;
use crate::board::Channel;
use crate::http::access::Caller;
use crate::http::answer::{Answer, Outcome};
use crate::http::call::{Call, Tags};
use crate::http::error::{ApiError, held};
use crate::http::find::{find, key_of};
use crate::http::hold::{Hold, hold};
use crate::http::represent::{add_preference, show};
use crate::http::state::AppState;

/// How a read may be held.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadQuery {
    /// How long to hold, clamped by the server.
    wait: Option<Span>,
    /// The newest revision that the client has.
    after: Option<u64>,
    /// What to wait for: `any` change where a revision is named, else the end.
    #[param(inline)]
    until: Option<Until>,
}

impl ReadQuery {
    /// How long the request asks to be held, by its query or else by `Prefer`.
    fn wait(&self, call: &Call) -> Option<Duration> {
        self.wait.map(Span::get).or(call.prefer.wait)
    }
}

/// Whether the read asks to be held.
pub(super) fn asks_to_hold(call: &Call) -> bool {
    let query = call.query::<ReadQuery>();
    query.is_ok_and(|query| query.wait(call).is_some())
}

/// `GET /v1/jobs/{id}`
pub(super) fn read(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let id = call.param("id")?;
    let query: ReadQuery = call.query()?;
    let caller = call.caller;
    let job = find(state, &caller, key_of(&id)?)?;
    let ask = Ask::of(&query, call, &job);
    let granted = query
        .wait(call)
        .map(|wait| Hold::grant(state, &caller, Channel::LongPoll, wait))
        .transpose()?;
    match granted {
        Some(granted) if ask.is_held_for(&job) => {
            let state = state.clone();
            held(async move {
                let job = ask.hold(&state, &caller, job, &granted).await?;
                let length = Some(granted.length());
                Ok(ask.answer(&state, &caller, &job, length, state.clock.now()))
            })
        }
        granted => {
            let length = granted.as_ref().map(Hold::length);
            let answer = ask.answer(state, &caller, &job, length, call.now);
            Ok(Outcome::Now(answer))
        }
    }
}

/// What a read asks for.
#[derive(Debug)]
struct Ask {
    asked_at: Timestamp,
    tags: Tags,
    /// The newest revision that the client has.
    seen: Option<u64>,
    until: Until,
}

impl Ask {
    /// What that query and that call ask for, of a job that is like this now.
    fn of(query: &ReadQuery, call: &Call, job: &Job) -> Self {
        let tags = Tags::if_none_match(&call.headers);
        let seen = query.after.or_else(|| tags.revision(job.revision));
        // A client that names no revision has seen none, and wants to hear of the end.
        let until = query.until.unwrap_or(match seen {
            Some(_) => Until::Any,
            None => Until::Done,
        });
        Self {
            asked_at: call.now,
            tags,
            seen,
            until,
        }
    }

    /// Whether a read that may be held is held for that job.
    fn is_held_for(&self, job: &Job) -> bool {
        !job.is_done() && !self.is_news(job)
    }

    fn is_news(&self, job: &Job) -> bool {
        self.seen.is_none_or(|seen| job.revision > seen)
            && (self.until == Until::Any || job.is_done())
    }

    /// Holds until the job is news.
    ///
    /// # Errors
    ///
    /// Its record was removed meanwhile.
    fn hold(
        &self,
        state: &AppState,
        caller: &Caller,
        job: Arc<Job>,
        granted: &Hold,
    ) -> impl Future<Output = Result<Arc<Job>, ApiError>> {
        // No `async fn` around another, which would store the arguments twice in the future.
        hold(state, caller, job, granted, self.until, |job| {
            self.is_news(job)
        })
    }

    /// The job, and counts the read. `length` is the hold that was granted.
    fn answer(
        &self,
        state: &AppState,
        caller: &Caller,
        job: &Job,
        length: Option<Duration>,
        now: Timestamp,
    ) -> Answer {
        let is_known = self.tags.matches(job.revision);
        let mut shown = show(state, job, is_known, now);
        let read = Read {
            asked_at: self.asked_at,
            channel: length.map(|_| Channel::LongPoll),
            known: self.seen,
            retry_after: shown.retry_after,
            ..Read::of(job, now)
        };
        state.attendance.read(caller.counted(), read);
        if let Some(length) = length {
            add_preference(shown.answer.headers_mut(), length);
        }
        shown.answer
    }
}
