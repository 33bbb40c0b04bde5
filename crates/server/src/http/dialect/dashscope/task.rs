//! Tasks: create, read, list, cancel.

use abide_engine::State;
use abide_wire::Code;
use serde_json::json;

use super::wire::{SERVICE, made, row, show};
use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New, request};
use crate::http::dialect::list::{limit, window};
use crate::http::dialect::thing::{Thing, required};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::state::AppState;

const ASYNC: &str = "x-dashscope-async";
const PAGE: usize = 10;
const PAGE_MAX: usize = 100;
const PAGES_MAX: usize = 1_000;

/// A task.
pub(super) const TASK: Thing = Thing {
    kind: "dashscope.task",
    id: Id::Uuid,
    show,
};

/// `POST /api/v1/services/…`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    if call.field(ASYNC) != Some("enable") {
        let only =
            "current user api does not support synchronous calls: send `X-DashScope-Async: enable`";
        let error = ApiError::of(403, Code::new("AccessDenied"), "Only asynchronous calls");
        return Err(error.detail(only));
    }
    let request = request(call)?;
    required(&request, "model")?;
    let service = call.uri.path().rsplit('/').next().unwrap_or_default();
    let new = New::of(request).note(SERVICE, service);
    let asked = Asked::one(new, |seen| json::ok(&made(&seen[0])));
    job::create(state, call, &TASK, asked)
}

/// `GET /api/v1/tasks/{id}`
pub(super) fn read(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    Ok(Outcome::Now(match TASK.in_path(state, call) {
        Ok(job) => job::counted(state, call, &TASK, &job),
        Err(_) => absent(call),
    }))
}

/// A task that isn't there.
pub(super) fn absent(call: &Call) -> Answer {
    let id = call.param("id").unwrap_or_default();
    let output = json!({"task_id": id, "task_status": "UNKNOWN"});
    json::ok(&json!({"request_id": id, "output": output}))
}

/// `POST /api/v1/tasks/{id}/cancel`
pub(super) fn cancel(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let task = TASK.in_path(state, call)?;
    if task.state != State::Pending {
        let error = ApiError::of(
            400,
            Code::new("UnsupportedOperation"),
            "It can't be canceled",
        );
        return Err(error.detail("failed to cancel the task, only a PENDING one can be canceled"));
    }
    let answer = json::ok(&json!({"request_id": TASK.id.text(task.key)}));
    job::end(state, call, task.key, answer)
}

/// `GET /api/v1/tasks`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let number = limit(call, "page_no", 1, PAGES_MAX)?;
    let size = limit(call, "page_size", PAGE, PAGE_MAX)?;
    let skip = (number - 1) * size;
    let (tasks, has_more) = window(state, call, &TASK, (skip, size), row)?;
    // Counting all of them would take a look at each.
    let total = skip + tasks.len() + usize::from(has_more);
    let list = json!({
        "data": tasks,
        "page_no": number,
        "page_size": size,
        "total": total,
        "total_page": total.div_ceil(size),
    });
    Ok(json::ok(&list).into())
}
