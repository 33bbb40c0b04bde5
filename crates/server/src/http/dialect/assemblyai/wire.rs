//! How AssemblyAI writes a transcript and an error.

use abide_wire::{Code, Problem};
use http::StatusCode;
use serde_json::{Value, json};

use super::transcript::TRANSCRIPT;
use crate::http::answer::Answer;
use crate::http::dialect::job::why;
use crate::http::dialect::vendor::{message, status_of};
use crate::http::json;
use crate::http::seen::Seen;

/// It has no word for what was canceled.
pub(super) const WORDS: [&str; 5] = ["queued", "processing", "completed", "error", "error"];
/// What is said in every recording.
pub(super) const TEXT: &[&str] = &["Everything", "comes", "to", "those", "who", "wait."];
/// How certain every word is.
pub(super) const CONFIDENCE: f64 = 0.95;
/// How long a word takes, in milliseconds.
pub(super) const WORD_MS: usize = 400;

/// `{error}`; what isn't there and what isn't right are both a `400`.
pub(super) fn error(problem: &Problem) -> Answer {
    let status = match status_of(problem, 400) {
        StatusCode::NOT_FOUND if problem.code != Code::SIMULATED => StatusCode::BAD_REQUEST,
        status => status,
    };
    json::answer(status, &json!({"error": message(problem)}))
}

/// A transcript as a read shows it.
pub(super) fn show(seen: &Seen<'_>) -> Answer {
    json::ok(&body(seen))
}

/// A transcript: what it was asked for, and what is known of it.
pub(super) fn body(seen: &Seen<'_>) -> Value {
    let mut body = seen.input();
    // The value that webhooks are sent with is never shown.
    if let Some(asked) = body.as_object_mut() {
        let has_auth = asked.remove("webhook_auth_header_value").is_some();
        asked.insert("webhook_auth".to_owned(), has_auth.into());
    }
    body["id"] = json!(TRANSCRIPT.id_of(seen));
    body["status"] = json!(seen.word(&WORDS));
    let has_text = seen.result.is_some();
    body["text"] = json!(has_text.then(|| TEXT.join(" ")));
    body["words"] = json!(has_text.then(words));
    body["confidence"] = json!(has_text.then_some(CONFIDENCE));
    body["audio_duration"] = json!(has_text.then_some(TEXT.len() * WORD_MS / 1_000));
    body["error"] = json!(why(seen).map(|(_, message)| message));
    body
}

/// The words of every recording.
pub(super) fn words() -> Vec<Value> {
    let words = TEXT.iter().enumerate();
    let word = |(n, word)| json!({"text": word, "start": n * WORD_MS, "end": (n + 1) * WORD_MS, "confidence": CONFIDENCE});
    words.map(word).collect()
}

/// A transcript in a list.
pub(super) fn row(seen: &Seen<'_>) -> Value {
    let id = TRANSCRIPT.id_of(seen);
    json!({
        "resource_url": format!("{}/v2/transcript/{id}", seen.base.as_str()),
        "id": id,
        "status": seen.word(&WORDS),
        "created": seen.created_at,
        "completed": seen.finished_at,
        "audio_url": seen.input()["audio_url"],
        "error": why(seen).map(|(_, message)| message),
    })
}

/// A transcript that has just been removed.
pub(super) fn deleted(seen: &Seen<'_>) -> Answer {
    let mut body = body(seen);
    body["audio_url"] = json!("http://deleted_by_user");
    body["text"] = json!("Deleted by user.");
    body["words"] = Value::Null;
    json::ok(&body)
}
