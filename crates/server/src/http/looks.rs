//! Who looked at a job, and what each look was good for.

use std::time::Duration;

use axum::Json as Respond;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use abide_engine::Job;
use abide_wire::{Status, Timestamp};

use super::access::Caller;
use super::error::ApiError;
use super::extract::Path;
use super::jobs::{find, key_of};
use super::state::AppState;
use crate::board::Channel;
use crate::looks::{Look, Who};
use crate::report::Seen;

/// The log of one job.
#[derive(Debug, Serialize)]
struct Log {
    /// The last looks, the oldest first.
    looks: Vec<LookSeen>,
    /// What there was to see.
    changes: Vec<ChangeSeen>,
    /// How many older looks have been forgotten.
    dropped: u64,
}

#[derive(Debug, Serialize)]
struct LookSeen {
    at: Timestamp,
    channel: &'static str,
    revision: u64,
    /// Whether the client learned something.
    news: bool,
    client: String,
    held_ms: u128,
}

#[derive(Debug, Serialize)]
struct ChangeSeen {
    at: Timestamp,
    revision: u64,
    status: Status,
    percent: Option<f32>,
    stage: Option<String>,
}

/// `GET /v1/jobs/{id}/looks`
pub(super) async fn of_job(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let job = find(&state, &caller, key_of(&id)?)?;
    let log = state.looks.of(job.key);
    let looks = log.looks.iter().map(|look| LookSeen {
        at: look.at,
        channel: look.channel,
        revision: look.revision,
        news: look.news,
        client: look.who.to_string(),
        held_ms: look.at.since(look.asked_at).as_millis(),
    });
    let changes = (job.first_revision()..=job.revision).filter_map(|revision| {
        let change = job.change(revision)?;
        Some(ChangeSeen {
            at: change.at,
            revision,
            status: change.state.into(),
            percent: change.percent,
            stage: change.stage.as_deref().map(str::to_owned),
        })
    });
    Ok(Respond(Log {
        looks: looks.collect(),
        changes: changes.collect(),
        dropped: log.dropped,
    })
    .into_response())
}

/// One look, as the handler that answers it knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looked {
    /// When it was asked.
    pub asked_at: Timestamp,
    /// By which channel.
    pub channel: &'static str,
    /// The newest revision that the client said it has.
    pub seen: Option<u64>,
    /// After how many seconds the answer tells the client to look again.
    pub retry_after: Option<u32>,
}

/// What a read that isn't held is called.
pub(super) const POLL: &str = "poll";

impl AppState {
    /// Notes that the caller is shown that job now.
    pub(super) fn note_look(&self, caller: &Caller, job: &Job, looked: Looked) {
        let retry_after = looked.retry_after;
        let at = self.clock.now();
        let channel = Channel::ALL
            .into_iter()
            .find(|channel| channel.as_str() == looked.channel);
        let seen = Seen {
            asked_at: looked.asked_at,
            at,
            job: job.key,
            revision: job.revision,
            known: looked.seen,
            finished_at: job.finished_at,
            channel,
            retry_after: retry_after.map(|seconds| Duration::from_secs(seconds.into())),
        };
        // The others are counted as requests where they are answered: several looks may belong to one.
        let is_request = matches!(channel, None | Some(Channel::LongPoll));
        self.report.look(caller.counted(), seen, is_request);
        let look = Look {
            at,
            asked_at: looked.asked_at,
            channel: looked.channel,
            revision: job.revision,
            news: false,
            retry_after,
            who: Who {
                agent: caller.agent,
                address: caller.address,
            },
        };
        self.looks.note(job.key, looked.seen, look);
    }
}
