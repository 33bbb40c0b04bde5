//! How Runway writes a task and an error.

use abide_wire::{Outcome, Problem, Status};
use serde_json::json;

use super::task::TASK;
use crate::http::answer::Answer;
use crate::http::dialect::files;
use crate::http::dialect::job::failure;
use crate::http::dialect::vendor::{message, status_of};
use crate::http::json;
use crate::http::seen::Seen;

/// What every task costs.
const CREDITS: u32 = 25;
const WORDS: [&str; 5] = ["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"];

/// `{error}`, and a wrong request is a `400`.
pub(super) fn error(problem: &Problem) -> Answer {
    json::answer(status_of(problem, 400), &json!({"error": message(problem)}))
}

/// A task as a read shows it: beside its status what that status has.
pub(super) fn show(seen: &Seen<'_>) -> Answer {
    let mut task = json!({
        "id": TASK.id_of(seen),
        "status": seen.word(&WORDS),
        "createdAt": seen.created_at,
    });
    // Clients tell the statuses apart by these, too.
    match seen.outcome {
        None => task["estimatedCost"] = json!({"credits": CREDITS}),
        Some(Outcome::Completed) => task["cost"] = json!({"credits": CREDITS}),
        Some(_) => task["cost"] = json!({"credits": 0}),
    }
    if *seen.status == Status::Running {
        task["progress"] = json!(seen.share());
    }
    if seen.result.is_some() {
        task["output"] = json!([files::url(seen, "mp4")]);
    }
    if let Some((code, message)) = failure(seen) {
        task["failure"] = json!(message);
        task["failureCode"] = json!(code);
    }
    json::ok(&task)
}
