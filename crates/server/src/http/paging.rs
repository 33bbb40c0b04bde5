//! Lists, page by page.
//!
//! A page goes on from the last item of the one before (keyset paging), so an item is neither shown twice nor missed
//! because others come and go. The token that says where is opaque.

use std::fmt::Display;

use abide_wire::limits;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::described::{Param, inline};
use super::error::ApiError;

/// The most bytes of items on a page that is written at once.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// How many items on a page, for the description.
pub(super) const LIMIT: Param = Param::query("limit", "How many on a page; 100 by default.")
    .schema(inline::<usize>)
    .bounds(1, limits::PAGE_JOBS_MAX);
/// Where a page goes on, for the description.
pub(super) const PAGE_TOKEN: Param =
    Param::query("page_token", "The `next_page_token` of the page before.")
        .pattern("^[A-Za-z0-9_-]{21}[AQgw]$");

/// Checks how many items are wanted. A wrong number is shown as it was sent.
///
/// # Errors
///
/// It is none, or more than there may be.
pub(super) fn limit(wanted: Option<usize>, sent: impl Display) -> Result<usize, ApiError> {
    wanted
        .filter(|limit| (1..=limits::PAGE_JOBS_MAX).contains(limit))
        .ok_or_else(|| {
            ApiError::invalid_member(format!(
                "in the query: `limit` must be 1 to {}, but is {sent}",
                limits::PAGE_JOBS_MAX
            ))
        })
}

/// The key of the last item of the page before.
///
/// # Errors
///
/// The token is none of ours.
pub(super) fn after(token: &str) -> Result<u128, ApiError> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
    bytes
        .and_then(|bytes| Some(u128::from_be_bytes(bytes.try_into().ok()?)))
        .ok_or_else(|| ApiError::invalid_member("in the query: `page_token` is none of ours"))
}

/// The token of the page after that item.
pub(super) fn token(last: u128) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(last.to_be_bytes())
}

/// Cuts to a page what was found with one more than the limit, and gives the token of the next page if there is one.
pub(super) fn cut<T>(found: &mut Vec<T>, limit: usize, key: impl Fn(&T) -> u128) -> Option<String> {
    let is_last = found.len() <= limit;
    found.truncate(limit);
    let last = found.last().filter(|_| !is_last);
    last.map(|item| token(key(item)))
}

/// The first of what was found, each written as it is shown: as many as a page has room for, but one at least. With the
/// token of the next page if there are others.
pub(super) fn fitting<T, S: Serialize>(
    found: &[T],
    show: impl Fn(&T) -> S,
    key: impl Fn(&T) -> u128,
) -> (Vec<Box<RawValue>>, Option<String>) {
    let (mut page, mut bytes) = (Vec::new(), 0);
    for item in found {
        let shown = to_raw_value(&show(item)).expect("what is answered has only text keys");
        bytes += shown.get().len();
        if bytes > PAGE_BYTES_MAX && !page.is_empty() {
            break;
        }
        page.push(shown);
    }
    let last = found[..page.len()].last();
    let next = last.filter(|_| page.len() < found.len());
    let next = next.map(|last| token(key(last)));
    (page, next)
}
