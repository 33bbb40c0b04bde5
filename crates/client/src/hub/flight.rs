//! One request for many, to its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};

use serde::Deserialize;

use abide_wire::{Job, JobId, Json, Span, WaitFailure, WaitRequest};

use super::state::{Batch, Want};
use crate::answer::parse_job;
use crate::exchange::{Call, Failure, FailureKind, JOBS_BYTES_MAX, exchange, object, stretched};
use crate::origin::Origin;
use crate::telemetry::Purpose;

pub(super) type Landing = (Batch, Result<Brought, Failure>);

/// What a request has brought: each job by itself, so that one that can't be read is the trouble of its own waiters
/// alone.
#[derive(Debug)]
pub(super) struct Brought {
    pub(super) jobs: Vec<Job>,
    pub(super) errors: Vec<(JobId, Failure)>,
}

impl Brought {
    fn new(answer: Answered) -> Self {
        let refused = |failed: WaitFailure| (failed.id, Failure::refused(failed.error));
        let mut brought = Self {
            jobs: Vec::with_capacity(answer.jobs.len()),
            errors: answer.errors.into_iter().map(refused).collect(),
        };
        for json in answer.jobs {
            match parse_job(&json) {
                Ok(job) => brought.jobs.push(job),
                Err((Some(id), failure)) => brought.errors.push((id, failure)),
                // An element that names no job can't be handed to any wait.
                Err((None, _)) => {}
            }
        }
        brought
    }
}

/// The body of an answer, with its jobs unread.
#[derive(Deserialize)]
struct Answered {
    jobs: Vec<Json>,
    #[serde(default)]
    errors: Vec<WaitFailure>,
}

/// One request for many, to its answer.
pub(super) async fn fly(
    origin: Arc<Origin>,
    mut batch: Batch,
    mut request: WaitRequest,
) -> Landing {
    let origin = &*origin;
    let hold = match batch.want {
        Want::Now => Duration::ZERO,
        Want::Any | Want::Done => origin.memory.abilities(batch.sent).hold_max,
    };
    request.wait = Span::new(hold);
    if batch.want == Want::Now {
        origin.budget.overdraw();
    } else {
        // One request finds the ends of all of them.
        let weight = (batch.members.len() as f64).sqrt();
        origin.budget.take(&origin.clock, &mut 0.0, weight).await;
    }
    batch.sent = origin.clock.now();
    let answer = send(origin, &request, hold).await;
    let now = origin.clock.now();
    let took = now.saturating_duration_since(batch.sent);
    match &answer {
        Ok(_) if hold.is_zero() => origin.memory.note_rtt(took),
        Ok((answer, granted)) => {
            let held = *granted || took >= hold / 2;
            let news = !answer.jobs.is_empty() || !answer.errors.is_empty();
            if held || !news {
                origin.memory.note_hold(held, now);
            }
        }
        Err(failure) if failure.is_transient() && !hold.is_zero() => {
            origin.memory.note_cut(took, now);
        }
        _ => {}
    }
    (batch, answer.map(|(answer, _)| answer))
}

async fn send(
    origin: &Origin,
    request: &WaitRequest,
    hold: Duration,
) -> Result<(Brought, bool), Failure> {
    let body = serde_json::to_vec(request)
        .map_err(|error| Failure::garbled("the set can't be written").because(error))?;
    let call = Call::new(
        Purpose::Shared,
        Method::POST,
        origin.url(["v1", "jobs", "wait"]),
    )
    .json(Bytes::from(body))
    .limit(JOBS_BYTES_MAX);
    let limit = stretched(hold).saturating_add(origin.attempt_timeout);
    let reply = exchange(origin, &call, limit).await?;
    origin.note_date(&reply);
    let granted = reply.was_held();
    let answer = object(&reply.body)
        .map_err(|error| reply.garbled("the answer holds no jobs").because(error))?;
    Ok((Brought::new(answer), granted))
}

/// A set is refused as such, or its answer is too large: each of its waiters holds alone.
pub(super) fn is_no_set(failure: &Failure) -> bool {
    let refused = matches!(
        failure.status,
        Some(
            StatusCode::BAD_REQUEST
                | StatusCode::NOT_FOUND
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNPROCESSABLE_ENTITY
                | StatusCode::NOT_IMPLEMENTED
        )
    );
    refused || failure.kind == FailureKind::TooLarge
}
