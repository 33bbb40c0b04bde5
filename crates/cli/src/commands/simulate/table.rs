//! What each schedule spent: a table, and a sentence on how to read it.

use std::time::Duration;

use super::chart;
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
            "× bound",
        ],
        2,
        rows.map(|(i, (summary, is_ours))| (*is_ours, cells(i, summary))),
    )
}

/// What the figures mean, and what is left out.
pub(super) fn note(summaries: &[Summary<'_>], jobs: usize, price: f64) -> String {
    let best = summaries
        .first()
        .map_or(0.0, |summary| summary.bound_cost_s);
    let given_up: usize = summaries.iter().map(|summary| summary.given_up).sum();
    let mut note = format!(
        "{jobs} jobs, on average for each. Cost = {} per request + delay. Lower bound of any polling client: {}.",
        show::duration(Duration::from_secs_f64(price)),
        show::duration(Duration::try_from_secs_f64(best).unwrap_or_default()),
    );
    if given_up > 0 {
        note.push_str(&format!(
            " {given_up} waits were given up; their delay is not counted."
        ));
    }
    note
}
