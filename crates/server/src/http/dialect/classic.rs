//! The classic routes: `POST /jobs`, `GET /status`, `GET /status?job_id=&mode=`, `GET /status/{id}`.
//!
//! Several small systems speak like this, each in its own way: the word for a status is under `result` or under `status`; a create
//! has a body or none; a job is named by the path, by the query or not at all. An answer here has what any of them looks
//! for, and their clients pass over the rest. There are three words: `pending`, `completed`, `error`.
//!
//! The job that is not named is the default job. It starts with the server or with the first question, and starts again after
//! its end, as the configuration says.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use abide_engine::job::State as JobState;
use abide_engine::{Create, Created, Job, Json as RawJson, Owner};
use abide_wire::{DurationLaw, NewJob, OutcomePlan, Simulate, Span, Timestamp, Until};

use crate::attendance::{BodyDigest, Read};
use crate::board::{Channel, Look};
use crate::http::access::Caller;
use crate::http::error::ApiError;
use crate::http::extract::{OptionalJson, Path, Query};
use crate::http::hold::{Hold, hold};
use crate::http::jobs::{find, key_of};
use crate::http::lines::Lines;
use crate::http::represent::{add_age, add_tag, respond};
use crate::http::state::AppState;

/// How long `mode=long` holds at most, with what a hold is stretched by. The clients of these routes have time limits of their own, which
/// were chosen for a server that holds for 5 s.
const LONG_HOLD: Duration = Duration::from_millis(4_700);
/// About as long is the body of an answer, in bytes.
const BODY_BYTES: usize = 128;

/// The routes.
pub(in crate::http) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(create))
        .routes(routes!(status))
        .routes(routes!(status_of))
}

/// What a create may say. Members that aren't known here are passed over, as these systems do.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::ToSchema)]
pub(in crate::http) struct NewClassicJob {
    /// How long the job runs, in seconds; like any other simulated job where it isn't said.
    #[schema(minimum = 0, maximum = 31_622_400)]
    processing_duration: Option<f64>,
    /// Whether it fails. Where there is a body that doesn't say it, it doesn't.
    should_error: Option<bool>,
}

/// Which job, and whether to hold until it has ended.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct StatusQuery {
    /// The job; the default job where nothing is said.
    pub job_id: Option<String>,
    /// `long` holds the request until the end, or for 5 s.
    #[serde(default)]
    #[param(inline)]
    pub mode: Mode,
}

/// Whether to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Mode {
    /// Answers at once.
    #[default]
    Short,
    /// Answers when the job has ended, or after 5 s.
    Long,
}

/// A job, in the words of these systems.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct ClassicJob<'a> {
    /// Its id.
    job_id: abide_wire::JobId,
    /// `pending`, `completed` or `error`.
    status: &'a str,
    /// The same as `status`.
    result: &'a str,
}

/// `POST /jobs`
#[utoipa::path(
    post,
    path = "/jobs",
    tag = "Classic",
    operation_id = "createClassicJob",
    summary = "Create a job",
    description = "The body and its content type may be missing. Other members are passed over.",
    request_body(content = Option<NewClassicJob>),
    responses(
        (status = 200, description = "The job.", body = ClassicJob, headers(("Location" = String, description = "Where its status is.")))
    )
)]
async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Extension(said): Extension<BodyDigest>,
    OptionalJson(new): OptionalJson<Option<NewClassicJob>>,
) -> Result<Response, ApiError> {
    let simulate = new.map(simulate).transpose()?;
    let digest = BodyDigest::digest(&serde_json::to_vec(&simulate).unwrap_or_default());
    let create = Create {
        owner: caller.owner,
        new: NewJob {
            simulate,
            ..NewJob::<RawJson>::default()
        },
        idempotency_key: None,
    };
    let Created { job, .. } = state.commands.ask(create).await?;
    said.note(digest);
    let mut out = HeaderMap::new();
    let body = represent(&job, state.clock.now(), &mut out);
    let mut response = respond(Some(body), out);
    let path = HeaderValue::from_str(&format!("/status/{}", job.key));
    response.headers_mut().insert(
        header::LOCATION,
        path.map_err(|error| ApiError::internal(&error))?,
    );
    Ok(response)
}

/// `GET /status`
#[utoipa::path(
    get,
    path = "/status",
    tag = "Classic",
    operation_id = "readClassicStatus",
    summary = "Read the status of a job, or of the default job",
    params(
        StatusQuery
    ),
    responses(
        (status = 200, description = "The status, under two names.", body = ClassicJob)
    )
)]
async fn status(
    State(state): State<AppState>,
    caller: Caller,
    Query(query): Query<StatusQuery>,
) -> Result<Response, ApiError> {
    match &query.job_id {
        Some(id) => {
            let job = find(&state, &caller, key_of(id)?)?;
            answer(&state, &caller, job, query.mode).await
        }
        None => {
            let job = default_job(&state).await?;
            // It belongs to nobody, so everybody who may ask at all may ask for it.
            let caller = Caller {
                owner: Owner::ANYONE,
                ..caller
            };
            answer(&state, &caller, job, query.mode).await
        }
    }
}

/// `GET /status/{id}`
#[utoipa::path(
    get,
    path = "/status/{id}",
    tag = "Classic",
    operation_id = "readClassicStatusOf",
    summary = "Read the status of a job",
    params(
        ("id" = String, Path, description = "The job's id, `job_…`."), ModeQuery
    ),
    responses(
        (status = 200, description = "The status, under two names.", body = ClassicJob)
    )
)]
async fn status_of(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<ModeQuery>,
) -> Result<Response, ApiError> {
    let job = find(&state, &caller, key_of(&id)?)?;
    answer(&state, &caller, job, query.mode).await
}

/// Whether to hold, where the job is named by the path.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ModeQuery {
    /// `long` holds the request until the end, or for 5 s.
    #[serde(default)]
    #[param(inline)]
    pub mode: Mode,
}

async fn answer(
    state: &AppState,
    caller: &Caller,
    mut job: Arc<Job>,
    mode: Mode,
) -> Result<Response, ApiError> {
    let asked_at = state.clock.now();
    if mode.is_held_for(&job) {
        let granted = mode.grant(state, caller)?;
        job = mode.hold(state, caller, job, &granted).await?;
    }
    let mut out = HeaderMap::new();
    let body = mode.answer(state, caller, &job, asked_at, state.clock.now(), &mut out);
    Ok(respond(Some(body), out))
}

impl Mode {
    /// Whether it is held for that job.
    pub(in crate::http) fn is_held_for(self, job: &Job) -> bool {
        self == Self::Long && !job.is_done()
    }

    /// Takes room for the hold.
    ///
    /// # Errors
    ///
    /// As many are held as may be.
    pub(in crate::http) fn grant(
        self,
        state: &AppState,
        caller: &Caller,
    ) -> Result<Hold, ApiError> {
        Hold::grant(state, caller, Channel::LongPoll, LONG_HOLD)
    }

    /// Holds until the job has ended.
    ///
    /// # Errors
    ///
    /// Its record was removed meanwhile.
    ///
    /// # Cancel safety
    ///
    /// Dropping it ends the waiting and nothing else.
    pub(in crate::http) fn hold(
        self,
        state: &AppState,
        caller: &Caller,
        job: Arc<Job>,
        granted: &Hold,
    ) -> impl Future<Output = Result<Arc<Job>, ApiError>> {
        hold(state, caller, job, granted, Until::Done, Job::is_done)
    }

    /// Writes the headers of the answer and gives its body; and notes the look.
    pub(in crate::http) fn answer(
        self,
        state: &AppState,
        caller: &Caller,
        job: &Job,
        asked_at: Timestamp,
        now: Timestamp,
        out: &mut impl Lines,
    ) -> Bytes {
        let read = Read {
            asked_at,
            channel: match self {
                Self::Short => None,
                Self::Long => Some(Channel::LongPoll),
            },
            ..Read::of(job, now)
        };
        state.attendance.read(caller.counted(), read);
        represent(job, now, out)
    }
}

/// The job of the questions that name none, started where it isn't there.
pub(in crate::http) async fn default_job(state: &AppState) -> Result<Arc<Job>, ApiError> {
    let is_first = !state.default_job_asked();
    if !is_first
        && let Some(key) = state.board.default_job()
        && let Look::Found(job) = state.board.look(key)
    {
        return Ok(job);
    }
    let job = state
        .commands
        .ask(state.config.default_job(is_first))
        .await?;
    state.note_default_job_asked();
    Ok(job)
}

fn simulate(new: NewClassicJob) -> Result<Simulate, ApiError> {
    let duration = new
        .processing_duration
        .map(|seconds| {
            let length = Duration::try_from_secs_f64(seconds).ok();
            length.filter(|length| *length <= Span::MAX).ok_or_else(|| {
                ApiError::invalid_member(format!(
                    "`processing_duration` must be 0 to {} seconds, but is {seconds}",
                    Span::MAX.as_secs()
                ))
            })
        })
        .transpose()?;
    Ok(Simulate {
        duration: duration.map(|length| DurationLaw::Fixed(Span::new(length))),
        outcome: Some(OutcomePlan {
            error_chance: Some(f64::from(u8::from(new.should_error == Some(true)))),
            error: None,
        }),
        ..Simulate::default()
    })
}

/// The word of these systems for where a job stands.
const fn word(state: JobState) -> &'static str {
    match state {
        JobState::Pending | JobState::Running => "pending",
        JobState::Completed => "completed",
        JobState::Failed | JobState::Canceled => "error",
    }
}

/// Writes the headers of an answer that shows that job, and gives its body.
fn represent(job: &Job, now: Timestamp, out: &mut impl Lines) -> Bytes {
    let body = write(job, word(job.state), out);
    add_age(out, job, now);
    body
}

/// The job with that word for its status.
pub(in crate::http) fn show(job: &Job, word: &str) -> Response {
    let mut out = HeaderMap::new();
    let body = write(job, word, &mut out);
    respond(Some(body), out)
}

/// Writes the headers of an answer that shows that job, but for its age, and gives its body.
fn write(job: &Job, word: &str, out: &mut impl Lines) -> Bytes {
    out.word("content-type", "application/json");
    add_tag(out, job);
    out.word("cache-control", "no-store");
    let mut body = Vec::with_capacity(BODY_BYTES);
    let job = ClassicJob {
        job_id: job.key.to_id(),
        status: word,
        result: word,
    };
    serde_json::to_writer(&mut body, &job).expect("three words are JSON");
    body.into()
}
