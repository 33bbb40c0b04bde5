//! Translations of documents: create, read, list, cancel, and the documents of one.

use abide_wire::Status;
use http::StatusCode;
use serde_json::{Value, json};

use super::wire::{VERSION, located, paced, version};
use crate::http::answer::{Answer, Outcome, empty};
use crate::http::base::Base;
use crate::http::call::Call;
use crate::http::dialect::files;
use crate::http::dialect::id::Id;
use crate::http::dialect::job::{self, Asked, New, failure, request};
use crate::http::dialect::list::{limit, number, window};
use crate::http::dialect::thing::{Thing, seen};
use crate::http::error::ApiError;
use crate::http::json;
use crate::http::seen::Seen;
use crate::http::state::AppState;

const PAGE: usize = 50;
const PATH: &str = "/translator/document/batches";
const WORDS: [&str; 5] = ["NotStarted", "Running", "Succeeded", "Failed", "Cancelled"];

/// A translation of documents.
pub(super) const TRANSLATION: Thing = Thing {
    kind: "azure.document",
    id: Id::Uuid,
    show,
};

/// `POST /translator/document/batches`
pub(super) fn create(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let version = version(call)?;
    let request = request(call)?;
    if request["inputs"].as_array().is_none_or(Vec::is_empty) {
        return Err(ApiError::invalid_member("`inputs`: one is required"));
    }
    let new = New::of(request).note(VERSION, version);
    let asked = Asked::one(new, |seen| {
        let path = format!("{PATH}/{}", TRANSLATION.id_of(&seen[0]));
        located(empty(StatusCode::ACCEPTED), &seen[0], &path)
    });
    job::create(state, call, &TRANSLATION, asked)
}

/// `GET /translator/document/batches`
pub(super) fn list(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let version = version(call)?;
    let (skip, top) = (number(call, "skip", 0)?, number(call, "top", usize::MAX)?);
    let size = limit(call, "maxpagesize", PAGE, PAGE)?.min(top);
    let (translations, has_more) = window(state, call, &TRANSLATION, (skip, size), body)?;
    let mut list = json!({"value": translations});
    if has_more && top > size {
        let rest = match top {
            usize::MAX => String::new(),
            top => format!("&top={}", top - size),
        };
        let base = Base::of(call);
        list["nextLink"] = json!(format!(
            "{}{PATH}?{VERSION}={version}&maxpagesize={size}&skip={}{rest}",
            base.as_str(),
            skip + size
        ));
    }
    Ok(json::ok(&list).into())
}

/// `GET /translator/document/batches/{id}/documents`: there is one.
pub(super) fn documents(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let job = TRANSLATION.in_path(state, call)?;
    let document = seen(state, &Base::of(call), &job, document);
    Ok(json::ok(&json!({"value": [document]})).into())
}

fn show(seen: &Seen<'_>) -> Answer {
    paced(json::ok(&body(seen)), seen)
}

fn body(seen: &Seen<'_>) -> Value {
    let count = |status: Status| u8::from(*seen.status == status);
    let mut body = json!({
        "id": TRANSLATION.id_of(seen),
        "createdDateTimeUtc": seen.created_at,
        "lastActionDateTimeUtc": seen.finished_at.or(seen.started_at).unwrap_or(seen.created_at),
        "status": seen.word(&WORDS),
        "summary": {
            "total": 1,
            "notYetStarted": count(Status::Pending),
            "inProgress": count(Status::Running),
            "success": count(Status::Completed),
            "failed": count(Status::Failed),
            "cancelled": count(Status::Canceled),
            "totalCharacterCharged": 0,
        },
    });
    if let Some((code, message)) = failure(seen) {
        body["error"] = json!({"code": code, "message": message});
    }
    body
}

fn document(seen: &Seen<'_>) -> Value {
    let request = seen.input();
    let input = &request["inputs"][0];
    let mut document = body(seen);
    document["sourcePath"] = input["source"]["sourceUrl"].clone();
    document["to"] = input["targets"][0]["language"].clone();
    document["progress"] = json!(seen.share());
    document["characterCharged"] = json!(0);
    if seen.result.is_some() {
        document["path"] = json!(files::url(seen, "txt"));
    }
    if let Some(members) = document.as_object_mut() {
        members.remove("summary");
    }
    document
}
