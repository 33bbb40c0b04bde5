//! How sync.so writes a generation and an error.

use abide_wire::{Code, Problem};
use http::StatusCode;
use serde_json::{Value, json};

use super::generation::GENERATION;
use crate::http::answer::Answer;
use crate::http::dialect::files;
use crate::http::dialect::job::why;
use crate::http::dialect::vendor::{message, status_of};
use crate::http::json;
use crate::http::seen::Seen;

/// It has no word for what was canceled.
const WORDS: [&str; 5] = ["PENDING", "PROCESSING", "COMPLETED", "FAILED", "FAILED"];
/// The code with which a failure is a rejection.
const REJECTED: &str = "rejected";
/// How long every output is, in seconds.
const OUTPUT_S: f64 = 5.0;

/// `{message, statusCode}`; a wrong request is a `400`.
pub(super) fn error(problem: &Problem) -> Answer {
    let (status, message) = match problem.code == Code::IDEMPOTENCY_MISMATCH {
        // The native sentence names the native job.
        true => (StatusCode::CONFLICT, &*problem.title),
        false => (status_of(problem, 400), message(problem)),
    };
    let body = json!({"message": message, "statusCode": status.as_u16()});
    json::answer(status, &body)
}

/// A generation as a read shows it.
pub(super) fn show(seen: &Seen<'_>) -> Answer {
    json::ok(&body(seen))
}

/// A generation.
pub(super) fn body(seen: &Seen<'_>) -> Value {
    let (request, why) = (seen.input(), why(seen));
    let is_rejected = why.as_ref().is_some_and(|(code, _)| code == REJECTED);
    let (code, message) = why.unzip();
    json!({
        "id": GENERATION.id_of(seen),
        "createdAt": seen.created_at,
        "status": if is_rejected { "REJECTED" } else { seen.word(&WORDS) },
        "model": request["model"],
        "input": request["input"],
        "options": request["options"],
        "webhookUrl": request["webhookUrl"],
        "outputFileName": request["outputFileName"],
        "outputUrl": seen.result.map(|_| files::url(seen, "mp4")),
        "outputDuration": seen.result.map(|_| OUTPUT_S),
        "error": message,
        "error_code": code,
    })
}
