//! The table of metrics: a row each.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Declares the metrics, a row each: its field and type, how it begins where that isn't empty, its name, its unit where
/// it has one, and its help. They are shown in the order of the rows.
macro_rules! metrics {
    ($($field:ident: $type:ty $(= $begin:expr)?, $name:literal $(in $unit:ident)?, $help:literal;)*) => {
        /// One field per metric.
        #[derive(Debug)]
        pub(super) struct Rows {
            $(pub(super) $field: $type,)*
        }

        impl Rows {
            pub(super) fn register(registry: &mut Registry) -> Self {
                $(
                    let $field = metrics!(@begin $type $(, $begin)?);
                    metrics!(@register registry, $name, $($unit,)? $help, $field);
                )*
                Self { $($field,)* }
            }
        }
    };
    (@begin $type:ty) => { <$type>::default() };
    (@begin $type:ty, $begin:expr) => { $begin };
    (@register $registry:ident, $name:literal, $help:literal, $field:ident) => {
        $registry.register($name, $help, $field.clone());
    };
    (@register $registry:ident, $name:literal, $unit:ident, $help:literal, $field:ident) => {
        $registry.register_with_unit($name, $help, Unit::$unit, $field.clone());
    };
}

metrics! {
    build: Family<BuildLabels, Gauge>,
        "build_info", "1, for the version that runs";
    started_seconds: Seconds,
        "start_time" in Seconds, "When the server started, in seconds since 1970";
    requests: Family<RequestLabels, Counter>,
        "requests", "Requests answered";
    request_seconds: Histograms<RouteLabels> = seconds_by(|| seconds(0.000_05)),
        "request_duration" in Seconds,
        "Time from a request's head to its answer's, held requests aside";
    end_to_wake_seconds: Histograms<ChannelLabels> = seconds_by(|| seconds(0.000_5)),
        "end_to_wake" in Seconds,
        "Time from a job's end to the answer to a client that waited for it";
    batch_entries: Histogram = Histogram::new(exponential_buckets(1.0, 2.0, 13)),
        "journal_batch_entries", "Entries in one append to the journal";
    append_seconds: Histogram = seconds(0.000_05),
        "journal_append" in Seconds, "Time of one append to the journal, the sync included";
    append_failures: Counter,
        "journal_append_failures", "Appends that failed and were tried again";
    append_unknown: Counter,
        "journal_append_unknown",
        "Those of them whose answer from the database was lost: written again under the same number, once";
    leader: Of<Gauge>,
        "leader", "1 on the node of a cluster that leads, 0 on the others";
    term: Of<Gauge>,
        "term", "The term of the leader that this node knows";
    applied: Of<Gauge>,
        "applied_entries", "The last entry of the log that this node has applied";
    behind_seconds: Of<Seconds>,
        "behind" in Seconds,
        "For how long this node may lack something: since it last had all that it had heard of";
    beat_age_seconds: Of<Seconds>,
        "beat_age" in Seconds, "How old this node's last beat in the database is";
    clock_offset_seconds: Of<Seconds>,
        "clock_offset" in Seconds, "By how much the database's clock is ahead of this node's";
    leaderless_seconds: Of<Counter<f64, AtomicU64>>,
        "leaderless" in Seconds, "For how long this node has known no leader";
    superseded: Of<Counter>,
        "superseded", "How often another node has taken the lead from this one, which follows since";
    forwarded: Family<OutcomeLabels, Counter>,
        "forwarded",
        "Commands that this node has sent on to the leader: answered, refused, not sent because there is none, or of unknown outcome";
    forward_seconds: Histograms<NoLabels> = seconds_by(|| seconds(0.000_1)),
        "forward" in Seconds, "Time from such a command to its answer";
    journal_files: Family<FileLabels, Gauge>,
        "journal_file" in Bytes, "Size of a file of the journal, as of its last checkpoint";
    journal_blocked: Counter,
        "journal_wal_blocked",
        "Write-ahead files that could not be emptied because another program was reading";
    webhook_attempts: Family<OutcomeLabels, Counter>,
        "webhook_attempts", "Attempts to deliver a webhook, by how the exchange ended";
    webhook_exchange_seconds: Histogram = seconds(0.000_1),
        "webhook_exchange" in Seconds,
        "Time of one exchange with a receiver of webhooks, whatever came of it";
    end_to_push_seconds: Histogram = seconds(0.000_5),
        "end_to_push" in Seconds,
        "Time from a job's end to the moment at which a receiver has acknowledged it at the first attempt, on the clock that jobs run by";
    webhook_deliveries: Family<StandingLabels, Gauge>,
        "webhook_deliveries",
        "Deliveries whose records are kept, by where they stand; pending and queued ones wait to be sent";
    jobs: Gauge,
        "jobs", "Jobs whose records are kept";
    held: Gauge,
        "held_requests", "Requests that are held until there is news";
    claims: Gauge,
        "claims_waiting", "Workers that wait for a job to claim";
    streams: Gauge,
        "event_streams", "Event streams that are open";
    commands_waiting: Gauge,
        "commands_waiting", "Commands that wait for the loop";
    webhook_exchanges: Gauge,
        "webhook_exchanges", "Exchanges with receivers of webhooks that are under way";
    webhook_endpoints: Gauge,
        "webhook_endpoints", "Endpoints of webhooks of every sort";
    webhook_endpoints_disabled: Gauge,
        "webhook_endpoints_disabled",
        "Endpoints of webhooks that are disabled until they are enabled by hand";
    webhook_breakers_open: Gauge,
        "webhook_breakers_open",
        "Endpoints of webhooks that aren't called for a while because they failed or asked for time";
    stored_bytes: Gauge,
        "stored" in Bytes, "What the records of jobs, webhooks and idempotency keys take";
    stored_limit_bytes: Gauge,
        "stored_limit" in Bytes, "What they may take";
    inflight_bytes: Gauge,
        "inflight" in Bytes, "What requests, answers and streams under way take";
    inflight_limit_bytes: Gauge,
        "inflight_limit" in Bytes, "What they may take";
    resident_bytes: Gauge,
        "resident_memory_bytes", "Memory of the process";
    held_bytes: Gauge<f64, AtomicU64>,
        "held_request_memory_bytes",
        "Memory that each held request or stream costs: the growth of the process since it held hardly any, divided by how many it holds";
}

/// A metric that only nodes of a cluster show.
pub(super) type Of<M> = Family<NoLabels, M>;
pub(super) type Seconds = Gauge<f64, AtomicU64>;

/// Histograms by label.
pub(super) type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct NoLabels {}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct BuildLabels {
    pub(super) version: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) route: &'static str,
    pub(super) method: &'static str,
    pub(super) status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct RouteLabels {
    pub(super) route: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct ChannelLabels {
    pub(super) channel: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct FileLabels {
    pub(super) file: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct OutcomeLabels {
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct StandingLabels {
    pub(super) status: &'static str,
}

/// Histograms that begin as `seconds` makes them.
fn seconds_by<L: Clone + Eq + std::hash::Hash>(seconds: fn() -> Histogram) -> Histograms<L> {
    Family::new_with_constructor(seconds)
}

/// Buckets that double, from there on, 20 times.
fn seconds(first: f64) -> Histogram {
    Histogram::new(exponential_buckets(first, 2.0, 20))
}
