//! Generations: create, read, list, remove.

use serde_json::{Value, json};

use super::wire::{COST, SORT, body, show};
use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New, request};
use crate::http::dialect::list::{limit, number, window};
use crate::http::dialect::thing::Thing;
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::seen::Seen;
use crate::http::state::AppState;

const PAGE: usize = 10;
const PAGE_MAX: usize = 100;

/// A generation.
pub(super) const GENERATION: Thing = Thing {
    kind: "leonardo.generation",
    id: Id::Uuid,
    show,
};

/// `POST /api/rest/v1/generations`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let answer = |seen: &[Seen<'_>]| made(&seen[0], "sdGenerationJob");
    create_sort(state, call, "image", answer)
}

/// `POST /api/rest/v1/generations-image-to-video` and `generations-text-to-video`
pub(super) fn create_video(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let answer = |seen: &[Seen<'_>]| made(&seen[0], "motionVideoGenerationJob");
    create_sort(state, call, "video", answer)
}

/// `POST /api/rest/v1/generations-motion-svd`
pub(super) fn create_motion(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let answer = |seen: &[Seen<'_>]| made(&seen[0], "motionSvdGenerationJob");
    create_sort(state, call, "video", answer)
}

fn create_sort(
    state: &AppState,
    call: &Call,
    sort: &str,
    answer: fn(&[Seen<'_>]) -> Answer,
) -> Result<Outcome, ApiError> {
    let new = New::of(request(call)?).note(SORT, sort);
    let asked = Asked::one(new, answer);
    job::create(state, call, &GENERATION, asked)
}

fn made(seen: &Seen<'_>, name: &str) -> Answer {
    let job = json!({"generationId": GENERATION.id_of(seen), "apiCreditCost": COST});
    json::ok(&json!({name: job}))
}

/// `GET /api/rest/v1/generations/{id}`
pub(super) fn read(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    Ok(Outcome::Now(match GENERATION.in_path(state, call) {
        Ok(job) => job::counted(state, call, &GENERATION, &job),
        Err(_) => absent(call),
    }))
}

/// A generation that isn't there.
pub(super) fn absent(_: &Call) -> Answer {
    json::ok(&json!({"generations_by_pk": Value::Null}))
}

/// `DELETE /api/rest/v1/generations/{id}`
pub(super) fn delete(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let gone = |id: Value| json::ok(&json!({"delete_generations_by_pk": id}));
    match GENERATION.in_path(state, call) {
        Ok(job) => {
            let id = GENERATION.id.text(job.key);
            job::remove(state, call, job.key, gone(json!({"id": id})))
        }
        Err(_) => Ok(Outcome::Now(gone(Value::Null))),
    }
}

/// `GET /api/rest/v1/generations/user/{user}`: those of the caller's key, whichever user is named.
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let limit = limit(call, "limit", PAGE, PAGE_MAX)?;
    let offset = number(call, "offset", 0)?;
    let (generations, _) = window(state, call, &GENERATION, (offset, limit), body)?;
    Ok(json::ok(&json!({"generations": generations})).into())
}

/// `GET /api/rest/v1/me`
pub(super) fn me(_: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let id = Id::Uuid.text(abide_engine::JobKey::from_u128(call.caller.owner.0.into()));
    let user = json!({"id": id, "username": "abide"});
    let details = json!({
        "user": user,
        "apiConcurrencySlots": 10,
        "apiPaidTokens": 10_000,
        "apiSubscriptionTokens": 10_000,
        "tokenRenewalDate": null,
    });
    Ok(json::ok(&json!({"user_details": [details]})).into())
}
