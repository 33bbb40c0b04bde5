//! Jobs under a fixed name, which start again as a new job after their end.
//!
//! A caller that can't name a job by its id asks for it by the name. The name always stands for one job: the one that
//! was played last.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use abide_wire::{NewJob, Simulate, Timestamp};

use super::create::Create;
use super::job::Job;
use super::request::body_digest;
use super::table::Jobs;
use crate::command::{Command, Decided, Refusal};
use crate::due::Due;
use crate::effect::{Effect, Touch};
use crate::engine::Engine;
use crate::entry::{Entries, Entry};
use crate::policy::Policy;
use crate::snapshot::PartKey;
use crate::{JobKey, Owner};

/// Returns the job of that name, creating it if it is missing or played differently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlayNamed {
    /// The name. It is the server's own, never a caller's.
    pub name: Cow<'static, str>,
    /// The job's duration and outcome.
    pub simulate: Simulate,
    /// How long after its end it starts again as a new job; never if `None`.
    pub reset_after: Option<Duration>,
    /// Whether an ended one counts as missing: the first read after a start wants a job that can be waited for.
    pub is_new: bool,
}

/// A name stands for this job from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    pub name: Arc<str>,
    /// The job.
    pub job: JobKey,
    /// How it, and those after it, are played.
    pub simulate: Simulate,
    /// How long after its end it starts again as a new job, in milliseconds; never if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_ms: Option<u64>,
}

impl Command for PlayNamed {
    type Answer = Arc<Job>;

    fn decide(&self, engine: &Engine, now: Timestamp, entries: &mut Entries) -> Decided<Self> {
        self.simulate.validate().map_err(Refusal::Invalid)?;
        let reset_ms = self
            .reset_after
            .map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        if let Some(named) = engine.jobs.named(&self.name)
            && named.simulate == self.simulate
            && named.reset_ms == reset_ms
            && let Some(job) = engine.jobs.get(named.job)
            && !(self.is_new && job.is_done())
        {
            return Ok(named.job);
        }
        let (name, simulate) = (Arc::from(self.name.as_ref()), &self.simulate);
        engine
            .jobs
            .play(name, simulate, reset_ms, now, &engine.policy, entries)
    }
}

impl Jobs {
    /// The job of that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Named> {
        self.named.get(name)
    }

    /// All names and their jobs.
    pub fn names(&self) -> impl Iterator<Item = &Named> {
        self.named.values()
    }

    fn play(
        &self,
        name: Arc<str>,
        simulate: &Simulate,
        reset_ms: Option<u64>,
        at: Timestamp,
        policy: &Policy,
        entries: &mut Entries,
    ) -> Result<JobKey, Refusal> {
        let create = Create {
            owner: Owner::ANYONE,
            new: NewJob {
                simulate: Some(simulate.clone()),
                ..NewJob::default()
            },
            idempotency_key: None,
            rendering: None,
            traceparent: None,
        };
        let digest = body_digest(&create.new);
        let (job, _) = self.decide_create((&create, digest), at, policy, entries)?;
        entries.push(Entry::Named(Box::new(Named {
            name,
            job,
            simulate: simulate.clone(),
            reset_ms,
        })));
        Ok(job)
    }

    /// Plays the named job anew whose last one is this, from the time on at which that was due.
    ///
    /// Lives that would have begun and ended before `now` are left out: after days of downtime no client asks for them.
    pub(super) fn play_again(
        &self,
        job: JobKey,
        (at, now): (Timestamp, Timestamp),
        policy: &Policy,
        entries: &mut Entries,
    ) {
        let Some(named) = self.names().find(|named| named.job == job) else {
            return;
        };
        let play = |at, entries: &mut Entries| {
            let (name, reset_ms) = (named.name.clone(), named.reset_ms);
            // A full server keeps the old one: that is no reason to lose the name.
            let _full = self.play(name, &named.simulate, reset_ms, at, policy, entries);
        };
        let mut first = Entries::new();
        play(at, &mut first);
        // The next life would be drawn alike, because this one isn't written down.
        let cycle = first.iter().find_map(|entry| match entry {
            Entry::Created(created) => {
                let plan = created.plan.as_ref().filter(|plan| !plan.stuck)?;
                let life = u128::from(plan.queue_ms) + u128::from(plan.duration_ms);
                Some(life + u128::from(named.reset_ms?))
            }
            _ => None,
        });
        let missed = now.since(at).as_millis();
        match cycle.map(|cycle| missed - missed % cycle.max(1)) {
            Some(skipped @ 1..) => {
                let skipped = u64::try_from(skipped).unwrap_or(u64::MAX);
                play(at + Duration::from_millis(skipped), entries);
            }
            _ => entries.append(&mut first),
        }
    }

    pub(super) fn name(&mut self, named: &Named, touch: &mut Touch<'_>) {
        self.named.insert(named.name.clone(), named.clone());
        touch.dirty(PartKey::Named(named.name.clone()));
        touch.tell(Effect::Named(named.name.clone(), named.job));
    }

    /// When the named job that ended starts again.
    pub(super) fn reset(&self, job: &Job) -> Option<(Timestamp, Due)> {
        let named = self.names().find(|named| named.job == job.key)?;
        let pause = Duration::from_millis(named.reset_ms?);
        Some((job.finished_at? + pause, Due::Reset(job.key)))
    }
}
