//! What clients ask most, answered from the bytes of a request straight to bytes: reads of a job's state, and [creates](create).
//!
//! Most of what the ordinary way costs them is what a router, a map of headers and a boxed
//! answer cost. Nothing is decided here: who may ask, how often, what a request asks for, whether it is held and what the answer says are
//! the functions that the ordinary way calls. Whatever is refused before it is carried out goes the ordinary way, before anything has been counted.

mod create;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use abide_engine::{Job, Owner};
use abide_wire::Timestamp;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, StatusCode, Uri};
use serde::de::DeserializeOwned;

use super::access::Caller;
use super::dialect::classic::{self, Mode};
use super::error::ApiError;
use super::extract::Query;
use super::hold::Hold;
use super::jobs::{self, ReadQuery};
use super::limits::{Class, Verdict};
use super::lines::Lines as _;
use super::routes::Route;
use super::shell::{
    Answered, Name, RequestId, Shell, class_of, panic_text, panicked, refuse, sign,
};
use super::state::AppState;
use super::trace::Trace;
use super::visit::Visit;
use crate::board::Look;
use crate::connection::{Answering, Answers, Head, Later, Quick};

/// About as long is an answer without its body, in bytes.
const HEAD_BYTES: usize = 512;
/// About as long is one with it.
const ANSWER_BYTES: usize = HEAD_BYTES + 1_024;

/// A read that may be answered at once.
struct Read {
    caller: Caller,
    job: Arc<Job>,
    ask: Ask,
    around: Around,
}

/// What is known of a request beside what it asks for.
struct Around {
    method: &'static str,
    route: Route,
    class: Class,
    begun: Duration,
    verdict: Option<Verdict>,
    is_last: bool,
    trace: Trace,
}

/// What is asked, natively or in the words of the classic systems.
enum Ask {
    Native(jobs::Ask),
    Classic(Mode, Timestamp),
}

impl Answers for Shell {
    fn quick(&self, head: &Head<'_>, body: &[u8], is_last: bool, out: &mut Vec<u8>) -> Quick {
        let start = out.len();
        let begin = AssertUnwindSafe(|| match head.method {
            "GET" => self.read(head, is_last, &mut *out),
            "POST" => self.create(head, body, is_last),
            _ => None,
        });
        let quick = catch_unwind(begin).unwrap_or_else(|panic| {
            // The ordinary way meets it again, and knows what to say.
            tracing::error!(panic = panic_text(&*panic), "a quick answer panicked");
            None
        });
        quick.unwrap_or_else(|| {
            out.truncate(start);
            Quick::Ordinary
        })
    }

    fn ordinary(&self, request: Request<Body>) -> Answering {
        self.answer(request).into_inner()
    }

    fn elapsed(&self) -> Duration {
        self.state().clock.elapsed()
    }
}

impl Shell {
    /// Answers a read, if it is one and succeeds.
    fn read(&self, head: &Head<'_>, is_last: bool, out: &mut Vec<u8>) -> Option<Quick> {
        let state = self.state();
        if state.board.plays_faults() {
            return None;
        }
        let route = Route::of(head.path);
        let which = Which::of(route, head)?;
        let (begun, asked_at) = state.clock.both();
        let owner = state.access.owner(head.fields).ok()?;
        let mut caller = Caller::new(owner, self.address(), head.fields);
        let id = match &which {
            Which::Native(id, _) => Some(*id),
            Which::Classic(id, _) => id.as_deref(),
        };
        let found = match id {
            Some(id) => state.board.look_as(owner, id.parse().ok()?),
            None if state.default_job_asked() => {
                // It belongs to nobody, so everybody who may ask at all may ask for it.
                caller.owner = Owner::ANYONE;
                state.board.look(state.board.default_job()?)
            }
            None => return None,
        };
        let Look::Found(job) = found else {
            return None;
        };
        let (ask, granted) = match which {
            Which::Native(_, query) => {
                let ask = jobs::Ask::of(&query, head.fields, &job, asked_at);
                (
                    Ask::Native(ask),
                    query.grant(head.fields, state, &caller).ok()?,
                )
            }
            Which::Classic(_, mode) if mode.is_held_for(&job) => {
                let granted = mode.grant(state, &caller).ok()?;
                (Ask::Classic(mode, asked_at), Some(granted))
            }
            Which::Classic(_, mode) => (Ask::Classic(mode, asked_at), None),
        };
        let class = class_of(head.path, head.query, head.fields);
        let verdict = state.rates.take(caller.client, class, asked_at);
        if verdict.is_some_and(|verdict| !verdict.allowed) {
            return None;
        }
        let mut read = Read {
            caller,
            job,
            ask,
            around: Around {
                method: "GET",
                route,
                class,
                begun,
                verdict,
                is_last,
                trace: Trace::begin("GET", route, head.path),
            },
        };
        let name = Name::of(head.fields, state);
        let length = granted.as_ref().map(Hold::length);
        if let Some(granted) = granted
            && read.ask.is_held_for(&read.job)
        {
            let target = match read.ask {
                // Its job's name says it.
                Ask::Native(_) => None,
                Ask::Classic(..) => Some(head.target().into()),
            };
            let later = later(state.clone(), read, granted, name.into(), target);
            return Some(Quick::Later(Box::pin(later)));
        }
        let answered = read.answer(state, length, name, head.path, asked_at, out);
        answered.is_ok().then_some(Quick::Answered)
    }
}

/// Holds, then answers. There may be many thousands of these, so they keep little and everything once.
// No `async fn`, which would have room for its arguments twice.
#[expect(clippy::manual_async_fn, reason = "it is a third smaller")]
fn later(
    state: AppState,
    mut read: Read,
    granted: Hold,
    id: RequestId,
    target: Option<Box<str>>,
) -> impl Future<Output = Later> + Send {
    async move {
        let answering = AssertUnwindSafe(async {
            let job = read.job.clone();
            read.job = match &read.ask {
                Ask::Native(ask) => ask.hold(&state, &read.caller, job, &granted).await?,
                Ask::Classic(mode, _) => mode.hold(&state, &read.caller, job, &granted).await?,
            };
            let mut out = Vec::with_capacity(ANSWER_BYTES);
            read.around.is_last |= state.stop.is_cancelled();
            let (length, now) = (Some(granted.length()), state.clock.now());
            let target = target_of(target.as_deref(), &read.job);
            let path = target.split('?').next().unwrap_or_default();
            read.answer(&state, length, id.as_name(), path, now, &mut out)?;
            Ok::<_, ApiError>(out)
        });
        let response = match answering.catch_unwind().await {
            Ok(Ok(out)) => return Later::Bytes(out),
            Ok(Err(error)) => error.into_response(),
            Err(panic) => panicked(&*panic),
        };
        let visit = Visit::of_look(&read.caller);
        let target = target_of(target.as_deref(), &read.job);
        Later::Response(refused(&state, response, id, read.around, &target, visit))
    }
}

/// What was asked for: that, or else the job natively.
fn target_of<'t>(target: Option<&'t str>, job: &Job) -> std::borrow::Cow<'t, str> {
    target.map_or_else(|| format!("/v1/jobs/{}", job.key).into(), Into::into)
}

/// Completes and counts a refusal of what was let in.
fn refused(
    state: &AppState,
    response: Response,
    id: RequestId,
    mut around: Around,
    target: &str,
    visit: Visit,
) -> Response {
    let uri: Uri = target.parse().unwrap_or_default();
    let verdict = around.verdict;
    let answered = around.answered(uri.path());
    refuse(state, response, id, answered, verdict, visit, uri.clone())
}

/// Which job a read is for, and what its query says.
enum Which<'h> {
    Native(&'h str, ReadQuery),
    /// The default job where there is no name.
    Classic(Option<std::borrow::Cow<'h, str>>, Mode),
}

impl<'h> Which<'h> {
    fn of(route: Route, head: &'h Head<'_>) -> Option<Self> {
        match route.pattern {
            "/v1/jobs/{id}" => {
                let id = head.path.strip_prefix("/v1/jobs/")?;
                Some(Self::Native(id, query(head)?))
            }
            "/status/{id}" => {
                let id = head.path.strip_prefix("/status/")?;
                let query: classic::ModeQuery = query(head)?;
                Some(Self::Classic(Some(id.into()), query.mode))
            }
            "/status" => {
                let query: classic::StatusQuery = query(head)?;
                Some(Self::Classic(query.job_id.map(Into::into), query.mode))
            }
            _ => None,
        }
    }
}

/// The query, if it can be read.
fn query<T: DeserializeOwned + Default>(head: &Head<'_>) -> Option<T> {
    if head.query.is_none() {
        return Some(T::default());
    }
    let uri: Uri = head.target().parse().ok()?;
    Query::of(&uri).ok().map(|Query(query)| query)
}

impl Read {
    /// Appends the answer. Where there is an error, what was appended is none.
    fn answer(
        &mut self,
        state: &AppState,
        length: Option<Duration>,
        name: Name<'_>,
        path: &str,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Result<(), ApiError> {
        out.reserve(HEAD_BYTES);
        let is_known = matches!(&self.ask, Ask::Native(ask) if ask.knows(&self.job));
        let status = if is_known {
            StatusCode::NOT_MODIFIED
        } else {
            StatusCode::OK
        };
        begin(status, out);
        let body: Option<Bytes> = match &self.ask {
            Ask::Native(ask) => ask.answer(state, &self.caller, &self.job, length, now, out)?,
            Ask::Classic(mode, asked_at) => {
                Some(mode.answer(state, &self.caller, &self.job, *asked_at, now, out))
            }
        };
        self.around
            .end(state, name, path, status, now, body.as_deref(), out);
        Ok(())
    }
}

/// Appends the first line of an answer.
fn begin(status: StatusCode, out: &mut Vec<u8>) {
    let line: &[u8] = match status {
        StatusCode::ACCEPTED => b"HTTP/1.1 202 Accepted\r\n",
        StatusCode::NOT_MODIFIED => b"HTTP/1.1 304 Not Modified\r\n",
        _ => b"HTTP/1.1 200 OK\r\n",
    };
    out.extend_from_slice(line);
}

impl Around {
    /// Appends what every answer has at its end, and counts it.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are what an answer is made of"
    )]
    fn end(
        &mut self,
        state: &AppState,
        name: Name<'_>,
        path: &str,
        status: StatusCode,
        now: Timestamp,
        body: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) {
        sign(out, name, now, self.verdict.as_ref(), self.route.door);
        if let Some(body) = body {
            out.line("content-length", |text| {
                text.number(body.len());
            });
        }
        if self.is_last {
            out.word("connection", "close");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body.unwrap_or_default());
        self.answered(path).count(state, name, status);
    }

    /// The request, now that it has its answer.
    fn answered<'a>(&mut self, path: &'a str) -> Answered<'a> {
        Answered {
            route: self.route,
            method: self.method,
            path,
            class: self.class,
            begun: self.begun,
            trace: std::mem::take(&mut self.trace),
        }
    }
}

impl Ask {
    fn is_held_for(&self, job: &Job) -> bool {
        match self {
            Self::Native(ask) => ask.is_held_for(job),
            Self::Classic(mode, _) => mode.is_held_for(job),
        }
    }
}
