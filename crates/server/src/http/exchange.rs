//! A request under way, from its first look at the limits to the last header of its answer.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use abide_engine::JobKey;
use abide_wire::{Code, Problem, Timestamp, headers};
use futures_util::FutureExt as _;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, header};

use super::access::{Caller, Pass};
use super::answer::{Answer, Body, Outcome};
use super::attendance;
use super::base;
use super::call::{Call, REQUEST_ID, RequestId};
use super::door::Door;
use super::error::ApiError;
use super::limits::{Class, Client, Held, Verdict};
use super::near;
use super::route::{Counts, Row};
use super::state::AppState;
use super::stream_token::without_token;
use super::trace::Trace;
use crate::attendance::PendingCreate;
use crate::config::Role;
use crate::requests::Asked;

const SIM_DECISION: HeaderName = HeaderName::from_static(headers::SIM_DECISION);

/// A request under way, beside what it asks for.
#[derive(Debug)]
pub(super) struct Exchange {
    state: AppState,
    /// The route's path, which is its name in metrics.
    route: &'static str,
    pub door: Door,
    id: RequestId,
    method: Method,
    /// Of the target, if it is to be remembered.
    query: Option<Box<str>>,
    /// When it came, by the machine's time.
    begun: Duration,
    pub class: Class,
    verdict: Option<Verdict>,
    counts: Counts,
    pub caller: Caller,
    job: Option<JobKey>,
    /// The room that the request's body takes, and the answer of a change. Held requests have none.
    pub body: Option<Arc<Held>>,
    /// The place among the requests that change something. In a box, because held requests have none.
    place: Option<Box<Held>>,
    /// Whether it may change something. Its answer isn't refused then: it would be asked again.
    pub may_change: bool,
    /// What the client's proxy puts before every path.
    prefix: Option<Box<str>>,
    /// The page that asks, if it may read the answer. In a box, because most clients are no pages.
    cors: Option<Box<HeaderValue>>,
    trace: Trace,
}

impl Exchange {
    /// One that has begun at that moment of the machine's time, for that route and door.
    pub(super) fn begin(
        state: &AppState,
        begun: Duration,
        (route, door): (&'static str, Door),
        class: Class,
        call: &Call,
    ) -> Self {
        let query = call.uri.query().filter(|_| state.requests.is_on());
        Self {
            state: state.clone(),
            route,
            door,
            id: RequestId::sent(&call.headers).unwrap_or_else(|| state.next_request_id()),
            method: call.method.clone(),
            query: query.map(Into::into),
            begun,
            class,
            verdict: None,
            counts: Counts::Nothing,
            caller: call.caller,
            job: None,
            body: None,
            place: None,
            may_change: false,
            prefix: base::prefix(call).map(Into::into),
            cors: near::allowed_origin(state, &call.headers).map(Box::new),
            trace: Trace::begin(call.method.as_str(), route, call.uri.path(), &call.headers),
        }
    }

    /// Takes a place among the requests that change something, if one is free for that client.
    pub(super) fn take_place(&mut self) -> bool {
        let place = self.state.changes.hold(self.caller.client);
        self.place = place.ok().map(Box::new);
        self.place.is_some()
    }

    /// Leaves its place to others once its command is with the loop, which bounds by itself how many wait there: places
    /// that were kept until the answer would be taken by what only waits for the disk.
    pub(super) fn leave_place(&mut self) {
        self.place = None;
    }

    /// Lets the request in, or says why not.
    pub(super) fn admit(
        &mut self,
        pass: Result<Pass, ApiError>,
        row: Option<&Row>,
        call: &Call,
        host: Option<&Authority>,
    ) -> Result<(), ApiError> {
        let counts = row.map_or(Counts::Nothing, |row| row.counts);
        if self.door.is_open() {
            self.limit(counts)?;
        } else {
            near::refuse_strangers(&self.state, call, host)?;
            let pass = match pass {
                Ok(pass) => pass,
                Err(error) => {
                    self.take(Client::of_address(call.caller.address))?;
                    return Err(error);
                }
            };
            self.limit(counts)?;
            self.refuse_beyond_role(pass.role)?;
        }
        self.let_in(counts);
        Ok(())
    }

    /// Lets a request in whose head was let in before, within limits.
    pub(super) fn admit_again(&mut self, counts: Counts) -> Result<(), ApiError> {
        self.limit(counts)?;
        self.let_in(counts);
        Ok(())
    }

    fn limit(&mut self, counts: Counts) -> Result<(), ApiError> {
        if self.door.is_open() {
            self.class = Class::Page;
            self.take(Client::of_address(self.caller.address))?;
            // Told of where it is refused alone.
            self.verdict = None;
        } else if self.door.is_limited() {
            self.counts = counts;
            self.take(self.caller.client)?;
        } else if matches!(self.door, Door::Apart) {
            self.take_as(self.caller.client, Class::Page)?;
            self.verdict = None;
        }
        Ok(())
    }

    fn let_in(&mut self, counts: Counts) {
        self.counts = match counts {
            Counts::Refusals => Counts::Nothing,
            counts => counts,
        };
    }

    fn take(&mut self, client: Client) -> Result<(), ApiError> {
        self.take_as(client, self.class)
    }

    fn take_as(&mut self, client: Client, class: Class) -> Result<(), ApiError> {
        self.verdict = self.state.rates.take(client, class, self.begun);
        match self.verdict {
            Some(verdict) if !verdict.allowed => Err(ApiError::rate_limited(verdict.wait)),
            _ => Ok(()),
        }
    }

    /// What is everybody's is an admin's alone, and a key that reads changes nothing.
    fn refuse_beyond_role(&self, role: Role) -> Result<(), ApiError> {
        if matches!(self.door, Door::Operator) && role != Role::Admin {
            let has_admin = self.state.access.has_admin();
            return Err(ApiError::admin_key_needed(has_admin));
        }
        if role == Role::Read && !self.method.is_safe() {
            return Err(ApiError::of(403, Code::FORBIDDEN, "This key only reads")
                .detail("a key of the role `read` may be used with GET and HEAD"));
        }
        Ok(())
    }

    /// Notes which job it is about, if that is counted.
    pub(super) fn find_subject(&mut self, row: &Row, call: &Call) {
        if let Some(subject) = row.subject
            && self.counts != Counts::Nothing
        {
            self.job = subject(&self.state, call).map(|subject| subject.job);
        }
    }

    /// The outcome of a request that is answered at once.
    pub(super) fn now(&mut self, row: Option<&Row>, call: &Call, answer: Answer) -> Outcome {
        if let Some(row) = row
            && is_failed(&answer)
        {
            self.find_subject(row, call);
        }
        Outcome::Now(self.finish(call.uri.path(), answer))
    }

    /// The outcome of a request that is answered soon, or turns out to be held.
    pub(super) fn soon(
        mut self,
        path: Box<str>,
        later: impl Future<Output = Outcome> + Send + 'static,
    ) -> Outcome {
        Outcome::Soon(Box::pin(AssertUnwindSafe(later).catch_unwind().map(
            move |outcome| match outcome {
                Ok(Outcome::Now(answer)) => Outcome::Now(self.finish(&path, answer)),
                Ok(outcome) => {
                    let is_hold = matches!(outcome, Outcome::Held(_));
                    self.later(path, is_hold, outcome.answer())
                }
                Err(panic) => {
                    let error = ApiError::panicked(&*panic);
                    Outcome::Now(self.finish(&path, error.into()))
                }
            },
        )))
    }

    /// The outcome of a request that is answered later.
    pub(super) fn later(
        mut self,
        path: Box<str>,
        is_hold: bool,
        answer: impl Future<Output = Answer> + Send + 'static,
    ) -> Outcome {
        // What is held, or meets a fault that takes its time, leaves its place to others.
        self.place = None;
        // Mapped, because an `async` block around it would have room for it twice, and thousands of these may be held.
        let answer = AssertUnwindSafe(answer).catch_unwind().map(move |answer| {
            let answer = answer.unwrap_or_else(|panic| ApiError::panicked(&*panic).into());
            self.finish(&path, answer)
        });
        if is_hold {
            Outcome::Held(Box::pin(answer))
        } else {
            Outcome::Soon(Box::pin(answer.map(Outcome::Now)))
        }
    }

    /// Completes the answer and counts it.
    fn finish(&mut self, path: &str, mut answer: Answer) -> Answer {
        self.body = None;
        self.place = None;
        let create = answer.extensions().get::<PendingCreate>();
        let is_replay = create.is_some_and(PendingCreate::is_replay);
        if let Body::Bytes(bytes) = answer.body_mut() {
            let (inflight, client) = (&self.state.inflight, self.caller.client);
            let all = std::mem::take(bytes);
            let counted = match self.may_change && !is_replay {
                true => Ok(inflight.count_done(client, all)),
                false => inflight.count(client, all),
            };
            match counted {
                Ok(counted) => *bytes = counted,
                Err(full) => answer = ApiError::too_many_bytes(full).into(),
            }
        }
        if let Some(problem) = answer.extensions_mut().remove::<Problem>() {
            answer = self.complete(problem, path, answer);
        }
        let (elapsed, now) = self.state.clock.both();
        let out = answer.headers_mut();
        if let Some(prefix) = self.prefix.take() {
            base::move_location(&prefix, out);
        }
        out.insert(REQUEST_ID, self.id.value());
        out.insert(header::DATE, date(self.state.clock.date()));
        out.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if let Some(origin) = self.cors.take() {
            near::expose(*origin, out);
        }
        if let Some(verdict) = &self.verdict {
            self.door.words().write_limits(verdict, out);
        }
        if self.method == Method::HEAD {
            leave_out_body(&mut answer);
        }
        attendance::answered(
            &self.state,
            &self.caller,
            self.counts,
            self.job,
            &mut answer,
            now,
        );
        let status = answer.status();
        let took = elapsed - self.begun;
        self.remember(path, &answer, now, took);
        let is_short = self.class != Class::Hold;
        self.state.metrics.request(
            &self.method,
            self.route,
            status.as_u16(),
            is_short.then_some(took),
        );
        tracing::debug!(
            request_id = %self.id,
            method = %self.method,
            path,
            status = status.as_u16(),
            took_us = took.as_micros(),
            "answered"
        );
        std::mem::take(&mut self.trace).end(&self.id, status);
        answer
    }

    /// Notes the request for `GET /v1/requests`, if it is a client's.
    fn remember(&mut self, path: &str, answer: &Answer, now: Timestamp, took: Duration) {
        if !self.state.requests.is_on() || matches!(self.door, Door::Open | Door::Operator) {
            return;
        }
        let header = |name| answer.headers().get(name).cloned();
        let query = self.query.take().map(|query| without_token(&query));
        let target = match query.filter(|query| !query.is_empty()) {
            Some(query) => [path, "?", &query].concat().into(),
            None => path.into(),
        };
        self.state.requests.add(Asked {
            n: 0,
            at: now,
            method: self.method.clone(),
            target,
            status: answer.status(),
            took,
            client: self.caller.counted(),
            fault: header(SIM_DECISION),
            location: header(header::LOCATION),
        });
    }

    /// The problem with the request's id and path in it, in the words of the route's door.
    fn complete(&self, mut problem: Problem, path: &str, answer: Answer) -> Answer {
        problem.request_id = Some(self.id.to_string());
        problem.instance.get_or_insert_with(|| path.to_owned());
        let mut completed = self.door.words().problem(&problem);
        let (head, _) = answer.into_parts();
        completed.headers_mut().extend(head.headers);
        *completed.extensions_mut() = head.extensions;
        if problem.status >= 500 {
            tracing::warn!(
                request_id = %self.id,
                method = %self.method,
                path,
                code = %problem.code,
                "answered with a fault"
            );
        }
        completed
    }
}

fn is_failed(answer: &Answer) -> bool {
    answer.status().is_client_error() || answer.status().is_server_error()
}

/// Leaves out the body of an answer to `HEAD`, and says how long it would be.
fn leave_out_body(answer: &mut Answer) {
    let body = std::mem::take(answer.body_mut());
    if let Some(length) = body.length() {
        let out = answer.headers_mut();
        out.entry(header::CONTENT_LENGTH)
            .or_insert_with(|| HeaderValue::from(length));
    }
}

/// The date by the server's own clock, so that a client may correct its clock by ours even if ours is simulated.
fn date(now: Timestamp) -> HeaderValue {
    // Formatted once a second at most.
    thread_local! {
        static LAST: RefCell<(u64, HeaderValue)> =
            const { RefCell::new((u64::MAX, HeaderValue::from_static(""))) };
    }
    let seconds = u64::try_from(now.as_millis().div_euclid(1_000)).unwrap_or(0);
    LAST.with_borrow_mut(|(at, date)| {
        if *at != seconds {
            let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            *date = HeaderValue::try_from(text).expect("a date is a header value");
            *at = seconds;
        }
        date.clone()
    })
}
