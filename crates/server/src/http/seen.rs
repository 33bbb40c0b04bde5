//! A job as another system shows it.
//!
//! What a dialect shows is a function of a [`Seen`] and of nothing else, so that it can be shown again otherwise: as a
//! fault has it, or in a webhook, where only the native event is left of it.

use std::borrow::Borrow;
use std::cell::Cell;

use abide_engine::jobs::Planned;
use abide_engine::{Job, JobKey};
use abide_wire::{Outcome, Problem, Progress, Remaining, Status, Timestamp};
use serde_json::Value;
use serde_json::value::RawValue;

use super::answer::Answer;
use super::base::Base;

/// A job, as much of it as other systems show.
#[derive(Clone, Debug)]
pub(super) struct Seen<'a> {
    /// Its native id.
    pub id: &'a str,
    /// What sort of work it is.
    pub kind: &'a str,
    /// Where it stands. A word of a fault's is [`Status::Other`].
    pub status: &'a Status,
    /// How it has ended, if it has.
    pub outcome: Option<Outcome>,
    /// How many changes it has seen.
    pub revision: u64,
    /// How far it is.
    pub progress: Option<&'a Progress>,
    /// What it made.
    pub result: Option<&'a RawValue>,
    /// Why it failed.
    pub error: Option<&'a Problem>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When work began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// Where the client reaches the dialect.
    pub base: &'a Base,
    input: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
    remaining: Option<Remaining>,
    queue_left: f64,
    now: Timestamp,
    /// Whether anything was asked that changes although the job doesn't.
    is_momentary: Cell<bool>,
}

/// How an answer shows a job; goes along with the answer, so that a fault can show the job otherwise.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// Which job.
    pub job: JobKey,
    /// Shows it.
    pub show: fn(&Seen<'_>) -> Answer,
    /// Where the client reaches the dialect.
    pub base: Base,
    /// Whether it shows what the job made.
    pub has_result: bool,
}

impl<'a> Seen<'a> {
    /// A job of the wire's, at that time.
    pub(super) fn new<J: Borrow<RawValue>>(
        job: &'a abide_wire::Job<J>,
        base: &'a Base,
        now: Timestamp,
    ) -> Self {
        Self {
            id: job.id.as_str(),
            kind: &job.kind,
            status: &job.status,
            outcome: job.outcome,
            revision: job.revision.0,
            progress: job.progress.as_ref(),
            result: job.result.as_ref().map(Borrow::borrow),
            error: job.error.as_ref(),
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            updated_at: job.updated_at,
            base,
            input: job.input.as_ref().map(Borrow::borrow),
            metadata: job.metadata.as_ref().map(Borrow::borrow),
            remaining: job.remaining_ms,
            queue_left: 0.0,
            now,
            is_momentary: Cell::new(false),
        }
    }

    /// The same, with what is left of its time in the queue.
    pub(super) fn queued(mut self, job: &Job) -> Self {
        let queue_ms = job.plan.as_ref().map_or(0, Planned::queue_ms);
        if *self.status == Status::Pending && queue_ms > 0 {
            let waited = self.now.since(self.created_at).as_millis() as f64;
            self.queue_left = (1.0 - waited / queue_ms as f64).clamp(0.0, 1.0);
        }
        self
    }

    /// How much time it has left, as it is estimated.
    pub(super) fn remaining(&self) -> Option<Remaining> {
        self.is_momentary.set(true);
        self.remaining
    }

    /// The share of its time in the queue that is left, 0 to 1; 0 if it has begun.
    pub(super) fn queue_left(&self) -> f64 {
        self.is_momentary.set(true);
        self.queue_left
    }

    /// What time it is.
    pub(super) fn now(&self) -> Timestamp {
        self.is_momentary.set(true);
        self.now
    }

    /// Whether what was made of it is true for the moment alone, and not until the job changes.
    pub(super) fn is_momentary(&self) -> bool {
        self.is_momentary.get()
    }

    /// The job's name.
    pub(super) fn key(&self) -> JobKey {
        // The ids of our own jobs are keys.
        self.id.parse().unwrap_or(JobKey::from_u128(0))
    }

    /// The word for its status, of those for pending, running, completed, failed and canceled.
    pub(super) fn word(&self, words: &[&'a str; 5]) -> &'a str {
        match self.status {
            Status::Pending => words[0],
            Status::Running => words[1],
            Status::Completed => words[2],
            Status::Failed => words[3],
            Status::Canceled => words[4],
            Status::Other(word) => word,
        }
    }

    /// How far it is, 0 to 1.
    pub(super) fn share(&self) -> f64 {
        self.progress
            .map_or(0.0, |progress| progress.percent / 100.0)
    }

    /// The request that it was made by; `null` if it has none.
    pub(super) fn input(&self) -> Value {
        read(self.input)
    }

    /// What its dialect noted on it.
    pub(super) fn notes(&self) -> Value {
        read(self.metadata)
    }
}

fn read(json: Option<&RawValue>) -> Value {
    json.and_then(|json| serde_json::from_str(json.get()).ok())
        .unwrap_or_default()
}
