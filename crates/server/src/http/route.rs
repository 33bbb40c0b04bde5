//! Routes as rows: one for each method of each path.
//!
//! A row is the one place that says what a request to it is: who may make it, whether it may be held, which job it is
//! about, what it counts as, which function answers it, and how it is described. Rows stand beside their handlers;
//! the [table](super::table) is all of them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use abide_engine::fault::Purpose;
use abide_engine::{JobKey, Owner};
use abide_wire::limits::BODY_BYTES_MAX;
use http::Method;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::answer::{Answer, Outcome};
use super::call::Call;
use super::described::{Param, Request, Response};
use super::door::Door;
use super::error::ApiError;
use super::state::AppState;

/// Answers a request. It reads the call before it returns; what it needs later it takes along.
pub(super) type Handler = fn(&AppState, &Call) -> Result<Outcome, ApiError>;

/// One route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// The method.
    pub verb: Verb,
    /// The path with its place holders, which is also its name in metrics and traces.
    pub path: &'static str,
    /// Who may make it, and in which words it is answered.
    pub door: Door,
    /// What answers it.
    pub handler: Handler,
    /// The most bytes of its body; `None` if no body is read.
    pub body_bytes_max: Option<usize>,
    /// Whether it may be a form with files, which is [read as it comes](super::form) and has a limit of its own.
    pub takes_form: bool,
    /// Whether it is a file, of which the [beginning](super::form::HEAD_BYTES_MAX) is kept, within the limit of forms.
    pub takes_file: bool,
    /// Whether that request asks to be held; `None` if none of this route can be. It decides which limit the request
    /// counts against, and must agree with the handler.
    pub asks_to_hold: Option<fn(&Call) -> bool>,
    /// Which job it is about.
    pub subject: Option<fn(&AppState, &Call) -> Option<Subject>>,
    /// How it is answered if there is no such job, where that is no `404`.
    pub absent: Option<fn(&Call) -> Answer>,
    /// Which faults may meet it.
    pub meets: Meets,
    /// What it counts as in its client's report.
    pub counts: Counts,
    /// Whether it may be asked with a [token](super::stream_token) in place of a key.
    pub takes_token: bool,
    /// Whether its body names many jobs, each with what the client has seen of it.
    pub names_many: bool,
    /// The part of the described interface that it belongs to; `None` if it isn't described.
    pub tag: Option<&'static str>,
    /// The operation's id in the description.
    pub id: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// The same in full; empty if the summary says it all.
    pub text: &'static str,
    /// Parameters that are described one by one.
    pub params: &'static [Param],
    /// Those of a query that is read into a struct.
    pub query: Option<fn() -> Vec<Parameter>>,
    /// Its body.
    pub request: Option<Request>,
    /// What it is answered with, problems that many routes have aside.
    pub answers: &'static [Response],
}

/// A method that routes may have. `HEAD` belongs to `Get`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// The job that a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// Which.
    pub job: JobKey,
    /// Whose it must be.
    pub owner: Owner,
}

/// When faults are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meets {
    /// Never.
    Nothing,
    /// Faults of the job that it is about, on that occasion.
    Job(Purpose),
    /// Faults of the job that it makes.
    Create,
    /// Faults of the jobs that it waits for.
    Set,
    /// Faults of the stream of all jobs.
    Feed,
}

/// What an answered request counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    /// Nothing: it isn't about waiting for jobs.
    Nothing,
    /// Nothing unless it is refused by a limit.
    Refusals,
    /// A read of one job, which its handler counts if it succeeds.
    Read,
    /// One request, whatever number of reads belong to it.
    Request,
    /// A create.
    Create,
}

impl Row {
    const fn new(verb: Verb, path: &'static str, handler: Handler) -> Self {
        Self {
            verb,
            path,
            door: Door::Native,
            handler,
            body_bytes_max: None,
            takes_form: false,
            takes_file: false,
            asks_to_hold: None,
            subject: None,
            absent: None,
            meets: Meets::Nothing,
            counts: Counts::Nothing,
            takes_token: false,
            names_many: false,
            tag: None,
            id: "",
            summary: "",
            text: "",
            params: &[],
            query: None,
            request: None,
            answers: &[],
        }
    }

    /// A read.
    pub(super) const fn get(path: &'static str, handler: Handler) -> Self {
        Self::new(Verb::Get, path, handler)
    }

    /// A command, or a create.
    pub(super) const fn post(path: &'static str, handler: Handler) -> Self {
        Self::new(Verb::Post, path, handler)
    }

    /// A change, or a create under a name of the client's.
    pub(super) const fn put(path: &'static str, handler: Handler) -> Self {
        Self::new(Verb::Put, path, handler)
    }

    /// A change.
    pub(super) const fn patch(path: &'static str, handler: Handler) -> Self {
        Self::new(Verb::Patch, path, handler)
    }

    /// A removal.
    pub(super) const fn delete(path: &'static str, handler: Handler) -> Self {
        Self::new(Verb::Delete, path, handler)
    }

    /// Another door than the native one.
    pub(super) const fn door(mut self, door: Door) -> Self {
        self.door = door;
        self
    }

    /// May be held, if a request asks for it in that way.
    pub(super) const fn holds(mut self, asks_to_hold: fn(&Call) -> bool) -> Self {
        self.asks_to_hold = Some(asks_to_hold);
        self
    }

    /// Is about that job.
    pub(super) const fn job(mut self, subject: fn(&AppState, &Call) -> Option<Subject>) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Is answered so if there is no such job.
    pub(super) const fn absent(mut self, absent: fn(&Call) -> Answer) -> Self {
        self.absent = Some(absent);
        self
    }

    /// May be met by those faults.
    pub(super) const fn meets(mut self, meets: Meets) -> Self {
        self.meets = meets;
        self
    }

    /// Counts as that.
    pub(super) const fn counts(mut self, counts: Counts) -> Self {
        self.counts = counts;
        self
    }

    /// May be asked with a token in the query.
    pub(super) const fn with_token(mut self) -> Self {
        self.takes_token = true;
        self
    }

    /// Has a body that names many jobs.
    pub(super) const fn naming_many(mut self) -> Self {
        self.names_many = true;
        self
    }

    /// Is described under that tag, by that id and summary.
    pub(super) const fn about(
        mut self,
        tag: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Self {
        (self.tag, self.id, self.summary) = (Some(tag), id, summary);
        self
    }

    /// Is described in full.
    pub(super) const fn text(mut self, text: &'static str) -> Self {
        self.text = text;
        self
    }

    /// Has those parameters.
    pub(super) const fn params(mut self, params: &'static [Param]) -> Self {
        self.params = params;
        self
    }

    /// Has the parameters of a query that is read into `T`.
    pub(super) const fn query<T: IntoParams>(mut self) -> Self {
        self.query = Some(|| T::into_params(|| Some(ParameterIn::Query)));
        self
    }

    /// Has that body, of the usual size.
    pub(super) const fn body(mut self, request: Request) -> Self {
        self.body_bytes_max = Some(BODY_BYTES_MAX);
        self.request = Some(request);
        self
    }

    /// Has a body of the usual size, which isn't described.
    pub(super) const fn takes_body(mut self) -> Self {
        self.body_bytes_max = Some(BODY_BYTES_MAX);
        self
    }

    /// Creates a job from a body of the usual size, and meets and counts as such.
    pub(super) const fn creates(self) -> Self {
        self.takes_body()
            .meets(Meets::Create)
            .counts(Counts::Create)
    }

    /// Reads that job, and meets and counts as such.
    pub(super) const fn reads(self, subject: fn(&AppState, &Call) -> Option<Subject>) -> Self {
        self.job(subject)
            .meets(Meets::Job(Purpose::Read))
            .counts(Counts::Read)
    }

    /// Changes or removes that job, and meets as such.
    pub(super) const fn writes(self, subject: fn(&AppState, &Call) -> Option<Subject>) -> Self {
        self.job(subject).meets(Meets::Job(Purpose::Write))
    }

    /// Streams that job, and is held, meets and counts as such.
    pub(super) const fn streams(self, subject: fn(&AppState, &Call) -> Option<Subject>) -> Self {
        self.holds(|_| true)
            .job(subject)
            .meets(Meets::Job(Purpose::Stream))
            .counts(Counts::Request)
    }

    /// May have a form with files for a body.
    pub(super) const fn takes_form(mut self) -> Self {
        self.takes_form = true;
        self
    }

    /// Has a file for a body.
    pub(super) const fn takes_file(mut self) -> Self {
        self.takes_file = true;
        self.takes_body()
    }

    /// Is answered like that.
    pub(super) const fn answers(mut self, answers: &'static [Response]) -> Self {
        self.answers = answers;
        self
    }

    /// Has the handler answer. A panic becomes a `500`.
    pub(super) fn answer(&self, state: &AppState, call: &Call) -> Outcome {
        let handled = catch_unwind(AssertUnwindSafe(|| (self.handler)(state, call)));
        let handled = handled.unwrap_or_else(|panic| Err(ApiError::panicked(&*panic)));
        handled.unwrap_or_else(|error| Outcome::Now(error.into()))
    }
}

impl Verb {
    /// Every one.
    pub(super) const ALL: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// The method that this is, if routes may have it.
    pub(super) fn of(method: &Method) -> Option<Self> {
        Some(match *method {
            Method::GET | Method::HEAD => Self::Get,
            Method::POST => Self::Post,
            Method::PUT => Self::Put,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            _ => return None,
        })
    }

    /// The methods that it allows, as `Allow` lists them.
    pub(super) const fn allowed(self) -> &'static str {
        match self {
            Self::Get => "GET,HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl Subject {
    /// The caller's job whose id is in the path.
    pub(super) fn in_path(_: &AppState, call: &Call) -> Option<Self> {
        Self::of(call, &call.param("id").ok()?)
    }

    /// The caller's job with that id.
    pub(super) fn of(call: &Call, id: &str) -> Option<Self> {
        let owner = call.caller.owner;
        id.parse().ok().map(|job| Self { job, owner })
    }
}
