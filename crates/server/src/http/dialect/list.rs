//! Lists of a vendor's jobs, page by page.

use std::ops::Bound;
use std::sync::Arc;

use abide_engine::{Job, JobKey};
use abide_wire::limits;
use serde_json::Value;

use super::thing::{Thing, seen};
use crate::http::base::Base;
use crate::http::call::Call;
use crate::http::error::ApiError;
use crate::http::find::find;
use crate::http::seen::Seen;
use crate::http::state::AppState;

/// How many keys are taken off the board at once.
const BATCH: usize = 500;
/// Keys that are looked at for one page, whose jobs may lie far apart; then the page is short, and has a next one.
const LOOKED_MAX: usize = 5_000;
/// How many jobs may come before a page that is counted from the newest job.
const SKIPPED_MAX: usize = 1_000;

/// One page, the newest job first.
#[derive(Debug)]
pub(super) struct Page {
    /// The jobs, each as `each` shows it.
    pub items: Vec<Value>,
    /// The id of the last job that was looked at if there are more.
    pub next: Option<String>,
}

/// A page of that many of the caller's jobs of that sort, those before the one whose id the parameter of that name is.
///
/// # Errors
///
/// The parameter is no such id.
pub(super) fn after_cursor(
    state: &AppState,
    call: &Call,
    thing: &Thing,
    limit: usize,
    name: &str,
    each: fn(&Seen<'_>) -> Value,
) -> Result<Page, ApiError> {
    let none = || ApiError::invalid_member("in the query: the cursor is none of ours");
    let key = |id: String| thing.id.key(&id).ok_or_else(none);
    let before = parameter(call, name).map(key).transpose()?;
    Ok(page(state, call, thing, limit, before, each))
}

/// A page of that many of the caller's jobs of that sort, those before `before`.
pub(super) fn page(
    state: &AppState,
    call: &Call,
    thing: &Thing,
    limit: usize,
    before: Option<JobKey>,
    each: fn(&Seen<'_>) -> Value,
) -> Page {
    page_after(state, call, thing, (0, limit), before, each).0
}

/// Why a page has no further job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It has as many as were asked for.
    Limit,
    /// It has [`limits::ANSWER_BYTES_MAX`].
    Bytes,
    /// There are no more, or as many were looked at as may be.
    Jobs,
}

/// The same after the first `skip`, which aren't shown, and why it ends.
fn page_after(
    state: &AppState,
    call: &Call,
    thing: &Thing,
    (skip, limit): (usize, usize),
    before: Option<JobKey>,
    each: fn(&Seen<'_>) -> Value,
) -> (Page, End) {
    let base = Base::of(call);
    let (mut items, mut bytes, mut skipped, mut looked) = (Vec::new(), 0, 0, 0);
    let (mut last, mut end) = (before, End::Jobs);
    for name in names(state, call, before) {
        if items.len() == limit {
            end = End::Limit;
            break;
        }
        if bytes >= limits::ANSWER_BYTES_MAX {
            end = End::Bytes;
            break;
        }
        (last, looked) = (Some(name), looked + 1);
        let Some(job) = of_thing(state, call, thing, name) else {
            continue;
        };
        if skipped < skip {
            skipped += 1;
            continue;
        }
        let item = seen(state, &base, &job, each);
        bytes += item.to_string().len();
        items.push(item);
    }
    let next = last.filter(|_| end != End::Jobs || looked == LOOKED_MAX);
    let next = next.map(|last| thing.id.text(last));
    (Page { items, next }, end)
}

/// The names of the caller's jobs before that one, the newest first, as many as are looked at for a page.
fn names(
    state: &AppState,
    call: &Call,
    mut before: Option<JobKey>,
) -> impl Iterator<Item = JobKey> {
    let batches = std::iter::from_fn(move || {
        let high = before.map_or(Bound::Unbounded, Bound::Excluded);
        let owner = call.caller.owner;
        let names = state.board.names(owner, Bound::Unbounded, high, BATCH);
        before = Some(*names.last()?);
        Some(names)
    });
    batches.flatten().take(LOOKED_MAX)
}

/// The caller's job of that name, if it is one of that sort.
fn of_thing(state: &AppState, call: &Call, thing: &Thing, name: JobKey) -> Option<Arc<Job>> {
    let found = find(state, &call.caller, name).ok();
    found.filter(|job| *job.kind == *thing.kind)
}

/// The value of that parameter of the query, if it is there.
pub(super) fn parameter(call: &Call, name: &str) -> Option<String> {
    let (_, value) = call.pairs().find(|(found, _)| found == name)?;
    Some(value.into_owned()).filter(|value| !value.is_empty())
}

/// How many are wanted on a page, by the parameter of that name.
///
/// # Errors
///
/// It isn't a number from 1 to `max`.
pub(super) fn limit(
    call: &Call,
    name: &str,
    default: usize,
    max: usize,
) -> Result<usize, ApiError> {
    let Some(text) = parameter(call, name) else {
        return Ok(default);
    };
    let limit = text.parse().ok().filter(|limit| (1..=max).contains(limit));
    limit.ok_or_else(|| {
        ApiError::invalid_member(format!(
            "in the query: `{name}` must be 1 to {max}, but is {text}"
        ))
    })
}

/// The number that the parameter of that name is.
///
/// # Errors
///
/// It is none.
pub(super) fn number(call: &Call, name: &str, default: usize) -> Result<usize, ApiError> {
    let number = parameter(call, name).map_or(Ok(default), |text| text.parse());
    number.map_err(|_| ApiError::invalid_member(format!("in the query: `{name}` is no number")))
}

/// The jobs of that sort after the first `skip`, at most `limit` of them, and whether there are more: for vendors that
/// count pages. What lies beyond the keys that are looked at for one page isn't there for such a list.
///
/// # Errors
///
/// More than [`SKIPPED_MAX`] are to be skipped, or the page has no room for as many as are wanted: the next page would
/// begin after what this one left out.
pub(super) fn window(
    state: &AppState,
    call: &Call,
    thing: &Thing,
    (skip, limit): (usize, usize),
    each: fn(&Seen<'_>) -> Value,
) -> Result<(Vec<Value>, bool), ApiError> {
    if skip > SKIPPED_MAX {
        let why =
            format!("in the query: a list goes {SKIPPED_MAX} back, but {skip} were asked for");
        return Err(ApiError::invalid_member(why));
    }
    let (page, end) = page_after(state, call, thing, (skip, limit), None, each);
    if end == End::Bytes {
        return Err(ApiError::invalid_member(format!(
            "in the query: an answer has at most {} bytes of jobs, so ask for {} at a time here",
            limits::ANSWER_BYTES_MAX,
            page.items.len()
        )));
    }
    Ok((page.items, end == End::Limit))
}

/// The newest of the caller's jobs of that sort that its client gave that name.
pub(super) fn named(state: &AppState, call: &Call, thing: &Thing, name: u64) -> Option<Arc<Job>> {
    let key = state.board.found_by(call.caller.owner, name)?;
    of_thing(state, call, thing, key)
}
