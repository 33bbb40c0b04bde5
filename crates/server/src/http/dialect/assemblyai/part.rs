//! Parts of a transcript that has been made: its sentences and paragraphs, and subtitles.

use abide_engine::State;
use abide_wire::Code;
use serde_json::json;

use super::transcript::TRANSCRIPT;
use super::wire::{CONFIDENCE, TEXT, WORD_MS, words};
use crate::http::answer::{self, Outcome};
use crate::http::call::Call;
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::state::AppState;

/// `GET /v2/transcript/{id}/sentences`, `paragraphs`, `srt`, `vtt`: there is one sentence.
pub(super) fn read(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let job = TRANSCRIPT.in_path(state, call)?;
    if job.state != State::Completed {
        let error = ApiError::of(400, Code::CONFLICT, "It isn't completed");
        return Err(error.detail("the transcript has not been completed"));
    }
    let (text, end) = (TEXT.join(" "), TEXT.len() * WORD_MS);
    let part = call.param("part")?;
    let cue = format!("00:00:{:02}{{}}{:03}", end / 1_000, end % 1_000);
    Ok(match &*part {
        "sentences" | "paragraphs" => {
            let one = json!({"text": text, "start": 0, "end": end, "confidence": CONFIDENCE, "words": words()});
            let all = json!({
                "id": TRANSCRIPT.id.text(job.key),
                "confidence": CONFIDENCE,
                "audio_duration": end / 1_000,
                &*part: [one],
            });
            json::ok(&all).into()
        }
        "srt" => {
            let end = cue.replace("{}", ",");
            Outcome::Now(answer::text(format!(
                "1\n00:00:00,000 --> {end}\n{text}\n\n"
            )))
        }
        "vtt" => {
            let end = cue.replace("{}", ".");
            Outcome::Now(answer::text(format!(
                "WEBVTT\n\n00:00:00.000 --> {end}\n{text}\n"
            )))
        }
        _ => return Err(ApiError::not_found("there is nothing at this path")),
    })
}
