//! Faults: what the simulator does to answers.
//!
//! It happens here, around the handlers, which know nothing of it: a request for a job is an occasion, occasions are
//! [counted](ordinals), and [`abide_engine::fault`] says which faults meet this one. What it comes to is one of three:
//!
//! - **instead of an answer**: a reset, or an error. A read isn't even carried out. A create is, so that a client
//!   that tries again without an idempotency key makes two jobs, as it would in life;
//! - **another answer**: the job as it was before its end, with a status of another word, without its result ([`job`]);
//! - **the answer, spoiled on its way**: late, stalled after the head, ended half way; a stream that is cut or falls silent ([`body`]).
//!
//! Each answer that was tampered with says how in `Sim-Decision`, but for the one that never comes.
//!
//! A server without faults pays for all this with one look at a flag.

mod body;
mod job;
mod ordinals;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use tower::Service as _;

use abide_engine::fault::{Purpose, delay_of, meet};
use abide_engine::luck::digest;
use abide_engine::{Job, JobKey, Luck};
use abide_wire::{Code, Fault, FaultKind, WaitRequest, headers};

use super::access::Caller;
use super::error::ApiError;
use super::extract::{Tags, read_body};
use super::routes::Route;
use super::state::AppState;
use crate::board::Look;
use crate::serve::Reset;

pub(super) use ordinals::Ordinals;

/// The status of what is never sent, where it is counted.
const NEVER_SENT: u16 = 499;

/// A request that may meet a fault.
#[derive(Debug)]
pub(super) struct Scene {
    state: AppState,
    caller: Caller,
    reset: Option<Reset>,
    occasion: Occasion,
    is_classic: bool,
}

#[derive(Debug)]
enum Occasion {
    /// It is about that job.
    Job(JobKey, Purpose),
    /// It makes a job.
    Create,
    /// It waits for several.
    Set,
    /// It is the stream of all jobs.
    Feed,
}

/// The faults that meet one occasion.
#[derive(Debug)]
struct Met {
    fate: u64,
    ordinal: u32,
    luck: Luck,
    faults: Vec<Fault>,
}

/// What was done to an answer, as `Sim-Decision` tells it.
#[derive(Debug, Default)]
struct Decisions(Vec<&'static str>);

impl Scene {
    /// The scene that a request makes, if it is one that a fault can meet and there may be any. This is asked of every
    /// request, so it is cheap.
    pub(super) fn of<B>(
        state: &AppState,
        route: Route,
        request: &Request<B>,
        caller: Caller,
        reset: Option<&Reset>,
    ) -> Option<Self> {
        // A create may bring the first fault there is.
        let may_create = request.method() == Method::POST;
        if !may_create && !state.board.plays_faults() {
            return None;
        }
        let occasion = Occasion::of(state, route, request.method(), request.uri())?;
        Some(Self {
            state: state.clone(),
            caller,
            reset: reset.cloned(),
            occasion,
            is_classic: !route.pattern.starts_with("/v1/"),
        })
    }

    /// Has the request answered, and plays what meets it.
    ///
    /// # Cancel safety
    ///
    /// Dropping it cancels the waiting, as for any answer.
    pub(super) async fn play(self, mut router: Router, request: Request<Body>) -> Response {
        match self.occasion {
            Occasion::Job(key, Purpose::Stream) => {
                let met = self.find(key).map(|job| self.meet(&job, Purpose::Stream));
                let response = answer(&mut router, request).await;
                self.spoil_stream(response, met)
            }
            Occasion::Feed => {
                let met = self.meet_feed();
                let response = answer(&mut router, request).await;
                self.spoil_stream(response, Some(met))
            }
            Occasion::Job(key, purpose) => {
                let Some(job) = self.find(key) else {
                    return answer(&mut router, request).await;
                };
                let met = self.meet(&job, purpose);
                self.play_read(met, key, router, request).await
            }
            Occasion::Create => {
                let response = answer(&mut router, request).await;
                if !self.state.board.plays_faults() {
                    return response;
                }
                let made = created(&response).and_then(|key| self.find(key));
                let Some(job) = made else {
                    return response;
                };
                let met = self.meet(&job, Purpose::Create);
                self.play_after(met, response).await
            }
            Occasion::Set => self.play_set(router, request).await,
        }
    }

    /// What comes instead of an answer comes before the request is carried out, the rest after.
    async fn play_read(
        &self,
        met: Met,
        key: JobKey,
        mut router: Router,
        request: Request<Body>,
    ) -> Response {
        if met.faults.is_empty() {
            return answer(&mut router, request).await;
        }
        let mut decisions = Decisions::default();
        if let Some(response) = self.play_instead(&met, &mut decisions).await {
            return decisions.tell(response);
        }
        let known = Tags::if_none_match(request.headers());
        let response = answer(&mut router, request).await;
        let response = if self.is_classic {
            job::tamper_classic(&self.state, &met.faults, key, response, &mut decisions)
        } else {
            job::tamper(
                &self.state,
                &met.faults,
                key,
                &known,
                response,
                &mut decisions,
            )
            .await
        };
        let response = self.spoil(&met, response, &mut decisions).await;
        decisions.tell(response)
    }

    /// Everything comes after the request has been carried out.
    async fn play_after(&self, met: Met, response: Response) -> Response {
        let mut decisions = Decisions::default();
        if let Some(instead) = self.play_instead(&met, &mut decisions).await {
            // What there was to say of the job is still to be counted.
            let mut instead = decisions.tell(instead);
            instead
                .extensions_mut()
                .extend(response.extensions().clone());
            return instead;
        }
        let response = self.spoil(&met, response, &mut decisions).await;
        decisions.tell(response)
    }

    /// A set meets what meets any of its jobs. The faults of every job count once for the whole set, by the oldest of its jobs.
    async fn play_set(&self, mut router: Router, request: Request<Body>) -> Response {
        let (parts, body) = request.into_parts();
        let bytes = match read_body(&parts.headers, body).await {
            Ok(bytes) => bytes,
            Err(error) => return error.into_response(),
        };
        let wish = serde_json::from_slice::<WaitRequest>(&bytes);
        let items = wish.map_or_else(|_| Vec::new(), |wish| wish.jobs);
        let mut keys: Vec<JobKey> = items
            .iter()
            .filter_map(|item| item.id.as_str().parse().ok())
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let request = Request::from_parts(parts, Body::from(bytes));
        let jobs: Vec<Arc<Job>> = keys.into_iter().filter_map(|key| self.find(key)).collect();
        let mut decisions = Decisions::default();
        let mut of_jobs = Vec::new();
        let mut of_set: Option<Met> = None;
        for (place, job) in jobs.iter().enumerate() {
            let mut met = self.meet(job, Purpose::Read);
            let own = job.faults();
            let (shown, answered): (Vec<_>, Vec<_>) = met.faults.drain(..).partition(job::is_shown);
            let counted = answered
                .into_iter()
                .filter(|fault| place == 0 || own.contains(fault));
            met.faults = counted.collect();
            match &mut of_set {
                Some(of_set) => of_set.faults.append(&mut met.faults),
                None => of_set = Some(met),
            }
            if !shown.is_empty() {
                of_jobs.push((job.key, shown));
            }
        }
        if let Some(met) = &of_set
            && let Some(instead) = self.play_instead(met, &mut decisions).await
        {
            return decisions.tell(instead);
        }
        let mut response = answer(&mut router, request).await;
        if !of_jobs.is_empty() {
            response = job::tamper_set(&self.state, &of_jobs, response, &mut decisions).await;
        }
        if let Some(met) = &of_set {
            response = self.spoil(met, response, &mut decisions).await;
        }
        decisions.tell(response)
    }

    /// Waits where the answer is to be late, and gives what is to be sent instead of it.
    async fn play_instead(&self, met: &Met, decisions: &mut Decisions) -> Option<Response> {
        if let Some(fault) = met.first(FaultKind::Latency) {
            decisions.note(fault.fault);
            self.wait(delay_of(fault)).await;
        }
        if met.first(FaultKind::Reset).is_some() {
            if let Some(reset) = &self.reset {
                reset.reset();
            }
            let mut response = Response::new(body::broken());
            *response.status_mut() = StatusCode::from_u16(NEVER_SENT).unwrap_or_default();
            return Some(response);
        }
        let fault = met.first(FaultKind::Error)?;
        decisions.note(fault.fault);
        let status = fault.status.unwrap_or(503);
        let mut error = ApiError::of(status, Code::SIMULATED, "The simulator plays a fault")
            .detail(
                "this answer was asked for: see `simulate.faults` of the job, or `/v1/simulator`",
            );
        if let Some(text) = &fault.retry_after
            && let Ok(value) = HeaderValue::from_str(text)
        {
            error = error.header(header::RETRY_AFTER, value);
        }
        Some(error.into_response())
    }

    /// Spoils the body on its way.
    async fn spoil(
        &self,
        met: &Met,
        mut response: Response,
        decisions: &mut Decisions,
    ) -> Response {
        if met.first(FaultKind::Truncate).is_some() {
            let (truncated, is_cut) = body::truncate(response).await;
            response = truncated;
            if is_cut {
                decisions.note(FaultKind::Truncate);
            }
        }
        if let Some(fault) = met.first(FaultKind::Stall) {
            decisions.note(FaultKind::Stall);
            let stop = self.state.stop.clone();
            let hold = self.state.clock.hold(delay_of(fault));
            response = response.map(|inner| body::stall(inner, hold, stop));
        }
        response
    }

    fn spoil_stream(&self, response: Response, met: Option<Met>) -> Response {
        let Some(met) = met.filter(|_| response.status() == StatusCode::OK) else {
            return response;
        };
        let fault = met
            .faults
            .iter()
            .find(|fault| matches!(fault.fault, FaultKind::StreamCut | FaultKind::StreamMute));
        let Some(fault) = fault else {
            return response;
        };
        let place = met
            .luck
            .unit(met.fate, "stream place", u64::from(met.ordinal));
        // Within the first few events, so that also a short stream is met.
        let events = (place * 3.0) as usize;
        let stop = self.state.stop.clone();
        let is_cut = fault.fault == FaultKind::StreamCut;
        let response = response.map(|inner| body::spoil_stream(inner, events, is_cut, stop));
        let mut decisions = Decisions::default();
        decisions.note(fault.fault);
        decisions.tell(response)
    }

    /// Waits by the clock of connections, but not beyond the server's end.
    async fn wait(&self, length: Duration) {
        tokio::select! {
            () = self.state.clock.hold(length) => {}
            () = self.state.stop.cancelled() => {}
        }
    }

    fn find(&self, key: JobKey) -> Option<Arc<Job>> {
        let board = &self.state.board;
        // The default job of the classic routes is nobody's, and everybody may ask for it there.
        let is_everybodys = self.is_classic && board.default_job() == Some(key);
        match board.look(key) {
            Look::Found(job) if job.owner == self.caller.owner || is_everybodys => Some(job),
            _ => None,
        }
    }

    /// Counts an occasion of that job where there are faults that may meet it, and gives those that do.
    fn meet(&self, job: &Job, purpose: Purpose) -> Met {
        let (defaults, luck) = self.state.board.settings();
        let fate = job.fate();
        let (own, all) = (job.faults(), &defaults.faults);
        let may = own.iter().chain(all.iter()).any(|it| purpose.is_met_by(it));
        let ordinal = if may {
            self.state.ordinals.next(job.key, purpose)
        } else {
            0
        };
        Met {
            fate,
            ordinal,
            luck,
            faults: if may {
                meet(own, all, fate, purpose, ordinal, luck)
                    .cloned()
                    .collect()
            } else {
                Vec::new()
            },
        }
    }

    /// The stream of all jobs has no job; its owner stands in for one.
    fn meet_feed(&self) -> Met {
        let (defaults, luck) = self.state.board.settings();
        let fate = digest(&[b"feed", &self.caller.owner.0.to_le_bytes()]);
        let key = JobKey::from_u128(u128::from(fate));
        let ordinal = self.state.ordinals.next(key, Purpose::Stream);
        let faults = meet(&[], &defaults.faults, fate, Purpose::Stream, ordinal, luck);
        Met {
            fate,
            ordinal,
            luck,
            faults: faults.cloned().collect(),
        }
    }
}

impl Occasion {
    fn of(state: &AppState, route: Route, method: &Method, uri: &Uri) -> Option<Self> {
        let is_read = method == Method::GET || method == Method::HEAD;
        let is_post = method == Method::POST;
        let purpose = match route.pattern {
            "/v1/jobs" | "/jobs" if is_post => return Some(Self::Create),
            "/v1/jobs/wait" if is_post => return Some(Self::Set),
            "/v1/events" if is_read => return Some(Self::Feed),
            "/v1/jobs/{id}/events" if is_read => Purpose::Stream,
            "/v1/jobs/{id}/cancel" if is_post => Purpose::Write,
            "/v1/jobs/{id}" | "/status" | "/status/{id}" if is_read => Purpose::Read,
            "/v1/jobs/{id}" => Purpose::Write,
            _ => return None,
        };
        job_of(state, route, uri).map(|key| Self::Job(key, purpose))
    }
}

impl Met {
    fn first(&self, kind: FaultKind) -> Option<&Fault> {
        self.faults.iter().find(|fault| fault.fault == kind)
    }
}

impl Decisions {
    fn note(&mut self, kind: FaultKind) {
        if !self.0.contains(&kind.as_str()) {
            self.0.push(kind.as_str());
        }
    }

    fn tell(self, mut response: Response) -> Response {
        // Where the body is another, its length is too.
        response.headers_mut().remove(header::CONTENT_LENGTH);
        if !self.0.is_empty()
            && let Ok(value) = HeaderValue::from_str(&self.0.join(", "))
        {
            let name = HeaderName::from_static(headers::SIM_DECISION);
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// The job that a request is about, by its path or query, or the default job where it names none.
pub(super) fn job_of(state: &AppState, route: Route, uri: &Uri) -> Option<JobKey> {
    let path = uri.path();
    let id = match route.pattern {
        "/status" => {
            let query = uri.query().unwrap_or_default();
            let named = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("job_id="));
            match named {
                Some(id) => id,
                None => return state.board.default_job(),
            }
        }
        "/status/{id}" => path.strip_prefix("/status/")?,
        _ => path.strip_prefix("/v1/jobs/")?.split('/').next()?,
    };
    id.parse().ok()
}

/// The job that was made, by where the answer says that it is.
pub(super) fn created(response: &Response) -> Option<JobKey> {
    if !response.status().is_success() {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    location.rsplit('/').next()?.parse().ok()
}

async fn answer(router: &mut Router, request: Request<Body>) -> Response {
    match router.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
