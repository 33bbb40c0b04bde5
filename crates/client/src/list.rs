//! Listing jobs.

use std::fmt;

use serde::Deserialize;

use abide_wire::{Job, JobId, Json, Outcome, Status, Timestamp, limits};

use crate::answer::parse_job;
use crate::call::call;
use crate::client::Client;
use crate::error::Error;
use crate::exchange::{Call, JOBS_BYTES_MAX, object};
use crate::resume::ResumeToken;
use crate::telemetry::Purpose;

/// A list of the caller's jobs, the newest first, page by page: made by [`Client::list`].
///
/// ```no_run
/// # async fn example(client: abide::Client) -> Result<(), abide::Error> {
/// let mut failed = client.list().status(abide::Status::Failed).kind("video_translation");
/// while let Some(page) = failed.next_page().await? {
///     for job in page {
///         println!("{} {:?}", job.id, job.error);
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
///
/// [`List::next_page`] may be dropped at any time: the next call asks for the same page.
#[must_use = "a list does nothing until a page is asked for"]
#[derive(Clone)]
pub struct List {
    client: Client,
    query: Vec<(String, String)>,
    statuses: Vec<String>,
    next: Next,
    unreadable: Vec<JobId>,
}

/// A page with its jobs unread.
#[derive(Deserialize)]
struct Page {
    jobs: Vec<Json>,
    #[serde(default)]
    next_page_token: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Next {
    First,
    Page(String),
    None,
}

impl Client {
    /// The caller's jobs, the newest first. Nothing is sent before a page is asked for.
    pub fn list(&self) -> List {
        List {
            client: self.clone(),
            query: Vec::new(),
            statuses: Vec::new(),
            next: Next::First,
            unreadable: Vec::new(),
        }
    }
}

impl List {
    /// Only jobs with that status; if called several times, with any of these.
    pub fn status(mut self, status: Status) -> Self {
        self.statuses.push(status.into());
        self
    }

    /// Only jobs with that outcome.
    pub fn outcome(self, outcome: Outcome) -> Self {
        self.status(Status::from(outcome.as_str().to_owned()))
    }

    /// Only jobs of that kind.
    pub fn kind(self, kind: impl Into<String>) -> Self {
        self.with("kind", kind.into())
    }

    /// Only jobs that were created after that instant.
    pub fn created_after(self, instant: Timestamp) -> Self {
        self.with("created_after", instant.to_string())
    }

    /// Only jobs that were created before that instant.
    pub fn created_before(self, instant: Timestamp) -> Self {
        self.with("created_before", instant.to_string())
    }

    /// Only jobs with that metadata.
    pub fn metadata(self, name: impl AsRef<str>, value: impl Into<String>) -> Self {
        let name = format!("metadata.{}", name.as_ref());
        self.with(&name, value.into())
    }

    /// Only these jobs; those that don't exist are left out.
    pub fn ids<'a>(self, ids: impl IntoIterator<Item = &'a JobId>) -> Self {
        let ids: Vec<&str> = ids.into_iter().map(JobId::as_str).collect();
        self.with("ids", ids.join(","))
    }

    /// How many jobs a page has at most, 1 to 1,000. Default: the server's, 100.
    pub fn page_size(self, jobs: usize) -> Self {
        let jobs = jobs.clamp(1, limits::PAGE_JOBS_MAX);
        self.with("limit", jobs.to_string())
    }

    /// The next page; none after the last. A page may have few jobs, or none, and yet not be the last.
    ///
    /// # Errors
    ///
    /// As for [`JobHandle::status`](crate::JobHandle::status); the next call asks for the same page.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time: the next call asks for the same page.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Job>>, Error> {
        let origin = &self.client.core.origin;
        if self.client.core.remote.is_some() {
            return Err(Error::usage("only our own API lists jobs"));
        }
        let mut url = origin.url(["v1", "jobs"]);
        if self.next == Next::None {
            return Ok(None);
        }
        let statuses = self.statuses.join(",");
        let mut pairs: Vec<(&str, &str)> = self
            .query
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        if !statuses.is_empty() {
            pairs.push(("status", &statuses));
        }
        if let Next::Page(token) = &self.next {
            pairs.push(("page_token", token));
        }
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        let request = Call::get(Purpose::List, url).limit(JOBS_BYTES_MAX);
        let token = ResumeToken::of_nothing(origin.server());
        let page = call(origin, &request, &token, |reply| {
            object::<Page>(&reply.body).map_err(|error| {
                reply
                    .garbled("the answer holds no page of jobs")
                    .because(error)
            })
        });
        let page = page.await?;
        let mut jobs = Vec::with_capacity(page.jobs.len());
        for json in &page.jobs {
            match parse_job(json) {
                Ok(job) => jobs.push(job),
                Err((id, _)) => self
                    .unreadable
                    .push(id.unwrap_or_else(|| JobId::new("unknown"))),
            }
        }
        self.next = match page.next_page_token {
            // A token that doesn't move would be a list without end.
            Some(next) if self.next != Next::Page(next.clone()) => Next::Page(next),
            _ => Next::None,
        };
        Ok(Some(jobs))
    }

    /// The jobs of the pages so far that couldn't be read and are in none of them. Each is asked for by itself with
    /// [`JobHandle::status`](crate::JobHandle::status), which says why.
    #[must_use]
    pub fn unreadable(&self) -> &[JobId] {
        &self.unreadable
    }

    fn with(mut self, name: &str, value: String) -> Self {
        self.query.push((name.to_owned(), value));
        self
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List")
            .field("query", &self.query)
            .field("statuses", &self.statuses)
            .finish_non_exhaustive()
    }
}
