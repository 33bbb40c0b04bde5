//! How new an answer of a node must be: three rules for a server that is one of several.
//!
//! A node shows what it has applied, which is at most a push behind. Before some answers it asks the leader how far the
//! log is, and waits until it has come as far:
//!
//! 1. before a `404`, because the job may have been created elsewhere a moment ago;
//! 2. where the client names a revision or a place in the feed that this node doesn't have yet, so that no read goes
//!    back before one that the client has seen; for a set of jobs always;
//! 3. where the request says `Cache-Control: no-cache`: then the answer shows all that was acknowledged before it.
//!
//! The leader asks itself, that is it makes sure that it still leads. A server alone does none of this.

use std::sync::Arc;

use abide_engine::JobKey;
use abide_wire::headers;
use http::{StatusCode, header};

use super::answer::Outcome;
use super::call::{Call, Tags};
use super::error::ApiError;
use super::route::Row;
use super::state::AppState;
use crate::board::{Look, Place};
use crate::cluster::Status;

/// The outcome of a request, unless it must be newer than what this node shows.
pub(super) fn at_once(state: &AppState, row: &Row, call: &Call) -> Option<Outcome> {
    if row.names_many || wants_no_cache(call) || names_newer(state, call) {
        return None;
    }
    match row.answer(state, call) {
        Outcome::Now(answer) if answer.status() == StatusCode::NOT_FOUND => None,
        outcome => Some(outcome),
    }
}

/// The outcome once this node shows all that had been acknowledged when the request came.
pub(super) async fn later(
    state: AppState,
    cluster: Arc<Status>,
    row: &'static Row,
    call: Call,
) -> Outcome {
    match cluster.catch_up(&state.commands).await {
        Ok(()) => row.answer(&state, &call),
        Err(failure) => Outcome::Now(ApiError::from(failure).into()),
    }
}

/// Rule 3.
fn wants_no_cache(call: &Call) -> bool {
    let words = call.field(header::CACHE_CONTROL).unwrap_or_default();
    words
        .split(',')
        .any(|word| word.trim().eq_ignore_ascii_case("no-cache"))
}

/// Rule 2.
fn names_newer(state: &AppState, call: &Call) -> bool {
    let in_query = call
        .pairs()
        .filter(|(name, _)| matches!(&**name, "after" | "last_event_id"));
    let in_query = in_query.map(|(_, value)| value.into_owned());
    let in_head = call.field(headers::LAST_EVENT_ID).map(str::to_owned);
    let mut texts = in_query.chain(in_head).peekable();
    let tags = Tags::if_none_match(&call.headers);
    if texts.peek().is_none() && tags.newest().is_none() {
        return false;
    }
    let key: Option<JobKey> = call.param("id").ok().and_then(|id| id.parse().ok());
    match key.map(|key| state.board.look(key)) {
        Some(Look::Found(job)) => {
            let named = texts.filter_map(|text| text.parse::<u64>().ok());
            named.chain(tags.newest()).any(|named| named > job.revision)
        }
        Some(_) => false,
        None => texts
            .filter_map(|text| text.parse::<Place>().ok())
            .any(|place| state.board.is_ahead(place)),
    }
}
