//! What is wrong, in the words of the server that answered: our own problems, and what other APIs send in their place.
//!
//! Nothing is invented: a member that the answer doesn't have stays empty.

use http::StatusCode;
use serde_json::Value;

use abide_wire::{Code, Problem};

/// The problem in the body of an error's answer, if there is one.
pub(crate) fn read(body: &[u8], status: StatusCode) -> Option<Problem> {
    let told = serde_json::from_slice::<Problem>(body).ok();
    if let Some(told) = told.filter(|told| !told.title.is_empty() || told.detail.is_some()) {
        return Some(told);
    }
    let body: Value = serde_json::from_slice(body).ok()?;
    let problem = of_value(&body)?;
    let status = status.as_u16();
    Some(Problem { status, ..problem })
}

/// What a value says is wrong: a text, or an object with one in a usual place.
pub(crate) fn of_value(value: &Value) -> Option<Problem> {
    let detail = text(value)?;
    Some(problem(Some(detail), code(value)))
}

/// A problem of which only that is known.
pub(crate) fn problem(detail: Option<String>, code: Option<String>) -> Problem {
    let code = Code::new(code.unwrap_or_else(|| "unknown".to_owned()));
    Problem {
        detail,
        ..Problem::new(0, code, "")
    }
}

/// Where APIs keep the text, the first that is there.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Array(list) => list.first().and_then(text),
        Value::Object(members) => [
            "message", "error", "detail", "errors", "data", "msg", "title",
        ]
        .into_iter()
        .find_map(|name| text(members.get(name)?)),
        _ => None,
    }
}

/// Where they keep the code.
fn code(value: &Value) -> Option<String> {
    match value {
        Value::Array(list) => list.first().and_then(code),
        Value::Object(members) => {
            let own = ["code", "error_code", "error_type", "type", "status"];
            let own = own.into_iter().find_map(|name| word(members.get(name)?));
            let inner = ["error", "detail", "errors", "data"];
            own.or_else(|| inner.into_iter().find_map(|name| code(members.get(name)?)))
        }
        _ => None,
    }
}

/// A word or a number as a word.
pub(crate) fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(word) if !word.is_empty() => Some(word.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_others_are_kept_and_nothing_is_added() {
        for (body, detail, code) in [
            (
                r#"{"error":{"message":"No key","type":"auth","code":"invalid_api_key"}}"#,
                "No key",
                "invalid_api_key",
            ),
            (
                r#"{"error":{"code":"not_found","message":"No such"}}"#,
                "No such",
                "not_found",
            ),
            (r#"{"error":"Task not found"}"#, "Task not found", "unknown"),
            (
                r#"{"detail":{"status":"quota","message":"Too much"}}"#,
                "Too much",
                "quota",
            ),
            (
                r#"{"detail":[{"msg":"field required","type":"missing"}]}"#,
                "field required",
                "missing",
            ),
            (r#"{"detail":"nope","error_type":"bad"}"#, "nope", "unknown"),
            (
                r#"{"message":"Unauthorized","statusCode":401}"#,
                "Unauthorized",
                "unknown",
            ),
            (
                r#"{"code":"InvalidApiKey","message":"Bad key","request_id":"x"}"#,
                "Bad key",
                "InvalidApiKey",
            ),
        ] {
            let problem = read(body.as_bytes(), StatusCode::UNAUTHORIZED).unwrap();
            assert_eq!(problem.detail.as_deref(), Some(detail), "{body}");
            assert_eq!(problem.code.as_str(), code, "{body}");
            assert!(!problem.retryable, "{body}");
        }
        for body in ["", "<html>", "{}", "[]", "7", r#"{"data":null}"#] {
            assert_eq!(read(body.as_bytes(), StatusCode::NOT_FOUND), None, "{body}");
        }
    }
}
