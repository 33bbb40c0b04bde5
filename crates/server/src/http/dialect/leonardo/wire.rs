//! How Leonardo writes a generation and an error.

use abide_wire::Problem;
use serde_json::{Value, json};

use super::generation::GENERATION;
use crate::http::answer::Answer;
use crate::http::dialect::files;
use crate::http::dialect::thing::text;
use crate::http::dialect::vendor::{message, status_of};
use crate::http::json;
use crate::http::seen::Seen;

/// It has one word for what goes on, and none for what was canceled. It doesn't say why a generation failed.
const WORDS: [&str; 5] = ["PENDING", "PENDING", "COMPLETE", "FAILED", "FAILED"];
/// What every generation costs, in credits.
pub(super) const COST: u32 = 20;
/// The note that says what is generated.
pub(super) const SORT: &str = "sort";

/// `{error, path, code}`; a wrong request is a `400`.
pub(super) fn error(problem: &Problem) -> Answer {
    let code = match problem.status {
        401 | 403 => "access-denied",
        404 => "not-found",
        400 | 422 => "validation-failed",
        429 => "rate-limit-exceeded",
        _ => "unexpected",
    };
    let body = json!({"error": message(problem), "path": "$", "code": code});
    json::answer(status_of(problem, 400), &body)
}

/// A generation as a read shows it.
pub(super) fn show(seen: &Seen<'_>) -> Answer {
    json::ok(&json!({"generations_by_pk": body(seen)}))
}

/// A generation.
pub(super) fn body(seen: &Seen<'_>) -> Value {
    let (request, notes) = (seen.input(), seen.notes());
    let images = seen.result.map(|_| {
        let is_film = text(&notes, SORT) == Some("video");
        let mut image = json!({
            "id": GENERATION.id_of(seen),
            "url": files::url(seen, "png"),
            "nsfw": false,
            "likeCount": 0,
            "motionMP4URL": null,
            "generated_image_variation_generics": [],
        });
        if is_film {
            image["motionMP4URL"] = json!(files::url(seen, "mp4"));
        }
        image
    });
    json!({
        "id": GENERATION.id_of(seen),
        "status": seen.word(&WORDS),
        "createdAt": seen.created_at,
        "prompt": request["prompt"],
        "negativePrompt": request["negative_prompt"],
        "modelId": request["modelId"],
        "imageWidth": request["width"],
        "imageHeight": request["height"],
        "seed": request["seed"],
        "public": false,
        "generation_elements": [],
        "generated_images": Vec::from_iter(images),
    })
}
