//! Schedules without jitter that learn nothing: the polls that they send.

use std::time::Duration;

use abide::schedule::{Backoff, Countdown, Fixed, Jitter, Schedule, Seen, Start};
use serde_json::{Value, json};

use super::seconds;

/// How long an answer takes.
const RTT: Duration = Duration::from_millis(100);
const POLLS_MAX: usize = 12;

pub(super) fn cases() -> Vec<Value> {
    let span = Duration::from_secs_f64;
    let cases: Vec<(&str, Value, Box<dyn Schedule>)> = vec![
        (
            "fixed",
            json!({"fixed": 5.0}),
            Box::new(Fixed::new(span(5.0)).jitter(Jitter::None)),
        ),
        (
            "fixed with a first pause and few attempts",
            json!({"fixed": 5.0, "first": 1.0, "attempts": 3}),
            Box::new(
                Fixed::new(span(5.0))
                    .jitter(Jitter::None)
                    .first(span(1.0))
                    .attempts(3),
            ),
        ),
        (
            "backoff",
            json!({"backoff": 1.0, "factor": 2.0, "max": 15.0}),
            Box::new(
                Backoff::new(span(1.0))
                    .factor(2.0)
                    .max(span(15.0))
                    .jitter(Jitter::None),
            ),
        ),
        (
            "backoff with few attempts",
            json!({"backoff": 0.5, "factor": 3.0, "max": 60.0, "attempts": 4}),
            Box::new(
                Backoff::new(span(0.5))
                    .factor(3.0)
                    .max(span(60.0))
                    .attempts(4)
                    .jitter(Jitter::None),
            ),
        ),
        (
            "countdown",
            json!({"countdown": [[2, 10.0], [3, 2.0]]}),
            Box::new(Countdown::new([(2, span(10.0)), (3, span(2.0))])),
        ),
    ];
    cases
        .into_iter()
        .map(|(name, described, schedule)| {
            let mut cursor = schedule.begin(&Start::new(1));
            let mut seen = Seen::at(RTT / 2).rtt(RTT);
            let mut polls = Vec::new();
            while polls.len() < POLLS_MAX {
                let Some(at) = cursor.next(&seen) else { break };
                polls.push(seconds(at));
                seen = Seen::at(at + RTT).rtt(RTT).polls(seen.polls + 1);
            }
            json!({"name": name, "schedule": described, "rtt": seconds(RTT), "polls": polls})
        })
        .collect()
}
