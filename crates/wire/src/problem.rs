//! Errors on the wire: problem details, RFC 9457.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// What went wrong, for a program to act on. An open list: treat an unknown code by [`Problem::status`] and
/// [`Problem::retryable`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
pub struct Code(Cow<'static, str>);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Self = Self(Cow::Borrowed($word));)*
        }
    };
}

codes! {
    /// The body is not JSON.
    INVALID_JSON = "invalid_json";
    /// A member, parameter or header has a value it can't have, or is unknown.
    INVALID_MEMBER = "invalid_member";
    /// The body, the header block or the set is larger than its limit.
    TOO_LARGE = "too_large";
    /// The content type is not JSON.
    UNSUPPORTED_TYPE = "unsupported_type";
    /// No key was sent, or none the server knows.
    UNAUTHORIZED = "unauthorized";
    /// The key doesn't allow this.
    FORBIDDEN = "forbidden";
    /// There is no such thing, or it belongs to another key.
    NOT_FOUND = "not_found";
    /// The path exists, the method doesn't.
    METHOD_NOT_ALLOWED = "method_not_allowed";
    /// It existed and its record has been deleted.
    GONE = "gone";
    /// The job is done and can't change.
    JOB_DONE = "job_done";
    /// The state doesn't allow this.
    CONFLICT = "conflict";
    /// `If-Match` names another revision than the current one.
    PRECONDITION_FAILED = "precondition_failed";
    /// The same idempotency key came with another body.
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch";
    /// More requests than the limit allows.
    RATE_LIMITED = "rate_limited";
    /// More held requests than the limit allows.
    TOO_MANY_WAITS = "too_many_waits";
    /// The server holds as many jobs as it may.
    TOO_MANY_JOBS = "too_many_jobs";
    /// The records of the caller, or of all, take as many bytes as they may.
    INSUFFICIENT_STORAGE = "insufficient_storage";
    /// The server can't write at the moment; nothing was lost.
    STORAGE_UNAVAILABLE = "storage_unavailable";
    /// The server has more to do than it can.
    OVERLOADED = "overloaded";
    /// The server is shutting down.
    SHUTTING_DOWN = "shutting_down";
    /// A fault of the server's.
    INTERNAL = "internal";
    /// A fault that the simulator was asked to play.
    SIMULATED = "simulated";
    /// A simulated job that failed.
    JOB_FAILED = "job_failed";
    /// The worker's lease on the job has run out, or isn't the one in force.
    LEASE_LOST = "lease_lost";
    /// The job's worker was silent for longer than its lease, as often as the job's creator allows.
    WORKER_LOST = "worker_lost";
    /// The job ran past the deadline that its creator set.
    DEADLINE_EXCEEDED = "deadline_exceeded";
}

impl Code {
    /// A code with that word.
    pub fn new(word: impl Into<Cow<'static, str>>) -> Self {
        Self(word.into())
    }

    /// The word on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong, as `application/problem+json`; a failed job's `error` has the same shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A URI for the sort of problem; `about:blank` where [`Problem::code`] says it all.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: Cow<'static, str>,
    /// The sort of problem in a few words, the same for every occurrence.
    #[serde(default)]
    pub title: Cow<'static, str>,
    /// The HTTP status that goes with it.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(maximum = 65535))]
    pub status: u16,
    /// What is wrong this time, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What it is about: the path of the request or of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The sort of problem for a program to act on.
    #[serde(default = "Code::unknown")]
    pub code: Code,
    /// Whether the same request may succeed later.
    #[serde(default)]
    pub retryable: bool,
    /// The request's name in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// A [`Problem`] as a caller writes it. A member that a problem doesn't have is refused, not dropped in silence.
#[derive(Debug, Deserialize)]
#[serde(remote = "Problem", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProblemInput {
    /// A URI for the sort of problem.
    #[serde(rename = "type", default = "about_blank")]
    kind: Cow<'static, str>,
    /// The sort of problem in a few words.
    #[serde(default)]
    title: Cow<'static, str>,
    /// The HTTP status that goes with it.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(maximum = 65535))]
    status: u16,
    /// What is wrong this time, and what to do.
    #[serde(default)]
    detail: Option<String>,
    /// What it is about.
    #[serde(default)]
    instance: Option<String>,
    /// The sort of problem for a program to act on.
    #[serde(default = "Code::unknown")]
    code: Code,
    /// Whether the same request may succeed later.
    #[serde(default)]
    retryable: bool,
    /// The request's name in a log.
    #[serde(default)]
    request_id: Option<String>,
}

impl ProblemInput {
    /// Reads a problem, for `deserialize_with` of a member that may be missing.
    ///
    /// # Errors
    ///
    /// Those of the deserializer, and a member that no problem has.
    pub fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Problem>, D::Error> {
        #[derive(Deserialize)]
        struct Written(#[serde(deserialize_with = "ProblemInput::deserialize")] Problem);
        let written = Option::<Written>::deserialize(deserializer)?;
        Ok(written.map(|Written(problem)| problem))
    }
}

fn about_blank() -> Cow<'static, str> {
    Cow::Borrowed("about:blank")
}

impl Code {
    fn unknown() -> Self {
        Self(Cow::Borrowed("unknown"))
    }
}

impl Problem {
    /// A problem with that status, code and title; the rest is filled in by the methods below.
    pub fn new(status: u16, code: Code, title: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: about_blank(),
            title: title.into(),
            status,
            detail: None,
            instance: None,
            code,
            retryable: matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504),
            request_id: None,
        }
    }

    /// Says what is wrong this time.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Says what it is about.
    #[must_use]
    pub fn instance(mut self, path: impl Into<String>) -> Self {
        self.instance = Some(path.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}
