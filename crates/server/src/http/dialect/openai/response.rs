//! Background responses: create, read, cancel, delete. One that isn't in the background is held until its end.

use std::time::Duration;

use serde_json::{Value, json};

use super::wire::deleted;
use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New, failure, request};
use crate::http::dialect::list::parameter;
use crate::http::dialect::thing::{Thing, seconds, text};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::seen::Seen;
use crate::http::state::AppState;

const WORDS: [&str; 5] = ["queued", "in_progress", "completed", "failed", "cancelled"];
/// How long a create that isn't in the background asks to be held; the server cuts it.
const HOLD: Duration = Duration::from_mins(10);

/// A response.
pub(super) const RESPONSE: Thing = Thing {
    kind: "openai.response",
    id: Id::Hex("resp_"),
    show,
};

/// `POST /v1/responses`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let request = request(call)?;
    if request["stream"] == true {
        return Err(no_stream());
    }
    let is_background = request["background"] == true;
    let asked = Asked {
        hold: (!is_background).then_some(HOLD),
        ..Asked::one(New::of(request), |seen| show(&seen[0]))
    };
    job::create(state, call, &RESPONSE, asked)
}

/// `GET /v1/responses/{id}`
pub(super) fn read(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    if parameter(call, "stream").as_deref() == Some("true") {
        return Err(no_stream());
    }
    job::read(state, call, &RESPONSE)
}

/// `DELETE /v1/responses/{id}`
pub(super) fn delete(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let key = RESPONSE.in_path(state, call)?.key;
    let answer = deleted(&RESPONSE.id.text(key), "response");
    job::remove(state, call, key, answer)
}

/// A client that asked for a stream and got an object would read nothing from it, and say nothing.
fn no_stream() -> ApiError {
    ApiError::invalid_member("`stream`: streams of responses aren't played here")
}

fn show(seen: &Seen<'_>) -> Answer {
    json::ok(&body(seen))
}

fn body(seen: &Seen<'_>) -> Value {
    let (input, id) = (seen.input(), RESPONSE.id_of(seen));
    let output = seen.result.map(|_| {
        let content = json!({"type": "output_text", "text": "It is done.", "annotations": []});
        json!({
            "type": "message",
            "id": id.replacen("resp", "msg", 1),
            "status": "completed",
            "role": "assistant",
            "content": [content],
        })
    });
    json!({
        "id": id,
        "object": "response",
        "created_at": seconds(Some(seen.created_at)),
        "completed_at": seconds(seen.finished_at),
        "status": seen.word(&WORDS),
        "background": input["background"] == true,
        "error": failure(seen).map(|(code, message)| json!({"code": code, "message": message})),
        "incomplete_details": null,
        "instructions": input["instructions"],
        "metadata": input.get("metadata").cloned().unwrap_or_else(|| json!({})),
        "model": text(&input, "model").unwrap_or("gpt"),
        "output": Vec::from_iter(output),
        "parallel_tool_calls": true,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
    })
}
