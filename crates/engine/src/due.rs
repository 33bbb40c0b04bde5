//! The deadline set: what is due when, and from a due deadline to facts.

use std::collections::BTreeSet;
use std::time::Duration;

use abide_wire::{Code, Outcome, Problem, Stage, Timestamp};

use crate::decide::finished;
use crate::delivery::lanes::LaneKey;
use crate::engine::{Effect, Engine};
use crate::entry::Entry;
use crate::job::{Job, State};
use crate::{DeliveryKey, JobKey, Json};

/// What can be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// A simulated job's next step: its start, its next stage, its end.
    Step(JobKey),
    /// The deadline that a job's creator set.
    Deadline(JobKey),
    /// The removal of a job's record.
    Expiry(JobKey),
    /// The end of an idempotency key's memory.
    Forget(u64),
    /// The next life of the default job, which has this name.
    Reset(JobKey),
    /// The next attempt of a delivery.
    Delivery(DeliveryKey),
    /// The end of a pause in a receiver's lane.
    Lane(LaneKey),
}

/// What is due when. One sorted set and one sleeper; no task per timer.
#[derive(Clone, Debug, Default)]
pub struct DueSet {
    set: BTreeSet<(Timestamp, Due)>,
}

impl DueSet {
    /// Adds a deadline.
    pub fn insert(&mut self, at: Timestamp, due: Due) {
        self.set.insert((at, due));
    }

    /// Adds many at once, which is quicker than one by one and packs them closely.
    pub(crate) fn add_all(&mut self, deadlines: Vec<(Timestamp, Due)>) {
        self.set.append(&mut BTreeSet::from_iter(deadlines));
    }

    /// Takes a deadline back.
    pub fn remove(&mut self, at: Timestamp, due: Due) {
        self.set.remove(&(at, due));
    }

    /// The next deadline.
    #[must_use]
    pub fn first(&self) -> Option<(Timestamp, Due)> {
        self.set.first().copied()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }
}

/// The deadlines that a job has in the state it is in.
pub(crate) fn of_job(job: &Job) -> impl Iterator<Item = (Timestamp, Due)> {
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
        return Some(job.created_at);
    };
    let stages = job.stages.as_deref().unwrap_or_default();
    if let Some(begin) = begin_of(stages, usize::from(job.stages_begun)) {
        let after = (plan.duration_ms as f64 * begin).round() as u64;
        return Some(started_at + Duration::from_millis(after.min(plan.duration_ms)));
    }
    (!plan.stuck).then(|| started_at + Duration::from_millis(plan.duration_ms))
}

/// The share of the whole at which that stage begins.
fn begin_of(stages: &[Stage], stage: usize) -> Option<f64> {
    let whole: f64 = stages.iter().map(|stage| stage.share).sum();
    let before = stages.get(..stage).filter(|_| stage < stages.len())?;
    Some(before.iter().map(|stage| stage.share).sum::<f64>() / whole)
}

impl Engine {
    /// When the next deadline is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| at)
    }

    /// Hands out the deliveries that may be sent now, as effects. Call it after [`Engine::fire`], [`Engine::apply`] and
    /// whatever else may have made one due or a place free; the effects are told like all others, after the append.
    pub fn dispatch(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        // What the entries just applied have made due at once needn't wait for the next round.
        while let Some((at, due)) = self.due.first().filter(|(at, _)| *at <= now)
            && self.queue_up(at, due)
        {}
        self.book.dispatch(now, effects);
    }

    /// Lets a due delivery queue up in its receiver's lane; `false` where something else is due. These are no facts yet:
    /// it is the attempt that becomes one, once it is over.
    fn queue_up(&mut self, at: Timestamp, due: Due) -> bool {
        match due {
            Due::Delivery(key) => self.book.is_due(key, at),
            Due::Lane(lane) => self.book.lane_opens(lane),
            _ => return false,
        }
        self.due.remove(at, due);
        true
    }

    /// Turns what is due by `now` into entries, at most `limit` of them, and applies them.
    ///
    /// What happened while nobody looked is dated when it was due, not when it was noticed: a job that ended while
    /// the server was down ended then.
    pub fn fire(
        &mut self,
        now: Timestamp,
        limit: usize,
        entries: &mut Vec<Entry>,
        effects: &mut Vec<Effect>,
    ) {
        let start = entries.len();
        while entries.len() - start < limit {
            let Some((at, due)) = self.due.first().filter(|(at, _)| *at <= now) else {
                break;
            };
            if self.queue_up(at, due) {
                continue;
            }
            let before = entries.len();
            self.facts_of(due, at, entries);
            // Nothing to say of it means that it no longer fits; it must not be due for ever.
            if entries.len() == before {
                self.due.remove(at, due);
            }
            for entry in &entries[before..] {
                self.apply(entry, effects);
            }
        }
    }

    fn facts_of(&self, due: Due, at: Timestamp, entries: &mut Vec<Entry>) {
        match due {
            Due::Step(key) => entries.extend(self.job(key).and_then(|job| self.step(job, at))),
            Due::Deadline(key) => entries.extend(self.job(key).map(|job| {
                let error = Problem::new(504, Code::DEADLINE_EXCEEDED, "The job ran out of time")
                    .detail("it had not ended by the deadline that its creator set");
                finished(job, at, Outcome::Failed, None, Some(error), self.policy())
            })),
            Due::Expiry(job) => entries.push(Entry::Removed { job }),
            Due::Forget(key) => entries.push(Entry::Forgotten { key }),
            Due::Reset(key) => self.reset_default_job(key, at, entries),
            Due::Delivery(_) | Due::Lane(_) => {}
        }
    }

    fn step(&self, job: &Job, at: Timestamp) -> Option<Entry> {
        let plan = job.plan.as_ref()?;
        if job.state == State::Pending {
            return Some(Entry::Started { job: job.key, at });
        }
        let stages = job.stages.as_deref().unwrap_or_default();
        let begun = usize::from(job.stages_begun);
        if let Some(begin) = begin_of(stages, begun) {
            return Some(Entry::Progressed {
                job: job.key,
                at,
                percent: (begin * 100.0) as f32,
                stage: Some(stages[begun].name.clone()),
            });
        }
        Some(match &plan.error {
            Some(error) => finished(
                job,
                at,
                Outcome::Failed,
                None,
                Some(error.as_ref().clone()),
                self.policy(),
            ),
            None => {
                let result = serde_json::json!({
                    "video_url": format!("https://results.invalid/{}.mp4", job.key),
                });
                let result = Some(Json::from(&result));
                finished(job, at, Outcome::Completed, result, None, self.policy())
            }
        })
    }
}
