//! Counting, and all of it as text.

use std::fmt;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use abide_wire::Timestamp;
use http::Method;
use parking_lot::RwLock;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::levels::{ClusterLevels, Exchange, Forwarded, Levels};
use super::rows::{
    BuildLabels, ChannelLabels, FileLabels, NoLabels, Of, OutcomeLabels, RequestLabels,
    RouteLabels, Rows, Seconds, StandingLabels,
};
use crate::board::Channel;
use crate::journal::{Files, JournalError};

/// The most routes with a method and a status that are found fast.
const KNOWN_MAX: usize = 64;
/// The fewest held requests whose memory is told apart from the rest.
const HELD_MIN: i64 = 100;

/// All that is counted. Each server has its own, so that tests may run several in one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    rows: Rows,
    /// The first routes with a method and a status that were used, found faster than by their labels.
    known: RwLock<Vec<Known>>,
    /// Those of [`Rows::end_to_wake_seconds`], in the order of [`Channel::ALL`].
    wakes: [Histogram; Channel::ALL.len()],
    /// The files of the journal, once they are open.
    files: OnceLock<Arc<Files>>,
    /// The resident memory when hardly any request was held.
    idle_bytes: AtomicI64,
}

/// What is counted for one route, method and status.
#[derive(Debug)]
struct Known {
    labels: RequestLabels,
    answers: Counter,
    seconds: Histogram,
}

impl Known {
    fn count(&self, took: Option<Duration>) {
        self.answers.inc();
        if let Some(took) = took {
            self.seconds.observe(took.as_secs_f64());
        }
    }
}

impl Metrics {
    /// Nothing has been counted.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("abide");
        let rows = Rows::register(&mut registry);
        let version = env!("CARGO_PKG_VERSION");
        rows.build.get_or_create(&BuildLabels { version }).set(1);
        let wakes = Channel::ALL.map(|channel| {
            let channel = channel.as_str();
            rows.end_to_wake_seconds
                .get_or_create_owned(&ChannelLabels { channel })
        });
        Self {
            registry,
            rows,
            known: RwLock::default(),
            wakes,
            files: OnceLock::new(),
            idle_bytes: AtomicI64::new(0),
        }
    }

    /// The server started at that moment.
    pub fn started(&self, at: Timestamp) {
        let seconds = at.as_millis() as f64 / 1_000.0;
        self.rows.started_seconds.set(seconds);
    }

    /// A request was answered. `took` is `None` where it was held, because then it says nothing about the server.
    pub fn request(
        &self,
        method: &Method,
        route: &'static str,
        status: u16,
        took: Option<Duration>,
    ) {
        let labels = RequestLabels {
            route,
            method: name_of(method),
            status,
        };
        let found = {
            let known = self.known.read();
            // By address, so that most comparisons are of numbers; that the same word may have two is no harm.
            let is_it = |it: &&Known| {
                std::ptr::eq(it.labels.route, labels.route)
                    && std::ptr::eq(it.labels.method, labels.method)
                    && it.labels.status == status
            };
            known.iter().find(is_it).map(|it| it.count(took))
        };
        if found.is_none() {
            let known = Known {
                answers: self.rows.requests.get_or_create_owned(&labels),
                seconds: self
                    .rows
                    .request_seconds
                    .get_or_create_owned(&RouteLabels { route }),
                labels,
            };
            known.count(took);
            let mut all = self.known.write();
            if all.len() < KNOWN_MAX {
                all.push(known);
            }
        }
    }

    /// A client that waited for a job's end is answered that long after it.
    pub fn woken(&self, channel: Channel, after: Duration) {
        self.wakes[channel as usize].observe(after.as_secs_f64());
    }

    /// Shows the sizes of these files from now on.
    pub fn measure(&self, files: Arc<Files>) {
        // Each server has one journal and its own metrics.
        let _is_first = self.files.set(files);
    }

    /// Entries were appended to the journal, all of them in that time.
    pub fn appended(&self, entries: usize, took: Duration) {
        self.rows.batch_entries.observe(entries as f64);
        self.rows.append_seconds.observe(took.as_secs_f64());
    }

    /// An append failed and will be tried again.
    pub fn append_failed(&self, error: &JournalError) {
        self.rows.append_failures.inc();
        if matches!(error, JournalError::Unknown { .. }) {
            self.rows.append_unknown.inc();
        }
    }

    /// Another node has taken the lead from this one.
    pub fn superseded(&self) {
        self.rows.superseded.get_or_create(&NoLabels {}).inc();
    }

    /// A command that was sent on to the leader came to that.
    pub fn forwarded(&self, outcome: Forwarded) {
        let outcome = outcome.as_str();
        self.rows
            .forwarded
            .get_or_create(&OutcomeLabels { outcome })
            .inc();
    }

    /// One was answered after that time.
    pub fn forwarded_in(&self, took: Duration) {
        self.rows
            .forward_seconds
            .get_or_create(&NoLabels {})
            .observe(took.as_secs_f64());
    }

    fn show_cluster(&self, figures: &ClusterLevels) {
        let rows = &self.rows;
        let number = |of: &Of<Gauge>, n: u64| {
            of.get_or_create(&NoLabels {})
                .set(i64::try_from(n).unwrap_or(i64::MAX));
        };
        let seconds = |of: &Of<Seconds>, seconds: f64| {
            of.get_or_create(&NoLabels {}).set(seconds);
        };
        number(&rows.leader, u64::from(figures.leads));
        number(&rows.term, figures.term);
        number(&rows.applied, figures.applied);
        seconds(&rows.behind_seconds, figures.behind.as_secs_f64());
        seconds(&rows.beat_age_seconds, figures.beat_age.as_secs_f64());
        seconds(
            &rows.clock_offset_seconds,
            figures.clock_offset_ms as f64 / 1_000.0,
        );
        rows.leaderless_seconds
            .get_or_create(&NoLabels {})
            .inc_by(figures.leaderless.as_secs_f64());
    }

    /// An exchange with a receiver of webhooks has begun.
    pub fn exchange_begun(&self) {
        self.rows.webhook_exchanges.inc();
    }

    /// It is over: it was answered, failed or was cut short.
    pub fn exchange_over(&self) {
        self.rows.webhook_exchanges.dec();
    }

    /// It ended with that outcome after that time.
    pub fn exchanged(&self, outcome: Exchange, took: Duration) {
        let outcome = outcome.as_str();
        self.rows
            .webhook_attempts
            .get_or_create(&OutcomeLabels { outcome })
            .inc();
        self.rows
            .webhook_exchange_seconds
            .observe(took.as_secs_f64());
    }

    /// A receiver has acknowledged a job's end at the first attempt, that long after it.
    pub fn pushed(&self, after: Duration) {
        self.rows.end_to_push_seconds.observe(after.as_secs_f64());
    }

    /// Everything, as text.
    #[must_use]
    pub fn encode(&self, levels: Levels) -> String {
        use std::sync::atomic::Ordering::Relaxed;

        let rows = &self.rows;
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        rows.jobs.set(count(levels.jobs));
        rows.held.set(count(levels.held));
        rows.claims.set(count(levels.claims));
        rows.streams.set(count(levels.streams));
        rows.commands_waiting.set(count(levels.commands_waiting));
        if let Some(files) = self.files.get() {
            for (file, bytes) in files.sizes() {
                let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                rows.journal_files
                    .get_or_create(&FileLabels { file })
                    .set(bytes);
            }
            rows.journal_blocked.inc_by(files.blocked.swap(0, Relaxed));
        }
        if let Some(figures) = &levels.cluster {
            self.show_cluster(figures);
        }
        let [stored, limit] = levels.stored_bytes;
        rows.stored_bytes.set(count(stored));
        rows.stored_limit_bytes.set(count(limit));
        let [inflight, limit] = levels.inflight_bytes;
        rows.inflight_bytes.set(count(inflight));
        rows.inflight_limit_bytes.set(count(limit));
        let webhooks = &levels.webhooks;
        for (status, standing) in webhooks.deliveries() {
            rows.webhook_deliveries
                .get_or_create(&StandingLabels { status })
                .set(count(standing));
        }
        rows.webhook_endpoints.set(count(webhooks.endpoints));
        rows.webhook_endpoints_disabled
            .set(count(webhooks.disabled));
        rows.webhook_breakers_open
            .set(count(webhooks.open_breakers));
        let waiting = count(levels.held + levels.streams);
        if let Some(resident) = resident_bytes() {
            rows.resident_bytes.set(resident);
            if waiting < HELD_MIN {
                self.idle_bytes.store(resident, Relaxed);
            }
            let idle = self.idle_bytes.load(Relaxed);
            let known = idle > 0 && waiting >= HELD_MIN;
            let each = (resident - idle).max(0) as f64 / waiting.max(1) as f64;
            rows.held_bytes.set(if known { each } else { 0.0 });
        }
        let mut out = String::new();
        // Writing to a string doesn't fail.
        let _: Result<(), fmt::Error> = text::encode(&mut out, &self.registry);
        out
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A method's name as a label. A client can't make up labels by making up methods.
const fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// How much memory the process has, where the system says so in `/proc`.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::board::WebhookCounts;

    #[test]
    fn what_was_counted_is_told() {
        let metrics = Metrics::new();
        metrics.started(Timestamp::from_millis(1_500));
        metrics.request(
            &Method::POST,
            "/v1/jobs",
            202,
            Some(Duration::from_micros(70)),
        );
        metrics.request(&Method::POST, "/v1/jobs", 202, None);
        let odd = Method::from_bytes(b"BREW").unwrap();
        metrics.request(&odd, "unknown", 405, None);
        metrics.woken(Channel::LongPoll, Duration::from_millis(2));
        metrics.appended(12, Duration::from_millis(1));
        metrics.append_failed(&JournalError::Full {
            path: PathBuf::new(),
        });
        metrics.exchange_begun();
        metrics.exchange_begun();
        metrics.exchange_over();
        metrics.exchanged(Exchange::Delivered, Duration::from_millis(3));
        metrics.exchanged(Exchange::Blocked, Duration::ZERO);
        metrics.pushed(Duration::from_millis(4));
        let alone = metrics.encode(Levels::default());
        assert!(!alone.contains("abide_leader"), "{alone}");
        metrics.superseded();
        metrics.forwarded(Forwarded::NoLeader);
        metrics.forwarded_in(Duration::from_millis(5));
        let levels = Levels {
            jobs: 3,
            held: 200,
            claims: 13,
            streams: 1,
            commands_waiting: 4,
            stored_bytes: [9, 10],
            inflight_bytes: [11, 12],
            cluster: Some(ClusterLevels {
                leads: true,
                term: 7,
                applied: 99,
                behind: Duration::from_millis(250),
                beat_age: Duration::from_millis(500),
                clock_offset_ms: -40,
                leaderless: Duration::from_secs(2),
            }),
            webhooks: WebhookCounts {
                endpoints: 5,
                disabled: 1,
                pending: 6,
                held: 7,
                open_breakers: 2,
                ..WebhookCounts::default()
            },
        };
        let text = metrics.encode(levels);
        for line in [
            concat!(
                r#"abide_build_info{version=""#,
                env!("CARGO_PKG_VERSION"),
                r#""} 1"#
            ),
            "abide_start_time_seconds 1.5",
            r#"abide_requests_total{route="/v1/jobs",method="POST",status="202"} 2"#,
            r#"abide_requests_total{route="unknown",method="other",status="405"} 1"#,
            r#"abide_request_duration_seconds_count{route="/v1/jobs"} 1"#,
            r#"abide_end_to_wake_seconds_count{channel="long_poll"} 1"#,
            "abide_journal_batch_entries_sum 12.0",
            "abide_journal_append_failures_total 1",
            "abide_jobs 3",
            "abide_held_requests 200",
            "abide_event_streams 1",
            "abide_commands_waiting 4",
            r#"abide_webhook_attempts_total{outcome="delivered"} 1"#,
            r#"abide_webhook_attempts_total{outcome="blocked"} 1"#,
            "abide_webhook_exchange_seconds_count 2",
            "abide_end_to_push_seconds_count 1",
            "abide_webhook_exchanges 1",
            r#"abide_webhook_deliveries{status="pending"} 6"#,
            r#"abide_webhook_deliveries{status="queued"} 0"#,
            r#"abide_webhook_deliveries{status="held"} 7"#,
            "abide_webhook_endpoints 5",
            "abide_webhook_endpoints_disabled 1",
            "abide_webhook_breakers_open 2",
            "abide_claims_waiting 13",
            "abide_stored_bytes 9",
            "abide_stored_limit_bytes 10",
            "abide_inflight_bytes 11",
            "abide_inflight_limit_bytes 12",
            "abide_leader{} 1",
            "abide_term{} 7",
            "abide_applied_entries{} 99",
            "abide_behind_seconds{} 0.25",
            "abide_beat_age_seconds{} 0.5",
            "abide_clock_offset_seconds{} -0.04",
            "abide_leaderless_seconds_total{} 2.0",
            "abide_superseded_total{} 1",
            r#"abide_forwarded_total{outcome="no_leader"} 1"#,
            "abide_forward_seconds_count{} 1",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
