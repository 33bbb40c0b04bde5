//! Figures in the documents that don't depend on the machine, compared with what their command prints.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// How far a figure may be from the one that is printed, as a share of it, beside the last digit that is shown.
const TOLERANCE: f64 = 0.005;

/// The schedule of a row of the table.
fn schedule_of(row: &str) -> &str {
    match row {
        "every half second" => "fixed-0.5s",
        "every second" => "fixed-1s",
        "every 2 s" => "fixed-2s",
        "every 5 s" => "fixed-5s",
        "3-2-1 countdown" => "countdown-3-2-1",
        "backoff by 1.5" => "backoff-1.5",
        "backoff by 2" => "backoff-2",
        own => own,
    }
}

/// A figure as the table has it, in seconds where it is a time, and its last digit.
fn figure(cell: &str) -> (f64, f64) {
    let cell = cell.trim().trim_matches('*');
    let (number, unit) = match cell.split_once(' ') {
        Some((number, "ms")) => (number, 0.001),
        Some((number, "s")) => (number, 1.0),
        Some((_, unit)) => panic!("{unit} is no unit of the table's"),
        None => (cell, 1.0),
    };
    let decimals = number.split_once('.').map_or(0, |(_, digits)| digits.len());
    let last = 10f64.powi(-i32::try_from(decimals).unwrap());
    (number.parse::<f64>().unwrap() * unit, last * unit)
}

#[test]
fn the_table_of_schedules_is_what_simulate_prints() {
    let output = Command::new(env!("CARGO_BIN_EXE_abide"))
        .args(["simulate", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let printed: HashMap<String, Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line.get("cost_over_bound").is_some())
        .map(|line| (line["schedule"].as_str().unwrap().to_owned(), line))
        .collect();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/performance.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page
        .lines()
        .skip_while(|line| !line.starts_with("| schedule | requests |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut compared = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let name = cells[0].trim().trim_matches('*');
        let summary = printed
            .get(schedule_of(name))
            .unwrap_or_else(|| panic!("simulate prints no {name}"));
        for (cell, member) in
            cells[1..]
                .iter()
                .zip(["requests", "delay_s", "p95_delay_s", "cost_over_bound"])
        {
            let (shown, last) = figure(cell);
            let now = summary[member].as_f64().unwrap();
            assert!(
                (shown - now).abs() <= TOLERANCE * now + last,
                "{name}: the page has {cell} for {member}, simulate prints {now}"
            );
        }
        compared += 1;
    }
    assert_eq!(compared, printed.len(), "each schedule is a row");
}
