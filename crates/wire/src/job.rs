//! The job, as clients see it.

use std::fmt;

use crate::{Json, Lease, Problem, Timestamp};
use serde::{Deserialize, Serialize};

/// A job's name on the wire: opaque to clients, time-ordered on our server.
///
/// Clients compare ids and send them back; they never take one apart. A foreign server's ids fit too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobId(String);

impl JobId {
    /// The id with that text. Any text is taken; the server answers `404` for one it doesn't know.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for JobId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for JobId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl AsRef<str> for JobId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// How many changes a job has seen. The first revision is 1, and every change adds exactly 1.
///
/// The same integer is the ETag, the cursor of a long poll, the id of an event and `data.revision` of a webhook, so
/// that what arrives by different channels can be put in order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Revision(pub u64);

impl Revision {
    /// The revision after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a job stands. An open list: decide on [`Job::done`] and [`Job::outcome`], and show the status to people.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Status {
    /// Accepted, not begun.
    Pending,
    /// At work.
    Running,
    /// Ended well.
    Completed,
    /// Ended with an error.
    Failed,
    /// Ended on request.
    Canceled,
    /// A status this version has no name for. It says nothing about whether the job is done.
    Other(String),
}

impl Status {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Other(word) => word,
        }
    }
}

impl From<String> for Status {
    fn from(word: String) -> Self {
        match word.as_str() {
            "pending" => Self::Pending,
            "running" => Self::Running,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "canceled" => Self::Canceled,
            _ => Self::Other(word),
        }
    }
}

impl From<Status> for String {
    fn from(status: Status) -> Self {
        status.as_str().to_owned()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a job that is done has ended. A closed list: nothing else will ever be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Outcome {
    /// It ended well and [`Job::result`] has what it made.
    Completed,
    /// It ended badly and [`Job::error`] says why.
    Failed,
    /// It was canceled.
    Canceled,
}

impl Outcome {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far a job has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Progress {
    /// Percent done, 0 to 100.
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 100))]
    pub percent: f64,
    /// What is being done, in the worker's words; at most 100 characters.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_length = 100))]
    pub stage: Option<String>,
}

/// How long the job will still take, as far as the server has learned it from past jobs of the same kind, in
/// milliseconds: p10, p50 and p90.
///
/// Quantiles, because a point estimate misleads. A distribution to learn from, never an appointment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Remaining {
    /// One job in ten ends sooner than this.
    pub p10: u64,
    /// Half of the jobs end sooner than this.
    pub p50: u64,
    /// Nine jobs in ten end sooner than this.
    pub p90: u64,
}

/// Where to go from a job, as paths on the same server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Links {
    /// The job itself.
    #[serde(rename = "self", default)]
    pub this: String,
    /// Its event stream.
    #[serde(default)]
    pub events: String,
    /// Where a `POST` cancels it.
    #[serde(default)]
    pub cancel: String,
    /// Who is waiting for it.
    #[serde(default)]
    pub watchers: String,
    /// Who was told of it.
    #[serde(default)]
    pub deliveries: String,
}

impl Links {
    /// Every link but the job's own: its name, and what it has after the job's path.
    #[doc(hidden)]
    pub const RESTS: [(&str, &str); 4] = [
        ("events", "/events"),
        ("cancel", "/cancel"),
        ("watchers", "/watchers"),
        ("deliveries", "/deliveries"),
    ];

    /// The links of the job with that id.
    #[must_use]
    pub fn of(id: &str) -> Self {
        let link = |rest: &str| ["/v1/jobs/", id, rest].concat();
        let [events, cancel, watchers, deliveries] = Self::RESTS.map(|(_, rest)| link(rest));
        Self {
            this: link(""),
            events,
            cancel,
            watchers,
            deliveries,
        }
    }
}

/// A job.
///
/// `J` is how free-form JSON is held: as it came by default, see [`Json`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "J: Deserialize<'de>"))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Job<J = Json> {
    /// Its name, `job_…`.
    pub id: JobId,
    /// What sort of work it is, `video_translation` by default. Durations are learned per kind.
    #[serde(default)]
    pub kind: String,
    /// Where it stands; for people.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub status: Status,
    /// Whether it has ended. A done job never changes again.
    pub done: bool,
    /// How it ended; `null` while it hasn't.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// How many changes it has seen.
    pub revision: Revision,
    /// How far it has come, where the worker says so.
    #[serde(default)]
    pub progress: Option<Progress>,
    /// What it was given.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Value>))]
    pub input: Option<J>,
    /// What it made; `null` unless it completed.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Value>))]
    pub result: Option<J>,
    /// Why it failed; `null` unless it did.
    #[serde(default)]
    pub error: Option<Problem>,
    /// What its creator noted on it: an object, empty where nothing was noted.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<std::collections::HashMap<String, Value>>))]
    pub metadata: Option<J>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When work began.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    #[serde(default)]
    pub finished_at: Option<Timestamp>,
    /// When its record will be deleted; `null` while it hasn't ended.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// How long it will still take, where the server has learned it.
    #[serde(default)]
    pub remaining_ms: Option<Remaining>,
    /// How often workers have claimed it; missing if none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// The lease of the worker that claims it, in the answers to its claim and its reports alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// Where to go from here.
    #[serde(default)]
    pub links: Links,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_status_keeps_its_word() {
        let status: Status = serde_json::from_str("\"archiving\"").unwrap();
        assert_eq!(status, Status::Other("archiving".to_owned()));
        assert_eq!(serde_json::to_string(&status).unwrap(), "\"archiving\"");
    }

    #[test]
    fn a_job_needs_only_what_a_waiter_decides_on() {
        let job: Job = serde_json::from_str(
            r#"{"id":"x","status":"odd","done":false,"revision":3,"later":"member",
                "created_at":"2026-11-22T00:00:00Z","updated_at":"2026-11-22T00:00:01+01:00"}"#,
        )
        .unwrap();
        assert!(!job.done);
        assert_eq!(job.outcome, None);
        assert_eq!(job.revision, Revision(3));
    }
}
