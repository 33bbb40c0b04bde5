//! The files that results are: `/files/ID.mp4` below every mount.
//!
//! A result's URL leads back here, so that an application under test can fetch it. Some clients refuse to fetch from
//! loopback; for them a [directive](super::directive) `result=data` makes it a `data:` URL. What is in it is the
//! beginning of a film and no more.

use abide_engine::{Job, State};
use abide_wire::{FaultKind, headers};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderValue, StatusCode, header};

use crate::board::Look;
use crate::http::answer::{Answer, Outcome};
use crate::http::call::Call;
use crate::http::door::Door;
use crate::http::error::ApiError;
use crate::http::route::Row;
use crate::http::seen::Seen;
use crate::http::state::AppState;

use super::id::Id;
use super::thing::text;

/// The head of an MP4 file.
pub(super) const FILM: &[u8] = b"\0\0\0\x18ftypisom\0\0\x02\0isommp42\0\0\0\x08free";
/// How many bytes a file has.
pub(super) const SIZE: usize = FILM.len();
const EXPIRED: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
/// The note by which a result is a `data:` URL.
pub(super) const RESULT: &str = "result";
const FORM: Id = Id::Hex("");

/// The routes of the files, which need no key: their URLs are as hard to guess as a job's id.
pub(in crate::http) const FILES: &[Row] = &[Row::get("/files/{name}", read).door(Door::Open)];

/// The URL of what the job made, a file with that ending.
pub(super) fn url(seen: &Seen<'_>, ending: &str) -> String {
    if text(&seen.notes(), RESULT) == Some("data") {
        return format!(
            "data:{};base64,{}",
            type_of(ending),
            BASE64_STANDARD.encode(FILM)
        );
    }
    let (base, name) = (seen.base.as_str(), FORM.text(seen.key()));
    format!("{base}/files/{name}.{ending}")
}

/// The content type of a file with that ending.
pub(super) fn type_of(ending: &str) -> &'static str {
    match ending {
        "mp3" => "audio/mpeg",
        "srt" => "application/x-subrip",
        "vtt" => "text/vtt",
        "json" => "application/json",
        "jsonl" => "application/jsonl",
        "png" => "image/png",
        "txt" => "text/plain",
        "wav" => "audio/wav",
        _ => "video/mp4",
    }
}

/// `GET /files/{name}`
fn read(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let name = call.param("name")?;
    let (id, ending) = name.split_once('.').unwrap_or((&name, "mp4"));
    let found = FORM.key(id).map(|key| state.board.look(key));
    match found {
        Some(Look::Found(job)) if is_expired(state, &job) => Ok(Outcome::Now(expired())),
        Some(Look::Found(job)) if job.state == State::Completed => Ok(Outcome::Now(file(ending))),
        _ => Err(ApiError::not_found("no job has made that file")),
    }
}

/// What stores of files say of a signed URL whose time is over.
fn expired() -> Answer {
    let mut answer = Answer::new(EXPIRED.into());
    *answer.status_mut() = StatusCode::FORBIDDEN;
    let out = answer.headers_mut();
    out.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml"),
    );
    let fault = HeaderValue::from_static(FaultKind::ExpiredUrl.as_str());
    out.insert(headers::SIM_DECISION, fault);
    answer
}

/// Whether a fault has it that the job's files are no longer there.
fn is_expired(state: &AppState, job: &Job) -> bool {
    let (defaults, _) = state.board.settings();
    let all = job.faults().iter().chain(defaults.faults.iter());
    let mut expires = all.filter(|fault| fault.fault == FaultKind::ExpiredUrl);
    let Some(finished_at) = job.finished_at else {
        return false;
    };
    expires.any(|fault| state.clock.now().since(finished_at) >= fault.delay())
}

/// What is in a file with that ending.
pub(super) fn file(ending: &str) -> Answer {
    let mut answer = Answer::new(FILM.into());
    let kind = HeaderValue::from_static(type_of(ending));
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
