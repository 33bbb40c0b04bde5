//! How HeyGen writes an error, a page, bulk statuses and the account.

use abide_wire::Problem;
use serde_json::{Value, json};

use crate::http::answer::{Answer, Outcome};
use crate::http::base::Base;
use crate::http::call::Call;
use crate::http::dialect::job::{Hook, New, failure};
use crate::http::dialect::list::{Page, after_cursor, limit, parameter};
use crate::http::dialect::repeat::{KeyRule, Repeat};
use crate::http::dialect::thing::{Thing, seen, text};
use crate::http::dialect::vendor::{message, status_of};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::seen::Seen;
use crate::http::state::AppState;

/// The words of bulk statuses, which aren't those of a read.
const BULK: [&str; 5] = ["queued", "processing", "completed", "failed", "failed"];
const IDS_MAX: usize = 100;

/// `{error: {code, message, param, doc_url}}`, and a wrong request is a `400`.
pub(super) fn error(problem: &Problem) -> Answer {
    let code = match problem.status {
        400 | 422 => "invalid_parameter",
        401 => "unauthorized",
        402 => "insufficient_credit",
        403 => "forbidden",
        404 => "not_found",
        413 => "payload_too_large",
        429 => "rate_limit_exceeded",
        500.. => "internal_error",
        _ => problem.code.as_str(),
    };
    let error = json!({"code": code, "message": message(problem), "param": null, "doc_url": null});
    json::answer(status_of(problem, 400), &json!({"error": error}))
}

/// `{data}`.
pub(super) fn data(data: &Value) -> Answer {
    json::ok(&json!({"data": data}))
}

/// `{data, has_more, next_token}`.
pub(super) fn list(
    state: &AppState,
    call: &Call,
    thing: &Thing,
    each: fn(&Seen<'_>) -> Value,
) -> Result<Outcome, ApiError> {
    let limit = limit(call, "limit", 10, 100)?;
    let Page { items, next } = after_cursor(state, call, thing, limit, "token", each)?;
    let list = json!({"data": items, "has_more": next.is_some(), "next_token": next});
    Ok(json::ok(&list).into())
}

/// The statuses of the jobs that the query names; an id that names none has one too.
pub(super) fn statuses(
    state: &AppState,
    call: &Call,
    thing: &Thing,
    name: &str,
) -> Result<Outcome, ApiError> {
    let ids = parameter(call, name).unwrap_or_default();
    let ids: Vec<&str> = ids.split(',').filter(|id| !id.is_empty()).collect();
    if ids.is_empty() || ids.len() > IDS_MAX {
        return Err(ApiError::invalid_member(format!(
            "in the query: `{name}` must have 1 to {IDS_MAX} ids"
        )));
    }
    let base = Base::of(call);
    let row = |id: &str| {
        let (status, error) = match thing.find(state, call, id) {
            Ok(job) => seen(state, &base, &job, |seen| {
                let message = failure(seen).map(|(_, message)| message);
                (seen.word(&BULK).to_owned(), message)
            }),
            Err(_) => ("not_found".to_owned(), None),
        };
        json!({"video_id": id, "status": status, "error": error, "batch_id": null, "item_index": null})
    };
    let rows: Vec<Value> = ids.into_iter().map(row).collect();
    let list = json!({"data": rows, "has_more": false, "next_token": null});
    Ok(json::ok(&list).into())
}

/// The job of that request, which is told unsigned where the request says.
pub(super) fn new(request: Value) -> New {
    let hook = text(&request, "callback_url").map(|url| Hook {
        url: url.to_owned(),
        ..Hook::default()
    });
    New {
        hook,
        ..New::of(request)
    }
}

/// The name of a create at that route, if the client gives one.
///
/// # Errors
///
/// It isn't as it may be.
pub(super) fn repeat(call: &Call, place: &'static str) -> Result<Option<Repeat>, ApiError> {
    let rule = KeyRule {
        place,
        bytes_max: 255,
        signs: b"_:.-",
        may_differ: true,
    };
    rule.read(call)
}

/// `GET /v3/users/me`
pub(super) fn account(_: &AppState, _: &Call) -> Result<Outcome, ApiError> {
    let wallet = json!({"currency": "usd", "remaining_balance": 100.0});
    let me = json!({"username": "abide", "billing_type": "wallet", "wallet": wallet});
    Ok(Outcome::Now(data(&me)))
}
