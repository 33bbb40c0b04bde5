//! Videos: create and read; and how xAI writes an error.

use abide_wire::Problem;
use http::StatusCode;
use serde_json::json;

use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::dialect::files;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New, request, why};
use crate::http::dialect::thing::{Thing, required};
use crate::http::dialect::vendor::{message, status_of, title};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::seen::Seen;
use crate::http::state::AppState;

/// It has no word for what waits, nor for what was canceled.
const WORDS: [&str; 5] = ["pending", "pending", "done", "failed", "failed"];
/// The code with which a failure is an expiry.
const EXPIRED: &str = "expired";
/// How long every video is, in seconds.
const VIDEO_S: u32 = 6;
/// What it costs, in ticks.
const COST: u64 = 5_000_000_000;

/// A video.
pub(super) const VIDEO: Thing = Thing {
    kind: "xai.video",
    id: Id::Uuid,
    show,
};

/// `POST /v1/videos/generations` and its like
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let request = request(call)?;
    required(&request, "prompt")?;
    let new = New::of(request);
    let asked = Asked::one(new, |seen| {
        json::ok(&json!({"request_id": VIDEO.id_of(&seen[0])}))
    });
    job::create(state, call, &VIDEO, asked)
}

fn show(seen: &Seen<'_>) -> Answer {
    let mut shown = json!({
        "status": seen.word(&WORDS),
        "model": seen.input()["model"],
        "progress": (seen.share() * 100.0).round() as u8,
    });
    if seen.outcome.is_none() {
        return json::answer(StatusCode::ACCEPTED, &shown);
    }
    if seen.result.is_some() {
        let url = files::url(seen, "mp4");
        shown["video"] = json!({"url": url, "duration": VIDEO_S, "respect_moderation": true});
        shown["usage"] = json!({"cost_in_usd_ticks": COST});
    }
    if let Some((code, message)) = why(seen) {
        if code == EXPIRED {
            shown["status"] = json!(EXPIRED);
        }
        shown["error"] = json!({"code": code, "message": message});
    }
    json::ok(&shown)
}

/// `{code, error}`; a wrong request is a `400`.
pub(super) fn error(problem: &Problem) -> Answer {
    json::answer(
        status_of(problem, 400),
        &json!({"code": title(problem), "error": message(problem)}),
    )
}
