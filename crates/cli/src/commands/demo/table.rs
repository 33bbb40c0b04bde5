//! What came of it: a table, and a sentence that says what was saved.

use std::cmp::Reverse;
use std::time::Duration;

use serde::Serialize;

use super::stage::{Score, Told};
use crate::{output, show, table};

/// One row.
#[derive(Debug, Serialize)]
struct Row {
    strategy: &'static str,
    jobs: usize,
    requests: u32,
    /// Ends that the server told by itself, each a request of its own.
    pushes: u32,
    requests_per_job: f64,
    late_mean_s: f64,
    late_max_s: f64,
    as_drawn: bool,
}

/// Writes it.
pub(super) fn write(scores: &[Score], as_json: bool) -> std::io::Result<()> {
    let mut rows: Vec<(bool, Row)> = scores
        .iter()
        .map(|score| (score.contender.is_ours, row(score)))
        .collect();
    // Clients in the wild before ours, each from the most requests to the fewest.
    rows.sort_by_key(|(is_ours, row)| (*is_ours, Reverse(row.requests)));
    if as_json {
        return rows.iter().try_for_each(|(_, row)| output::json(row));
    }
    output::line(&format!("\n{}\n", table(&rows)))?;
    output::line(
        "late: from a job's end until its client knows, on average and at most; bold: abide's ways.",
    )?;
    output::line(&sentence(&rows))
}

fn row(score: &Score) -> Row {
    let told: Vec<&Told> = score.told.iter().flatten().collect();
    let late = || told.iter().map(|told| told.late.as_secs_f64());
    let jobs = score.told.len();
    Row {
        strategy: score.contender.name,
        jobs,
        requests: score.requests,
        pushes: score.pushes,
        requests_per_job: f64::from(score.requests) / jobs as f64,
        late_mean_s: late().sum::<f64>() / told.len().max(1) as f64,
        late_max_s: late().fold(0.0, f64::max),
        as_drawn: told.len() == jobs && told.iter().all(|told| told.as_drawn),
    }
}

fn table(rows: &[(bool, Row)]) -> String {
    let late = |seconds| show::duration(Duration::from_secs_f64(seconds));
    let cells = |row: &Row| {
        [
            row.strategy.to_owned(),
            row.requests.to_string(),
            format!("{:.1}", row.requests_per_job),
            match row.pushes {
                0 => String::new(),
                pushes => pushes.to_string(),
            },
            late(row.late_mean_s),
            late(row.late_max_s),
        ]
    };
    table::draw(
        [
            "way of waiting",
            "requests",
            "a job",
            "pushes",
            "late",
            "at most",
        ],
        1,
        rows.iter().map(|(is_ours, row)| (*is_ours, cells(row))),
    )
}

/// What the best of ours saved against the classic ones taken together.
fn sentence(rows: &[(bool, Row)]) -> String {
    let classic: Vec<&Row> = rows
        .iter()
        .filter(|(is_ours, _)| !is_ours)
        .map(|(_, row)| row)
        .collect();
    let Some((_, auto)) = rows.iter().find(|(_, row)| row.strategy == "auto") else {
        return String::new();
    };
    let count = classic.len().max(1) as f64;
    let requests = classic.iter().map(|row| row.requests_per_job).sum::<f64>() / count;
    let late = classic.iter().map(|row| row.late_mean_s).sum::<f64>() / count;
    let saved = 100.0 * (1.0 - auto.requests_per_job / requests);
    format!(
        "Against the other clients on average, `auto` saved {saved:.0} % of the requests \
         ({:.1} instead of {requests:.1} a job)\n\
         and told of each end {} sooner ({} late instead of {}).",
        auto.requests_per_job,
        show::duration(Duration::from_secs_f64((late - auto.late_mean_s).max(0.0))),
        show::duration(Duration::from_secs_f64(auto.late_mean_s)),
        show::duration(Duration::from_secs_f64(late)),
    )
}
