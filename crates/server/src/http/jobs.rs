//! One job: create, read, cancel, delete, report, and who watches it.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::Json as Respond;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use serde::{Deserialize, Deserializer, Serialize};

use abide_engine::{
    Cancel, Command, Create, Created, Delete, Job, JobKey, Json as RawJson, Refusal, Report, Work,
};
use abide_wire::{NewJob, Problem, Progress, Revision, Span, Timestamp, Until, headers, limits};

use super::access::Caller;
use super::error::ApiError;
use super::extract::{Json, Path, Prefer, Query, Tags, Worded};
use super::fields::Fields;
use super::hold::{Hold, hold};
use super::lines::{Lines, Text};
use super::represent::{apply_preference, represent, respond, show};
use super::state::AppState;
use super::webhooks::{check_webhook_of, show_secret_of_job, wait_for_early_webhook};
use crate::attendance::{BodyDigest, Read};
use crate::board::{Channel, Look};

/// How a read may be held.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadQuery {
    /// How long to hold, clamped by the server.
    wait: Option<Span>,
    /// The newest revision that the client has.
    after: Option<u64>,
    /// What to wait for: `any` change where a revision is named, else the end.
    #[param(inline)]
    until: Option<Until>,
}

/// `POST /v1/jobs`
#[utoipa::path(
    post,
    path = "/v1/jobs",
    tag = "Jobs",
    operation_id = "createJob",
    summary = "Create a job",
    description = "No body at all is the same as `{}`. With an idempotency key a create may be sent again: the same key and body give the same job.",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Names this create, so that sending it again makes no second job; 1 to 255 visible ASCII characters with spaces between them, or a string in double quotes; remembered for 24 hours.", min_length = 1, max_length = 255, pattern = r#"^([!#-~]([ -~]*[!-~])?|"[ -~]+")$"#),
        ("Prefer" = Option<String>, Header, description = "`wait=N` holds the request up to so many seconds, until the job has ended; `respond-async` doesn't.", example = "wait=10")
    ),
    request_body(content = Option<abide_wire::NewJob>),
    responses(
        (status = 200, description = "The job, which ended while the request was held, or had before it was sent again.", body = abide_wire::Job),
        (status = 202, description = "The job. It has been accepted and will be worked on.", body = abide_wire::Job)
    )
)]
pub(super) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Extension(said): Extension<BodyDigest>,
    uri: Uri,
    headers: HeaderMap,
    Worded { value, text }: Worded<NewJob<RawJson>>,
) -> Result<Response, ApiError> {
    let wish = Wish::of(&state, &caller, value, &headers)?;
    let prefer = Prefer::of(&headers);
    // Room for the hold is taken first: a create that can't be held as asked should make no job.
    let granted = prefer
        .wait
        .filter(|_| !prefer.respond_async)
        .map(|length| Hold::grant(&state, &caller, Channel::Create, length))
        .transpose()?;
    let mut made = wish.make(&state, &said, BodyDigest::digest(&text)).await?;
    let preference = match &granted {
        Some(granted) => Preference::Wait(granted.length()),
        None if prefer.respond_async => Preference::RespondAsync,
        None => Preference::None,
    };
    if let Some(granted) = &granted
        && !made.job.is_done()
    {
        let asked_at = state.clock.now();
        let last = made.job.clone();
        // Where its record was removed meanwhile, the last that was known of it is the answer.
        made.job = hold(
            &state,
            &caller,
            made.job,
            granted,
            Until::Done,
            Job::is_done,
        )
        .await
        .unwrap_or(last);
        let read = Read {
            asked_at,
            channel: Some(Channel::Create),
            ..Read::of(&made.job, state.clock.now())
        };
        state.attendance.read(caller.counted(), read);
    }
    let mut out = HeaderMap::new();
    // HTTP/2 has the host in the URI.
    let authority = uri.authority().map(http::uri::Authority::as_str);
    let base = Base::of(authority, &headers);
    let body = made.answer(&state, &base, preference, state.clock.now(), &mut out)?;
    let mut response = respond(Some(body), out);
    *response.status_mut() = made.status();
    Ok(response)
}

/// A create that has been understood.
#[derive(Debug)]
pub(super) struct Wish(Box<Create>);

impl Wish {
    /// What that caller wishes with that body and those fields.
    ///
    /// # Errors
    ///
    /// The webhook may not be called, or the idempotency key is none.
    pub(super) fn of<F: Fields + ?Sized>(
        state: &AppState,
        caller: &Caller,
        mut new: NewJob<RawJson>,
        fields: &F,
    ) -> Result<Self, ApiError> {
        check_webhook_of(state, &mut new)?;
        Ok(Self(Box::new(Create {
            owner: caller.owner,
            new,
            idempotency_key: idempotency_key(fields)?,
        })))
    }

    /// Has the job made, and notes what was said.
    ///
    /// # Errors
    ///
    /// The loop refuses.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the answer; the job is made all the same.
    pub(super) async fn make(
        self,
        state: &AppState,
        said: &BodyDigest,
        digest: u64,
    ) -> Result<JobMade, ApiError> {
        let Created { job, replayed } = state.commands.ask(*self.0).await?;
        said.note(digest);
        wait_for_early_webhook(state, job.key).await;
        Ok(JobMade { job, replayed })
    }
}

/// A job that a create made, or had made before.
#[derive(Debug)]
pub(super) struct JobMade {
    pub job: Arc<Job>,
    pub replayed: bool,
}

/// Which preference of the client's was followed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Preference {
    None,
    RespondAsync,
    Wait(Duration),
}

impl JobMade {
    /// `200` where the job has ended already, else `202`.
    pub(super) fn status(&self) -> StatusCode {
        if self.job.is_done() {
            StatusCode::OK
        } else {
            StatusCode::ACCEPTED
        }
    }

    /// Writes the headers of the answer and gives its body.
    ///
    /// # Errors
    ///
    /// The job can't be shown, which would be a fault of ours.
    pub(super) fn answer(
        &self,
        state: &AppState,
        base: &Base,
        preference: Preference,
        now: Timestamp,
        out: &mut impl Lines,
    ) -> Result<Bytes, ApiError> {
        let shown = show(state, &self.job, false, now, out)?;
        let path = format!("/v1/jobs/{}", self.job.key);
        out.word("location", &path);
        out.line(headers::OPERATION_LOCATION, |text| {
            base.write(&path, text);
        });
        show_secret_of_job(state, &self.job, out);
        if self.replayed {
            out.word(headers::IDEMPOTENT_REPLAYED, "true");
        }
        match preference {
            Preference::None => {}
            Preference::RespondAsync => out.word(headers::PREFERENCE_APPLIED, "respond-async"),
            Preference::Wait(length) => apply_preference(out, length),
        }
        shown
            .body
            .ok_or_else(|| ApiError::internal("a job was taken for known"))
    }
}

/// `GET /v1/jobs/{id}`
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}",
    tag = "Jobs",
    operation_id = "readJob",
    summary = "Read a job, or wait for it",
    description = "With `wait`, or `Prefer: wait=N`, the request is held: where a revision is named (`after`, or `If-None-Match`) until there is a newer one, else until the end.",
    params(
        ("id" = String, Path, description = "The job's id, `job_…`."),
        ReadQuery,
        ("Prefer" = Option<String>, Header, description = "`wait=N`: the same as the parameter.", example = "wait=25"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag that the client has.", example = "\"3\"")
    ),
    responses(
        (status = 200, description = "The job as it is.", body = abide_wire::Job),
        (status = 304, description = "The job is as the client has it.")
    )
)]
pub(super) async fn read(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<ReadQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asked_at = state.clock.now();
    let mut job = find(&state, &caller, key_of(&id)?)?;
    let ask = Ask::of(&query, &headers, &job, asked_at);
    let granted = query.grant(&headers, &state, &caller)?;
    let length = granted.as_ref().map(Hold::length);
    if let Some(granted) = &granted
        && ask.is_held_for(&job)
    {
        job = ask.hold(&state, &caller, job, granted).await?;
    }
    let mut out = HeaderMap::new();
    let body = ask.answer(&state, &caller, &job, length, state.clock.now(), &mut out)?;
    Ok(respond(body, out))
}

impl ReadQuery {
    /// Takes room for the hold, where it or those fields ask for one.
    ///
    /// # Errors
    ///
    /// As many are held as may be.
    pub(super) fn grant<F: Fields + ?Sized>(
        &self,
        fields: &F,
        state: &AppState,
        caller: &Caller,
    ) -> Result<Option<Hold>, ApiError> {
        let wish = self.wait.map(Span::get);
        wish.or_else(|| Prefer::of(fields).wait)
            .map(|wish| Hold::grant(state, caller, Channel::LongPoll, wish))
            .transpose()
    }
}

/// What a read asks for.
#[derive(Debug)]
pub(super) struct Ask {
    asked_at: Timestamp,
    tags: Tags,
    /// The newest revision that the client has.
    seen: Option<u64>,
    until: Until,
}

impl Ask {
    /// What that query and those fields ask for, of a job that is like this now.
    pub(super) fn of<F: Fields + ?Sized>(
        query: &ReadQuery,
        fields: &F,
        job: &Job,
        asked_at: Timestamp,
    ) -> Self {
        let tags = Tags::if_none_match(fields);
        let seen = query.after.or_else(|| tags.revision(job.revision));
        // Whoever names no revision has seen none, and wants to hear of the end.
        let until = query.until.unwrap_or(match seen {
            Some(_) => Until::Any,
            None => Until::Done,
        });
        Self {
            asked_at,
            tags,
            seen,
            until,
        }
    }

    /// Whether a read that may be held is held for that job.
    pub(super) fn is_held_for(&self, job: &Job) -> bool {
        !job.is_done() && !self.is_news(job)
    }

    fn is_news(&self, job: &Job) -> bool {
        self.seen.is_none_or(|seen| job.revision > seen)
            && (self.until == Until::Any || job.is_done())
    }

    /// Holds until the job is news.
    ///
    /// # Errors
    ///
    /// Its record was removed meanwhile.
    ///
    /// # Cancel safety
    ///
    /// Dropping it ends the waiting and nothing else.
    pub(super) fn hold(
        &self,
        state: &AppState,
        caller: &Caller,
        job: Arc<Job>,
        granted: &Hold,
    ) -> impl Future<Output = Result<Arc<Job>, ApiError>> {
        // No `async fn` around another, which would have room for the arguments twice; a hold should be small.
        hold(state, caller, job, granted, self.until, |job| {
            self.is_news(job)
        })
    }

    /// Whether the client has the job as it is.
    pub(super) fn knows(&self, job: &Job) -> bool {
        self.tags.matches(job.revision)
    }

    /// Writes the headers of the answer and gives its body, none where the client [knows](Self::knows) the job; and notes the look.
    ///
    /// # Errors
    ///
    /// The job can't be shown, which would be a fault of ours.
    pub(super) fn answer(
        &self,
        state: &AppState,
        caller: &Caller,
        job: &Job,
        length: Option<Duration>,
        now: Timestamp,
        out: &mut impl Lines,
    ) -> Result<Option<Bytes>, ApiError> {
        let shown = show(state, job, self.knows(job), now, out)?;
        let read = Read {
            asked_at: self.asked_at,
            channel: length.map(|_| Channel::LongPoll),
            known: self.seen,
            retry_after: shown.retry_after,
            ..Read::of(job, now)
        };
        state.attendance.read(caller.counted(), read);
        if let Some(length) = length {
            apply_preference(out, length);
        }
        Ok(shown.body)
    }
}

/// `POST /v1/jobs/{id}/cancel`
#[utoipa::path(
    post,
    path = "/v1/jobs/{id}/cancel",
    tag = "Jobs",
    operation_id = "cancelJob",
    summary = "Cancel a job",
    description = "A job that is done stays as it is. May be said twice.",
    params(
        ("id" = String, Path, description = "The job's id, `job_…`.")
    ),
    responses(
        (status = 200, description = "The job, done.", body = abide_wire::Job)
    )
)]
pub(super) async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let command = Cancel {
        owner: caller.owner,
        job: key_of(&id)?,
    };
    job_after(&state, command).await
}

/// `DELETE /v1/jobs/{id}`
#[utoipa::path(
    delete,
    path = "/v1/jobs/{id}",
    tag = "Jobs",
    operation_id = "deleteJob",
    summary = "Remove a job's record",
    description = "May be said twice. A job that is not done must be canceled first.",
    params(
        ("id" = String, Path, description = "The job's id, `job_…`.")
    ),
    responses(
        (status = 204, description = "The record is gone. Reads of it answer `410`."),
        (status = 409, description = "The job is not done.", body = abide_wire::Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let command = Delete {
        owner: caller.owner,
        job: key_of(&id)?,
    };
    state.commands.ask(command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What an external worker says: exactly one of these.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WorkerReport, min_properties = 1, max_properties = 1)]
pub(super) struct ReportBody {
    /// It has come so far.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    progress: Option<Progress>,
    /// It has ended well, with that. Also `null` is a result, so its presence is what counts.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<serde_json::Value>)]
    result: Option<RawJson>,
    /// It has ended badly, because of that.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    error: Option<Problem>,
}

/// `PATCH /v1/jobs/{id}`
#[utoipa::path(
    patch,
    path = "/v1/jobs/{id}",
    tag = "Workers",
    operation_id = "reportJob",
    summary = "Report as an external worker",
    description = "Exactly one of `progress`, `result` and `error`. The last two end the job.",
    params(
        ("id" = String, Path, description = "The job's id, `job_…`."),
        ("If-Match" = Option<String>, Header, description = "The ETag that the worker has: the report counts only where the job is still there.", example = "\"3\"")
    ),
    request_body(content = ReportBody),
    responses(
        (status = 200, description = "The job after the report.", body = abide_wire::Job),
        (status = 409, description = "The job is done, or not an external worker's.", body = abide_wire::Problem, content_type = "application/problem+json"),
        (status = 412, description = "The job is at another revision.", body = abide_wire::Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn report(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<ReportBody>,
) -> Result<Response, ApiError> {
    let job = key_of(&id)?;
    let work = match body {
        ReportBody {
            progress: Some(progress),
            result: None,
            error: None,
        } => Work::Progress(progress),
        ReportBody {
            progress: None,
            result: Some(result),
            error: None,
        } => Work::Result(result),
        ReportBody {
            progress: None,
            result: None,
            error: Some(error),
        } => Work::Error(Box::new(error)),
        _ => {
            return Err(ApiError::invalid_member(
                "a report must have exactly one of `progress`, `result` and `error`",
            ));
        }
    };
    let current = find(&state, &caller, job)?;
    let command = Report {
        owner: caller.owner,
        job,
        if_match: if_match(&headers, &current)?,
        work,
    };
    job_after(&state, command).await
}

/// Who waits for a job.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Watchers {
    /// The longest waiting first.
    watchers: Vec<WatcherSeen>,
}

/// One who waits.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Watcher)]
struct WatcherSeen {
    /// `long_poll`, `stream`, `set` or `create`.
    channel: &'static str,
    /// Since when.
    since: Timestamp,
    /// Where from.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<std::net::IpAddr>,
}

/// `GET /v1/jobs/{id}/watchers`
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/watchers",
    tag = "Jobs",
    operation_id = "listWatchers",
    summary = "Who is waiting",
    description = "By which channel, since when.",
    params(
        ("id" = String, Path, description = "The job's id, `job_…`.")
    ),
    responses(
        (status = 200, description = "Those who are waiting, up to 1,000.", body = Watchers)
    )
)]
pub(super) async fn watchers(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let job = find(&state, &caller, key_of(&id)?)?;
    let mut watchers: Vec<_> = state
        .board
        .watchers(job.key)
        .into_iter()
        .map(|watcher| WatcherSeen {
            channel: watcher.channel.as_str(),
            since: watcher.since,
            address: watcher.address,
        })
        .collect();
    watchers.sort_by_key(|watcher| watcher.since);
    watchers.truncate(limits::PAGE_JOBS_MAX);
    Ok(Respond(Watchers { watchers }).into_response())
}

/// The caller's job of that name, as it is now.
pub(super) fn find(state: &AppState, caller: &Caller, key: JobKey) -> Result<Arc<Job>, ApiError> {
    match state.board.look_as(caller.owner, key) {
        Look::Found(job) => Ok(job),
        Look::Gone => Err(Refusal::Gone.into()),
        Look::Unknown => Err(Refusal::NotFound.into()),
    }
}

/// The name that an id on the wire stands for. Whatever isn't one of ours names nothing.
pub(super) fn key_of(id: &str) -> Result<JobKey, ApiError> {
    id.parse().map_err(|_| Refusal::NotFound.into())
}

async fn job_after(
    state: &AppState,
    command: impl Command<Answer = Arc<Job>>,
) -> Result<Response, ApiError> {
    let job = state.commands.ask(command).await?;
    Ok(represent(state, &job))
}

/// The revision that `If-Match` insists on.
fn if_match(headers: &HeaderMap, job: &Job) -> Result<Option<Revision>, ApiError> {
    let Some(tags) = Tags::if_match(headers) else {
        return Ok(None);
    };
    if tags.is_any() {
        return Ok(None);
    }
    // The loop compares again, because the job may change before it gets there.
    match tags.revision(job.revision) {
        Some(revision) => Ok(Some(Revision(revision))),
        None => Err(Refusal::Changed {
            current: Revision(job.revision),
        }
        .into()),
    }
}

fn idempotency_key<F: Fields + ?Sized>(fields: &F) -> Result<Option<String>, ApiError> {
    let Some(value) = fields.value(headers::IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    // What surrounds the value is no part of it, whichever way it came in.
    match key_in(value.trim_ascii()) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(ApiError::invalid_member(format!(
            "the header `Idempotency-Key` must be 1 to {} visible ASCII characters, with spaces between them or a string in double quotes",
            limits::IDEMPOTENCY_KEY_BYTES_MAX
        ))),
    }
}

/// The key in the header's value: a bare word or words, or what a string in quotes has in it.
///
/// The description says the same as a pattern, so what is taken here is taken by it too.
fn key_in(value: &[u8]) -> Option<&str> {
    let is_plain = value.iter().all(|byte| matches!(byte, b' '..=b'~'));
    if !is_plain || value.len() > limits::IDEMPOTENCY_KEY_BYTES_MAX {
        return None;
    }
    let key = match value.strip_prefix(b"\"") {
        Some(rest) => rest.strip_suffix(b"\"")?,
        None => value,
    };
    std::str::from_utf8(key).ok().filter(|key| !key.is_empty())
}

/// Where the client reaches this server, as far as its request tells.
#[derive(Debug)]
pub(super) struct Base {
    scheme: &'static str,
    host: Option<Box<str>>,
}

impl Base {
    /// What that authority, or else those fields tell.
    pub(super) fn of<F: Fields + ?Sized>(authority: Option<&str>, fields: &F) -> Self {
        Self {
            scheme: match fields.text("x-forwarded-proto") {
                Some("https") => "https",
                _ => "http",
            },
            host: authority.or_else(|| fields.text("host")).map(Box::from),
        }
    }

    /// Writes the URL of that path as the client would reach it, or the path where that can't be told.
    fn write(&self, path: &str, text: &mut Text<'_>) {
        if let Some(host) = &self.host {
            text.str(self.scheme).str("://").str(host);
        }
        text.str(path);
    }
}

/// A member that is there has a value; `null` is one where the type says so.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
