//! What of a request is counted on its client's card, beside the looks that handlers note.

use std::time::Duration;

use abide_wire::{FaultKind, Timestamp, headers};
use axum::body::Body;
use axum::response::Response;
use http::{Method, Request, StatusCode, Uri, header};

use super::access::Caller;
use super::faults::job_of;
use super::fields::Fields;
use super::routes::Route;
use super::state::AppState;
use crate::attendance::{BodyDigest, Client, FailedRequest, PendingCreate};

/// Routes by which clients make jobs and wait for them.
const COUNTED: &[&str] = &[
    "/v1/jobs",
    "/v1/jobs/wait",
    "/v1/jobs/{id}",
    "/v1/jobs/{id}/events",
    "/jobs",
    "/status",
    "/status/{id}",
];

/// One request of a client, until it is answered.
#[derive(Debug)]
pub(super) struct Visit {
    client: Client,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A look at one job, which its handler counts.
    Look,
    /// A request for which there are several looks, or none.
    Several,
    /// A create.
    Create(PendingCreate),
}

impl Visit {
    /// What is counted of that request; nothing where it isn't about jobs, or not about waiting for them.
    pub(super) fn of(
        state: &AppState,
        caller: &Caller,
        route: Route,
        method: &Method,
        request: &mut Request<Body>,
    ) -> Option<Self> {
        let client = caller.counted();
        let is_post = method == Method::POST;
        let kind = match route.pattern {
            "/v1/jobs/{id}" | "/status" | "/status/{id}" if method == Method::GET => Kind::Look,
            "/v1/jobs/{id}/events" => Kind::Several,
            "/v1/jobs/wait" if is_post => Kind::Several,
            "/v1/jobs" | "/jobs" if is_post => {
                let (visit, said) = Self::of_create(state, caller, request.headers());
                request.extensions_mut().insert(said);
                return Some(visit);
            }
            _ => return None,
        };
        Some(Self { client, kind })
    }

    /// The visit of a create, and where it is to be noted that it made a job.
    pub(super) fn of_create<F: Fields + ?Sized>(
        state: &AppState,
        caller: &Caller,
        fields: &F,
    ) -> (Self, BodyDigest) {
        let client = caller.counted();
        let has_key = fields.value(headers::IDEMPOTENCY_KEY).is_some();
        let (attendance, clock) = (state.attendance.clone(), state.clock.clone());
        let create = PendingCreate::new(attendance, clock, client, has_key);
        let body = create.body();
        let kind = Kind::Create(create);
        (Self { client, kind }, body)
    }

    /// The visit of a read, which its handler counts.
    pub(super) fn of_look(caller: &Caller) -> Self {
        Self {
            client: caller.counted(),
            kind: Kind::Look,
        }
    }

    /// Counts the answer.
    pub(super) fn answered(
        self,
        state: &AppState,
        route: Route,
        uri: &Uri,
        response: &Response,
        now: Timestamp,
    ) {
        let status = response.status();
        let is_failed = status.is_client_error() || status.is_server_error();
        let is_several = matches!(self.kind, Kind::Several);
        if let Kind::Create(create) = self.kind
            && count_create(create, response, is_failed, now)
        {
            return;
        }
        if is_failed {
            count_failed(state, self.client, route, uri, response, now);
        } else if is_several {
            state.attendance.request(self.client, now);
        }
    }

    /// Counts the answer to a create that went well.
    pub(super) fn made(self, is_replay: bool, now: Timestamp) {
        if let Kind::Create(create) = self.kind {
            create.answered(is_replay, false, now);
        }
    }

    /// Counts a request that wasn't let in.
    pub(super) fn refused(
        state: &AppState,
        client: Client,
        route: Route,
        uri: &Uri,
        response: &Response,
        now: Timestamp,
    ) {
        if COUNTED.contains(&route.pattern) {
            count_failed(state, client, route, uri, response, now);
        }
    }
}

fn count_failed(
    state: &AppState,
    client: Client,
    route: Route,
    uri: &Uri,
    response: &Response,
    now: Timestamp,
) {
    let failed = FailedRequest {
        asked_at: now,
        at: now,
        job: job_of(state, route, uri),
        retry_after: retry_after(response),
    };
    state.attendance.failed(client, failed);
}

/// Counts a create that made a job; `false` where it made none.
fn count_create(
    create: PendingCreate,
    response: &Response,
    is_failed: bool,
    now: Timestamp,
) -> bool {
    let out = response.headers();
    let decision = out.get(headers::SIM_DECISION);
    let is_cut = decision
        .and_then(|decision| decision.to_str().ok())
        .is_some_and(|decision| decision.contains(FaultKind::Truncate.as_str()));
    let is_replay = out.contains_key(headers::IDEMPOTENT_REPLAYED);
    create.answered(is_replay, is_failed || is_cut, now)
}

impl Caller {
    /// Who this counts as on the report.
    pub(super) fn counted(&self) -> Client {
        Client {
            owner: self.owner,
            agent: self.agent,
            address: self.address,
        }
    }
}

/// How long the answer asks its client to wait, where it says so in seconds.
fn retry_after(response: &Response) -> Option<Duration> {
    if response.status() == StatusCode::OK {
        return None;
    }
    let text = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}
