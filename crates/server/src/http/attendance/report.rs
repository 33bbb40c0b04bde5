//! The report card: how the clients that were seen waited, against how little it could have taken, with verdicts for
//! a test to fail by.

use http::StatusCode;
use serde::{Deserialize, Serialize};

use abide_engine::Owner;
use abide_wire::Timestamp;

use super::POLL;
use crate::attendance::{Client, ClientReport};
use crate::board::Channel;
use crate::http::answer::{Outcome, empty};
use crate::http::call::Call;
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::nodes::{Question, with_others};
use crate::http::state::AppState;

/// What a client may take before its verdict is bad. A rule without a limit isn't judged, but for faults under any
/// circumstances.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct Limits {
    /// How many times the bound waiting may cost, for the durations that were played.
    cost_ratio: Option<f64>,
    /// Requests per job, the create included.
    requests_per_job: Option<f64>,
    /// Looks per job that told nothing new.
    wasted_per_job: Option<f64>,
    /// How late 95 of 100 ends may be seen, in milliseconds.
    detection_p95_ms: Option<u64>,
    /// How often it may come back too early after a `429` or a `503`; 0 by default.
    retry_after_ignored: u64,
    /// Jobs made twice; 0 by default.
    duplicate_creates: u64,
}

/// The report.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ReportCard)]
pub(super) struct Report {
    /// Since when clients have been counted.
    since: Timestamp,
    /// How many jobs were looked at.
    jobs: usize,
    /// Whether every client passes.
    pass: bool,
    /// The most recently seen first.
    clients: Vec<ClientCard>,
    /// The nodes of a cluster that didn't answer, so that what clients did there is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    partial: Vec<String>,
}

/// What one client spent, and how late it learned.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ClientCard {
    /// The program, and where it runs or whose key it has.
    client: String,
    /// The channel by which most of its looks came.
    channel: &'static str,
    since: Timestamp,
    /// How many jobs it looked at.
    jobs: u64,
    /// How many of them it saw end.
    ended: u64,
    /// Requests about jobs, creates and failed ones included; all events of a stream are one.
    requests: u64,
    /// Those that were refused or failed.
    failed: u64,
    requests_per_job: f64,
    /// What it would have taken to make these jobs and learn of their ends.
    optimum_per_job: f64,
    /// Looks that told it nothing new.
    wasted: u64,
    wasted_per_job: f64,
    /// How long after the end it learned of it, in milliseconds; `null` where it saw none.
    detection_ms: Option<Detection>,
    retry_after: RetryAfter,
    /// What waiting cost: half a second for each request but creates, and how late it learned on average, in seconds a
    /// job; `null` where it has waited for none to its end.
    cost_s: Option<f64>,
    /// What it would have cost the best client that polls, for the durations that were played.
    bound_s: Option<f64>,
    /// `good` up to 1.5 times the bound and a request, `fair` up to 3 times, else `poor`.
    grade: Option<&'static str>,
    /// Jobs that it made.
    creates: u64,
    /// Creates repeated under their idempotency key, which made nothing.
    replayed_creates: u64,
    /// Creates without a key that said what one before had said.
    identical_creates: u64,
    /// Those of them that followed one whose answer was lost: the same job twice.
    duplicate_creates: u64,
    verdicts: Vec<Verdict>,
    /// Whether all verdicts are good.
    pass: bool,
}

/// How long after the end a client learned of it, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
struct Detection {
    mean: u64,
    p50: u64,
    p90: u64,
    p95: u64,
    max: u64,
}

/// Whether a client came back when it was told to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct RetryAfter {
    /// How often the client came back after it had been told when to.
    given: u64,
    /// How often not before that.
    obeyed: u64,
}

/// One verdict on a client.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Verdict {
    rule: &'static str,
    value: f64,
    limit: f64,
    pass: bool,
}

/// `GET /v1/report`
pub(super) fn read(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let limits: Limits = call.query()?;
    let owner = call.caller.owner;
    let (mut cards, mut jobs) = state.attendance.reports(owner);
    let started_at = state.started_at();
    let question = Question::Report(owner);
    with_others(
        state,
        question,
        move |others: Vec<(Vec<ClientReport>, usize)>, partial| {
            for (of_other, read) in others {
                jobs += read;
                for card in of_other {
                    match cards.iter_mut().find(|own| own.client == card.client) {
                        Some(own) => own.merge(card),
                        None => cards.push(card),
                    }
                }
            }
            cards.sort_by_key(|card| std::cmp::Reverse(card.last));
            let since = cards.iter().map(|card| card.since).min();
            let clients: Vec<_> = cards.iter().map(|card| show(card, &limits)).collect();
            let report = Report {
                since: since.unwrap_or(started_at),
                jobs,
                pass: clients.iter().all(|client| client.pass),
                clients,
                partial,
            };
            Ok(json::ok(&report).into())
        },
    )
}

/// `DELETE /v1/report`
pub(super) fn clear(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let owner = call.caller.owner;
    state.attendance.clear_reports(owner);
    with_others(state, Question::ClearReport(owner), |_: Vec<()>, _| {
        Ok(Outcome::Now(empty(StatusCode::NO_CONTENT)))
    })
}

fn show(card: &ClientReport, limits: &Limits) -> ClientCard {
    // A client that made jobs and never read them has those.
    let jobs = card.counts.jobs.max(card.counts.creates).max(1) as f64;
    let detection_ms = detection(card);
    let requests_per_job = card.counts.requests as f64 / jobs;
    let wasted_per_job = card.counts.wasted as f64 / jobs;
    let p95 = detection_ms.map_or(0, |late| late.p95);
    let cost = card.cost();
    let ratio = cost.map_or(0.0, |cost| cost.cost_s / cost.bound_s);
    let counts = &card.counts;
    let rules = [
        ("cost_ratio", ratio, limits.cost_ratio),
        (
            "requests_per_job",
            requests_per_job,
            limits.requests_per_job,
        ),
        ("wasted_per_job", wasted_per_job, limits.wasted_per_job),
        (
            "detection_p95_ms",
            p95 as f64,
            limits.detection_p95_ms.map(|limit| limit as f64),
        ),
        (
            "retry_after_ignored",
            counts.ignored_refusals as f64,
            Some(limits.retry_after_ignored as f64),
        ),
        (
            "duplicate_creates",
            counts.duplicates as f64,
            Some(limits.duplicate_creates as f64),
        ),
    ];
    let verdict = |(rule, value, limit): (_, f64, Option<f64>)| {
        let limit = limit?;
        Some(Verdict {
            rule,
            value,
            limit,
            pass: value <= limit,
        })
    };
    let verdicts: Vec<Verdict> = rules.into_iter().filter_map(verdict).collect();
    let optimum =
        card.counts.creates + card.counts.jobs - card.counts.ended_by_create.min(card.counts.jobs);
    ClientCard {
        client: name(&card.client),
        channel: channel(card),
        since: card.since,
        jobs: card.counts.jobs,
        ended: card.counts.ended,
        requests: card.counts.requests,
        failed: card.counts.failed,
        requests_per_job,
        optimum_per_job: optimum as f64 / jobs,
        wasted: card.counts.wasted,
        wasted_per_job,
        detection_ms,
        retry_after: RetryAfter {
            given: card.counts.advised,
            obeyed: card.counts.obeyed,
        },
        cost_s: cost.map(|cost| cost.cost_s),
        bound_s: cost.map(|cost| cost.bound_s),
        grade: cost.map(|cost| cost.grade.as_str()),
        creates: card.counts.creates,
        replayed_creates: card.counts.replayed,
        identical_creates: card.counts.identical,
        duplicate_creates: card.counts.duplicates,
        pass: verdicts.iter().all(|verdict| verdict.pass),
        verdicts,
    }
}

fn detection(card: &ClientReport) -> Option<Detection> {
    let mut late: Vec<u64> = card.late_ms.iter().copied().collect();
    late.sort_unstable();
    let max = *late.last()?;
    let quantile = |share: f64| late[((late.len() - 1) as f64 * share).round() as usize];
    Some(Detection {
        mean: card.counts.late_ms / card.counts.ended.max(1),
        p50: quantile(0.5),
        p90: quantile(0.9),
        p95: quantile(0.95),
        max,
    })
}

/// The channel that has the most looks; of two, the first.
fn channel(card: &ClientReport) -> &'static str {
    let most = card.counts.channels.iter().copied().max().unwrap_or(0);
    let place = card.counts.channels.iter().position(|looks| *looks == most);
    match place.and_then(|place| Channel::ALL.get(place.checked_sub(1)?)) {
        Some(channel) => channel.as_str(),
        None => POLL,
    }
}

fn name(client: &Client) -> String {
    let mut name = client.to_string();
    if client.owner != Owner::ANYONE {
        // Enough to tell keys apart, and nothing to guess one from.
        name.push_str(&format!(" · key {:08x}", client.owner.0 >> 32));
    }
    name
}
