//! Answers that show a job otherwise than it is: before its end although it has ended, in a word that no client knows,
//! without its result.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::value::RawValue;

use abide_engine::{Job, JobKey};
use abide_wire::{Fault, FaultKind, Outcome, Status, WaitResponse, headers};

use super::decisions::Decisions;
use crate::board::Look;
use crate::http::answer::{Answer, Body};
use crate::http::call::Tags;
use crate::http::seen::{Seen, Shown};
use crate::http::state::AppState;
use crate::http::value::tag_of_revision;

/// The largest answer that is looked into, in bytes; a larger one is left as it is.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The word of [`FaultKind::UnknownStatus`] where the fault names none.
const WORD: &str = "archiving";

/// A job as it is passed on, free-form members unread.
type WireJob = abide_wire::Job<Box<RawValue>>;

/// Whether a fault is about what is shown of a job.
pub(super) fn is_shown(fault: &Fault) -> bool {
    matches!(
        fault.fault,
        FaultKind::Stale | FaultKind::UnknownStatus | FaultKind::LateResult | FaultKind::SlowCancel
    )
}

/// Shows the job of a native read as the faults have it.
pub(super) async fn tamper(
    state: &AppState,
    faults: &[Fault],
    key: JobKey,
    known: &Tags,
    answer: Answer,
    decisions: &mut Decisions,
) -> Answer {
    if answer.status() != StatusCode::OK || !faults.iter().any(is_shown) {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let Some((bytes, mut job)) = read::<WireJob>(body).await else {
        return Answer::from_parts(parts, Body::Empty);
    };
    let before = decisions.len();
    show(state, faults, key, &mut job, decisions);
    if decisions.len() == before {
        return Answer::from_parts(parts, Body::from(bytes));
    }
    change_headers(&mut parts.headers, &job);
    if !job.done && known.matches(job.revision.0) {
        // To this client the job is as it has it.
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        return Answer::from_parts(parts, Body::Empty);
    }
    Answer::from_parts(parts, write(&job))
}

/// Shows each job of a set's answer as its faults have it.
pub(super) async fn tamper_set(
    state: &AppState,
    faults: &[(JobKey, Vec<Fault>)],
    answer: Answer,
    decisions: &mut Decisions,
) -> Answer {
    if answer.status() != StatusCode::OK {
        return answer;
    }
    let (parts, body) = answer.into_parts();
    let Some((bytes, mut response)) = read::<WaitResponse<Box<RawValue>>>(body).await else {
        return Answer::from_parts(parts, Body::Empty);
    };
    let before = decisions.len();
    for job in &mut response.jobs {
        let of_job = faults.iter().find(|(key, _)| key.to_id() == job.id);
        if let Some((key, faults)) = of_job {
            show(state, faults, *key, job, decisions);
        }
    }
    if decisions.len() == before {
        return Answer::from_parts(parts, Body::from(bytes));
    }
    Answer::from_parts(parts, write(&response))
}

/// Shows the job of a read in a dialect as the faults have it.
pub(super) fn tamper_shown(
    state: &AppState,
    faults: &[Fault],
    shown: &Shown,
    answer: Answer,
    decisions: &mut Decisions,
) -> Answer {
    let is_played = |fault: &&Fault| {
        is_shown(fault) && (shown.has_result || fault.fault != FaultKind::LateResult)
    };
    let faults: Vec<Fault> = faults.iter().filter(is_played).cloned().collect();
    let Look::Found(job) = state.board.look(shown.job) else {
        return answer;
    };
    let Some(mut altered) = job.as_of(job.revision).and_then(|job| owned(&job)) else {
        return answer;
    };
    let before = decisions.len();
    show(state, &faults, shown.job, &mut altered, decisions);
    if decisions.len() == before {
        return answer;
    }
    (shown.show)(&Seen::new(&altered, &shown.base, state.clock.now()).queued(&job))
}

/// Shows one job as the faults have it.
fn show(
    state: &AppState,
    faults: &[Fault],
    key: JobKey,
    shown: &mut WireJob,
    decisions: &mut Decisions,
) {
    let Look::Found(job) = state.board.look(key) else {
        return;
    };
    for fault in faults {
        match fault.fault {
            FaultKind::SlowCancel if shown.outcome != Some(Outcome::Canceled) => continue,
            FaultKind::Stale | FaultKind::SlowCancel
                if shown.done && is_fresh(state, &job, fault) =>
            {
                let Some(before) = as_it_was(&job) else {
                    continue;
                };
                *shown = before;
            }
            FaultKind::UnknownStatus if !shown.done => {
                shown.status = Status::Other(fault.word.as_deref().unwrap_or(WORD).to_owned());
            }
            FaultKind::LateResult if shown.result.is_some() && is_fresh(state, &job, fault) => {
                shown.result = None;
            }
            _ => continue,
        }
        decisions.note(fault.fault);
    }
}

/// Whether the job has ended so recently that the fault counts.
fn is_fresh(state: &AppState, job: &Job, fault: &Fault) -> bool {
    job.finished_at
        .is_some_and(|finished_at| state.clock.now().since(finished_at) < fault.delay())
}

/// The job before its last change.
fn as_it_was(job: &Job) -> Option<WireJob> {
    owned(&job.as_of(job.revision.checked_sub(1)?)?)
}

fn owned(job: &abide_wire::Job<&RawValue>) -> Option<WireJob> {
    let text = serde_json::to_string(job).ok()?;
    serde_json::from_str(&text).ok()
}

/// The headers that go with what is shown.
fn change_headers(out: &mut HeaderMap, job: &WireJob) {
    if job.done {
        // Its result is to come under the same revision, so this must not be taken for all that the revision has.
        out.remove(header::ETAG);
        return;
    }
    out.insert(header::ETAG, tag_of_revision(job.revision.0));
    out.remove(HeaderName::from_static(headers::SERVER_TIMING));
    out.entry(header::RETRY_AFTER)
        .or_insert(HeaderValue::from_static("1"));
}

async fn read<T: serde::de::DeserializeOwned>(body: Body) -> Option<(bytes::Bytes, T)> {
    let bytes = body.collect(ANSWER_BYTES_MAX).await.ok()?;
    let value = serde_json::from_slice(&bytes).ok()?;
    Some((bytes, value))
}

fn write(value: &impl Serialize) -> Body {
    Body::from(serde_json::to_vec(value).expect("what was read can be written"))
}
