//! The one error of this crate.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use abide_wire::{Job, JobId, Outcome, Problem};

use crate::report::Report;
use crate::resume::{NoToken, ResumeToken};

pub(crate) type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Why a call or a wait has no good answer.
///
/// The kind is asked for by predicates, because the list of kinds may grow. Exactly one of these is true of an error:
///
/// | predicate | what it means | what to do |
/// |---|---|---|
/// | [`is_still_running`](Self::is_still_running) | the wait was over before the job was | wait again, later or elsewhere, by [`resume_token`](Self::resume_token) |
/// | [`is_failed`](Self::is_failed), [`is_canceled`](Self::is_canceled) | the job ended, and not well; only from calls that want its result | read [`job`](Self::job) and [`problem`](Self::problem) |
/// | [`is_unreachable`](Self::is_unreachable) | the server didn't answer, or only with "not now" (408, 425, 429, 5xx); the job may well be running | wait again |
/// | [`is_refused`](Self::is_refused) | the server answered "no" (any other 3xx or 4xx) | read [`status`](Self::status) and [`problem`](Self::problem); asking again won't help |
/// | [`is_garbled`](Self::is_garbled) | the server answered something that isn't of this protocol | check the address and what stands between |
/// | [`is_lease_lost`](Self::is_lease_lost) | a worker's job was given up, or to another worker | stop working on it |
/// | [`is_usage`](Self::is_usage) | the call itself was wrong, and nothing was sent | change the call |
///
/// Every error about a job carries the job's id, and an error of a create the idempotency key; both carry a
/// [resume token](Self::resume_token), so that nothing is submitted twice because a wait came to nothing. On an API
/// without idempotency keys a create is never sent twice, and its error says whether the job
/// [may have been made](Self::may_have_created).
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: Kind,
    what: String,
    timed_out: bool,
    lost_create: bool,
    status: Option<StatusCode>,
    retry_after: Option<Duration>,
    problem: Option<Problem>,
    body: Option<Box<str>>,
    job_id: Option<JobId>,
    token: Option<ResumeToken>,
    job: Option<Arc<Job>>,
    report: Option<Report>,
    source: Option<Source>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    StillRunning,
    Ended(Outcome),
    Unreachable,
    Refused,
    Garbled,
    Unreadable,
    TooLarge,
    LeaseLost,
    Usage,
}

impl Error {
    /// What kind it is, as a word.
    pub(crate) fn kind_word(&self) -> &'static str {
        match self.inner.kind {
            Kind::StillRunning => "still_running",
            Kind::Ended(outcome) => outcome.as_str(),
            Kind::Unreachable => "unreachable",
            Kind::Refused => "refused",
            Kind::Garbled | Kind::Unreadable | Kind::TooLarge => "garbled",
            Kind::LeaseLost => "lease_lost",
            Kind::Usage => "usage",
        }
    }

    pub(crate) fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self {
            inner: Box::new(Inner {
                kind,
                what: what.into(),
                timed_out: false,
                lost_create: false,
                status: None,
                retry_after: None,
                problem: None,
                body: None,
                job_id: None,
                token: None,
                job: None,
                report: None,
                source: None,
            }),
        }
    }

    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Kind::Usage, what)
    }

    /// The job ended otherwise than the caller could use.
    pub(crate) fn ended(outcome: Outcome, job: Arc<Job>, report: Report) -> Self {
        let mut error = Self::new(Kind::Ended(outcome), format!("the job {outcome}"));
        error.inner.what = match outcome {
            Outcome::Completed => "the job completed without a usable result".to_owned(),
            Outcome::Failed => "the job failed".to_owned(),
            Outcome::Canceled => "the job was canceled".to_owned(),
        };
        error.inner.problem.clone_from(&job.error);
        error.about(Some(job)).report(report)
    }

    /// The job of a worker ended by another hand. One that completed so was another worker's.
    pub(crate) fn over(job: &Job) -> Self {
        let (kind, what) = match job.outcome {
            Some(Outcome::Canceled) => (Kind::Ended(Outcome::Canceled), "the job was canceled"),
            Some(Outcome::Failed) => (Kind::Ended(Outcome::Failed), "the job failed meanwhile"),
            Some(Outcome::Completed) | None => (Kind::LeaseLost, "another worker ended the job"),
        };
        let mut error = Self::new(kind, what);
        error.inner.problem.clone_from(&job.error);
        error
    }

    pub(crate) fn because(mut self, source: impl Into<Source>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    pub(crate) fn timed_out(mut self, timed_out: bool) -> Self {
        self.inner.timed_out = timed_out;
        self
    }

    pub(crate) fn lost_create(mut self, lost: bool) -> Self {
        self.inner.lost_create = lost;
        self
    }

    pub(crate) fn answered(mut self, status: Option<StatusCode>, problem: Option<Problem>) -> Self {
        self.inner.status = status;
        self.inner.problem = problem;
        self
    }

    pub(crate) fn with_body(mut self, body: Option<Box<str>>) -> Self {
        self.inner.body = body;
        self
    }

    pub(crate) fn after(mut self, retry_after: Option<Duration>) -> Self {
        self.inner.retry_after = retry_after;
        self
    }

    pub(crate) fn token(mut self, token: ResumeToken) -> Self {
        self.inner.job_id = token.job_id().cloned().or(self.inner.job_id);
        self.inner.token = Some(token);
        self
    }

    pub(crate) fn about(mut self, job: Option<Arc<Job>>) -> Self {
        if let Some(job) = job {
            self.inner.job_id = Some(job.id.clone());
            self.inner.job = Some(job);
        }
        self
    }

    pub(crate) fn report(mut self, report: Report) -> Self {
        self.inner.report = Some(report);
        self
    }

    /// Whether the wait ended, by its deadline or because its schedule's attempts were used up, while the job went on.
    /// The job is not harmed by it.
    #[must_use]
    pub fn is_still_running(&self) -> bool {
        self.inner.kind == Kind::StillRunning
    }

    /// Whether the job ended with an error, where its result was asked for.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.inner.kind == Kind::Ended(Outcome::Failed)
    }

    /// Whether the job was canceled, where its result was asked for.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.inner.kind == Kind::Ended(Outcome::Canceled)
    }

    /// Whether the server gave no answer, or none but "not now", until the retry policy gave up or the deadline came.
    /// It says nothing about the job.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.inner.kind == Kind::Unreachable
    }

    /// Whether the server said no for good. See [`Error::status`] and [`Error::problem`].
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.inner.kind == Kind::Refused
    }

    /// Whether the server knows no such job: 404, or 410 for one whose record has been deleted.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.is_refused()
            && matches!(
                self.inner.status,
                Some(StatusCode::NOT_FOUND | StatusCode::GONE)
            )
    }

    /// Whether the answer can't be used: it isn't of this protocol (no JSON, JSON of another shape, another job), what
    /// it says of the job [can't be read](Self::is_unreadable), or it is [too large](Self::is_too_large).
    #[must_use]
    pub fn is_garbled(&self) -> bool {
        let kind = self.inner.kind;
        kind == Kind::Garbled || self.is_unreadable() || self.is_too_large()
    }

    /// Whether the server speaks this protocol, and what it says of the job can't be read.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.inner.kind == Kind::Unreadable
    }

    /// Whether the answer has more bytes than are read: 4 MiB of one job, 64 MiB of several.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.inner.kind == Kind::TooLarge
    }

    /// Whether a worker's lease on its job is lost: the worker was silent for too long, or the job is gone. Another
    /// worker may have it.
    #[must_use]
    pub fn is_lease_lost(&self) -> bool {
        self.inner.kind == Kind::LeaseLost
    }

    /// Whether the call itself was wrong; nothing was sent.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        self.inner.kind == Kind::Usage
    }

    /// Whether time ran out: the deadline of a wait, or the time that one exchange may take. Beside
    /// [`is_still_running`](Self::is_still_running) or [`is_unreachable`](Self::is_unreachable), never instead.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.inner.timed_out
    }

    /// Whether a create was sent whose answer never came, so that the job may have been made. With an
    /// [idempotency key](Self::idempotency_key) send the create again; without one look for the job first.
    #[must_use]
    pub fn may_have_created(&self) -> bool {
        self.inner.lost_create
    }

    /// The job it is about.
    #[must_use]
    pub fn job_id(&self) -> Option<&JobId> {
        self.inner.job_id.as_ref()
    }

    /// The key of the create it is about. Send the same create with it again, and there will be one job.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&str> {
        self.inner
            .token
            .as_ref()
            .and_then(ResumeToken::idempotency_key)
    }

    /// What another process needs to go on waiting, or to send the create again.
    #[must_use]
    pub fn resume_token(&self) -> Option<&ResumeToken> {
        let token = self.inner.token.as_ref();
        token.filter(|token| token.job_id().is_some() || token.idempotency_key().is_some())
    }

    /// The job as it was last seen.
    #[must_use]
    pub fn job(&self) -> Option<&Job> {
        self.inner.job.as_deref()
    }

    /// What the server said is wrong; the job's own error where the job failed.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        self.inner.problem.as_ref()
    }

    /// What the server answered, as it came, up to 64 KiB; none where no answer came or it was no error.
    #[must_use]
    pub fn body(&self) -> Option<&str> {
        self.inner.body.as_deref()
    }

    /// The HTTP status of the last answer, where one came.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.inner.status.map(|status| status.as_u16())
    }

    /// How long the server asked to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// What the wait had cost by then.
    #[must_use]
    pub fn wait_report(&self) -> Option<&Report> {
        self.inner.report.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.inner;
        if let Some(id) = &inner.job_id {
            write!(f, "job {id}: ")?;
        }
        f.write_str(&inner.what)?;
        if let Some(problem) = &inner.problem {
            // The title is often the status in words, which has been said.
            let title = problem.title.to_ascii_lowercase();
            let said = inner.what.to_ascii_lowercase().ends_with(&title);
            match (&problem.detail, said) {
                (Some(detail), true) => write!(f, ": {detail}")?,
                (None, true) => {}
                (_, false) => write!(f, ": {problem}")?,
            }
        }
        match self.idempotency_key() {
            Some(key) if inner.job_id.is_none() => write!(f, " (idempotency key {key})")?,
            None if inner.lost_create => {
                f.write_str(
                    "; the job may have been made: look for it before you create it again",
                )?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// The sentence, and what caused it: this is what `fn main() -> Result<(), abide::Error>` shows. `{:#?}` shows the
/// parts.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return self.parts(f);
        }
        let text = self.to_string();
        let mut cause: &dyn std::error::Error = self;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let cause = cause.to_string();
        // Most sentences say the cause themselves.
        match text.contains(&cause) {
            true => f.write_str(&text),
            false => write!(f, "{text}: {cause}"),
        }
    }
}

impl Error {
    fn parts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.inner;
        let mut out = f.debug_struct("Error");
        out.field("kind", &inner.kind).field("what", &inner.what);
        if inner.timed_out {
            out.field("timed_out", &true);
        }
        if let Some(status) = inner.status {
            out.field("status", &status.as_u16());
        }
        if let Some(retry_after) = inner.retry_after {
            out.field("retry_after", &retry_after);
        }
        if let Some(problem) = &inner.problem {
            out.field("problem", problem);
        }
        if let Some(id) = &inner.job_id {
            out.field("job_id", id);
        }
        if let Some(key) = self.idempotency_key() {
            out.field("idempotency_key", &key);
        }
        if let Some(source) = &inner.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner
            .source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}

// Here, because the token knows nothing of the error that it is part of.
impl FromStr for ResumeToken {
    type Err = Error;

    /// Reads what [`ToString`] wrote.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::read(text).map_err(|why| match why {
            NoToken::Garbled(source) => Error::usage("this is not a resume token").because(source),
            why => Error::usage(why.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_main_shows_a_sentence() {
        let source = "expected value".parse::<u8>().unwrap_err();
        let error = Error::new(Kind::Garbled, "the answer holds no job").because(source);
        assert_eq!(
            format!("{error:?}"),
            "the answer holds no job: invalid digit found in string"
        );
        let error = Error::usage("a key has 1 to 255 characters");
        assert_eq!(format!("{error:?}"), error.to_string());
        assert!(format!("{error:#?}").starts_with("Error {"));
    }
}
