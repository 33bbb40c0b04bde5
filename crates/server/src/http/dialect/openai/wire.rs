//! How OpenAI writes an error and a list.

use abide_wire::Problem;
use http::StatusCode;
use serde_json::{Value, json};

use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::dialect::list::{limit, page, parameter};
use crate::http::dialect::thing::Thing;
use crate::http::dialect::vendor::message;
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::seen::Seen;
use crate::http::state::AppState;

/// `{error: {message, type, param, code}}`, and a wrong request is a `400`.
pub(super) fn error(problem: &Problem) -> Answer {
    let (status, kind) = match problem.status {
        400 | 422 => (400, "invalid_request_error"),
        429 => (429, "rate_limit_error"),
        status @ 500.. => (status, "server_error"),
        status => (status, "invalid_request_error"),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let error = json!({
        "message": message(problem),
        "type": kind,
        "param": null,
        "code": if problem.status == 401 { "invalid_api_key" } else { problem.code.as_str() },
    });
    json::answer(status, &json!({"error": error}))
}

/// `{object: list, data, first_id, last_id, has_more}`, the newest first.
pub(super) fn list(
    state: &AppState,
    call: &Call,
    thing: &Thing,
    each: fn(&Seen<'_>) -> Value,
) -> Result<Outcome, ApiError> {
    let after = parameter(call, "after");
    let before = after.map(|after| thing.cursor(&after)).transpose()?;
    let limit = limit(call, "limit", 20, 100)?;
    let page = page(state, call, thing, limit, before, each);
    let id_of = |item: Option<&Value>| item.map_or(Value::Null, |item| item["id"].clone());
    let list = json!({
        "object": "list",
        "first_id": id_of(page.items.first()),
        "last_id": id_of(page.items.last()),
        "has_more": page.next.is_some(),
        "data": page.items,
    });
    json::now(StatusCode::OK, &list)
}

/// That the thing of that id is gone.
pub(super) fn deleted(id: &str, object: &str) -> Answer {
    let deleted = json!({"id": id, "object": object, "deleted": true});
    json::answer(StatusCode::OK, &deleted)
}
