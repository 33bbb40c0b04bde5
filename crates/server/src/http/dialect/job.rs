//! What a vendor's routes do with jobs: create, read, stream, cancel and remove them.

use std::sync::Arc;
use std::time::Duration;

use abide_engine::delivery::NamedSecret;
use abide_engine::{Cancel, Create, CreateAll, Delete, Job, JobKey, Json};
use abide_wire::{EventKind, NewJob, Span, WebhookTarget};
use http::header;
use serde_json::{Map, Value};

use super::directive::Directive;
use super::files::RESULT;
use super::hook::texts;
use super::repeat::Repeat;
use super::thing::{Thing, seen};
use crate::attendance::{Read, body_digest};
use crate::board::Channel;
use crate::http::answer::{Answer, Outcome};
use crate::http::base::Base;
use crate::http::call::Call;
use crate::http::error::{ApiError, held, soon};
use crate::http::events;
use crate::http::hold::{Hold, held_until_end};
use crate::http::limits::Held;
use crate::http::seen::Seen;
use crate::http::state::AppState;
use crate::http::trace;
use crate::http::webhooks::{check_webhook_of, wait_for_early_webhook};

/// What a create asks for.
#[derive(Debug)]
pub(super) struct Asked {
    /// The jobs; some vendors make several of one request, all or none.
    pub jobs: Vec<New>,
    /// How a repeat of the create is known; if not at all, it makes jobs of its own.
    pub repeat: Option<Repeat>,
    /// How long to hold the request until the first of them has ended.
    pub hold: Option<Duration>,
    /// The answer, from the jobs as they are.
    pub answer: fn(&[Seen<'_>]) -> Answer,
}

impl Asked {
    /// One job, whose create isn't held and has no name.
    pub(super) fn one(new: New, answer: fn(&[Seen<'_>]) -> Answer) -> Self {
        Self {
            jobs: vec![new],
            repeat: None,
            hold: None,
            answer,
        }
    }
}

/// One job of a create.
#[derive(Debug, Default)]
pub(super) struct New {
    /// The vendor's request, whole.
    pub input: Value,
    /// What it says elsewhere than in its body, for when the job is shown.
    pub notes: Map<String, Value>,
    /// Where to tell of the job.
    pub hook: Option<Hook>,
    /// When the job fails if it hasn't ended by then.
    pub deadline: Option<Span>,
}

impl New {
    /// The job of that request, of which nothing else is said.
    pub(super) fn of(input: Value) -> Self {
        Self {
            input,
            ..Self::default()
        }
    }

    /// Notes that on the job.
    pub(super) fn note(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.notes.insert(name.to_owned(), value.into());
        self
    }
}

/// Where to tell of a job, in the vendor's form.
#[derive(Debug, Default)]
pub(super) struct Hook {
    /// The URL.
    pub url: String,
    /// The native events that the vendor tells of; those of the end if `None`.
    pub events: Option<Vec<EventKind>>,
    /// The name of the secret that signs; see [`secret`]. Each job has a secret of its own if `None`.
    pub secret: Option<String>,
}

/// Creates what is asked for.
///
/// # Errors
///
/// A directive isn't understood, a URL may not be called, or no more requests may be held.
pub(super) fn create(
    state: &AppState,
    call: &Call,
    thing: &'static Thing,
    asked: Asked,
) -> Result<Outcome, ApiError> {
    let directive = Directive::of(state, call)?;
    let base = Base::of(call);
    let caller = call.caller;
    let creates = asked
        .jobs
        .into_iter()
        .map(|new| command(state, call, thing, &base, &directive, new));
    let creates: Vec<_> = creates.collect::<Result<_, _>>()?;
    // Room for the hold is taken first: a create that can't be held as asked should make no job.
    let granted = asked
        .hold
        .map(|length| Hold::grant(state, &caller, Channel::Create, length));
    let granted = granted.transpose()?;
    let digest = body_digest(&call.body);
    let has_key = asked.repeat.is_some();
    let room = call.room.clone();
    let state = state.clone();
    let is_hold = granted.is_some();
    let answer = async move {
        let (mut jobs, is_replay) = made(&state, creates, asked.repeat, room).await?;
        let pending = jobs
            .first()
            .map(|job| state.pending_create(&caller, job.key, digest, has_key, is_replay));
        if let (Some(granted), Some(first)) = (&granted, jobs.first_mut()) {
            *first = held_until_end(&state, &caller, first.clone(), granted).await;
        }
        let now = state.clock.now();
        let wire: Vec<_> = jobs
            .iter()
            .map(|job| job.to_wire(state.board.remaining(job, now)))
            .collect();
        let seen = wire
            .iter()
            .zip(&jobs)
            .map(|(wire, job)| Seen::new(wire, &base, now).queued(job));
        let mut answer = (asked.answer)(&seen.collect::<Vec<_>>());
        directive.tell(answer.headers_mut());
        if let Some(pending) = pending {
            answer.extensions_mut().insert(pending);
        }
        Ok(answer)
    };
    if is_hold { held(answer) } else { soon(answer) }
}

/// The native command, and the name of its webhook's secret.
fn command(
    state: &AppState,
    call: &Call,
    thing: &Thing,
    base: &Base,
    directive: &Directive,
    new: New,
) -> Result<(Create, Option<String>), ApiError> {
    let (name, _) = thing.kind.split_once('.').unwrap_or((thing.kind, ""));
    let mut notes = new.notes;
    notes.insert("dialect".to_owned(), name.into());
    if let Some(result) = &directive.result {
        notes.insert(RESULT.to_owned(), result.clone().into());
    }
    let mut label = None;
    let mut native = NewJob {
        kind: Some(thing.kind.to_owned()),
        input: Some(Json::from(&new.input)),
        metadata: Some(Json::from(&Value::Object(notes))),
        simulate: directive.simulate(),
        webhook: new.hook.map(|hook| {
            label = hook.secret;
            WebhookTarget {
                url: hook.url,
                events: hook.events.map(|kinds| texts(&kinds)),
                secret: None,
            }
        }),
        deadline_s: new.deadline,
        ..NewJob::default()
    };
    check_webhook_of(state, &mut native)?;
    let create = Create {
        owner: call.caller.owner,
        traceparent: trace::parent(&call.headers).map(str::to_owned),
        rendering: native
            .webhook
            .as_ref()
            .map(|_| format!("{name} {}", base.as_str())),
        new: native,
        idempotency_key: None,
    };
    Ok((create, label))
}

/// Makes the jobs, all or none, and says whether they had been made before.
async fn made(
    state: &AppState,
    creates: Vec<(Create, Option<String>)>,
    repeat: Option<Repeat>,
    room: Option<Arc<Held>>,
) -> Result<(Vec<Arc<Job>>, bool), ApiError> {
    let mut jobs = Vec::with_capacity(creates.len());
    for (mut create, label) in creates {
        if let (Some(label), Some(webhook)) = (label, &mut create.new.webhook) {
            let secret = state.commands.ask(NamedSecret(label)).await?;
            webhook.secret = Some(secret.expose().into());
        }
        jobs.push(create);
    }
    let repeats_any = repeat.as_ref().is_some_and(|repeat| repeat.may_differ);
    let idempotency_key = repeat.map(|repeat| repeat.key);
    let create = CreateAll {
        jobs,
        idempotency_key,
        repeats_any,
    };
    let made = state.commands.ask_keeping(create, room).await?;
    for made in &made {
        wait_for_early_webhook(state, made.job.key).await;
    }
    let is_replay = made.iter().any(|made| made.replayed);
    Ok((made.into_iter().map(|made| made.job).collect(), is_replay))
}

/// The vendor's request, which must be a JSON object; no body at all is an empty one.
///
/// # Errors
///
/// As for [`Call::json`].
pub(super) fn request(call: &Call) -> Result<Value, ApiError> {
    let members: Map<String, Value> = call.optional_json()?;
    Ok(Value::Object(members))
}

/// Reads the job whose id is in the path, and counts the read.
///
/// # Errors
///
/// There is none.
pub(super) fn read(
    state: &AppState,
    call: &Call,
    thing: &'static Thing,
) -> Result<Outcome, ApiError> {
    let job = thing.in_path(state, call)?;
    Ok(Outcome::Now(counted(state, call, thing, &job)))
}

/// The job as an answer to a read, which is counted.
pub(super) fn counted(
    state: &AppState,
    call: &Call,
    thing: &'static Thing,
    job: &Arc<Job>,
) -> Answer {
    let answer = thing.shown(state, call, job);
    let pause = answer.headers().get(header::RETRY_AFTER);
    let read = Read {
        retry_after: pause.and_then(|pause| pause.to_str().ok()?.parse().ok()),
        ..Read::of(job, call.now)
    };
    state.attendance.read(call.caller.counted(), read);
    answer
}

/// Streams the job whose id is in the path, from as it is now to its end. Each change is told as `write` says it of the
/// job as it then is, which may be nothing.
///
/// # Errors
///
/// There is no such job, or as many streams are open as may be.
pub(super) fn stream(
    state: &AppState,
    call: &Call,
    thing: &'static Thing,
    write: fn(&Seen<'_>) -> String,
) -> Result<Outcome, ApiError> {
    let (job, base) = (thing.in_path(state, call)?, Base::of(call));
    let write = move |state: &AppState, job: &Job, cursor: &mut u64| {
        *cursor = job.revision;
        seen(state, &base, job, write).into_bytes()
    };
    events::stream_job(state, &call.caller, job.key, 0, Box::new(write))
}

/// Cancels the job whose id is in the path, and shows it as it is then.
///
/// # Errors
///
/// There is none.
pub(super) fn cancel(
    state: &AppState,
    call: &Call,
    thing: &'static Thing,
) -> Result<Outcome, ApiError> {
    let owner = call.caller.owner;
    let job = thing.in_path(state, call)?.key;
    let base = Base::of(call);
    state.ask(Cancel { owner, job }, move |state, job| {
        Ok(thing.shown_at(state, &base, &job))
    })
}

/// Cancels that job, and answers so.
///
/// # Errors
///
/// There is no such job.
pub(super) fn end(
    state: &AppState,
    call: &Call,
    job: JobKey,
    answer: Answer,
) -> Result<Outcome, ApiError> {
    let owner = call.caller.owner;
    state.ask(Cancel { owner, job }, |_, _| Ok(answer))
}

/// Removes the record of that job, which is canceled first if it hasn't ended, and answers so.
///
/// # Errors
///
/// There is no such job.
pub(super) fn remove(
    state: &AppState,
    call: &Call,
    job: JobKey,
    answer: Answer,
) -> Result<Outcome, ApiError> {
    let owner = call.caller.owner;
    let state = state.clone();
    soon(async move {
        state.commands.ask(Cancel { owner, job }).await?;
        state.commands.ask(Delete { owner, job }).await?;
        Ok(answer)
    })
}

/// A secret of the server's by its name, which an owner's endpoints may share.
///
/// # Errors
///
/// The loop refuses.
pub(super) fn secret(
    state: &AppState,
    label: String,
    answer: fn(&abide_wire::webhook::Secret) -> Answer,
) -> Result<Outcome, ApiError> {
    state.ask(NamedSecret(label), move |_, secret| Ok(answer(&secret)))
}

/// What a job failed for, as its vendor's code and message.
pub(super) fn failure(seen: &Seen<'_>) -> Option<(String, String)> {
    let error = seen.error?;
    let message = error
        .detail
        .clone()
        .unwrap_or_else(|| error.title.to_string());
    Some((error.code.to_string(), message))
}

/// Why a job made nothing, for a vendor that has no word for what was canceled.
pub(super) fn why(seen: &Seen<'_>) -> Option<(String, String)> {
    let is_canceled = seen.outcome == Some(abide_wire::Outcome::Canceled);
    let canceled = || ("canceled".to_owned(), "it was canceled".to_owned());
    failure(seen).or_else(|| is_canceled.then(canceled))
}
