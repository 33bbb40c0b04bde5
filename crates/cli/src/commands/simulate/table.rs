//! What each schedule spent: a table, and a sentence on how to read it.

use std::time::Duration;

use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table};

use super::{Summary, chart};
use crate::show;

/// A row per schedule, each with its mark in the chart.
pub(super) fn table(summaries: &[Summary<'_>], ours: &[bool]) -> Table {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::UTF8_FULL_CONDENSED)
        // What nobody would see of it is stripped where it is written.
        .enforce_styling()
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header([
            "",
            "schedule",
            "requests",
            "late, mean",
            "late, p95",
            "cost",
            "× bound",
        ]);
    for (i, (summary, is_ours)) in summaries.iter().zip(ours).enumerate() {
        let time =
            |seconds: f64| show::duration(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        let cells = [
            chart::mark(i).to_string(),
            summary.schedule.to_owned(),
            format!("{:.2}", summary.requests),
            time(summary.delay_s),
            time(summary.p95_delay_s),
            time(summary.cost_s),
            summary
                .cost_over_bound
                .map_or_else(String::new, |ratio| format!("{ratio:.2}")),
        ];
        table.add_row(cells.map(|text| {
            let cell = Cell::new(text);
            match is_ours {
                true => cell.add_attribute(Attribute::Bold),
                false => cell,
            }
        }));
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What the figures mean, and what is left out.
pub(super) fn note(summaries: &[Summary<'_>], jobs: usize, price: f64) -> String {
    let best = summaries
        .first()
        .map_or(0.0, |summary| summary.bound_cost_s);
    let given_up: usize = summaries.iter().map(|summary| summary.given_up).sum();
    let mut note = format!(
        "{jobs} jobs. A request costs {}, a second of delay a second; the best polls there are cost {}.",
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
