//! The caller's jobs, the newest first, page by page.
//!
//! A filter that few jobs pass doesn't make a page slow: a page scans a bounded number of jobs, so it may be short or
//! empty and still have a token for the next page.

use std::ops::Bound;

use http::{HeaderValue, header};

use abide_engine::{Job, JobKey, State as JobState};
use abide_wire::{Timestamp, limits};

use super::many::Many;
use super::metadata;
use crate::http::access::Caller;
use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::error::{ApiError, soon};
use crate::http::find::{find, key_of};
use crate::http::paging;
use crate::http::state::AppState;

/// The most jobs that one page looks at.
const LOOKED_AT_MAX: usize = 20_000;
/// The most bytes of `metadata` that one page looks at.
const METADATA_LOOKED_AT_MAX: usize = 4 * 1024 * 1024;
/// How many keys are taken off the board at once, and how many jobs are looked at before others get their turn.
const NAMES_AT_ONCE: usize = 500;
/// The bytes of `metadata` after which others get their turn.
const METADATA_AT_ONCE: usize = 256 * 1024;
/// The most members of `metadata` that a filter may name.
const METADATA_FILTERS_MAX: usize = 10;

/// `GET /v1/jobs`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let wanted = Wanted::read(call.uri.query().unwrap_or_default())?;
    let mut page = Page::begin(wanted, call.caller);
    if page.goes_on(state) {
        let (state, uri) = (state.clone(), call.uri.clone());
        return soon(async move {
            while page.goes_on(&state) {
                tokio::task::yield_now().await;
            }
            page.answer(&state, uri.query().unwrap_or_default())
        });
    }
    let answer = page.answer(state, call.uri.query().unwrap_or_default())?;
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
        let mut seen = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let wrong = |detail: String| {
                ApiError::invalid_member(format!("in the query: `{name}` {detail}"))
            };
            // Two filters of metadata are both to be met; of two others it is unclear which one is meant.
            if seen.contains(&name) && !name.starts_with("metadata.") {
                return Err(wrong("must be there only once".to_owned()));
            }
            seen.push(name.clone());
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
            && (self.metadata.is_empty()
                || job
                    .metadata()
                    .is_some_and(|found| metadata::has(found, &self.metadata)))
    }

    /// How many bytes it takes to see whether that job is wanted.
    fn reads(&self, job: &Job) -> usize {
        let metadata = job.metadata().filter(|_| !self.metadata.is_empty());
        metadata.map_or(0, |metadata| metadata.get().len())
    }
}

/// A page that is being gathered.
#[derive(Debug)]
struct Page {
    wanted: Wanted,
    caller: Caller,
    from: Bound<JobKey>,
    /// The last name that was looked at.
    before: Option<JobKey>,
    many: Many,
    /// How many jobs, and bytes of their metadata, have been looked at.
    looked_at: (usize, usize),
    /// Whether there is a next page.
    has_next: bool,
}

impl Page {
    fn begin(mut wanted: Wanted, caller: Caller) -> Self {
        let from = wanted.created_after.map_or(Bound::Unbounded, |after| {
            // A name holds the millisecond, so the first of the next millisecond is the first that is after.
            let next = Timestamp::from_millis(after.as_millis().saturating_add(1));
            Bound::Included(JobKey::first_at(next))
        });
        let newest = wanted.created_before.map(JobKey::first_at);
        let before = match (wanted.before, newest) {
            _ if wanted.ids.is_some() => None,
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if let (Some(ids), Some(last)) = (&mut wanted.ids, wanted.before)
            && let Some(place) = ids.iter().position(|id| *id == last)
        {
            ids.drain(..=place);
        }
        Self {
            wanted,
            caller,
            from,
            before,
            many: Many::default(),
            looked_at: (0, 0),
            has_next: false,
        }
    }

    /// Looks at the next jobs, and says whether there is more to look at.
    fn goes_on(&mut self, state: &AppState) -> bool {
        if let Some(ids) = self.wanted.ids.take() {
            self.wanted.limit = ids.len();
            self.look_at(state, &ids);
            return false;
        }
        let high = self.before.map_or(Bound::Unbounded, Bound::Excluded);
        let owner = self.caller.owner;
        let names = state.board.names(owner, self.from, high, NAMES_AT_ONCE);
        let looked_at = self.look_at(state, &names);
        let is_last = looked_at == names.len() && names.len() < NAMES_AT_ONCE;
        if self.has_next || is_last {
            return false;
        }
        let (jobs, bytes) = self.looked_at;
        self.has_next = jobs >= LOOKED_AT_MAX || bytes >= METADATA_LOOKED_AT_MAX;
        !self.has_next
    }

    /// Looks at these jobs, until the page is full or others should have their turn. Says how many it has looked at.
    fn look_at(&mut self, state: &AppState, names: &[JobKey]) -> usize {
        let begun_at = self.looked_at.1;
        for (place, name) in names.iter().enumerate() {
            if self.many.jobs.len() == self.wanted.limit {
                self.has_next = true;
                return place;
            }
            if self.looked_at.1 - begun_at >= METADATA_AT_ONCE && self.wanted.ids.is_none() {
                return place;
            }
            let job = find(state, &self.caller, *name).ok();
            self.looked_at.0 += 1;
            self.looked_at.1 += job.as_ref().map_or(0, |job| self.wanted.reads(job));
            if let Some(job) = job.filter(|job| self.wanted.takes(job))
                && !self.many.add(job)
            {
                self.has_next = true;
                return place;
            }
            self.before = Some(*name);
        }
        names.len()
    }

    fn answer(self, state: &AppState, query: &str) -> Result<Answer, ApiError> {
        let next = self.before.filter(|_| self.has_next);
        let token = next.map(|last| paging::token(last.as_u128()));
        let tail = match &token {
            Some(token) => format!("\"next_page_token\":\"{token}\""),
            None => "\"next_page_token\":null".to_owned(),
        };
        let mut answer = self.many.answer(state, self.caller.client, &tail)?;
        let out = answer.headers_mut();
        let kept = HeaderValue::from_static("private, no-cache");
        out.insert(header::CACHE_CONTROL, kept);
        let link = token.map(|token| next_link(query, &token));
        if let Some(link) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
            out.insert(header::LINK, link);
        }
        Ok(answer)
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
    crate::http::instant::read(text).map_err(|error| format!("is no instant: {error}"))
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
