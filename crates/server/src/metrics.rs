//! What is counted for operators, in the text form of OpenMetrics.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::board::Channel;
use crate::webhook_board::WebhookCounts;

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// So many pairs of route and status are found fast.
const KNOWN_MAX: usize = 64;
/// From how many held requests on their memory is told apart from the rest.
const HELD_MIN: i64 = 100;

/// All that is counted. Each server has its own, so that tests may run several in one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    /// The first of them that were used, found faster than by their labels.
    known: RwLock<Vec<Known>>,
    /// By channel, in the order of [`Channel::ALL`].
    end_to_wake_seconds: [Histogram; Channel::ALL.len()],
    batch_entries: Histogram,
    append_seconds: Histogram,
    append_failures: Counter,
    jobs: Gauge,
    held: Gauge,
    streams: Gauge,
    commands_waiting: Gauge,
    resident_bytes: Gauge,
    held_bytes: Gauge<f64, AtomicU64>,
    webhook_attempts: Family<OutcomeLabels, Counter>,
    webhook_exchange_seconds: Histogram,
    end_to_push_seconds: Histogram,
    webhook_deliveries: Family<StandingLabels, Gauge>,
    webhook_exchanges: Gauge,
    webhook_endpoints: Gauge,
    webhook_endpoints_disabled: Gauge,
    webhook_breakers_open: Gauge,
    /// The resident memory when hardly anything was held.
    idle_bytes: AtomicI64,
}

/// What is read off the server when somebody asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Levels {
    /// Jobs whose records are kept.
    pub jobs: usize,
    /// Held requests.
    pub held: usize,
    /// Open event streams.
    pub streams: usize,
    /// Commands that wait for the loop.
    pub commands_waiting: usize,
    /// What there is of webhooks.
    pub webhooks: WebhookCounts,
}

/// How an exchange with a receiver of webhooks ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// It was answered with a 2xx.
    Delivered,
    /// It was answered with anything else.
    Refused,
    /// There was no answer: nobody there, no handshake, no HTTP, no time left.
    Unanswered,
    /// The guard let nobody be called.
    Blocked,
}

impl Exchange {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
            Self::Blocked => "blocked",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ChannelLabels {
    channel: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StandingLabels {
    status: &'static str,
}

/// What is counted for one route and status.
#[derive(Debug)]
struct Known {
    route: &'static str,
    status: u16,
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
        let requests = Family::default();
        registry.register("requests", "Requests answered", requests.clone());
        let request_seconds =
            Family::new_with_constructor((|| seconds(0.000_05)) as fn() -> Histogram);
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to its answer's, held requests aside",
            Unit::Seconds,
            request_seconds.clone(),
        );
        let end_to_wake: Family<ChannelLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| seconds(0.000_5));
        registry.register_with_unit(
            "end_to_wake",
            "Time from a job's end to the moment at which somebody who waited for it is answered",
            Unit::Seconds,
            end_to_wake.clone(),
        );
        let end_to_wake_seconds = Channel::ALL.map(|channel| {
            let channel = channel.as_str();
            end_to_wake.get_or_create_owned(&ChannelLabels { channel })
        });
        let batch_entries = Histogram::new(exponential_buckets(1.0, 2.0, 13));
        registry.register(
            "journal_batch_entries",
            "Entries in one append to the journal",
            batch_entries.clone(),
        );
        let append_seconds = seconds(0.000_05);
        registry.register_with_unit(
            "journal_append",
            "Time of one append to the journal, the sync included",
            Unit::Seconds,
            append_seconds.clone(),
        );
        let append_failures = Counter::default();
        registry.register(
            "journal_append_failures",
            "Appends that failed and were tried again",
            append_failures.clone(),
        );
        let webhook_attempts = Family::default();
        registry.register(
            "webhook_attempts",
            "Attempts to deliver a webhook, by how the exchange ended",
            webhook_attempts.clone(),
        );
        let webhook_exchange_seconds = seconds(0.000_1);
        registry.register_with_unit(
            "webhook_exchange",
            "Time of one exchange with a receiver of webhooks, whatever came of it",
            Unit::Seconds,
            webhook_exchange_seconds.clone(),
        );
        let end_to_push_seconds = seconds(0.000_5);
        registry.register_with_unit(
            "end_to_push",
            "Time from a job's end to the moment at which a receiver has acknowledged it at the first attempt, on the clock that jobs run by",
            Unit::Seconds,
            end_to_push_seconds.clone(),
        );
        let webhook_deliveries = Family::default();
        registry.register(
            "webhook_deliveries",
            "Deliveries whose records are kept, by where they stand; pending and queued ones wait to be sent",
            webhook_deliveries.clone(),
        );
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let jobs = gauge("jobs", "Jobs whose records are kept");
        let held = gauge(
            "held_requests",
            "Requests that are held until there is news",
        );
        let streams = gauge("event_streams", "Event streams that are open");
        let commands_waiting = gauge("commands_waiting", "Commands that wait for the loop");
        let webhook_exchanges = gauge(
            "webhook_exchanges",
            "Exchanges with receivers of webhooks that are under way",
        );
        let webhook_endpoints = gauge("webhook_endpoints", "Endpoints of webhooks of every sort");
        let webhook_endpoints_disabled = gauge(
            "webhook_endpoints_disabled",
            "Endpoints of webhooks that aren't called until somebody enables them",
        );
        let webhook_breakers_open = gauge(
            "webhook_breakers_open",
            "Endpoints of webhooks that aren't called for a while because they failed or asked for time",
        );
        let resident_bytes = gauge("resident_memory_bytes", "Memory of the process");
        let held_bytes = Gauge::default();
        registry.register(
            "held_request_memory_bytes",
            "Memory that each held request or stream costs: the growth of the process since it held hardly any, divided by how many it holds",
            held_bytes.clone(),
        );
        Self {
            registry,
            requests,
            request_seconds,
            known: RwLock::default(),
            end_to_wake_seconds,
            batch_entries,
            append_seconds,
            append_failures,
            jobs,
            held,
            streams,
            commands_waiting,
            resident_bytes,
            held_bytes,
            webhook_attempts,
            webhook_exchange_seconds,
            end_to_push_seconds,
            webhook_deliveries,
            webhook_exchanges,
            webhook_endpoints,
            webhook_endpoints_disabled,
            webhook_breakers_open,
            idle_bytes: AtomicI64::new(0),
        }
    }

    /// A request was answered. `took` is `None` where it was held, because then it says nothing about the server.
    pub fn request(&self, route: &'static str, status: u16, took: Option<Duration>) {
        let found = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            // By address, so that most comparisons are of a number; that the same word may have two is no harm.
            let is_it = |it: &&Known| std::ptr::eq(it.route, route) && it.status == status;
            known.iter().find(is_it).map(|it| it.count(took))
        };
        if found.is_none() {
            let known = Known {
                route,
                status,
                answers: self
                    .requests
                    .get_or_create_owned(&RequestLabels { route, status }),
                seconds: self
                    .request_seconds
                    .get_or_create_owned(&RouteLabels { route }),
            };
            known.count(took);
            let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
            if all.len() < KNOWN_MAX {
                all.push(known);
            }
        }
    }

    /// Somebody who waited for a job's end is answered, so long after it.
    pub fn woken(&self, channel: Channel, after: Duration) {
        self.end_to_wake_seconds[channel as usize].observe(after.as_secs_f64());
    }

    /// So many entries were appended to the journal, which took so long.
    pub fn appended(&self, entries: usize, took: Duration) {
        self.batch_entries.observe(entries as f64);
        self.append_seconds.observe(took.as_secs_f64());
    }

    /// An append failed and will be tried again.
    pub fn append_failed(&self) {
        self.append_failures.inc();
    }

    /// An exchange with a receiver of webhooks has begun.
    pub fn exchange_begun(&self) {
        self.webhook_exchanges.inc();
    }

    /// It is over: it was answered, failed or was cut short.
    pub fn exchange_over(&self) {
        self.webhook_exchanges.dec();
    }

    /// It came to that, and took so long.
    pub fn exchanged(&self, outcome: Exchange, took: Duration) {
        let outcome = outcome.as_str();
        self.webhook_attempts
            .get_or_create(&OutcomeLabels { outcome })
            .inc();
        self.webhook_exchange_seconds.observe(took.as_secs_f64());
    }

    /// A receiver has acknowledged a job's end at the first attempt, so long after it.
    pub fn pushed(&self, after: Duration) {
        self.end_to_push_seconds.observe(after.as_secs_f64());
    }

    /// Everything, as text.
    #[must_use]
    pub fn encode(&self, levels: Levels) -> String {
        use std::sync::atomic::Ordering::Relaxed;

        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.jobs.set(count(levels.jobs));
        self.held.set(count(levels.held));
        self.streams.set(count(levels.streams));
        self.commands_waiting.set(count(levels.commands_waiting));
        let webhooks = &levels.webhooks;
        for (status, standing) in webhooks.deliveries() {
            self.webhook_deliveries
                .get_or_create(&StandingLabels { status })
                .set(count(standing));
        }
        self.webhook_endpoints.set(count(webhooks.endpoints));
        self.webhook_endpoints_disabled
            .set(count(webhooks.disabled));
        self.webhook_breakers_open
            .set(count(webhooks.open_breakers));
        let waiting = count(levels.held + levels.streams);
        if let Some(resident) = resident_bytes() {
            self.resident_bytes.set(resident);
            if waiting < HELD_MIN {
                self.idle_bytes.store(resident, Relaxed);
            }
            let idle = self.idle_bytes.load(Relaxed);
            let known = idle > 0 && waiting >= HELD_MIN;
            let each = (resident - idle).max(0) as f64 / waiting.max(1) as f64;
            self.held_bytes.set(if known { each } else { 0.0 });
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

/// Buckets that double, from there on, 20 times.
fn seconds(first: f64) -> Histogram {
    Histogram::new(exponential_buckets(first, 2.0, 20))
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
    use super::*;

    #[test]
    fn what_was_counted_is_told() {
        let metrics = Metrics::new();
        metrics.request("/v1/jobs", 202, Some(Duration::from_micros(70)));
        metrics.request("/v1/jobs", 202, None);
        metrics.woken(Channel::LongPoll, Duration::from_millis(2));
        metrics.appended(12, Duration::from_millis(1));
        metrics.append_failed();
        metrics.exchange_begun();
        metrics.exchange_begun();
        metrics.exchange_over();
        metrics.exchanged(Exchange::Delivered, Duration::from_millis(3));
        metrics.exchanged(Exchange::Blocked, Duration::ZERO);
        metrics.pushed(Duration::from_millis(4));
        let levels = Levels {
            jobs: 3,
            held: 200,
            streams: 1,
            commands_waiting: 4,
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
            r#"abide_requests_total{route="/v1/jobs",status="202"} 2"#,
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
            "# EOF",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
