//! The caller's jobs, the newest first, page by page.
//!
//! A filter that few jobs pass doesn't make a page slow: a page scans a bounded number of jobs, so it may be short or
//! empty and still have a token for the next page.

use std::ops::Bound;
use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use serde_json::Value;
use serde_json::value::RawValue;

use abide_engine::{Job, JobKey, State as JobState};
use abide_wire::{JobPage, Timestamp, limits};

use crate::http::access::Caller;
use crate::http::answer::Outcome;
use crate::http::call::Call;
use crate::http::error::ApiError;
use crate::http::find::{find, key_of};
use crate::http::state::AppState;
use crate::http::{json, paging};

/// The most jobs that one page looks at.
const LOOKED_AT_MAX: usize = 20_000;
/// How many keys are taken off the board at once.
const NAMES_AT_ONCE: usize = 1_000;
/// The most members of `metadata` that a filter may name.
const METADATA_FILTERS_MAX: usize = 10;

/// `GET /v1/jobs`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let query = call.uri.query().unwrap_or_default();
    let wanted = Wanted::read(query)?;
    let (jobs, next) = if wanted.ids.is_some() {
        (wanted.by_ids(state, &call.caller), None)
    } else {
        wanted.page(state, &call.caller)
    };
    let now = state.clock.now();
    let page: JobPage<&RawValue> = JobPage {
        jobs: jobs
            .iter()
            .map(|job| job.to_wire(state.board.remaining(job, now)))
            .collect(),
        next_page_token: next.map(|last| paging::token(last.as_u128())),
    };
    let mut answer = json::answer(StatusCode::OK, &page);
    let out = answer.headers_mut();
    let kept = HeaderValue::from_static("private, no-cache");
    out.insert(header::CACHE_CONTROL, kept);
    let token = page.next_page_token.as_deref();
    let link = token.map(|token| next_link(query, token));
    if let Some(link) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
        out.insert(header::LINK, link);
    }
    Ok(Outcome::Now(answer))
}

/// Which jobs, and how many.
#[derive(Debug, Default)]
struct Wanted {
    states: Option<Vec<JobState>>,
    kind: Option<String>,
    created_after: Option<Timestamp>,
    created_before: Option<Timestamp>,
    metadata: Vec<(String, String)>,
    ids: Option<Vec<JobKey>>,
    limit: usize,
    /// The last job of the page before.
    before: Option<JobKey>,
}

impl Wanted {
    fn read(query: &str) -> Result<Self, ApiError> {
        let mut wanted = Self {
            limit: limits::PAGE_JOBS_DEFAULT,
            ..Self::default()
        };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let wrong = |detail: String| {
                ApiError::invalid_member(format!("in the query: `{name}` {detail}"))
            };
            match name.as_ref() {
                "status" => {
                    let states: Option<Vec<_>> = words(&value).map(state_of).collect();
                    let states = states.filter(|states| !states.is_empty());
                    wanted.states = Some(states.ok_or_else(|| {
                        wrong(format!(
                            "must be among pending, running, completed, failed, canceled, with commas \
                                between them, but is {value:?}"
                        ))
                    })?);
                }
                "kind" => wanted.kind = Some(value.into_owned()),
                "created_after" => wanted.created_after = Some(instant(&value).map_err(wrong)?),
                "created_before" => wanted.created_before = Some(instant(&value).map_err(wrong)?),
                "ids" => {
                    let ids: Vec<&str> = words(&value).collect();
                    if ids.len() > limits::PAGE_JOBS_MAX {
                        return Err(wrong(format!(
                            "must have at most {} ids, but has {}",
                            limits::PAGE_JOBS_MAX,
                            ids.len()
                        )));
                    }
                    // What names nothing is not in the list.
                    let keys = ids.into_iter().filter_map(|id| key_of(id).ok());
                    wanted.ids = Some(keys.collect());
                }
                "limit" => {
                    wanted.limit = paging::limit(value.parse().ok(), format_args!("{value:?}"))?;
                }
                "page_token" => {
                    wanted.before = Some(JobKey::from_u128(paging::after(&value)?));
                }
                name => match name.strip_prefix("metadata.") {
                    Some(member) if wanted.metadata.len() < METADATA_FILTERS_MAX => {
                        wanted
                            .metadata
                            .push((member.to_owned(), value.into_owned()));
                    }
                    Some(_) => {
                        return Err(ApiError::invalid_member(format!(
                            "in the query: at most {METADATA_FILTERS_MAX} members of metadata"
                        )));
                    }
                    None => {
                        return Err(ApiError::invalid_member(format!(
                            "in the query: unknown parameter `{name}`, expected one of `status`, `kind`, \
                                `created_after`, `created_before`, `metadata.NAME`, `ids`, `limit`, \
                                `page_token`"
                        )));
                    }
                },
            }
        }
        Ok(wanted)
    }

    /// The jobs with these ids, in their order.
    fn by_ids(&self, state: &AppState, caller: &Caller) -> Vec<Arc<Job>> {
        let ids = self.ids.iter().flatten();
        ids.filter_map(|key| find(state, caller, *key).ok())
            .filter(|job| self.takes(job))
            .collect()
    }

    /// One page, and the last name that was looked at where there are more.
    fn page(&self, state: &AppState, caller: &Caller) -> (Vec<Arc<Job>>, Option<JobKey>) {
        let from = self.created_after.map_or(Bound::Unbounded, |after| {
            // A name holds the millisecond, so the first of the next millisecond is the first that is after.
            let next = Timestamp::from_millis(after.as_millis().saturating_add(1));
            Bound::Included(JobKey::first_at(next))
        });
        let newest = self.created_before.map(JobKey::first_at);
        let mut before = match (self.before, newest) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let mut jobs = Vec::new();
        let mut looked_at = 0;
        loop {
            let high = before.map_or(Bound::Unbounded, Bound::Excluded);
            let names = state.board.names(caller.owner, from, high, NAMES_AT_ONCE);
            for name in &names {
                if jobs.len() == self.limit {
                    return (jobs, before);
                }
                before = Some(*name);
                jobs.extend(
                    find(state, caller, *name)
                        .ok()
                        .filter(|job| self.takes(job)),
                );
            }
            looked_at += names.len();
            if names.len() < NAMES_AT_ONCE {
                return (jobs, None);
            }
            if looked_at >= LOOKED_AT_MAX {
                return (jobs, before);
            }
        }
    }

    fn takes(&self, job: &Job) -> bool {
        self.states
            .as_ref()
            .is_none_or(|states| states.contains(&job.state))
            && self.kind.as_ref().is_none_or(|kind| **kind == *job.kind)
            && self
                .created_after
                .is_none_or(|after| job.created_at > after)
            && self
                .created_before
                .is_none_or(|before| job.created_at < before)
            && (self.metadata.is_empty() || self.takes_metadata(job))
    }

    fn takes_metadata(&self, job: &Job) -> bool {
        let members: Option<serde_json::Map<String, Value>> = job
            .metadata()
            .and_then(|metadata| serde_json::from_str(metadata.get()).ok());
        members.is_some_and(|members| {
            self.metadata.iter().all(|(name, wanted)| {
                members.get(name).is_some_and(|found| match found {
                    Value::String(text) => text == wanted,
                    // Numbers and the like are compared as they are written.
                    other => *wanted == *other.to_string(),
                })
            })
        })
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
}

fn state_of(word: &str) -> Option<JobState> {
    Some(match word {
        "pending" => JobState::Pending,
        "running" => JobState::Running,
        "completed" => JobState::Completed,
        "failed" => JobState::Failed,
        "canceled" => JobState::Canceled,
        _ => return None,
    })
}

fn instant(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|error: abide_wire::time::ParseTimeError| format!("is no instant: {error}"))
}

/// The same query with another token.
fn next_link(query: &str, token: &str) -> String {
    let mut next = url::form_urlencoded::Serializer::new(String::new());
    next.extend_pairs(
        url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "page_token"),
    );
    next.append_pair("page_token", token);
    format!("</v1/jobs?{}>; rel=\"next\"", next.finish())
}
