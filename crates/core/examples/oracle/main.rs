//! Plays scenes that another language's client plays too, for a differential test: a scene a line as JSON on stdin,
//! what the client did a line on stdout. It runs as a program of this machine's and as one of `wasm32-wasip1`.

mod call;
mod learn;

use std::io::{self, Write};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// A scene of either sort.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Scene {
    /// Jobs of one kind, by the learned schedule.
    Learn(learn::Scene),
    /// A call that is sent until it is answered.
    Call(call::Scene),
}

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lines() {
        let played = match serde_json::from_str(&line?)? {
            Scene::Learn(scene) => learn::play(scene),
            Scene::Call(scene) => call::play(scene)?,
        };
        writeln!(out, "{played}")?;
    }
    Ok(())
}

/// A span of time from milliseconds.
fn ms(number: f64) -> Duration {
    Duration::from_secs_f64(number / 1e3)
}

/// A span of time as milliseconds.
fn told(span: Duration) -> Value {
    json!(span.as_secs_f64() * 1e3)
}

/// Reads a span that may be missing.
fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.map(ms))
}
