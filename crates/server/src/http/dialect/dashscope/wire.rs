//! How `DashScope` writes a task and an error.

use abide_wire::{Problem, Timestamp};
use http::StatusCode;
use serde_json::{Value, json};

use super::task::TASK;
use crate::http::answer::Answer;
use crate::http::dialect::files;
use crate::http::dialect::job::failure;
use crate::http::dialect::vendor::message;
use crate::http::json;
use crate::http::seen::Seen;

const WORDS: [&str; 5] = ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELED"];

/// `{code, message, request_id}`; a wrong request is a `400`.
pub(super) fn error(problem: &Problem) -> Answer {
    let (status, code) = match problem.status {
        400 if problem.code.as_str().starts_with(char::is_uppercase) => {
            (400, problem.code.as_str())
        }
        400 | 422 => (400, "InvalidParameter"),
        401 => (401, "InvalidApiKey"),
        403 => (403, "AccessDenied"),
        404 => (404, "NotFound"),
        429 => (429, "Throttling.RateQuota"),
        status @ 500.. => (status, "InternalError"),
        status => (status, problem.code.as_str()),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({"code": code, "message": message(problem), "request_id": problem.request_id});
    json::answer(status, &body)
}

/// The answer to a create.
pub(super) fn made(seen: &Seen<'_>) -> Value {
    let id = TASK.id_of(seen);
    json!({"request_id": id, "output": {"task_id": id, "task_status": seen.word(&WORDS)}})
}

/// A task as a read shows it.
pub(super) fn show(seen: &Seen<'_>) -> Answer {
    let id = TASK.id_of(seen);
    let mut output = json!({
        "task_id": id,
        "task_status": seen.word(&WORDS),
        "submit_time": time(Some(seen.created_at)),
        "scheduled_time": time(seen.started_at),
        "end_time": time(seen.finished_at),
    });
    let mut task = json!({"request_id": id});
    if seen.result.is_some() {
        output["video_url"] = json!(files::url(seen, "mp4"));
        output["orig_prompt"] = seen.input()["input"]["prompt"].clone();
        task["usage"] = json!({"video_count": 1, "video_duration": 5, "video_ratio": "1280*720"});
    }
    if let Some((code, message)) = failure(seen) {
        output["code"] = json!(code);
        output["message"] = json!(message);
    }
    task["output"] = output;
    json::answer(StatusCode::OK, &task)
}

/// A task in a list.
pub(super) fn row(seen: &Seen<'_>) -> Value {
    let millis = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
    json!({
        "task_id": TASK.id_of(seen),
        "status": seen.word(&WORDS),
        "model_name": seen.input()["model"],
        "start_time": millis(Some(seen.created_at)),
        "gmt_create": millis(Some(seen.created_at)),
        "end_time": millis(seen.finished_at),
    })
}

/// That instant as it is written there: `2027-01-15 08:00:00.000`.
fn time(at: Option<Timestamp>) -> Option<String> {
    let text = at?.to_string();
    Some(text.trim_end_matches('Z').replace('T', " "))
}
