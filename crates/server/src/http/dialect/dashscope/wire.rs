//! How `DashScope` writes a task and an error.

use abide_wire::{Problem, Timestamp};
use serde_json::{Value, json};

use super::task::TASK;
use crate::http::answer::Answer;
use crate::http::dialect::files;
use crate::http::dialect::job::failure;
use crate::http::dialect::thing::text;
use crate::http::dialect::vendor::{message, status_of};
use crate::http::json;
use crate::http::seen::Seen;

/// The note that says the service, the last part of its path.
pub(super) const SERVICE: &str = "service";
const WORDS: [&str; 5] = ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELED"];

/// `{code, message, request_id}`; a wrong request is a `400`.
pub(super) fn error(problem: &Problem) -> Answer {
    let code = match problem.status {
        400 if problem.code.as_str().starts_with(char::is_uppercase) => problem.code.as_str(),
        401 => "InvalidApiKey",
        403 => "AccessDenied",
        404 => "NotFound",
        429 => "Throttling.RateQuota",
        503 => "ServiceUnavailable",
        500.. => "InternalError",
        _ => "InvalidParameter",
    };
    let body = json!({"code": code, "message": message(problem), "request_id": problem.request_id});
    json::answer(status_of(problem, 400), &body)
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
        let (member, made) = made_of(seen);
        output[member] = made;
        output["orig_prompt"] = seen.input()["input"]["prompt"].clone();
        task["usage"] = json!({"video_count": 1, "video_duration": 5, "video_ratio": "1280*720"});
    }
    if let Some((code, message)) = failure(seen) {
        output["code"] = json!(code);
        output["message"] = json!(message);
    }
    task["output"] = output;
    json::ok(&task)
}

/// What a task of that sort of service has made: the member of the output, and its value.
fn made_of(seen: &Seen<'_>) -> (&'static str, Value) {
    let (request, notes) = (seen.input(), seen.notes());
    match text(&notes, SERVICE) {
        Some("image-synthesis") => ("results", json!([{"url": files::url(seen, "png")}])),
        Some("transcription") => {
            let recordings = request["input"]["file_urls"].as_array();
            let made = recordings.into_iter().flatten().map(|recording| {
                json!({
                    "file_url": recording,
                    "transcription_url": files::url(seen, "json"),
                    "subtask_status": "SUCCEEDED",
                })
            });
            ("results", made.collect())
        }
        _ => ("video_url", json!(files::url(seen, "mp4"))),
    }
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
