//! What each schedule spent: a table, and a sentence on how to read it.

use std::time::Duration;

use super::chart;
use super::command::Known;
use super::trial::Summary;
use crate::{show, table};

/// A row per schedule, each with its mark in the chart.
pub(super) fn table(summaries: &[Summary<'_>], ours: &[bool]) -> String {
    let time =
        |seconds: f64| show::duration(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    let cells = |i: usize, summary: &Summary<'_>| {
        let ratio = summary.cost_over_bound;
        [
            chart::mark(i).to_string(),
            summary.schedule.to_owned(),
            format!("{:.2}", summary.requests),
            time(summary.delay_s),
            time(summary.p95_delay_s),
            time(summary.cost_s),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
        ]
    };
    let rows = summaries.iter().zip(ours).enumerate();
    table::draw(
        [
            "",
            "schedule",
            "requests",
            "delay, mean",
            "delay, p95",
            "cost",
            "× static bound",
        ],
        2,
        rows.map(|(i, (summary, is_ours))| (*is_ours, cells(i, summary))),
    )
}

/// What the figures mean, and what is left out.
pub(super) fn note(summaries: &[Summary<'_>], known: &Known, price: f64) -> String {
    let time =
        |seconds: f64| show::duration(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    let Some(first) = summaries.first() else {
        return String::new();
    };
    let mut note = format!(
        "{} jobs, on average for each. Cost = {} per request + delay. Static bound: {}, ",
        first.jobs,
        time(price),
        time(first.bound_cost_s),
    );
    note.push_str(match known {
        Known::Law => "the least to any polling client that knows the law.",
        Known::Past => {
            "the least in hindsight to any polling client, for these durations in any order. \
             Hindsight of few jobs flatters the bound; where the order or a context tells, less is possible."
        }
        Known::Laws(_) => "the least to any polling client that knows how often each duration is.",
    });
    if let Some(informed) = first.informed_bound_cost_s {
        let over = first.cost_over_informed_bound.unwrap_or_default();
        note.push_str(&format!(
            " To one that knows each job's law: {}; {} costs {over:.2} times that.",
            time(informed),
            first.schedule,
        ));
    }
    let given_up: usize = summaries.iter().map(|summary| summary.given_up).sum();
    if given_up > 0 {
        note.push_str(&format!(
            " {given_up} waits were given up; their delay is not counted."
        ));
    }
    note
}
