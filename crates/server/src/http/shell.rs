//! What happens around every request, whatever it asks for.
//!
//! Before: it gets a name, its key is checked, its client's limits are. After: the name, the time and the limits are put on the
//! answer, a problem is completed with the name, and it is counted. In between a panic becomes a `500`. All of it is
//! one service rather than a stack of layers, because a read of a status is so short that the stack would cost as
//! much as the read.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

use abide_engine::Owner;
use abide_wire::{Code, Problem, Timestamp, headers};
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use tower::Service;

use super::access::{Caller, Client};
use super::error::{ApiError, problem_response};
use super::faults::Scene;
use super::fields::Fields;
use super::limits::{Class, Verdict};
use super::lines::Lines;
use super::routes::{Door, Route};
use super::state::AppState;
use super::trace::Trace;
use super::visit::Visit;
use crate::attendance;
use crate::serve::Reset;

/// The longest name of a request that is taken from the client, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// All routes with what happens around them: what a connection is served by, and what tests call in process.
#[derive(Clone, Debug)]
pub struct Shell {
    state: AppState,
    router: Router,
    /// Where requests come from. A shell serves one connection.
    address: Option<IpAddr>,
    /// Breaks the connection off; without it, a fault that does is an error of the body.
    reset: Option<Reset>,
}

/// A request's name in the log; also among the request's extensions.
#[derive(Clone, Debug)]
pub struct RequestId(Named);

/// A name for as long as somebody keeps it. One of ours needs no text of its own until it is told.
#[derive(Clone, Debug)]
enum Named {
    Theirs(Arc<str>),
    Ours { started_ms: i64, n: u64 },
}

/// The answer, when it is there.
pub struct Answering(Pin<Box<dyn Future<Output = Response> + Send>>);

/// What the shell knows about a request while it is being answered.
struct Around {
    state: AppState,
    route: Route,
    id: RequestId,
    method: Method,
    uri: Uri,
    begun: Duration,
    class: Class,
    verdict: Option<Verdict>,
    /// Whose card the answer is counted on.
    visit: Option<Visit>,
    /// Whose card a refusal is counted on.
    refused: Option<attendance::Client>,
    trace: Trace,
}

impl Shell {
    /// Those routes, served to whoever is at that address.
    #[must_use]
    pub fn new(state: AppState, router: Router, address: Option<IpAddr>) -> Self {
        Self {
            state,
            router,
            address,
            reset: None,
        }
    }

    /// Lets faults break the connection off.
    #[must_use]
    pub fn with_reset(mut self, reset: Reset) -> Self {
        self.reset = Some(reset);
        self
    }

    /// What it may reach.
    pub(super) const fn state(&self) -> &AppState {
        &self.state
    }

    /// Where requests come from.
    pub(super) const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Answers one request.
    ///
    /// # Cancel safety
    ///
    /// Dropping the answer cancels only the waiting: what was asked of the loop happens all the same.
    pub fn answer<B>(&self, request: Request<B>) -> Answering
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let uri = request.uri();
        let route = Route::of(uri.path());
        let mut around = Around {
            state: self.state.clone(),
            route,
            id: Name::of(request.headers(), &self.state).into(),
            method: request.method().clone(),
            uri: uri.clone(),
            begun: self.state.clock.elapsed(),
            class: class_of(uri.path(), uri.query(), request.headers()),
            verdict: None,
            visit: None,
            refused: None,
            trace: Trace::begin(request.method().as_str(), route, uri.path()),
        };
        let caller = match around.admit(request.headers(), self.address) {
            Ok(caller) => caller,
            Err(error) => {
                let response = around.finish(error.into_response());
                return Answering(Box::pin(std::future::ready(response)));
            }
        };
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(caller);
        request.extensions_mut().insert(around.id.clone());
        around.visit = Visit::of(
            &self.state,
            &caller,
            around.route,
            &around.method,
            &mut request,
        );
        let scene = Scene::of(
            &self.state,
            around.route,
            &request,
            caller,
            self.reset.as_ref(),
        );
        let mut router = self.router.clone();
        if let Some(scene) = scene {
            let answer = AssertUnwindSafe(scene.play(router, request)).catch_unwind();
            return Answering(Box::pin(async move {
                let response = answer.await.unwrap_or_else(|panic| panicked(&*panic));
                around.finish(response)
            }));
        }
        let answer = AssertUnwindSafe(router.call(request)).catch_unwind();
        Answering(Box::pin(async move {
            let response = match answer.await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(panic) => panicked(&*panic),
            };
            around.finish(response)
        }))
    }
}

impl Around {
    /// Lets the request in, or says why not.
    fn admit(&mut self, headers: &HeaderMap, address: Option<IpAddr>) -> Result<Caller, ApiError> {
        let state = self.state.clone();
        if self.route.door == Door::Open {
            return Ok(Caller::new(Owner::ANYONE, address, headers));
        }
        self.refuse_foreign_page(headers)?;
        let owner = state.access.owner(headers).map_err(|error| {
            // Guessing keys has the limit that everything has.
            match self.take(Client::of_address(address)) {
                Err(limited) => limited,
                Ok(()) => error,
            }
        })?;
        let caller = Caller::new(owner, address, headers);
        if self.route.door != Door::Operator
            && let Err(error) = self.take(caller.client)
        {
            self.refused = Some(caller.counted());
            return Err(error);
        }
        Ok(caller)
    }

    fn take(&mut self, client: Client) -> Result<(), ApiError> {
        let now = self.state.clock.now();
        self.verdict = self.state.rates.take(client, self.class, now);
        match self.verdict {
            Some(verdict) if !verdict.allowed => Err(ApiError::rate_limited(verdict.wait)),
            _ => Ok(()),
        }
    }

    /// Where there are no keys, whatever runs in the visitor's browser could change things here: browsers say so themselves.
    fn refuse_foreign_page(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let foreign = headers
            .get("sec-fetch-site")
            .is_some_and(|site| site == "cross-site" || site == "same-site");
        if foreign && !self.method.is_safe() && self.state.access.is_open() {
            return Err(ApiError::of(403, Code::FORBIDDEN, "Not from there")
                .detail("a page of another site may not change anything here"));
        }
        Ok(())
    }

    /// Completes the answer and counts it.
    fn finish(&mut self, mut response: Response) -> Response {
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            response = self.name_problem(problem, response.headers());
        }
        let status = response.status();
        let out = response.headers_mut();
        let now = self.state.clock.now();
        sign(
            out,
            self.id.as_name(),
            now,
            self.verdict.as_ref(),
            self.route.door,
        );
        if let Some(visit) = self.visit.take() {
            visit.answered(&self.state, self.route, &self.uri, &response, now);
        } else if let Some(client) = self.refused {
            Visit::refused(&self.state, client, self.route, &self.uri, &response, now);
        }
        Answered {
            route: self.route,
            method: self.method.as_str(),
            path: self.uri.path(),
            class: self.class,
            begun: self.begun,
            trace: std::mem::take(&mut self.trace),
        }
        .count(&self.state, self.id.as_name(), status);
        response
    }

    /// The same problem, with the request's name and path in it.
    fn name_problem(&self, mut problem: Problem, headers: &HeaderMap) -> Response {
        problem.request_id = Some(self.id.to_string());
        problem
            .instance
            .get_or_insert_with(|| self.uri.path().to_owned());
        let mut response = problem_response(&problem);
        for (name, value) in headers {
            if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
                response.headers_mut().append(name.clone(), value.clone());
            }
        }
        if problem.status >= 500 {
            tracing::warn!(
                request_id = %self.id,
                method = %self.method,
                path = self.uri.path(),
                code = %problem.code,
                "answered with a fault"
            );
        }
        response
    }
}

/// Completes and counts the refusal of a request that didn't go the ordinary way.
pub(super) fn refuse(
    state: &AppState,
    response: Response,
    id: RequestId,
    answered: Answered<'_>,
    verdict: Option<Verdict>,
    visit: Visit,
    uri: Uri,
) -> Response {
    let mut around = Around {
        state: state.clone(),
        route: answered.route,
        id,
        method: answered.method.parse().unwrap_or_default(),
        uri,
        begun: answered.begun,
        class: answered.class,
        verdict,
        visit: Some(visit),
        refused: None,
        trace: answered.trace,
    };
    around.finish(response)
}

/// Puts on an answer what every answer has: the request's name, the date, and what is left of its client's limits.
pub(super) fn sign(
    out: &mut impl Lines,
    name: Name<'_>,
    now: Timestamp,
    verdict: Option<&Verdict>,
    door: Door,
) {
    out.line(headers::REQUEST_ID, |text| match name {
        Name::Theirs(name) => {
            text.str(name);
        }
        Name::Ours { started_ms, n } => {
            text.str("req_").hex(started_ms.unsigned_abs());
            text.str("_").hex(n);
        }
    });
    with_date(now.as_millis(), |date| out.word("date", date));
    if let Some(verdict) = verdict {
        verdict.tell(out, door == Door::Classic);
    }
}

/// A request that has its answer.
#[derive(Debug)]
pub(super) struct Answered<'a> {
    pub route: Route,
    pub method: &'a str,
    pub path: &'a str,
    pub class: Class,
    /// When it came, by the machine's time.
    pub begun: Duration,
    pub trace: Trace,
}

impl Answered<'_> {
    /// Counts it, logs it and ends its span.
    pub(super) fn count(self, state: &AppState, name: Name<'_>, status: StatusCode) {
        let took = state.clock.elapsed() - self.begun;
        let is_short = self.class == Class::Request;
        state.metrics.request(
            self.route.pattern,
            status.as_u16(),
            is_short.then_some(took),
        );
        tracing::debug!(
            request_id = %name,
            method = self.method,
            path = self.path,
            status = status.as_u16(),
            took_us = took.as_micros(),
            "answered"
        );
        self.trace.end(&name, status);
    }
}

/// A request's name, where it is known only while the request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// The client's own.
    Theirs(&'a str),
    /// One of ours, other than those before a restart.
    Ours {
        /// When the server started.
        started_ms: i64,
        /// How many requests had a name of ours before.
        n: u64,
    },
}

impl<'a> Name<'a> {
    /// The client's name for it where it has a decent one, else the next of ours.
    pub(super) fn of<F: Fields + ?Sized>(fields: &'a F, state: &AppState) -> Self {
        let sent = fields.text(headers::REQUEST_ID).filter(|id| {
            !id.is_empty()
                && id.len() <= REQUEST_ID_BYTES_MAX
                && id.bytes().all(|byte| byte.is_ascii_graphic())
        });
        sent.map_or_else(|| state.next_request_name(), Self::Theirs)
    }
}

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Theirs(text) => f.write_str(text),
            Self::Ours { started_ms, n } => write!(f, "req_{started_ms:x}_{n:x}"),
        }
    }
}

impl From<Name<'_>> for RequestId {
    fn from(name: Name<'_>) -> Self {
        Self(match name {
            Name::Theirs(text) => Named::Theirs(text.into()),
            Name::Ours { started_ms, n } => Named::Ours { started_ms, n },
        })
    }
}

impl RequestId {
    /// The name, while the request is known.
    pub(super) fn as_name(&self) -> Name<'_> {
        match self.0 {
            Named::Theirs(ref text) => Name::Theirs(text),
            Named::Ours { started_ms, n } => Name::Ours { started_ms, n },
        }
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_name().fmt(f)
    }
}

impl Answering {
    /// The answer, without the promise that there is one.
    pub(super) fn into_inner(self) -> Pin<Box<dyn Future<Output = Response> + Send>> {
        self.0
    }
}

impl Future for Answering {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl std::fmt::Debug for Answering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answering")
    }
}

impl<B> Service<Request<B>> for Shell
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        self.answer(request)
    }
}

/// Whether the request wants to be held.
pub(super) fn class_of<F: Fields + ?Sized>(path: &str, query: Option<&str>, fields: &F) -> Class {
    let asks = query.is_some_and(|query| {
        query
            .split('&')
            .any(|pair| pair.starts_with("wait=") || pair == "mode=long")
    });
    let prefers = fields
        .texts(headers::PREFER)
        .any(|value| value.contains("wait="));
    if asks || prefers || path.ends_with("/events") || path == "/v1/jobs/wait" {
        Class::Hold
    } else {
        Class::Request
    }
}

/// The date of an answer by the server's own clock, so that a client may correct its clock by ours also where ours is simulated.
fn with_date(millis: i64, then: impl FnOnce(&str)) {
    use std::cell::RefCell;

    // Formatted once a second at most.
    thread_local! {
        static LAST: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    let seconds = u64::try_from(millis.div_euclid(1_000)).unwrap_or(0);
    LAST.with_borrow_mut(|(at, text)| {
        if *at != seconds {
            *text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            *at = seconds;
        }
        then(text);
    });
}

pub(super) fn panicked(panic: &(dyn Any + Send)) -> Response {
    ApiError::internal(panic_text(panic)).into_response()
}

pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
}
