//! The seam holds: nothing beside it names a runtime or reads a clock.

use std::fs;
use std::path::Path;

/// What only this folder may name.
const OURS_ALONE: &[&str] = &[
    "tokio::time",
    "tokio::task",
    "tokio::spawn",
    "tokio::net",
    "tokio::runtime",
    "tokio::{",
    "hyper_util::rt",
    "Instant::now",
    "SystemTime::now",
];

#[test]
fn only_this_folder_names_a_runtime_or_reads_a_clock() {
    let mut wrong = Vec::new();
    let read = visit(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut wrong,
    );
    assert!(read > 50, "{read} files are not the crate");
    assert_eq!(wrong, [""; 0]);
}

fn visit(folder: &Path, wrong: &mut Vec<String>) -> usize {
    let mut read = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("src/rt") {
                read += visit(&path, wrong);
            }
            continue;
        }
        if path.ends_with("tests.rs") {
            continue;
        }
        read += 1;
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for (line, number) in code.lines().zip(1..) {
            let is_comment = line.trim_start().starts_with("//");
            if !is_comment && OURS_ALONE.iter().any(|name| line.contains(name)) {
                wrong.push(format!("{}:{number}: {line}", path.display()));
            }
        }
    }
    read
}
