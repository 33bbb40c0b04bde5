//! The demonstration, as it is run from the front page.

use std::collections::HashMap;

use crate::bench::Bench;

#[test]
fn the_demonstration_ends_well_and_shows_what_is_saved() {
    let bench = Bench::new();
    let ran = bench.run(&["demo", "--jobs", "3", "--seed", "7", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let rows = ran.json();
    let row: HashMap<_, _> = rows
        .iter()
        .map(|row| (row["strategy"].as_str().unwrap(), row))
        .collect();
    assert!(rows.len() >= 10, "{ran:?}");
    for row in &rows {
        assert_eq!(row["as_drawn"], true, "{row}");
        assert_eq!(row["jobs"], 3, "{row}");
    }
    let requests = |name: &str| row[name]["requests"].as_u64().unwrap();
    assert!(requests("auto") <= 6, "{ran:?}");
    assert!(requests("every second") > 2 * requests("auto"), "{ran:?}");
    assert!(
        ran.err.contains("every second") && ran.err.contains("ms late (requests so far: "),
        "progress is told while it runs: {ran:?}"
    );
}
