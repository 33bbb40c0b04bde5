//! What of a request is counted on its client's card, beside the looks that handlers note.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use abide_wire::{FaultKind, Timestamp, headers};
use axum::body::Body;
use axum::response::Response;
use http::{Method, Request, StatusCode, Uri, header};

use foldhash::fast::FixedState;

use super::access::Caller;
use super::faults::job_of;
use super::fields::Fields;
use super::routes::Route;
use super::state::AppState;
use crate::looks::Who;
use crate::report::{Client, Failed, Made};

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
    Create(Create),
}

/// A create whose answer hasn't been sent. Where it is dropped instead, the client has gone, and the answer is lost.
#[derive(Debug)]
struct Create {
    state: AppState,
    client: Client,
    said: Said,
    has_key: bool,
    is_answered: bool,
}

/// Where a handler notes, once it has made a job, what the create said. Among the request's extensions.
#[derive(Clone, Debug, Default)]
pub(super) struct Said(Arc<AtomicU64>);

impl Said {
    /// A digest of what a create says. It is for recognizing what the same clients said a moment ago, in this process.
    pub(super) fn digest(text: &[u8]) -> u64 {
        let mut digest = FixedState::default().build_hasher();
        digest.write(text);
        digest.finish().max(1)
    }

    /// Notes that the job has been made.
    pub(super) fn note(&self, digest: u64) {
        self.0.store(digest, Ordering::Relaxed);
    }

    fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|digest| *digest != 0)
    }
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
    ) -> (Self, Said) {
        let (client, said) = (caller.counted(), Said::default());
        let create = Create {
            state: state.clone(),
            client,
            said: said.clone(),
            has_key: fields.value(headers::IDEMPOTENCY_KEY).is_some(),
            is_answered: false,
        };
        let kind = Kind::Create(create);
        (Self { client, kind }, said)
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
            && create.answered(response, is_failed, now)
        {
            return;
        }
        if is_failed {
            count_failed(state, self.client, route, uri, response, now);
        } else if is_several {
            state.report.request(self.client, now);
        }
    }

    /// Counts the answer to a create that went well.
    pub(super) fn made(self, is_replay: bool, now: Timestamp) {
        if let Kind::Create(create) = self.kind {
            create.made(is_replay, false, now);
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
    let failed = Failed {
        asked_at: now,
        at: now,
        job: job_of(state, route, uri),
        retry_after: retry_after(response),
    };
    state.report.failed(client, failed);
}

impl Create {
    /// Counts a create that made a job; `false` where it made none.
    fn answered(self, response: &Response, is_failed: bool, now: Timestamp) -> bool {
        let out = response.headers();
        let decision = out.get(headers::SIM_DECISION);
        let is_cut = decision
            .and_then(|decision| decision.to_str().ok())
            .is_some_and(|decision| decision.contains(FaultKind::Truncate.as_str()));
        let is_replay = out.contains_key(headers::IDEMPOTENT_REPLAYED);
        self.made(is_replay, is_failed || is_cut, now)
    }

    fn made(mut self, is_replay: bool, is_lost: bool, at: Timestamp) -> bool {
        self.is_answered = true;
        let Some(said) = self.said.get() else {
            return false;
        };
        let made = Made {
            at,
            said,
            has_key: self.has_key,
            is_replay,
            is_lost,
        };
        self.state.report.made(self.client, made);
        true
    }
}

impl Drop for Create {
    fn drop(&mut self) {
        if !self.is_answered
            && let Some(said) = self.said.get()
        {
            let made = Made {
                at: self.state.clock.now(),
                said,
                has_key: self.has_key,
                is_replay: false,
                is_lost: true,
            };
            self.state.report.made(self.client, made);
        }
    }
}

impl Caller {
    /// Who this counts as on the report.
    pub(super) fn counted(&self) -> Client {
        Client {
            owner: self.owner,
            who: Who {
                agent: self.agent,
                address: self.address,
            },
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
