//! Who looked at a job, and what each look was good for.

use serde::Serialize;

use abide_engine::Job;
use abide_engine::intern::Percent;
use abide_wire::{Status, Timestamp};

use super::POLL;
use crate::attendance::Timeline;
use crate::board::Channel;
use crate::http::answer::Outcome;
use crate::http::call::Call;
use crate::http::error::ApiError;
use crate::http::find::{find, key_of};
use crate::http::json;
use crate::http::nodes::{Question, with_others};
use crate::http::state::AppState;

/// The log of one job.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Looks)]
pub(super) struct Log {
    /// The last looks, the oldest first.
    looks: Vec<LookSeen>,
    /// What there was to see.
    changes: Vec<ChangeSeen>,
    /// How many older looks have been forgotten.
    dropped: u64,
    /// The nodes of a cluster that didn't answer, at which it may have been looked too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    partial: Vec<String>,
}

/// One look at a job.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Look)]
struct LookSeen {
    /// When it was answered.
    at: Timestamp,
    /// `poll`, `long_poll`, `stream`, `set` or `create`.
    channel: &'static str,
    /// The revision that was shown.
    revision: u64,
    /// Whether the client learned something.
    news: bool,
    /// The program that looked, and where from.
    client: String,
    /// How long the request was held.
    #[schema(value_type = u64)]
    held_ms: u128,
}

/// One change of a job.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Change)]
struct ChangeSeen {
    /// When it happened.
    at: Timestamp,
    /// The revision that it made.
    revision: u64,
    /// Where the job stood then.
    #[schema(value_type = String)]
    status: Status,
    /// How far it had come.
    percent: Option<f32>,
    /// What was being done.
    stage: Option<String>,
}

/// `GET /v1/jobs/{id}/looks`
pub(super) fn read(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let job = find(state, &call.caller, key_of(&call.param("id")?)?)?;
    let timeline = state.attendance.timeline(job.key);
    let question = Question::Looks(job.key);
    with_others(state, question, move |others: Vec<Timeline>, partial| {
        let mut timeline = timeline;
        for other in others {
            timeline.merge(other);
        }
        Ok(json::ok(&show(&job, &timeline, partial)).into())
    })
}

fn show(job: &Job, timeline: &Timeline, partial: Vec<String>) -> Log {
    let looks = timeline.reads.iter().map(|read| LookSeen {
        at: read.at,
        channel: read.channel.map_or(POLL, Channel::as_str),
        revision: read.revision,
        news: read.news,
        client: read.client.to_string(),
        held_ms: read.at.since(read.asked_at).as_millis(),
    });
    let changes = (job.first_revision()..=job.revision).filter_map(|revision| {
        let change = job.change(revision)?;
        Some(ChangeSeen {
            at: change.at,
            revision,
            status: change.state.into(),
            percent: change.percent.map(Percent::get),
            stage: change.stage.as_deref().map(str::to_owned),
        })
    });
    Log {
        looks: looks.collect(),
        changes: changes.collect(),
        dropped: timeline.dropped,
        partial,
    }
}
