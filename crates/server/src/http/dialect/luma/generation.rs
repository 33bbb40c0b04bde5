//! Generations: create, read, list, remove.

use abide_wire::EventKind;
use http::StatusCode;
use serde_json::json;

use super::wire::{body, show};
use crate::http::answer::{Outcome, empty};
use crate::http::call::Call;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, Hook, New, request};
use crate::http::dialect::list::{limit, number, window};
use crate::http::dialect::thing::{Thing, text};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::state::AppState;

const PAGE: usize = 100;

/// A generation.
pub(super) const GENERATION: Thing = Thing {
    kind: "luma.generation",
    id: Id::Uuid,
    show,
};

/// `POST /dream-machine/v1/generations` and what makes a video of one
pub(super) fn create_video(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    create(state, call, "video")
}

/// `POST /dream-machine/v1/generations/image` and its like
pub(super) fn create_image(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    create(state, call, "image")
}

fn create(state: &AppState, call: &Call, kind: &str) -> Result<Outcome, ApiError> {
    let request = request(call)?;
    let parent = call.param("id")?;
    if !parent.is_empty() {
        GENERATION.find(state, call, &parent)?;
    }
    let kinds = [
        EventKind::Started,
        EventKind::Completed,
        EventKind::Failed,
        EventKind::Canceled,
    ];
    let new = New {
        hook: text(&request, "callback_url").map(|url| Hook {
            url: url.to_owned(),
            events: Some(kinds.into()),
            secret: None,
        }),
        ..New::of(request).note("type", kind)
    };
    let asked = Asked::one(new, |seen| {
        json::answer(StatusCode::CREATED, &body(&seen[0]))
    });
    job::create(state, call, &GENERATION, asked)
}

/// `DELETE /dream-machine/v1/generations/{id}`
pub(super) fn delete(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let job = GENERATION.in_path(state, call)?;
    job::remove(state, call, job.key, empty(StatusCode::NO_CONTENT))
}

/// `GET /dream-machine/v1/generations`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let limit = limit(call, "limit", PAGE, PAGE)?;
    let offset = number(call, "offset", 0)?;
    let (generations, has_more) = window(state, call, &GENERATION, (offset, limit), body)?;
    let list = json!({
        "count": generations.len(),
        "generations": generations,
        "has_more": has_more,
        "limit": limit,
        "offset": offset,
    });
    Ok(json::ok(&list).into())
}
