//! How `ElevenLabs` writes an error, and what its objects have in common.

use abide_wire::Problem;
use serde_json::{Value, json};

use crate::http::answer::Answer;
use crate::http::dialect::job::why;
use crate::http::dialect::vendor::{message, status_of};
use crate::http::json;
use crate::http::seen::Seen;

/// `{detail: {status, message}}`; of a wrong request, `{detail: […]}`.
pub(super) fn error(problem: &Problem) -> Answer {
    let message = message(problem);
    let detail = match problem.status {
        422 => json!([{"loc": ["body"], "msg": message, "type": "value_error"}]),
        401 => json!({"status": "invalid_api_key", "message": message}),
        429 => json!({"status": "system_busy", "message": message}),
        500.. => json!({"status": "internal_server_error", "message": message}),
        _ => json!({"status": problem.code, "message": message}),
    };
    json::answer(status_of(problem, 422), &json!({"detail": detail}))
}

/// Why a project or a language failed: `{code, message, retryable}`.
pub(super) fn failed(seen: &Seen<'_>) -> Option<Value> {
    let (code, message) = why(seen)?;
    let retryable = seen.error.is_some_and(|error| error.retryable);
    Some(json!({"code": code, "message": message, "retryable": retryable}))
}
