//! The report card: how the clients that were seen waited.
//!
//! It is made from the log of looks when it is asked for, so it costs those who look nothing, and it covers the jobs that the log
//! covers. A client is a program at an address, by one channel.

use std::collections::BTreeMap;

use axum::Json as Respond;
use axum::extract::State;
use serde::Serialize;

use abide_wire::Timestamp;

use super::access::Caller;
use super::jobs::find;
use super::state::AppState;
use crate::board::Channel;
use crate::looks::{Look, Who};

/// How much sooner than asked a client may come back and still count as obedient, in milliseconds: headers are in whole seconds,
/// and a client's clock is not ours.
const OBEDIENCE_SLACK_MS: i64 = 50;

/// The card.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Since when looks have been noted.
    since: Timestamp,
    /// How many jobs were looked at.
    jobs: usize,
    clients: Vec<ClientCard>,
}

#[derive(Debug, Serialize)]
struct ClientCard {
    client: String,
    channel: &'static str,
    /// How many jobs it looked at.
    jobs: u64,
    /// Of how many it saw the end.
    ended: u64,
    requests: u64,
    requests_per_job: f64,
    /// Looks that told it nothing new.
    wasted: u64,
    wasted_per_job: f64,
    /// What it would have taken to learn of the end alone.
    optimum_per_job: f64,
    /// How long after the end it learned of it, in milliseconds.
    detection_ms: Option<Detection>,
    retry_after: RetryAfter,
}

#[derive(Debug, Serialize)]
struct Detection {
    p50: u64,
    p90: u64,
    max: u64,
}

#[derive(Debug, Default, Serialize)]
struct RetryAfter {
    /// After how many answers that said when to come back the client came back.
    given: u64,
    /// How often not before that.
    obeyed: u64,
}

#[derive(Debug, Default)]
struct Tally {
    jobs: u64,
    requests: u64,
    wasted: u64,
    late_ms: Vec<u64>,
    retry_after: RetryAfter,
}

/// `GET /v1/report`
pub(super) async fn card(State(state): State<AppState>, caller: Caller) -> Respond<Report> {
    // Copied out first: the log's locks are not held while the board is asked.
    let mut seen = Vec::new();
    state
        .looks
        .each(|job, log| seen.push((job, log.looks.clone())));
    let mut tallies: BTreeMap<(Who, &'static str), Tally> = BTreeMap::new();
    let mut jobs = 0;
    for (key, looks) in seen {
        let Ok(job) = find(&state, &caller, key) else {
            continue;
        };
        jobs += 1;
        let mut clients: BTreeMap<(Who, &'static str), Vec<&Look>> = BTreeMap::new();
        for look in &looks {
            let of_client = clients.entry((look.who, look.channel)).or_default();
            of_client.push(look);
        }
        for (client, looks) in clients {
            let tally = tallies.entry(client).or_default();
            tally.add(&looks, job.finished_at);
        }
    }
    let clients = tallies
        .into_iter()
        .map(|((who, channel), tally)| tally.card(&who, channel));
    Respond(Report {
        since: state.started_at(),
        jobs,
        clients: clients.collect(),
    })
}

impl Tally {
    /// Adds what one client did about one job.
    fn add(&mut self, looks: &[&Look], finished_at: Option<Timestamp>) {
        self.jobs += 1;
        let is_stream = looks
            .first()
            .is_some_and(|look| look.channel == Channel::Stream.as_str());
        // All events of a stream are one request.
        self.requests += if is_stream { 1 } else { looks.len() as u64 };
        self.wasted += looks.iter().filter(|look| !look.news).count() as u64;
        if let Some(finished_at) = finished_at
            && let Some(first) = looks
                .iter()
                .find(|look| look.at >= finished_at && look.news)
        {
            let late = first.at.since(finished_at).as_millis();
            self.late_ms.push(u64::try_from(late).unwrap_or(u64::MAX));
        }
        for pair in looks.windows(2) {
            let Some(seconds) = pair[0].retry_after else {
                continue;
            };
            let pause = pair[1].asked_at.as_millis() - pair[0].at.as_millis();
            self.retry_after.given += 1;
            let is_obeyed = pause + OBEDIENCE_SLACK_MS >= i64::from(seconds) * 1_000;
            self.retry_after.obeyed += u64::from(is_obeyed);
        }
    }

    fn card(mut self, who: &Who, channel: &'static str) -> ClientCard {
        self.late_ms.sort_unstable();
        let quantile = |share: f64| {
            let last = self.late_ms.len().saturating_sub(1) as f64;
            self.late_ms.get((last * share).round() as usize).copied()
        };
        let detection_ms = quantile(1.0).map(|max| Detection {
            p50: quantile(0.5).unwrap_or(max),
            p90: quantile(0.9).unwrap_or(max),
            max,
        });
        let jobs = self.jobs.max(1) as f64;
        ClientCard {
            client: who.to_string(),
            channel,
            jobs: self.jobs,
            ended: self.late_ms.len() as u64,
            requests: self.requests,
            requests_per_job: self.requests as f64 / jobs,
            wasted: self.wasted,
            wasted_per_job: self.wasted as f64 / jobs,
            optimum_per_job: 1.0,
            detection_ms,
            retry_after: self.retry_after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::looks::Agent;

    fn look(asked_ms: i64, at_ms: i64, news: bool, retry_after: Option<u32>) -> Look {
        Look {
            at: Timestamp::from_millis(at_ms),
            asked_at: Timestamp::from_millis(asked_ms),
            channel: "poll",
            revision: 1,
            news,
            retry_after,
            who: Who {
                agent: Agent::new("a"),
                address: None,
            },
        }
    }

    #[test]
    fn a_card_tells_waste_lateness_and_obedience() {
        let looks = [
            look(0, 0, true, Some(2)),
            look(1_000, 1_000, false, Some(2)),
            look(3_000, 3_000, true, None),
        ];
        let mut tally = Tally::default();
        let seen: Vec<&Look> = looks.iter().collect();
        tally.add(&seen, Some(Timestamp::from_millis(2_600)));
        tally.add(&seen[..1], None);
        let card = tally.card(&looks[0].who, "poll");
        assert_eq!((card.jobs, card.ended, card.requests), (2, 1, 4));
        assert_eq!(card.wasted, 1);
        assert!((card.requests_per_job - 2.0).abs() < 1e-9);
        assert_eq!(card.detection_ms.map(|late| late.max), Some(400));
        assert_eq!((card.retry_after.given, card.retry_after.obeyed), (2, 1));
    }

    #[test]
    fn nobody_who_saw_no_end_has_a_lateness() {
        let card = Tally::default().card(&look(0, 0, true, None).who, "poll");
        assert!(card.detection_ms.is_none());
        assert!(card.requests_per_job.abs() < 1e-9);
    }
}
