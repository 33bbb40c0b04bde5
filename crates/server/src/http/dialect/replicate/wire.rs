//! How Replicate writes a prediction, an error and an event.

use abide_wire::{Code, Outcome, Problem};
use serde_json::{Value, json};

use super::prediction::PREDICTION;
use crate::http::answer::Answer;
use crate::http::dialect::files;
use crate::http::dialect::job::failure;
use crate::http::dialect::thing::text;
use crate::http::dialect::vendor::{message, status_of, title};
use crate::http::json;
use crate::http::seen::Seen;

const WORDS: [&str; 5] = ["starting", "processing", "succeeded", "failed", "canceled"];

/// `{title, detail, status}`.
pub(super) fn error(problem: &Problem) -> Answer {
    let status = status_of(problem, 422);
    let title = match problem.status {
        401 => "Unauthenticated",
        _ => title(problem),
    };
    let body = json!({"title": title, "detail": message(problem), "status": status.as_u16()});
    json::answer(status, &body)
}

/// A prediction as a read shows it.
pub(super) fn show(seen: &Seen<'_>) -> Answer {
    json::ok(&body(seen))
}

/// A prediction.
pub(super) fn body(seen: &Seen<'_>) -> Value {
    let (input, notes) = (seen.input(), seen.notes());
    let id = PREDICTION.id_of(seen);
    let version = text(&input, "version").unwrap_or("hidden");
    let named = version.split_once(':');
    let model = text(&notes, "model").or_else(|| text(&input, "model"));
    let url = format!("{}/v1/predictions/{id}", seen.base.as_str());
    let took = seen.started_at.zip(seen.finished_at);
    let took = took.map(|(from, to)| json!({"predict_time": to.since(from).as_secs_f64()}));
    json!({
        "id": id,
        "model": model.or(named.map(|(model, _)| model)).unwrap_or("owner/name"),
        "version": named.map_or(version, |(_, version)| version),
        "status": status(seen),
        "input": input["input"],
        "output": seen.result.map(|_| files::url(seen, "mp4")),
        "error": failure(seen).filter(|_| !is_canceled(seen)).map(|(_, message)| message),
        "logs": logs(seen),
        "metrics": took.unwrap_or_else(|| json!({})),
        "created_at": seen.created_at,
        "started_at": seen.started_at,
        "completed_at": seen.finished_at,
        "source": "api",
        "data_removed": false,
        "urls": {
            "get": url,
            "cancel": format!("{url}/cancel"),
            "stream": format!("{url}/stream"),
            "web": format!("https://replicate.com/p/{id}"),
        },
    })
}

/// Out of its own time, a prediction is canceled; `aborted` if it hadn't begun.
fn status<'a>(seen: &Seen<'a>) -> &'a str {
    match is_canceled(seen) {
        true if seen.started_at.is_none() => "aborted",
        true => "canceled",
        false => seen.word(&WORDS),
    }
}

fn is_canceled(seen: &Seen<'_>) -> bool {
    seen.error
        .is_some_and(|error| error.code == Code::DEADLINE_EXCEEDED)
}

fn logs(seen: &Seen<'_>) -> String {
    let Some(progress) = seen.progress else {
        return String::new();
    };
    let stage = progress.stage.as_deref().unwrap_or("done");
    format!("{:.0}% {stage}\n", progress.percent)
}

/// What the stream says of a prediction as it is now: its log, and at its end its output and that it is done.
pub(super) fn written(seen: &Seen<'_>) -> String {
    let id = seen.revision;
    match seen.outcome {
        None => match logs(seen) {
            logs if logs.is_empty() => logs,
            logs => {
                // Each line of it is a line of data.
                let lines: Vec<_> = logs.trim_end().split(['\r', '\n']).collect();
                let data = lines.join("\ndata: ");
                format!("event: logs\nid: {id}\ndata: {data}\n\n")
            }
        },
        Some(Outcome::Completed) => {
            let output = files::url(seen, "mp4");
            format!(
                "event: output\nid: {id}:0\ndata: {output}\n\nevent: done\nid: {id}:1\ndata: {{}}\n\n"
            )
        }
        Some(Outcome::Canceled) => {
            format!("event: done\nid: {id}\ndata: {{\"reason\": \"canceled\"}}\n\n")
        }
        Some(Outcome::Failed) => {
            let detail = failure(seen).map(|(_, message)| message);
            let error = json!({"detail": detail.unwrap_or_default()});
            format!(
                "event: error\nid: {id}:0\ndata: {error}\n\nevent: done\nid: {id}:1\ndata: {{\"reason\": \"error\"}}\n\n"
            )
        }
    }
}
