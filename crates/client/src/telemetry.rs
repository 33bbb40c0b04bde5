//! What the library tells of itself: spans and events with the feature `tracing`, numbers with the feature `metrics`.
//!
//! Everything that is told is told from here, so that a build without either feature has nothing of it, and the rest of
//! the crate doesn't know which it is. Nothing is set up here: subscriber and recorder are the program's.

use std::future::Future;
use std::time::Duration;

use abide_wire::JobId;

use crate::error::Error;
use crate::report::Report;

/// What a request is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Create,
    /// To see how a job stands now.
    Look,
    /// To be told of one job's news.
    Hold,
    /// To be told of many jobs' news, or to see how they stand.
    Shared,
    Stream,
    Feed,
    Cancel,
    Delete,
    List,
    /// To see or change webhook endpoints and deliveries.
    Webhooks,
    /// To get a job to work on.
    Claim,
    /// To tell of work on a job.
    Report,
}

#[cfg(feature = "metrics")]
impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Look => "look",
            Self::Hold => "hold",
            Self::Shared => "shared",
            Self::Stream => "stream",
            Self::Feed => "feed",
            Self::Cancel => "cancel",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Webhooks => "webhooks",
            Self::Claim => "claim",
            Self::Report => "report",
        }
    }
}

/// The names of the metrics.
#[cfg(feature = "metrics")]
mod names {
    pub(super) const REQUESTS: &str = "abide_requests_total";
    pub(super) const REQUEST_FAILURES: &str = "abide_request_failures_total";
    pub(super) const REQUEST_SECONDS: &str = "abide_request_seconds";
    pub(super) const RETRIES: &str = "abide_retries_total";
    pub(super) const WAITING: &str = "abide_waits";
    pub(super) const WAITS: &str = "abide_waits_total";
    pub(super) const WAIT_REQUESTS: &str = "abide_wait_requests";
    pub(super) const WAIT_SECONDS: &str = "abide_wait_seconds";
    pub(super) const LATENESS_SECONDS: &str = "abide_lateness_seconds";
}

/// Tells the program's recorder of `metrics` what this crate's metrics mean and what their units are. Call it once,
/// after the recorder was installed; the metrics themselves need no call.
///
/// | metric | kind | labels | what |
/// |---|---|---|---|
/// | `abide_requests_total` | counter | `purpose` | requests sent: `create`, `look`, `hold`, `shared`, `stream`, `feed`, `cancel`, `delete`, `list`, `webhooks`, `claim`, `report` |
/// | `abide_request_failures_total` | counter | `purpose`, `failure` | those without a good answer: `not_now`, `timed_out`, `garbled`, `refused`, `too_large`, `unsendable` |
/// | `abide_request_seconds` | histogram | `purpose` | how long an exchange took, the time that it was held included |
/// | `abide_retries_total` | counter | | pauses after a failure, each followed by another attempt |
/// | `abide_waits` | gauge | | waits and watches under way |
/// | `abide_waits_total` | counter | `strategy`, `end` | waits and watches that are over: `ended`, `still_running`, `unreachable`, `refused`, `garbled`, `usage`, `dropped` |
/// | `abide_wait_requests` | histogram | `strategy` | requests of a wait, in shares of those sent for many together |
/// | `abide_wait_seconds` | histogram | `strategy` | how long a wait took |
/// | `abide_lateness_seconds` | histogram | `channel` | how old an end was when it was learned, where that is known |
#[cfg(feature = "metrics")]
pub fn describe_metrics() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!(names::REQUESTS, "Requests sent, by purpose.");
    describe_counter!(
        names::REQUEST_FAILURES,
        "Requests without a good answer, by purpose and failure."
    );
    describe_histogram!(
        names::REQUEST_SECONDS,
        Unit::Seconds,
        "How long an exchange took, the time that it was held included."
    );
    describe_counter!(names::RETRIES, "Pauses after a failure.");
    describe_gauge!(names::WAITING, "Waits and watches under way.");
    describe_counter!(names::WAITS, "Waits and watches that are over.");
    describe_histogram!(
        names::WAIT_REQUESTS,
        "Requests of a wait, in shares of those sent for many together."
    );
    describe_histogram!(names::WAIT_SECONDS, Unit::Seconds, "How long a wait took.");
    describe_histogram!(
        names::LATENESS_SECONDS,
        Unit::Seconds,
        "How old an end was when it was learned."
    );
}

/// A request is sent.
pub(crate) fn sent(purpose: Purpose) {
    #[cfg(feature = "metrics")]
    metrics::counter!(names::REQUESTS, "purpose" => purpose.as_str()).increment(1);
    let _ = purpose;
}

/// A request was answered, or came to nothing for that reason.
pub(crate) fn exchanged(purpose: Purpose, took: Duration, failure: Option<&'static str>) {
    #[cfg(feature = "metrics")]
    {
        metrics::histogram!(names::REQUEST_SECONDS, "purpose" => purpose.as_str()).record(took);
        if let Some(failure) = failure {
            let labels = [("purpose", purpose.as_str()), ("failure", failure)];
            metrics::counter!(names::REQUEST_FAILURES, &labels).increment(1);
        }
    }
    let _ = (purpose, took, failure);
}

/// A failure is followed by a pause and another attempt.
pub(crate) fn paused(failure: &str, failures: u32, pause: Duration) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        failure,
        failures,
        pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
        "no good answer"
    );
    #[cfg(feature = "metrics")]
    metrics::counter!(names::RETRIES).increment(1);
    let _ = (failure, failures, pause);
}

/// A foreign API has said a word that its description doesn't know.
pub(crate) fn unknown_word(api: &str, word: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(api, word, "an unknown status counts as running");
    let _ = (api, word);
}

/// A wait that is under way, for the gauge.
#[derive(Debug)]
pub(crate) struct UnderWay(());

impl UnderWay {
    pub(crate) fn begin() -> Self {
        #[cfg(feature = "metrics")]
        metrics::gauge!(names::WAITING).increment(1);
        Self(())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        #[cfg(feature = "metrics")]
        metrics::gauge!(names::WAITING).decrement(1);
    }
}

/// A wait is over, by that end.
pub(crate) fn over(end: &'static str, report: &Report) {
    #[cfg(feature = "metrics")]
    {
        let strategy = report.strategy;
        metrics::counter!(names::WAITS, "strategy" => strategy, "end" => end).increment(1);
        metrics::histogram!(names::WAIT_REQUESTS, "strategy" => strategy)
            .record(report.requests_share);
        metrics::histogram!(names::WAIT_SECONDS, "strategy" => strategy).record(report.elapsed);
        if let (Some(late), Some(channel)) = (report.detection, report.channel) {
            metrics::histogram!(names::LATENESS_SECONDS, "channel" => channel.as_str())
                .record(late);
        }
    }
    let _ = (end, report);
}

/// The span of a wait.
#[derive(Clone, Debug)]
pub(crate) struct WaitSpan {
    #[cfg(feature = "tracing")]
    span: tracing::Span,
}

impl WaitSpan {
    pub(crate) fn new(id: &JobId) -> Self {
        let _ = id;
        Self {
            #[cfg(feature = "tracing")]
            span: tracing::debug_span!(
                "abide.wait",
                job_id = %id,
                strategy = tracing::field::Empty,
                outcome = tracing::field::Empty,
                requests = tracing::field::Empty,
                failures = tracing::field::Empty,
                detection_ms = tracing::field::Empty,
                excess_ms = tracing::field::Empty,
                channel = tracing::field::Empty,
                bytes_received = tracing::field::Empty,
            ),
        }
    }

    /// Runs a future within the span.
    pub(crate) fn within<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        #[cfg(feature = "tracing")]
        return tracing::Instrument::instrument(future, self.span.clone());
        #[cfg(not(feature = "tracing"))]
        future
    }

    /// Writes what the wait came to into its fields.
    pub(crate) fn record(&self, outcome: &'static str, report: &Report) {
        #[cfg(feature = "tracing")]
        {
            let millis = |span: Duration| span.as_secs_f64() * 1_000.0;
            let span = &self.span;
            span.record("strategy", report.strategy);
            span.record("outcome", outcome);
            span.record("requests", report.requests);
            span.record("failures", report.failures);
            span.record("bytes_received", report.bytes_received);
            if let Some(detection) = report.detection {
                span.record("detection_ms", millis(detection));
            }
            if let Some(excess) = report.excess_delay() {
                span.record("excess_ms", millis(excess));
            }
            if let Some(channel) = report.channel {
                span.record("channel", channel.as_str());
            }
        }
        let _ = (outcome, report);
    }
}

/// The word for what became of a wait.
pub(crate) fn end_of<T>(result: &Result<T, Error>) -> &'static str {
    match result {
        Ok(_) => "ended",
        Err(error) => error.kind_word(),
    }
}

/// A listener for webhooks can't accept a connection.
#[cfg(feature = "inbox")]
pub(crate) fn not_accepted(error: &std::io::Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(%error, "can't accept a webhook's connection");
    let _ = error;
}

/// A webhook's connection came to nothing.
#[cfg(feature = "inbox")]
pub(crate) fn broken_off(error: &hyper::Error) {
    #[cfg(feature = "tracing")]
    tracing::debug!(%error, "a webhook's connection ended early");
    let _ = error;
}

/// A webhook was refused.
#[cfg(feature = "inbox")]
pub(crate) fn turned_away(status: u16, why: &str) {
    #[cfg(feature = "tracing")]
    tracing::debug!(status, why, "refused a webhook");
    let _ = (status, why);
}
