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
    let base = Base::of(call);
    let (mut items, mut bytes, mut looked) = (Vec::new(), 0, 0);
    let mut last = before;
    for name in names(state, call, before) {
        if items.len() == limit || bytes >= limits::ANSWER_BYTES_MAX {
            looked = LOOKED_MAX;
            break;
        }
        (last, looked) = (Some(name), looked + 1);
        if let Some(job) = of_thing(state, call, thing, name) {
            bytes += job.bytes();
            items.push(seen(state, &base, &job, each));
        }
    }
    let next = last.filter(|_| looked == LOOKED_MAX);
    let next = next.map(|last| thing.id.text(last));
    Page { items, next }
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
    let query = call.uri.query().unwrap_or_default();
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let (_, value) = pairs.find(|(found, _)| found == name)?;
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
/// count pages.
///
/// # Errors
///
/// More than [`SKIPPED_MAX`] are to be skipped.
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
    let mut page = page(state, call, thing, skip + limit, None, each);
    let items = page.items.split_off(skip.min(page.items.len()));
    Ok((items, page.next.is_some()))
}

/// The newest of the caller's jobs of that sort that is the one, among as many as are looked at for a page: for vendors
/// whose clients name their jobs.
pub(super) fn first(
    state: &AppState,
    call: &Call,
    thing: &Thing,
    is_it: impl Fn(&Seen<'_>) -> bool,
) -> Option<Arc<Job>> {
    let base = Base::of(call);
    names(state, call, None)
        .filter_map(|name| of_thing(state, call, thing, name))
        .find(|job| seen(state, &base, job, &is_it))
}
