//! From a job's state to its deadlines, and from a deadline to entries.

use std::time::Duration;

use abide_wire::{Code, Outcome, Problem, Timestamp};

use super::change::Finished;
use super::job::{Job, State};
use super::plan::begin_of;
use super::table::Jobs;
use crate::Json;
use crate::due::Due;
use crate::entry::{Entries, Entry};
use crate::policy::Policy;

/// The deadlines that a job has in the state it is in.
pub(super) fn of_job(job: &Job) -> impl Iterator<Item = (Timestamp, Due)> {
    let (step, deadline, expiry) = if job.is_done() {
        (None, None, job.expires_at)
    } else {
        (next_step(job), job.deadline_at(), None)
    };
    [
        step.map(|at| (at, Due::Step(job.key))),
        deadline.map(|at| (at, Due::Deadline(job.key))),
        expiry.map(|at| (at, Due::Expiry(job.key))),
    ]
    .into_iter()
    .flatten()
}

fn next_step(job: &Job) -> Option<Timestamp> {
    let plan = job.plan.as_ref()?;
    let Some(started_at) = job.started_at else {
        return Some(job.created_at + Duration::from_millis(plan.queue_ms()));
    };
    let stages = job.stages.as_deref().unwrap_or_default();
    if let Some(begin) = begin_of(stages, usize::from(job.stages_begun)) {
        let after = (plan.duration_ms() as f64 * begin).round() as u64;
        return Some(started_at + Duration::from_millis(after.min(plan.duration_ms())));
    }
    (!plan.is_stuck()).then(|| started_at + Duration::from_millis(plan.duration_ms()))
}

impl Jobs {
    /// What a deadline of that time means now, in entries; nothing if it no longer fits.
    pub(crate) fn fall_due(
        &self,
        due: Due,
        (at, now): (Timestamp, Timestamp),
        policy: &Policy,
        entries: &mut Entries,
    ) {
        match due {
            Due::Step(key) => {
                entries.extend(self.get(key).and_then(|job| step(job, at, policy)));
            }
            Due::Deadline(key) => entries.extend(self.get(key).map(|job| {
                let error = Problem::new(504, Code::DEADLINE_EXCEEDED, "The job ran out of time")
                    .detail("it had not ended by the deadline that its creator set");
                Finished::failed(job, at, error, policy)
            })),
            Due::Lease(key) => entries.extend(self.lease_due(key, at, policy)),
            Due::Expiry(job) => entries.push(Entry::Removed { job }),
            Due::Forget(key) => entries.push(Entry::Forgotten { key }),
            Due::Reset(job) => self.play_again(job, (at, now), policy, entries),
            Due::Delivery(_) | Due::Lane(_) | Due::Sweep(_) => {}
        }
    }
}

/// A simulated job's next step.
fn step(job: &Job, at: Timestamp, policy: &Policy) -> Option<Entry> {
    let plan = job.plan.as_ref()?;
    if job.state == State::Pending {
        return Some(Entry::Started { job: job.key, at });
    }
    let stages = job.stages.as_deref().unwrap_or_default();
    let begun = usize::from(job.stages_begun);
    if let Some((begin, stage)) = begin_of(stages, begun).zip(stages.get(begun)) {
        return Some(Entry::Progressed {
            job: job.key,
            at,
            percent: (begin * 100.0) as f32,
            stage: Some(stage.name.clone()),
        });
    }
    if plan.is_canceled() {
        let finished = Finished::new(job, at, Outcome::Canceled, policy);
        return Some(Entry::Finished(Box::new(finished)));
    }
    Some(match plan.error() {
        Some(error) => Finished::failed(job, at, error.clone(), policy),
        None => {
            let url = format!("https://results.invalid/{}.mp4", job.key);
            let result = Json::from(&serde_json::json!({ "video_url": url }));
            Finished::completed(job, at, result, policy)
        }
    })
}
