//! What changes a job after its create: cancel, delete, a worker's report, and the simulator's steps.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use abide_wire::{Code, Outcome, Problem, Progress, Revision, Stage, Timestamp, Worker, limits};

use super::job::{CHANGES_MAX, Change, Job, State, problem_bytes};
use super::learn::Step;
use super::lease::{Claimed, Token};
use super::table::Jobs;
use crate::command::{Command, Decided, Refusal};
use crate::effect::Touch;
use crate::engine::Engine;
use crate::entry::{Entries, Entry};
use crate::intern::Percent;
use crate::policy::Policy;
use crate::{JobKey, Json, Owner};

/// Ends a job without an outcome of its own. Does nothing to an ended job.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Cancel {
    /// Who asks.
    pub owner: Owner,
    /// The job.
    pub job: JobKey,
}

/// Removes the record of an ended job. May be repeated.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Delete {
    /// Who asks.
    pub owner: Owner,
    /// The job.
    pub job: JobKey,
}

/// A report of an external worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Who asks.
    pub owner: Owner,
    /// The job.
    pub job: JobKey,
    /// The revision that the worker believes to be the newest; any if `None`.
    pub if_match: Option<Revision>,
    /// The lease that the worker holds; `None` if it didn't claim the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Token>,
    /// What the worker says.
    pub work: Work,
}

/// What a worker says of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// It is alive, which renews its lease.
    Heartbeat,
    /// It goes on, and is this far.
    Progress(Progress),
    /// It is done, with this result.
    Result(Json),
    /// It failed, for this reason.
    Error(Box<Problem>),
    /// The worker gives the job back without having worked on it.
    Release,
    /// The worker went away before it heard of its lease: the job is given back, unless the lease was ever renewed.
    Abandon,
}

/// A job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// Which.
    pub job: JobKey,
    /// When.
    pub at: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// What it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
    /// When its record will be removed.
    pub expires_at: Timestamp,
}

impl Finished {
    /// The end of a job at that time.
    pub(super) fn new(job: &Job, at: Timestamp, outcome: Outcome, policy: &Policy) -> Self {
        Self {
            job: job.key,
            at,
            outcome,
            result: None,
            error: None,
            expires_at: at + policy.retention.get(),
        }
    }

    pub(super) fn completed(job: &Job, at: Timestamp, result: Json, policy: &Policy) -> Entry {
        Entry::Finished(Box::new(Self {
            result: Some(result),
            ..Self::new(job, at, Outcome::Completed, policy)
        }))
    }

    pub(super) fn failed(job: &Job, at: Timestamp, error: Problem, policy: &Policy) -> Entry {
        Entry::Finished(Box::new(Self {
            error: Some(error.instance(format!("/v1/jobs/{}", job.key))),
            ..Self::new(job, at, Outcome::Failed, policy)
        }))
    }
}

impl Command for Cancel {
    type Answer = Arc<Job>;

    fn decide(&self, engine: &Engine, now: Timestamp, entries: &mut Entries) -> Decided<Self> {
        let job = engine.jobs.owned(self.owner, self.job)?;
        if !job.is_done() {
            let finished = Finished::new(job, now, Outcome::Canceled, &engine.policy);
            entries.push(Entry::Finished(Box::new(finished)));
        }
        Ok(job.key)
    }
}

impl Command for Delete {
    type Answer = ();

    fn decide(&self, engine: &Engine, _: Timestamp, entries: &mut Entries) -> Decided<Self> {
        let job = match engine.jobs.owned(self.owner, self.job) {
            Err(Refusal::Gone) => return Ok(()),
            found => found?,
        };
        if !job.is_done() {
            return Err(Refusal::NotDone);
        }
        entries.push(Entry::Removed { job: job.key });
        Ok(())
    }
}

impl Command for Report {
    type Answer = Claimed;

    fn decide(&self, engine: &Engine, now: Timestamp, entries: &mut Entries) -> Decided<Self> {
        let (job, policy) = (engine.jobs.owned(self.owner, self.job)?, &engine.policy);
        if job.worker != Worker::External {
            return Err(Refusal::NotExternal);
        }
        engine.jobs.check_lease(job, self.lease, now)?;
        if job.is_done() {
            return Err(Refusal::Done);
        }
        if self
            .if_match
            .is_some_and(|revision| revision.0 != job.revision)
        {
            return Err(Refusal::Changed {
                current: Revision(job.revision),
            });
        }
        let held = engine.jobs.lease(job.key);
        let is_renewed = held.is_some_and(|lease| Some(lease.since()) != job.started_at);
        if self.work == Work::Abandon && is_renewed {
            return Err(Refusal::LeaseLost { is_claimed: true });
        }
        let bytes = match &self.work {
            Work::Heartbeat | Work::Progress(_) | Work::Release | Work::Abandon => 0,
            Work::Result(result) => result.get().len(),
            Work::Error(error) => problem_bytes(error),
        };
        engine.check_room(self.owner, bytes)?;
        let news = match &self.work {
            Work::Heartbeat | Work::Release | Work::Abandon if self.lease.is_none() => {
                let words = "a report without `Lease-Token` must tell progress or an end";
                return Err(Refusal::Invalid(words.to_owned()));
            }
            Work::Heartbeat => Entry::Renewed {
                job: job.key,
                at: now,
            },
            Work::Release | Work::Abandon => Entry::Released {
                job: job.key,
                at: now,
            },
            Work::Progress(progress) => {
                validate_progress(progress)?;
                Entry::Progressed {
                    job: job.key,
                    at: now,
                    percent: progress.percent as f32,
                    stage: progress.stage.clone(),
                }
            }
            Work::Result(result) => Finished::completed(job, now, result.clone(), policy),
            Work::Error(error) => Finished::failed(job, now, error.as_ref().clone(), policy),
        };
        if job.state == State::Pending {
            entries.push(Entry::Started {
                job: job.key,
                at: now,
            });
        }
        entries.push(news);
        Ok(job.key)
    }
}

impl Jobs {
    /// The job, for a caller who must own it.
    pub(super) fn owned(&self, owner: Owner, key: JobKey) -> Result<&Job, Refusal> {
        match self.get(key) {
            Some(job) if job.owner == owner => Ok(job),
            None if self.owner_of_removed(key) == Some(owner) => Err(Refusal::Gone),
            Some(_) | None => Err(Refusal::NotFound),
        }
    }

    pub(super) fn started(
        &mut self,
        key: JobKey,
        at: Timestamp,
        touch: &mut Touch<'_>,
    ) -> Option<Arc<Job>> {
        let mut job = self.copy_of(key, State::Pending)?;
        job.state = State::Running;
        job.started_at = Some(at);
        let first = job.stages.as_deref().and_then(<[Stage]>::first);
        let stage = first.map(|stage| self.intern.word(&stage.name));
        job.stages_begun = u16::from(stage.is_some());
        let change = Change {
            at,
            state: State::Running,
            percent: stage.is_some().then_some(0.0.into()),
            stage,
        };
        Some(self.change(job, change, touch))
    }

    pub(super) fn progressed(
        &mut self,
        key: JobKey,
        at: Timestamp,
        percent: f32,
        stage: Option<&str>,
        touch: &mut Touch<'_>,
    ) -> Option<Arc<Job>> {
        let mut job = self.copy_of(key, State::Running)?;
        self.renew(key, at, touch);
        job.stages_begun = job.stages_begun.saturating_add(1);
        let change = Change {
            at,
            state: State::Running,
            percent: Some(percent.into()),
            stage: stage.map(|stage| self.intern.word(stage)),
        };
        Some(self.change(job, change, touch))
    }

    pub(super) fn finished(
        &mut self,
        finished: &Finished,
        touch: &mut Touch<'_>,
    ) -> Option<Arc<Job>> {
        let before = self.get(finished.job).filter(|job| !job.is_done())?;
        let mut job = Job::clone(before);
        let lease = self.leases.end(job.key, touch);
        job.state = finished.outcome.into();
        job.finished_at = Some(finished.at);
        job.expires_at = Some(finished.expires_at);
        if finished.result.is_some() || finished.error.is_some() {
            let extra = Arc::make_mut(job.extra.get_or_insert_default());
            extra.result.clone_from(&finished.result);
            extra.error = finished.error.clone().map(Box::new);
        }
        let last = job.changes.last().filter(|_| job.state != State::Completed);
        let change = Change {
            at: finished.at,
            state: job.state,
            percent: match job.state {
                State::Completed => Some(Percent::from(100.0)),
                _ => last.and_then(|last| last.percent),
            },
            stage: last.and_then(|last| last.stage.clone()),
        };
        let job = self.change(job, change, touch);
        let millis = finished.at.since(job.created_at).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        let is_cut_off = job.state == State::Canceled
            || job.error().is_some_and(|error| {
                error.code == Code::DEADLINE_EXCEEDED
                    || lease.is_some() && error.code == Code::WORKER_LOST
            });
        let step = match is_cut_off {
            true => Step::Left(job.key, millis),
            false => Step::Ended(job.key, millis),
        };
        self.kinds.note(&job, step, touch);
        if let Some((at, due)) = self.reset(&job) {
            touch.due.insert(at, due);
        }
        Some(job)
    }

    /// A copy of the job if it is in that state. Readers hold the job as it was, so a change always copies it.
    fn copy_of(&self, key: JobKey, state: State) -> Option<Job> {
        let job = self.get(key).filter(|job| job.state == state)?;
        Some(Job::clone(job))
    }

    /// Puts a changed job in the place of the one that it was.
    pub(super) fn change(
        &mut self,
        mut job: Job,
        change: Change,
        touch: &mut Touch<'_>,
    ) -> Arc<Job> {
        let mut changes = std::mem::take(&mut job.changes).into_vec();
        if changes.len() == CHANGES_MAX {
            changes.remove(0);
        }
        // Exactly: there may be a million of these lists, and they rarely grow.
        changes.reserve_exact(1);
        changes.push(change);
        job.changes = changes.into();
        job.revision += 1;
        let job = Arc::new(job);
        self.take(job.key, touch);
        self.put(&job, touch);
        job
    }
}

fn validate_progress(progress: &Progress) -> Result<(), Refusal> {
    if !(0.0..=100.0).contains(&progress.percent) {
        return Err(Refusal::Invalid(format!(
            "`percent` must be between 0 and 100, but is {}",
            progress.percent
        )));
    }
    let stage = progress.stage.as_deref().unwrap_or_default();
    let length = stage.chars().count();
    if length > limits::WORD_CHARS_MAX {
        return Err(Refusal::Invalid(format!(
            "`stage` must be at most {} characters long, but is {length}",
            limits::WORD_CHARS_MAX
        )));
    }
    Ok(())
}
