//! How OpenAI writes an error and a list.

use abide_wire::{Code, Problem};
use serde_json::{Value, json};

use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::dialect::list::{after_cursor, limit};
use crate::http::dialect::thing::Thing;
use crate::http::dialect::vendor::{message, status_of};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::seen::Seen;
use crate::http::state::AppState;

/// `{error: {message, type, param, code}}`, and a wrong request is a `400`.
pub(super) fn error(problem: &Problem) -> Answer {
    let (kind, code) = match problem.status {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        429 => ("requests", Some("rate_limit_exceeded")),
        500.. => ("server_error", None),
        _ if problem.code == Code::SIMULATED => ("invalid_request_error", None),
        _ => ("invalid_request_error", Some(problem.code.as_str())),
    };
    let error = json!({"message": message(problem), "type": kind, "param": null, "code": code});
    json::answer(status_of(problem, 400), &json!({"error": error}))
}

/// `{object: list, data, first_id, last_id, has_more}`, the newest first.
pub(super) fn list(
    state: &AppState,
    call: &Call,
    thing: &Thing,
    each: fn(&Seen<'_>) -> Value,
) -> Result<Outcome, ApiError> {
    let limit = limit(call, "limit", 20, 100)?;
    let page = after_cursor(state, call, thing, limit, "after", each)?;
    let id_of = |item: Option<&Value>| item.map_or(Value::Null, |item| item["id"].clone());
    let list = json!({
        "object": "list",
        "first_id": id_of(page.items.first()),
        "last_id": id_of(page.items.last()),
        "has_more": page.next.is_some(),
        "data": page.items,
    });
    Ok(json::ok(&list).into())
}

/// That the thing of that id is gone.
pub(super) fn deleted(id: &str, object: &str) -> Answer {
    let deleted = json!({"id": id, "object": object, "deleted": true});
    json::ok(&deleted)
}
