//! `GET /v1/jobs/{id}/watchers`

use serde::Serialize;

use abide_wire::{Timestamp, limits};

use crate::board::Watcher;
use crate::http::answer::Outcome;
use crate::http::call::Call;
use crate::http::error::ApiError;
use crate::http::find::{find, key_of};
use crate::http::json;
use crate::http::nodes::{Question, with_others};
use crate::http::state::AppState;

/// Who waits for a job.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Watchers {
    /// The longest waiting first.
    watchers: Vec<WatcherSeen>,
    /// The nodes of a cluster that didn't answer, whose waiting clients are missing here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    partial: Vec<String>,
}

/// One who waits.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Watcher)]
struct WatcherSeen {
    /// `long_poll`, `stream`, `set` or `create`.
    channel: &'static str,
    /// Since when.
    since: Timestamp,
    /// Where from.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<std::net::IpAddr>,
}

/// `GET /v1/jobs/{id}/watchers`
pub(super) fn watchers(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let job = find(state, &call.caller, key_of(&call.param("id")?)?)?;
    let found = state.board.watchers(job.key);
    let question = Question::Watchers(job.key);
    with_others(
        state,
        question,
        move |others: Vec<Vec<Watcher>>, partial| {
            let found = found.into_iter().chain(others.into_iter().flatten());
            let mut watchers: Vec<_> = found
                .map(|watcher| WatcherSeen {
                    channel: watcher.channel.as_str(),
                    since: watcher.since,
                    address: watcher.address,
                })
                .collect();
            watchers.sort_by_key(|watcher| watcher.since);
            watchers.truncate(limits::PAGE_JOBS_MAX);
            Ok(json::ok(&Watchers { watchers, partial }).into())
        },
    )
}
