//! Dubbing projects and their languages.
//!
//! A project is one job. While it is transcribed the project is being prepared; from then on the project is ready, and
//! what goes on is its first language. So the two are two sides of one job. Each further language is a job of its own.

use std::sync::Arc;

use abide_engine::{Job, Refusal};
use abide_wire::{Outcome as End, Status};
use http::StatusCode;
use serde_json::{Value, json};

use super::wire::failed;
use crate::http::answer::{Answer, Outcome, empty};
use crate::http::base::Base;
use crate::http::call::Call;
use crate::http::dialect::files;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New, request};
use crate::http::dialect::list::{Page, after_cursor, limit, page};
use crate::http::dialect::thing::{Thing, required, seen, text};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::route::Subject;
use crate::http::seen::Seen;
use crate::http::state::AppState;

const PAGE: usize = 20;
const PAGE_MAX: usize = 100;
const LANGUAGES_MAX: usize = 100;
/// The stage that makes a project ready once it is over.
const TRANSCRIBING: &str = "transcribing";
/// The note of the language that a job dubs into.
const TARGET: &str = "target";
/// The note of the project that a further language belongs to.
const PROJECT_ID: &str = "project";

/// A project.
pub(super) const PROJECT: Thing = Thing {
    kind: "elevenlabs.project",
    id: Id::Hex("dproj_"),
    show: |seen| json::ok(&project(seen)),
};
/// Its first language.
const FIRST: Thing = Thing {
    id: Id::Hex("dlang_"),
    show: show_language,
    ..PROJECT
};
/// A further language.
const FURTHER: Thing = Thing {
    kind: "elevenlabs.language",
    ..FIRST
};

/// `POST /v1/dubbing/project`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let request = request(call)?;
    if request["file"].is_null() && request["source_url"].is_null() {
        return Err(ApiError::invalid_member(
            "`file` or `source_url`: one is required",
        ));
    }
    let target = text(&request, "target_language").map(str::to_owned);
    let mut new = New::of(request);
    if let Some(target) = target {
        new = new.note(TARGET, target);
    }
    let asked = Asked::one(new, |seen| {
        json::answer(StatusCode::CREATED, &project(&seen[0]))
    });
    job::create(state, call, &PROJECT, asked)
}

/// `DELETE /v1/dubbing/project/{id}`
pub(super) fn delete(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let job = PROJECT.in_path(state, call)?;
    job::remove(state, call, job.key, empty(StatusCode::NO_CONTENT))
}

/// `GET /v1/dubbing/project`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let limit = limit(call, "page_size", PAGE, PAGE_MAX)?;
    let Page { items, next } = after_cursor(state, call, &PROJECT, limit, "cursor", project)?;
    Ok(json::ok(&json!({"projects": items, "next_cursor": next})).into())
}

/// `POST /v1/dubbing/project/{id}/language`
pub(super) fn create_language(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let project = PROJECT.in_path(state, call)?;
    let request = request(call)?;
    let target = required(&request, "target_language")?;
    let mut input = request.clone();
    // It is told of where its project is.
    input["webhook_ids"] = seen(state, &Base::of(call), &project, |seen| {
        seen.input()["webhook_ids"].clone()
    });
    let new = New::of(input)
        .note(TARGET, target)
        .note(PROJECT_ID, PROJECT.id.text(project.key));
    let asked = Asked::one(new, |seen| {
        json::answer(StatusCode::CREATED, &language(&seen[0]))
    });
    job::create(state, call, &FURTHER, asked)
}

/// `GET /v1/dubbing/project/{id}/language`: the first, and the further ones among the newest.
pub(super) fn languages(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let job = PROJECT.in_path(state, call)?;
    let id = PROJECT.id.text(job.key);
    let mut languages = page(state, call, &FURTHER, LANGUAGES_MAX, None, language).items;
    languages.retain(|language| language["project_id"] == id);
    let first = seen(state, &Base::of(call), &job, language);
    if !first["target_language"].is_null() {
        languages.push(first);
    }
    languages.reverse();
    Ok(json::ok(&json!({"languages": languages, "next_cursor": null})).into())
}

/// `GET /v1/dubbing/project/{id}/language/{language}`
pub(super) fn read_language(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let (thing, job) = found_language(state, call)?;
    Ok(Outcome::Now(job::counted(state, call, thing, &job)))
}

fn found_language(state: &AppState, call: &Call) -> Result<(&'static Thing, Arc<Job>), ApiError> {
    let (project, id) = (call.param("id")?, call.param("language")?);
    let (thing, job) = match FIRST.find(state, call, &id) {
        Ok(job) => (&FIRST, job),
        Err(_) => (&FURTHER, FURTHER.find(state, call, &id)?),
    };
    let shown = seen(state, &Base::of(call), &job, language);
    match shown["project_id"] == *project && !shown["target_language"].is_null() {
        true => Ok((thing, job)),
        false => Err(Refusal::NotFound.into()),
    }
}

/// The language that a request is about.
pub(super) fn language_subject(_: &AppState, call: &Call) -> Option<Subject> {
    FIRST.subject_of(call, &call.param("language").ok()?)
}

/// Whether it is transcribed: its project is ready, and its language goes on.
pub(super) fn is_ready(seen: &Seen<'_>) -> bool {
    let stage = seen.progress.and_then(|progress| progress.stage.as_deref());
    let is_past = stage.is_some_and(|stage| stage != TRANSCRIBING);
    seen.outcome == Some(End::Completed) || is_past
}

/// Whether the project itself is what failed.
pub(super) fn is_failed(seen: &Seen<'_>) -> bool {
    let has_ended = seen.outcome.is_some_and(|end| end != End::Completed);
    has_ended && !is_ready(seen)
}

/// Whether the job is of a project, or of a language alone.
pub(super) fn is_project(seen: &Seen<'_>) -> bool {
    seen.kind == PROJECT.kind
}

/// Whether the job dubs into a language.
pub(super) fn is_language(seen: &Seen<'_>) -> bool {
    seen.notes()[TARGET].is_string()
}

/// A project.
pub(super) fn project(seen: &Seen<'_>) -> Value {
    let (request, id) = (seen.input(), FIRST.id.text(seen.key()));
    let status = match seen.status {
        Status::Other(word) => word,
        Status::Pending => "queued",
        _ if is_ready(seen) => "ready",
        _ if is_failed(seen) => "failed",
        _ => "preparing",
    };
    let webhook_ids = match &request["webhook_ids"] {
        Value::String(id) => json!([id]),
        ids => ids.clone(),
    };
    let mut project = both(seen);
    project["project_id"] = json!(PROJECT.id_of(seen));
    project["status"] = json!(status);
    project["reference"] = request["reference"].clone();
    project["source_language"] = request["source_language"].clone();
    project["language_ids"] = if is_language(seen) {
        json!([id])
    } else {
        json!([])
    };
    project["webhook_ids"] = webhook_ids;
    project["error"] = json!(is_failed(seen).then(|| failed(seen)).flatten());
    project
}

/// A language.
pub(super) fn language(seen: &Seen<'_>) -> Value {
    let notes = seen.notes();
    let is_further = notes[PROJECT_ID].is_string();
    let status = match seen.status {
        Status::Other(word) => word,
        Status::Completed => "completed",
        Status::Failed | Status::Canceled => "failed",
        Status::Running if is_further || is_ready(seen) => "processing",
        Status::Pending | Status::Running => "queued",
    };
    let outputs = seen.result.map(|_| {
        json!({"lossless_audio": files::url(seen, "wav"), "subtitles": files::url(seen, "srt")})
    });
    let mut language = both(seen);
    language["language_id"] = json!(FIRST.id.text(seen.key()));
    language["project_id"] = match is_further {
        true => notes[PROJECT_ID].clone(),
        false => json!(PROJECT.id.text(seen.key())),
    };
    language["target_language"] = notes[TARGET].clone();
    language["status"] = json!(status);
    language["output_revision"] = json!(outputs.as_ref().map(|_| seen.revision));
    language["outputs"] = json!(outputs);
    language["error"] = json!(failed(seen));
    language
}

fn both(seen: &Seen<'_>) -> Value {
    json!({
        "model_id": seen.input()["model_id"],
        "revision": seen.revision,
        "warnings": [],
        "created_at": seen.created_at,
        "updated_at": seen.finished_at.or(seen.started_at).unwrap_or(seen.created_at),
    })
}

fn show_language(seen: &Seen<'_>) -> Answer {
    json::ok(&language(seen))
}
