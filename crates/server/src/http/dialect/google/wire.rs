//! How Google writes an operation and an error.

use abide_wire::{Outcome, Problem};
use serde_json::{Value, json};

use crate::http::answer::Answer;
use crate::http::dialect::job::why;
use crate::http::dialect::vendor::{message, status_of};
use crate::http::json;
use crate::http::seen::Seen;

/// The codes of `google.rpc.Code` by HTTP status. What isn't here is `INTERNAL`.
const CODES: &[(u16, u8, &str)] = &[
    (400, 3, "INVALID_ARGUMENT"),
    (401, 16, "UNAUTHENTICATED"),
    (403, 7, "PERMISSION_DENIED"),
    (404, 5, "NOT_FOUND"),
    (409, 10, "ABORTED"),
    (429, 8, "RESOURCE_EXHAUSTED"),
    (499, 1, "CANCELLED"),
    (503, 14, "UNAVAILABLE"),
    (504, 4, "DEADLINE_EXCEEDED"),
];

fn code_of(status: u16) -> (u8, &'static str) {
    let found = CODES.iter().find(|(known, ..)| *known == status);
    found.map_or((13, "INTERNAL"), |(_, code, name)| (*code, name))
}

/// `{error: {code, message, status}}`; a wrong request is a `400`.
pub(super) fn error(problem: &Problem) -> Answer {
    let status = status_of(problem, 400);
    let (_, name) = code_of(status.as_u16());
    let error = json!({"code": status.as_u16(), "message": message(problem), "status": name});
    json::answer(status, &json!({"error": error}))
}

/// An operation: not done, or done with its response or its error. It says nothing of `done` while it isn't.
pub(super) fn operation(
    seen: &Seen<'_>,
    name: &str,
    metadata: Option<Value>,
    response: Value,
) -> Value {
    let mut operation = json!({"name": name});
    if let Some(metadata) = metadata {
        operation["metadata"] = metadata;
    }
    if seen.outcome.is_some() {
        operation["done"] = json!(true);
    }
    if let Some((_, message)) = why(seen) {
        let status = match seen.outcome {
            Some(Outcome::Canceled) => 499,
            _ => seen.error.map_or(500, |error| error.status),
        };
        let (code, _) = code_of(status);
        operation["error"] = json!({"code": code, "message": message, "details": []});
    } else if seen.result.is_some() {
        operation["response"] = response;
    }
    operation
}
