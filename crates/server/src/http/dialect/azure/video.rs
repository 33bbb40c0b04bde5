//! Translations of videos and their iterations: create, read, remove, and the operations of both.
//!
//! The client names them, and the operation that makes one. All three names are notes on the job, by which the board
//! finds it; an operation is also found by the id that `Operation-Location` has.

use std::sync::Arc;

use abide_engine::rng::digest;
use abide_engine::{Job, Refusal};
use http::StatusCode;
use serde_json::{Value, json};

use super::wire::{VERSION, located, paced, version};
use crate::http::answer::{Outcome, empty};
use crate::http::call::Call;
use crate::http::dialect::files;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New, request, why};
use crate::http::dialect::list::named as found_by;
use crate::http::dialect::repeat::Repeat;
use crate::http::dialect::thing::{Thing, text};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::route::Subject;
use crate::http::seen::Seen;
use crate::http::state::AppState;

const WORDS: [&str; 5] = ["NotStarted", "Running", "Succeeded", "Failed", "Canceled"];
const NAME: &str = "name";
const ITERATION: &str = "iteration";
const OPERATION: &str = "operation";
const NAME_BYTES_MAX: usize = 64;

/// What makes a translation or an iteration.
const MAKING: Thing = Thing {
    kind: "azure.video",
    id: Id::Uuid,
    show: |seen| {
        let mut shown = json!({"id": operation_of(seen), "status": seen.word(&WORDS)});
        if let Some((code, message)) = why(seen) {
            shown["error"] = json!({"code": code, "message": message});
        }
        paced(json::ok(&shown), seen)
    },
};

/// The translation or the iteration itself.
const MADE: Thing = Thing {
    show: |seen| json::ok(&body(seen)),
    ..MAKING
};

/// `PUT /videotranslation/translations/{name}`, and of an iteration
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let version = version(call)?;
    let operation = call.field("operation-id").unwrap_or_default().to_owned();
    let (name, iteration) = (call.param(NAME)?, call.param(ITERATION)?);
    for (what, name) in [
        (NAME, &*name),
        (ITERATION, &*iteration),
        (OPERATION, &operation),
    ] {
        let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.len() > NAME_BYTES_MAX || !name.bytes().all(is_sign) {
            return Err(ApiError::invalid_member(format!(
                "`{what}`: it may have {NAME_BYTES_MAX} letters, digits, dots, hyphens and underscores"
            )));
        }
    }
    if !iteration.is_empty() {
        named(state, call, &name, "")?;
    }
    let input = request(call)?;
    let repeat = (!operation.is_empty()).then(|| Repeat {
        key: format!("azure {name} {iteration} {operation}"),
        may_differ: true,
    });
    let new = New::of(input)
        .note(VERSION, version)
        .note(NAME, &*name)
        .note(ITERATION, &*iteration)
        .note(OPERATION, operation);
    let answer = |seen: &[Seen<'_>]| {
        let seen = &seen[0];
        let path = format!("/videotranslation/operations/{}", MAKING.id_of(seen));
        located(json::answer(StatusCode::CREATED, &body(seen)), seen, &path)
    };
    let asked = Asked {
        repeat,
        ..Asked::one(new, answer)
    };
    job::create(state, call, &MAKING, asked)
}

/// `GET /videotranslation/translations/{name}`, and of an iteration
pub(super) fn read(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let job = named(state, call, &call.param(NAME)?, &call.param(ITERATION)?)?;
    Ok(Outcome::Now(job::counted(state, call, &MADE, &job)))
}

/// `DELETE /videotranslation/translations/{name}`
pub(super) fn delete(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let job = named(state, call, &call.param(NAME)?, "")?;
    job::remove(state, call, job.key, empty(StatusCode::NO_CONTENT))
}

/// `GET /videotranslation/operations/{id}`
pub(super) fn operation(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let job = making(state, call)?;
    Ok(Outcome::Now(job::counted(state, call, &MAKING, &job)))
}

/// The operation that a request is about.
pub(super) fn subject(state: &AppState, call: &Call) -> Option<Subject> {
    let (job, owner) = (making(state, call).ok()?.key, call.caller.owner);
    Some(Subject { job, owner })
}

/// The operation in the path: by our id, to which `Operation-Location` leads, or by the client's.
fn making(state: &AppState, call: &Call) -> Result<Arc<Job>, ApiError> {
    let id = call.param("id")?;
    MAKING.find(state, call, &id).or_else(|_| {
        let found = found_by(state, call, &MAKING, operation_name(&id));
        found.ok_or_else(|| Refusal::NotFound.into())
    })
}

fn named(state: &AppState, call: &Call, name: &str, iteration: &str) -> Result<Arc<Job>, ApiError> {
    let found = found_by(state, call, &MADE, made_name(name, iteration));
    found.ok_or_else(|| Refusal::NotFound.into())
}

/// The names by which that job is found: its own, and its operation's if the client chose one.
pub(super) fn names(job: &Job) -> Vec<u64> {
    let notes = job.metadata().map_or("{}", |notes| notes.get());
    let notes: Value = serde_json::from_str(notes).unwrap_or_default();
    let made = text(&notes, NAME).zip(text(&notes, ITERATION));
    let made = made.map(|(name, iteration)| made_name(name, iteration));
    let operation = text(&notes, OPERATION).filter(|id| !id.is_empty());
    made.into_iter()
        .chain(operation.map(operation_name))
        .collect()
}

fn made_name(name: &str, iteration: &str) -> u64 {
    digest(&[b"made", name.as_bytes(), iteration.as_bytes()])
}

fn operation_name(id: &str) -> u64 {
    digest(&[OPERATION.as_bytes(), id.as_bytes()])
}

fn operation_of(seen: &Seen<'_>) -> String {
    let notes = seen.notes();
    let chosen = text(&notes, OPERATION).filter(|id| !id.is_empty());
    chosen.map_or_else(|| MAKING.id_of(seen), str::to_owned)
}

fn body(seen: &Seen<'_>) -> Value {
    let notes = seen.notes();
    let is_iteration = text(&notes, ITERATION).is_some_and(|id| !id.is_empty());
    let mut body = seen.input();
    body["id"] = notes[if is_iteration { ITERATION } else { NAME }].clone();
    body["status"] = json!(seen.word(&WORDS));
    body["createdDateTime"] = json!(seen.created_at);
    body["lastActionDateTime"] = json!(
        seen.finished_at
            .or(seen.started_at)
            .unwrap_or(seen.created_at)
    );
    if let Some((_, message)) = why(seen) {
        body["failureReason"] = json!(message);
    }
    if is_iteration && seen.result.is_some() {
        body["result"] = json!({
            "translatedVideoFileUrl": files::url(seen, "mp4"),
            "sourceLocaleSubtitleWebvttFileUrl": files::url(seen, "vtt"),
            "targetLocaleSubtitleWebvttFileUrl": files::url(seen, "vtt"),
        });
    }
    body
}
