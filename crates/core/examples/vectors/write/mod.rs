//! The files of `vectors/`, made by the code that they describe.

mod learned;
mod player;
mod recognize;
mod schedules;
mod waits;
mod webhooks;
mod world;

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The version of the files' form: a reader refuses any other.
const VERSION: u32 = 1;

/// Every file, and what it holds.
pub(crate) fn files() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors");
    let mut files = vec![
        (
            "learned.json".to_owned(),
            json!({"cases": learned::cases()}),
        ),
        ("recognize.json".to_owned(), recognize::words()),
        (
            "schedules.json".to_owned(),
            json!({"cases": schedules::cases()}),
        ),
        (
            "webhooks.json".to_owned(),
            json!({"cases": webhooks::cases()}),
        ),
    ];
    for (name, trace) in waits::traces() {
        files.push((format!("waits/{name}.json"), trace));
    }
    written(&root, files)
}

/// Traces of the random histories with those seeds, as files of a directory: for other languages to be tried with
/// histories that no file holds.
pub(crate) fn random(directory: &Path, seeds: Range<u64>) -> Vec<(PathBuf, String)> {
    let traces = seeds.map(|seed| (format!("random_{seed}.json"), waits::random_trace(seed)));
    written(directory, traces.collect())
}

fn written(directory: &Path, files: Vec<(String, Value)>) -> Vec<(PathBuf, String)> {
    files
        .into_iter()
        .map(|(name, mut value)| {
            value["version"] = json!(VERSION);
            (directory.join(name), text(&value))
        })
        .collect()
}

/// Traces that are there and not written any more.
pub(crate) fn others(written: &[(PathBuf, String)]) -> io::Result<Vec<PathBuf>> {
    let there = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/waits"))?;
    let there: io::Result<Vec<PathBuf>> = there.map(|entry| Ok(entry?.path())).collect();
    Ok(there?
        .into_iter()
        .filter(|path| !written.iter().any(|(written, _)| written == path))
        .collect())
}

/// JSON that is read in a review: a line for each case and each step.
fn text(value: &Value) -> String {
    let mut out = String::from("{\n");
    let members = value.as_object().into_iter().flatten();
    let last = members.clone().count();
    for (number, (name, member)) in members.enumerate() {
        out.push_str(&format!("{}: ", json!(name)));
        match member.as_array() {
            Some(items) if items.iter().any(Value::is_object) => {
                let items: Vec<String> = items.iter().map(Value::to_string).collect();
                out.push_str(&format!("[\n{}\n]", items.join(",\n")));
            }
            _ => out.push_str(&member.to_string()),
        }
        out.push_str(if number + 1 < last { ",\n" } else { "\n" });
    }
    out.push_str("}\n");
    out
}

/// Seconds, to the microsecond: what lies below is the processor's own.
fn seconds(span: std::time::Duration) -> Value {
    number(span.as_secs_f64())
}

fn number(value: f64) -> Value {
    json!((value * 1e6).round() / 1e6)
}
