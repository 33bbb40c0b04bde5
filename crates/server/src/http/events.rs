//! The events of one job as a stream, resumable by revision.
//!
//! A stream holds a cursor and nothing else: what it sends next is made from the job when the connection has room for
//! it. So a slow reader costs no more than a fast one, and one that falls too far behind gets a `reset` with the job
//! as it is.

use std::fmt::Display;
use std::io::Write as _;
use std::pin::pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use abide_engine::{Job, JobKey, State as JobState};
use abide_wire::{EventKind, Until, headers, limits};

use super::access::Caller;
use super::answer::{Answer, Body, Outcome, empty};
use super::call::{Call, only};
use super::described::{Param, Response, named};
use super::error::ApiError;
use super::find::{find, key_of};
use super::hold::refusal;
use super::limits::{Held, TURNS};
use super::route::{Row, Subject};
use super::state::AppState;
use crate::attendance::Read;
use crate::board::{Channel, Waiter, Watcher};

/// Bytes of events that are sent at once, about; the next are made when these are gone.
pub(super) const EVENTS_BYTES: usize = 64 * 1024;
/// The most bytes of events that are written in a turn. Others' tasks wait meanwhile, and a socket whose peer doesn't
/// read may take megabytes at once.
const PART_BYTES: usize = 32 * 1024;
/// How long a client is told to wait before it connects again, at least and at most.
const RETRY_MS: (u16, u16) = (500, 1_500);

/// One event, as the description has it.
#[derive(Debug, utoipa::ToSchema)]
#[expect(dead_code, reason = "events are written by hand; this is their shape")]
pub(super) struct StreamEvent {
    /// What happened: `job.completed` and its like, or `reset`.
    event: String,
    /// The revision, or the place in the feed.
    #[schema(pattern = "^([0-9a-f]+-)?[0-9]+$")]
    id: String,
    /// The job as it was then, as JSON; for a `reset`, as it is.
    data: String,
}

/// From where a stream goes on, for those who can't send the header.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StreamQuery {
    /// The same as the header, for those who can't send it.
    last_event_id: Option<u64>,
    /// The same, in the word of a long poll.
    after: Option<u64>,
    /// A token of `POST /v1/stream-tokens` in place of a key.
    #[expect(dead_code, reason = "the gate reads it")]
    token: Option<String>,
}

/// The last event that the client has, as the header says.
///
/// # Errors
///
/// The header isn't an id of ours.
pub(super) fn last_event<T: FromStr>(headers: &HeaderMap) -> Result<Option<T>, ApiError> {
    let sent = only(headers, headers::LAST_EVENT_ID)?.filter(|id| !id.is_empty());
    sent.map(|id| {
        let id = id.to_str().ok().and_then(|id| id.trim().parse().ok());
        id.ok_or_else(|| {
            ApiError::invalid_member("the header `Last-Event-ID` must be an id of ours")
        })
    })
    .transpose()
}

/// The header by which a stream goes on, for the description.
pub(super) const fn last_event_id(text: &'static str, pattern: &'static str) -> Param {
    Param::header("Last-Event-ID", text).checked(pattern)
}

/// A stream, for the description.
pub(super) const fn stream_of(text: &'static str) -> Response {
    Response::of(200, text, "text/event-stream", named::<StreamEvent>)
}

/// The routes.
pub(super) const ROUTES: &[Row] = &[Row::get("/v1/jobs/{id}/events", stream)
    .streams(Subject::in_path)
    .with_token()
    .about("Waiting", "streamJob", "Stream the events of a job")
    .text("Server-sent events. `id:` is the revision, `data:` the job. `Last-Event-ID` resumes: each \
        revision exactly once and in order, or one event `reset` with the job as it is. A comment comes \
        every 15 s. After the end the server closes.")
    .params(&[
        Param::JOB,
        last_event_id(
            "The last revision that the client has. Empty counts as none.",
            "^([0-9]{1,19})?$",
        ),
    ])
    .query::<StreamQuery>()
    .answers(&[
        stream_of("The stream: `job.created`, `job.started`, `job.progress`, `job.completed`, \
            `job.failed`, `job.canceled`, `reset`."),
        Response::empty(204, "The job is done and the client has everything: there is no need to connect again."),
    ])];

/// `GET /v1/jobs/{id}/events`
fn stream(state: &AppState, call: &Call) -> Result<Outcome, ApiError> {
    let id = call.param("id")?;
    let query: StreamQuery = call.query()?;
    let caller = call.caller;
    let job = find(state, &caller, key_of(&id)?)?;
    let cursor = last_event(&call.headers)?
        .or(query.last_event_id)
        .or(query.after)
        .unwrap_or(0);
    if job.is_done() && cursor == job.revision {
        // The client has everything there will ever be. This is what stops a browser from connecting again.
        return Ok(Outcome::Now(empty(StatusCode::NO_CONTENT)));
    }
    stream_job(state, &caller, job.key, cursor, Box::new(native))
}

/// Writes what is new of a job after that revision, and moves the revision on; nothing if there is nothing to say.
pub(super) type Write = Box<dyn Fn(&AppState, &Job, &mut u64) -> Vec<u8> + Send>;

/// Streams that job to its end, from the change after that revision on.
///
/// # Errors
///
/// As many streams are open as may be.
pub(super) fn stream_job(
    state: &AppState,
    caller: &Caller,
    key: JobKey,
    cursor: u64,
    write: Write,
) -> Result<Outcome, ApiError> {
    let pace = Pace::new(state, caller)?;
    let watcher = Watcher {
        channel: Channel::Stream,
        since: state.clock.now(),
        address: caller.address,
    };
    let mut waiter = state.board.waiter(Until::Any, watcher);
    waiter.register(key);
    let stream = JobStream {
        key,
        caller: *caller,
        cursor,
        write,
        waiter,
        pace,
        state: state.clone(),
    };
    let events = futures_util::stream::unfold(stream, JobStream::next);
    Ok(Outcome::Now(answer(events)))
}

/// One stream of one job.
struct JobStream {
    state: AppState,
    caller: Caller,
    key: JobKey,
    /// The last revision that was sent.
    cursor: u64,
    write: Write,
    waiter: Waiter,
    pace: Pace,
}

impl JobStream {
    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` would store the stream twice in the future, and thousands may be open"
    )]
    fn next(mut self) -> impl Future<Output = Option<(Bytes, Self)>> + Send {
        async move {
            if let Some(part) = self.pace.rest().await {
                return Some((part, self));
            }
            loop {
                if self.pace.is_outdated(&self.state) {
                    return None;
                }
                let turn = self.pace.turn().await;
                // A job whose record was removed has no more to tell.
                let job = find(&self.state, &self.caller, self.key).ok()?;
                let text = self.news(&job);
                drop(turn);
                if !text.is_empty() {
                    let part = self.pace.begin(&self.state, &self.caller, text)?;
                    return Some((part, self));
                }
                if job.is_done() {
                    return None;
                }
                let woken = self.pace.sleep(&self.state, || self.waiter.rung()).await;
                match woken {
                    Woken::News => {}
                    Woken::Heartbeat => return Some((self.pace.heartbeat(), self)),
                    Woken::End => return None,
                }
            }
        }
    }

    /// The next events after the cursor.
    fn news(&mut self, job: &Job) -> Vec<u8> {
        if self.cursor == job.revision {
            return Vec::new();
        }
        let text = (self.write)(&self.state, job, &mut self.cursor);
        if job.is_done()
            && self.cursor == job.revision
            && let Some(finished_at) = job.finished_at
        {
            let after = self.state.clock.now().since(finished_at);
            self.state.metrics.woken(Channel::Stream, after);
        }
        let read = Read {
            channel: Some(Channel::Stream),
            ..Read::of(job, self.state.clock.now())
        };
        self.state.attendance.read(self.caller.counted(), read);
        text
    }
}

/// Writes the changes after the cursor, or a `reset` if they aren't remembered.
fn native(state: &AppState, job: &Job, cursor: &mut u64) -> Vec<u8> {
    let mut text = Vec::new();
    if *cursor > job.revision || *cursor + 1 < job.first_revision() {
        *cursor = job.revision;
        write_job(&mut text, "reset", *cursor, state, job, *cursor);
    }
    while *cursor < job.revision && text.len() < EVENTS_BYTES {
        *cursor += 1;
        write_change(&mut text, *cursor, state, job, *cursor);
    }
    text
}

/// When a stream speaks although there is no news, and when it ends.
#[derive(Debug)]
pub(super) struct Pace {
    _held: Held,
    /// The turns of this client's streams.
    turns: Arc<Semaphore>,
    /// The milliseconds after which a client that was cut off should connect again; said before anything else, and
    /// then gone.
    retry_ms: Option<u16>,
    /// What is still to be written of the last events.
    unsent: Bytes,
    /// When the stream ends because the server does, by the machine's time.
    ends_at: Option<Duration>,
    /// How many times the keys had changed when the stream began.
    keys: u64,
}

/// Why a stream woke up.
pub(super) enum Woken {
    /// There may be something to send.
    News,
    /// There hasn't been anything for a while.
    Heartbeat,
    /// The server is shutting down and this stream's turn has come.
    End,
}

impl Pace {
    /// Takes room for one more stream of that caller.
    ///
    /// # Errors
    ///
    /// As many are open as may be.
    pub(super) fn new(state: &AppState, caller: &Caller) -> Result<Self, ApiError> {
        let held = state
            .streams
            .hold(caller.client)
            .map_err(|full| refusal(state, full, "event streams"))?;
        let (min, max) = RETRY_MS;
        let retry_ms = min + (f64::from(max - min) * state.spread()) as u16;
        Ok(Self {
            turns: held.turns(),
            _held: held,
            retry_ms: Some(retry_ms),
            unsent: Bytes::new(),
            ends_at: None,
            keys: state.access.changes(),
        })
    }

    /// Whether the keys have changed since the stream began. It ends then, as its own key may be gone: a client whose
    /// key is good goes on where it was.
    pub(super) fn is_outdated(&self, state: &AppState) -> bool {
        self.keys != state.access.changes()
    }

    /// Waits for this stream's turn to write what is new; the next one's begins once that is dropped.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // Each stream has one of these, and what counts them has one more.
        let may_crowd = Arc::strong_count(&self.turns) > TURNS + 1;
        // It is never closed.
        let turn = self.turns.clone().acquire_owned().await.ok();
        if may_crowd {
            // Those that are awake too must find the turns taken, and others' tasks go first.
            tokio::task::yield_now().await;
        }
        turn
    }

    /// The first part of what is to be written; [`rest`](Self::rest) has the others. `None` if there is no room for
    /// that text: the stream ends, and goes on where it was once its client is back.
    pub(super) fn begin(
        &mut self,
        state: &AppState,
        caller: &Caller,
        text: Vec<u8>,
    ) -> Option<Bytes> {
        let text = self.with_greeting(text);
        self.unsent = state.inflight.count(caller.client, text).ok()?;
        Some(self.part())
    }

    /// The next part, in a turn of its own, of what is still to be written.
    pub(super) async fn rest(&mut self) -> Option<Bytes> {
        if self.unsent.is_empty() {
            return None;
        }
        let _turn = self.turn().await;
        Some(self.part())
    }

    fn part(&mut self) -> Bytes {
        self.unsent.split_to(self.unsent.len().min(PART_BYTES))
    }

    /// The text, after the greeting where that hasn't been said.
    fn with_greeting(&mut self, text: impl Into<Vec<u8>>) -> Bytes {
        let text = text.into();
        match self.retry_ms.take() {
            Some(retry_ms) => [format!("retry: {retry_ms}\n\n").as_bytes(), &text]
                .concat()
                .into(),
            None => text.into(),
        }
    }

    /// A comment, which shows that the connection lives.
    pub(super) fn heartbeat(&mut self) -> Bytes {
        self.with_greeting(":\n\n")
    }

    /// Sleeps until there may be news, or it is time for something else.
    ///
    /// Streams don't all end at once when the server goes down, so that their clients don't all come back at once.
    // With a single timer, because there may be many thousands of these.
    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` would store its arguments twice in the future"
    )]
    pub(super) fn sleep<News: Future<Output = ()>>(
        &mut self,
        state: &AppState,
        news: impl FnOnce() -> News,
    ) -> impl Future<Output = Woken> {
        async move {
            let mut news = pin!(news());
            loop {
                let silence = match self.retry_ms {
                    // The first bytes go out at once, so that the client knows that it is connected.
                    Some(_) => Duration::ZERO,
                    None => limits::HEARTBEAT,
                };
                let left = self
                    .ends_at
                    .map(|at| at.saturating_sub(state.clock.elapsed()));
                let is_last = left.is_some_and(|left| left <= silence);
                tokio::select! {
                    () = &mut news => return Woken::News,
                    () = state.clock.hold(left.map_or(silence, |left| left.min(silence))) => {
                        return if is_last { Woken::End } else { Woken::Heartbeat };
                    }
                    () = state.stop.cancelled(), if left.is_none() => {
                        // Half of the drain time: the rest is for slow readers, and for the journal to close on a
                        // busy disk.
                        let drain = state.config.drain.get().mul_f64(0.5 * state.spread());
                        self.ends_at = Some(state.clock.elapsed() + drain);
                    }
                }
            }
        }
    }
}

/// An event stream as an answer.
pub(super) fn answer(events: impl Stream<Item = Bytes> + Send + 'static) -> Answer {
    let mut answer = Answer::new(Body::stream(events.map(Ok)));
    let out = answer.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
        (HeaderName::from_static(headers::INCREMENTAL), "?1"),
    ] {
        out.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Writes the change that made that revision, as the event with that id. A change that is no longer remembered is
/// left out.
pub(super) fn write_change(
    out: &mut Vec<u8>,
    id: impl Display,
    state: &AppState,
    job: &Job,
    revision: u64,
) {
    if let Some(kind) = kind_of_change(job, revision) {
        write_job(out, kind.as_str(), id, state, job, revision);
    }
}

/// Writes an event that shows the job as it was at that revision; nothing if that isn't remembered.
fn write_job(
    out: &mut Vec<u8>,
    name: &str,
    id: impl Display,
    state: &AppState,
    job: &Job,
    revision: u64,
) {
    // What is expected is about now, so it goes with the newest change and no other.
    let is_newest = revision == job.revision;
    let remaining = is_newest
        .then(|| state.board.remaining(job, state.clock.now()))
        .flatten();
    let start = out.len();
    begin_event(out, name, id);
    if state.board.write_line(job, revision, remaining, out) {
        out.extend_from_slice(b"\n\n");
    } else {
        out.truncate(start);
    }
}

/// Writes an event whose JSON has no line breaks.
pub(super) fn write_event(out: &mut Vec<u8>, name: &str, id: impl Display, data: &impl Serialize) {
    begin_event(out, name, id);
    serde_json::to_writer(&mut *out, data).expect("it has only text keys");
    out.extend_from_slice(b"\n\n");
}

fn begin_event(out: &mut Vec<u8>, name: &str, id: impl Display) {
    // Writing to memory doesn't fail.
    let _ = write!(out, "event: {name}\nid: {id}\ndata: ");
}

/// What the change that made that revision is called.
fn kind_of_change(job: &Job, revision: u64) -> Option<EventKind> {
    let change = job.change(revision)?;
    let before = revision
        .checked_sub(1)
        .and_then(|before| job.change(before));
    Some(match change.state {
        JobState::Pending if revision == 1 => EventKind::Created,
        JobState::Running if before.is_some_and(|before| before.state == JobState::Pending) => {
            EventKind::Started
        }
        // A job that is pending again has lost its worker.
        JobState::Pending | JobState::Running => EventKind::Progress,
        JobState::Completed => EventKind::Completed,
        JobState::Failed => EventKind::Failed,
        JobState::Canceled => EventKind::Canceled,
    })
}
