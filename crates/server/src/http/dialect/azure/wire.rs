//! How Azure writes an error, where an operation is, and when to read it again.

use abide_wire::Problem;
use http::{HeaderName, HeaderValue};
use serde_json::json;

use crate::http::answer::Answer;
use crate::http::call::Call;
use crate::http::dialect::list::parameter;
use crate::http::dialect::thing::text;
use crate::http::dialect::vendor::{message, pace, status_of};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::seen::Seen;

/// The parameter that says which version of the interface is spoken, and its note.
pub(super) const VERSION: &str = "api-version";
const OPERATION_LOCATION: HeaderName = HeaderName::from_static("operation-location");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

/// `{error: {code, message}}`; a wrong request is a `400`.
pub(super) fn error(problem: &Problem) -> Answer {
    let code = match problem.status {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        413 => "RequestTooLarge",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        500.. => "InternalServerError",
        _ => "InvalidRequest",
    };
    let error = json!({"code": code, "message": message(problem)});
    let mut answer = json::answer(status_of(problem, 400), &json!({"error": error}));
    let code = HeaderValue::from_static(code);
    answer.headers_mut().insert(ERROR_CODE, code);
    answer
}

/// The version that the request speaks.
///
/// # Errors
///
/// It names none.
pub(super) fn version(call: &Call) -> Result<String, ApiError> {
    let version = parameter(call, VERSION);
    let version = version.filter(|version| HeaderValue::from_str(version).is_ok());
    version.ok_or_else(|| ApiError::invalid_member("in the query: `api-version` is required"))
}

/// The answer to a create, with the place where its operation is read.
pub(super) fn located(mut answer: Answer, seen: &Seen<'_>, path: &str) -> Answer {
    let notes = seen.notes();
    let version = text(&notes, VERSION).unwrap_or_default();
    let url = format!("{}{path}?{VERSION}={version}", seen.base.as_str());
    if let Ok(url) = HeaderValue::try_from(url) {
        answer.headers_mut().insert(OPERATION_LOCATION, url);
    }
    paced(answer, seen)
}

/// The answer, with when to read again.
pub(super) fn paced(mut answer: Answer, seen: &Seen<'_>) -> Answer {
    pace(seen, answer.headers_mut());
    answer
}
