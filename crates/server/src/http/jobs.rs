//! One job: create, read, hold, cancel.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;

use abide_engine::{Answer, Command, Create, Job, JobKey, Json as RawJson, Owner, Refusal};
use abide_wire::{Code, NewJob, Span, Until, headers, limits};

use super::error::ApiError;
use super::extract::{OptionalJson, Path, Prefer, Query, revision_of_tag, tag_of_revision};
use super::state::AppState;
use crate::board::{Channel, Look, Watcher};
use crate::driver::Failure;

/// How a read may be held.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadQuery {
    wait: Option<Span>,
    after: Option<u64>,
    until: Option<Until>,
}

/// `POST /v1/jobs`
pub(super) async fn create(
    State(state): State<AppState>,
    headers: HeaderMap,
    OptionalJson(new): OptionalJson<NewJob<RawJson>>,
) -> Result<Response, ApiError> {
    let idempotency_key = idempotency_key(&headers)?;
    let prefer = Prefer::of(&headers);
    let create = Command::Create(Box::new(Create {
        owner: Owner::ANYONE,
        new,
        idempotency_key,
    }));
    let Answer::Created { job, replayed } = state.commands.ask(create).await? else {
        return Err(ApiError::internal(
            "a create was answered with something else",
        ));
    };
    let held = prefer
        .wait
        .map(|wait| wait.min(state.config.hold_max.get()));
    let job = match held {
        Some(hold) => hold_until_done(&state, job, Channel::Create, hold).await,
        None => job,
    };
    let status = if job.is_done() && held.is_some() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let mut response = (status, represent(&state, &job)).into_response();
    let path = format!("/v1/jobs/{}", job.key);
    let path = HeaderValue::from_str(&path).map_err(|error| ApiError::internal(&error))?;
    let out = response.headers_mut();
    out.insert(header::LOCATION, path.clone());
    out.insert(HeaderName::from_static(headers::OPERATION_LOCATION), path);
    if replayed {
        out.insert(
            HeaderName::from_static(headers::IDEMPOTENT_REPLAYED),
            HeaderValue::from_static("true"),
        );
    }
    apply_preference(out, held);
    Ok(response)
}

/// `GET /v1/jobs/{id}`
pub(super) async fn read(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Query(query): Query<ReadQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let key = key_of(&id)?;
    let job = find(&state, key)?;
    let validator = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|tag| revision_of_tag(tag.to_str().ok()?));
    let seen = query.after.or(validator);
    let wish = query.wait.map(Span::get).or(Prefer::of(&headers).wait);
    let granted = wish.map(|wish| wish.min(state.config.hold_max.get()));
    let until = query.until.unwrap_or(if seen.is_some() {
        Until::Any
    } else {
        Until::Done
    });
    let is_news = |job: &Job| match until {
        Until::Any => seen.is_none_or(|seen| job.revision > seen),
        Until::Done => job.is_done() && seen.is_none_or(|seen| job.revision > seen),
    };
    let job = match granted {
        Some(hold) if !is_news(&job) && !job.is_done() => {
            hold_while(&state, job, until, Channel::LongPoll, hold, |job| {
                !is_news(job)
            })
            .await?
        }
        _ => job,
    };
    let mut response = if seen.is_some_and(|seen| job.revision <= seen) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        add_headers(&state, response.headers_mut(), &job);
        response
    } else {
        represent(&state, &job)
    };
    apply_preference(response.headers_mut(), granted);
    Ok(response)
}

/// `POST /v1/jobs/{id}/cancel`
pub(super) async fn cancel(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let command = Command::Cancel {
        owner: Owner::ANYONE,
        job: key_of(&id)?,
    };
    match state.commands.ask(command).await? {
        Answer::Job(job) => Ok(represent(&state, &job)),
        _ => Err(ApiError::internal(
            "a cancel was answered with something else",
        )),
    }
}

async fn hold_until_done(
    state: &AppState,
    job: Arc<Job>,
    channel: Channel,
    hold: Duration,
) -> Arc<Job> {
    let last = job.clone();
    hold_while(state, job, Until::Done, channel, hold, |job| !job.is_done())
        .await
        .unwrap_or(last)
}

/// Holds while the job is not what is waited for, and gives it as it then is.
async fn hold_while(
    state: &AppState,
    mut job: Arc<Job>,
    until: Until,
    channel: Channel,
    hold: Duration,
    go_on: impl Fn(&Job) -> bool,
) -> Result<Arc<Job>, ApiError> {
    let watcher = Watcher {
        channel,
        since: state.clock.now(),
        address: None,
    };
    let mut waiter = state.board.waiter(until, watcher);
    waiter.register(job.key);
    let mut expiry = std::pin::pin!(state.clock.hold(hold));
    loop {
        job = find(state, job.key)?;
        if !go_on(&job) || job.is_done() {
            return Ok(job);
        }
        tokio::select! {
            () = waiter.rung() => {}
            () = &mut expiry => return find(state, job.key),
            () = state.stop.cancelled() => return Ok(job),
        }
    }
}

fn find(state: &AppState, key: JobKey) -> Result<Arc<Job>, ApiError> {
    match state.board.look_as(Owner::ANYONE, key) {
        Look::Found(job) => Ok(job),
        Look::Gone => Err(Refusal::Gone.into()),
        Look::Unknown => Err(Refusal::NotFound.into()),
    }
}

fn key_of(id: &str) -> Result<JobKey, ApiError> {
    id.parse().map_err(|_| Refusal::NotFound.into())
}

/// The job as an answer, with the headers that go with it.
pub(super) fn represent(state: &AppState, job: &Job) -> Response {
    let remaining = state.board.remaining(job, state.clock.now());
    match serde_json::to_vec(&job.to_wire(remaining)) {
        Ok(body) => {
            let mut response = body.into_response();
            response.headers_mut().insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
            add_headers(state, response.headers_mut(), job);
            response
        }
        Err(error) => ApiError::internal(&error).into_response(),
    }
}

fn add_headers(state: &AppState, out: &mut HeaderMap, job: &Job) {
    out.insert(header::ETAG, tag_of_revision(job.revision));
    out.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-cache"),
    );
    match job.finished_at {
        Some(finished_at) => {
            let age = state.clock.now().since(finished_at).as_millis();
            if let Ok(value) = HeaderValue::from_str(&format!("since-end;dur={age}")) {
                out.insert(HeaderName::from_static(headers::SERVER_TIMING), value);
            }
        }
        None => {
            out.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
    }
}

fn apply_preference(out: &mut HeaderMap, granted: Option<Duration>) {
    if let Some(granted) = granted
        && let Ok(value) = HeaderValue::from_str(&format!("wait={}", granted.as_secs()))
    {
        out.insert(HeaderName::from_static(headers::PREFERENCE_APPLIED), value);
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(headers::IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or_default().trim().trim_matches('"');
    if key.is_empty() || key.len() > limits::IDEMPOTENCY_KEY_BYTES_MAX {
        return Err(ApiError::invalid_member(format!(
            "`Idempotency-Key` must be 1 to {} visible ASCII characters",
            limits::IDEMPOTENCY_KEY_BYTES_MAX
        )));
    }
    Ok(Some(key.to_owned()))
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::Storage => Self::of(503, Code::STORAGE_UNAVAILABLE, "The server can't write")
                .detail(failure.to_string())
                .retry_after(Duration::from_secs(1)),
            Failure::Overloaded => Self::of(503, Code::OVERLOADED, "The server is overloaded")
                .detail(failure.to_string())
                .retry_after(Duration::from_secs(1)),
            Failure::ShuttingDown => Self::shutting_down(),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::NotFound => Self::not_found(detail),
            Refusal::Gone => Self::gone(detail),
            Refusal::Done => Self::of(409, Code::JOB_DONE, "The job is done").detail(detail),
            Refusal::NotDone | Refusal::NotExternal => {
                Self::of(409, Code::CONFLICT, "The job's state doesn't allow this").detail(detail)
            }
            Refusal::Changed { current } => {
                Self::of(412, Code::PRECONDITION_FAILED, "The job has changed")
                    .detail(detail)
                    .header(header::ETAG, tag_of_revision(current.0))
            }
            Refusal::IdempotencyMismatch { .. } => Self::of(
                422,
                Code::IDEMPOTENCY_MISMATCH,
                "The idempotency key was used before",
            )
            .detail(detail),
            Refusal::TooManyJobs { .. } => Self::of(503, Code::TOO_MANY_JOBS, "The server is full")
                .detail(detail)
                .retry_after(Duration::from_secs(5)),
            Refusal::Invalid(_) => Self::invalid_member(detail),
        }
    }
}
