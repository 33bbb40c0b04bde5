//! How fal writes a status, a result and an error.

use abide_wire::{Outcome, Problem, Status};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::request::REQUEST;
use crate::http::answer::Answer;
use crate::http::dialect::files;
use crate::http::dialect::job::failure;
use crate::http::dialect::thing::text;
use crate::http::dialect::vendor::{message, status_of};
use crate::http::json;
use crate::http::seen::Seen;

const WORDS: [&str; 5] = [
    "IN_QUEUE",
    "IN_PROGRESS",
    "COMPLETED",
    "COMPLETED",
    "COMPLETED",
];
/// The longest queue that is shown.
const POSITIONS: f64 = 5.0;

/// `{detail}`.
pub(super) fn error(problem: &Problem) -> Answer {
    json::answer(
        status_of(problem, 422),
        &json!({"detail": message(problem)}),
    )
}

/// A status: `202` until the end, `200` then, also if the request failed.
pub(super) fn show_status(seen: &Seen<'_>) -> Answer {
    let status = match seen.outcome {
        None => StatusCode::ACCEPTED,
        Some(_) => StatusCode::OK,
    };
    json::answer(status, &status_body(seen))
}

/// A status.
pub(super) fn status_body(seen: &Seen<'_>) -> Value {
    let notes = seen.notes();
    let id = REQUEST.id_of(seen);
    let app = text(&notes, "app").unwrap_or("owner/alias");
    let url = format!("{}/{app}/requests/{id}", seen.base.as_str());
    let took = seen.started_at.zip(seen.finished_at);
    let mut status = json!({
        "status": seen.word(&WORDS),
        "request_id": id,
        "response_url": url,
        "status_url": format!("{url}/status"),
        "cancel_url": format!("{url}/cancel"),
        "logs": logs(seen),
        "metrics": took.map_or_else(|| json!({}), |(from, to)| {
            json!({"inference_time": to.since(from).as_secs_f64()})
        }),
    });
    if *seen.status == Status::Pending {
        status["queue_position"] = json!((POSITIONS * seen.queue_left()).ceil() as u32);
    }
    if let Some((kind, message)) = why(seen) {
        status["error"] = json!(message);
        status["error_type"] = json!(kind);
    }
    status
}

fn logs(seen: &Seen<'_>) -> Vec<Value> {
    let stage = seen.progress.and_then(|progress| progress.stage.as_deref());
    let line =
        stage.map(|stage| json!({"message": stage, "level": "INFO", "timestamp": seen.updated_at}));
    line.into_iter().collect()
}

/// Why there is no result although the request has ended: the type and the message.
fn why(seen: &Seen<'_>) -> Option<(String, String)> {
    match seen.outcome {
        Some(Outcome::Canceled) => Some((
            "client_cancelled".to_owned(),
            "the request was cancelled".to_owned(),
        )),
        _ => failure(seen),
    }
}

/// A result, or why there is none.
pub(super) fn show_result(seen: &Seen<'_>) -> Answer {
    let Some((kind, message)) = why(seen) else {
        return match payload(seen) {
            Some(payload) => json::ok(&payload),
            // Clients compare this text.
            None => json::answer(
                StatusCode::BAD_REQUEST,
                &json!({"detail": "Request is still in progress"}),
            ),
        };
    };
    let status = match kind.as_str() {
        "client_cancelled" => StatusCode::BAD_REQUEST,
        "request_timeout" | "startup_timeout" => StatusCode::GATEWAY_TIMEOUT,
        kind if kind.starts_with("runner_") => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut answer = json::answer(status, &json!({"detail": message, "error_type": kind}));
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        answer.headers_mut().insert("x-fal-error-type", kind);
    }
    answer
}

/// What a request made.
pub(super) fn payload(seen: &Seen<'_>) -> Option<Value> {
    seen.result.map(|_| {
        json!({"video": {
            "url": files::url(seen, "mp4"),
            "content_type": "video/mp4",
            "file_name": "output.mp4",
            "file_size": files::SIZE,
        }})
    })
}

/// What the stream says of a request as it is now.
pub(super) fn written(seen: &Seen<'_>) -> String {
    format!("data: {}\n\n", status_body(seen))
}
