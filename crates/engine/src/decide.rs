//! From a command to entries, or a refusal: the commands about jobs.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;

use abide_wire::webhook::Secret;
use abide_wire::{
    NewJob, Outcome, Problem, Progress, Revision, Simulate, Timestamp, WebhookTarget, Worker,
    limits,
};

use crate::command::{self, Command, Refusal};
use crate::delivery::Events;
use crate::engine::{Engine, Policy};
use crate::entry::{Created, DefaultJobSet, Entry, Finished, Idempotency};
use crate::job::{Job, State};
use crate::luck::{digest, fate_of_key, fate_of_occurrence};
use crate::model::Defaults;
use crate::{JobKey, Json, Owner};

/// What kind a job is of where its creator doesn't say.
pub const KIND_DEFAULT: &str = "video_translation";

/// Creates a job.
#[derive(Clone, Debug)]
pub struct Create {
    /// Who asks, and whose job it is.
    pub owner: Owner,
    /// What is asked for.
    pub new: NewJob<Json>,
    /// A repeat under the same key within [`limits::IDEMPOTENCY_KEPT`] is answered with the same job.
    pub idempotency_key: Option<String>,
}

/// Ends a job without an outcome of its own. Does nothing to an ended job.
#[derive(Clone, Copy, Debug)]
pub struct Cancel {
    /// Who asks.
    pub owner: Owner,
    /// The job.
    pub job: JobKey,
}

/// Removes the record of an ended job. May be repeated.
#[derive(Clone, Copy, Debug)]
pub struct Delete {
    /// Who asks.
    pub owner: Owner,
    /// The job.
    pub job: JobKey,
}

/// A report of an external worker.
#[derive(Clone, Debug)]
pub struct Report {
    /// Who asks.
    pub owner: Owner,
    /// The job.
    pub job: JobKey,
    /// The revision that the worker believes to be the newest; any if `None`.
    pub if_match: Option<Revision>,
    /// What the worker says.
    pub work: Work,
}

/// What a worker says of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// It goes on, and is this far.
    Progress(Progress),
    /// It is done, with this result.
    Result(Json),
    /// It failed, for this reason.
    Error(Box<Problem>),
}

/// Changes those of the simulator's defaults that are given.
#[derive(Clone, Debug)]
pub struct ChangeDefaults(pub Simulate);

/// Replaces all of the simulator's defaults.
#[derive(Clone, Debug)]
pub struct SetDefaults(pub Defaults);

/// Begins all random draws anew with this seed, even if it is the same as before.
#[derive(Clone, Copy, Debug)]
pub struct SetSeed(pub u64);

/// Returns the default job, creating it if it is missing or played differently.
#[derive(Clone, Debug, PartialEq)]
pub struct DefaultJob {
    /// Its duration and outcome.
    pub simulate: Simulate,
    /// How long after its end it starts again as a new job; never if `None`.
    pub reset_after: Option<Duration>,
    /// Whether an ended one counts as missing: the first read after a start wants a job that can be waited for.
    pub is_new: bool,
}

impl Command for Create {
    type Answer = command::Created;

    fn decide(
        &self,
        engine: &Engine,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<(JobKey, bool), Refusal> {
        engine.decide_create(self, now, entries)
    }
}

impl Command for Cancel {
    type Answer = Arc<Job>;

    fn decide(
        &self,
        engine: &Engine,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<JobKey, Refusal> {
        let job = engine.owned(self.owner, self.job)?;
        if !job.is_done() {
            let policy = engine.policy();
            entries.push(finished(job, now, Outcome::Canceled, None, None, policy));
        }
        Ok(job.key)
    }
}

impl Command for Delete {
    type Answer = ();

    fn decide(
        &self,
        engine: &Engine,
        _: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Refusal> {
        let job = match engine.owned(self.owner, self.job) {
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
    type Answer = Arc<Job>;

    fn decide(
        &self,
        engine: &Engine,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<JobKey, Refusal> {
        let job = engine.owned(self.owner, self.job)?;
        engine.decide_report(job, self.if_match, &self.work, now, entries)
    }
}

impl Command for ChangeDefaults {
    type Answer = ();

    fn decide(
        &self,
        engine: &Engine,
        _: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Refusal> {
        self.0.validate().map_err(Refusal::Invalid)?;
        engine.decide_defaults(engine.defaults().with(&self.0), entries);
        Ok(())
    }
}

impl Command for SetDefaults {
    type Answer = ();

    fn decide(
        &self,
        engine: &Engine,
        _: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Refusal> {
        self.0.to_wire().validate().map_err(Refusal::Invalid)?;
        engine.decide_defaults(self.0.clone(), entries);
        Ok(())
    }
}

impl Command for SetSeed {
    type Answer = ();

    fn decide(&self, _: &Engine, _: Timestamp, entries: &mut Vec<Entry>) -> Result<(), Refusal> {
        entries.push(Entry::Seeded { seed: self.0 });
        Ok(())
    }
}

impl Command for DefaultJob {
    type Answer = Arc<Job>;

    fn decide(
        &self,
        engine: &Engine,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<JobKey, Refusal> {
        engine.decide_default_job(self, now, entries)
    }
}

impl Engine {
    fn decide_defaults(&self, defaults: Defaults, entries: &mut Vec<Entry>) {
        if defaults != **self.defaults() {
            entries.push(Entry::Settings(Box::new(defaults)));
        }
    }

    fn owned(&self, owner: Owner, key: JobKey) -> Result<&Job, Refusal> {
        match self.job(key) {
            Some(job) if job.owner == owner => Ok(job),
            None if self.was_removed(key) => Err(Refusal::Gone),
            Some(_) | None => Err(Refusal::NotFound),
        }
    }

    fn decide_create(
        &self,
        create: &Create,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<(JobKey, bool), Refusal> {
        let new = &create.new;
        validate(new)?;
        let said = what_was_said(new);
        let idempotency = create.idempotency_key.as_ref().map(|key| Idempotency {
            key: digest(&[&create.owner.0.to_le_bytes(), key.as_bytes()]),
            asked: digest(&[
                &said.to_le_bytes(),
                &serde_json::to_vec(&(&new.webhook, &new.deadline_s)).unwrap_or_default(),
            ]),
            until: now + limits::IDEMPOTENCY_KEPT,
        });
        if let Some(asked) = &idempotency
            && let Some((job, before)) = self.remembered(asked.key, now)
        {
            if before.asked != asked.asked {
                return Err(Refusal::IdempotencyMismatch { job });
            }
            self.owned(create.owner, job)?;
            return Ok((job, true));
        }
        self.make_room(entries)?;
        let key = self.next_key(now);
        let own = new.simulate.as_ref();
        let worker = new.worker.unwrap_or_default();
        let (fate, said) = match own.and_then(|simulate| simulate.key.as_deref()) {
            Some(key) => (fate_of_key(key), None),
            None => (fate_of_occurrence(said, self.times_said(said)), Some(said)),
        };
        entries.push(Entry::Created(Box::new(Created {
            job: key,
            at: now,
            owner: create.owner,
            kind: new.kind.clone().unwrap_or_else(|| KIND_DEFAULT.to_owned()),
            worker,
            input: new.input.clone(),
            metadata: new.metadata.clone(),
            plan: (worker == Worker::Simulator)
                .then(|| self.defaults().plan(own, fate, self.luck())),
            deadline_at: new.deadline_s.map(|span| now + span.get()),
            webhook: new.webhook.clone(),
            idempotency,
            said: said.filter(|_| worker == Worker::Simulator),
        })));
        Ok((key, false))
    }

    /// Removes the job that would be removed next where there are as many as there may be.
    fn make_room(&self, entries: &mut Vec<Entry>) -> Result<(), Refusal> {
        let limit = self.policy().jobs_max;
        if self.len() < limit {
            return Ok(());
        }
        let oldest = self.next_expiry().ok_or(Refusal::TooManyJobs { limit })?;
        entries.push(Entry::Removed { job: oldest });
        Ok(())
    }

    fn next_key(&self, now: Timestamp) -> JobKey {
        let mut luck = [0; 10];
        self.luck()
            .rng(now.as_millis().unsigned_abs(), "job key", self.jobs_made())
            .fill(&mut luck);
        JobKey::new(now, luck)
    }

    fn decide_report(
        &self,
        job: &Job,
        if_match: Option<Revision>,
        report: &Work,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<JobKey, Refusal> {
        if job.worker != Worker::External {
            return Err(Refusal::NotExternal);
        }
        if job.is_done() {
            return Err(Refusal::Done);
        }
        if if_match.is_some_and(|revision| revision.0 != job.revision) {
            return Err(Refusal::Changed {
                current: Revision(job.revision),
            });
        }
        if let Work::Progress(progress) = report {
            validate_progress(progress)?;
        }
        if job.state == State::Pending {
            entries.push(Entry::Started {
                job: job.key,
                at: now,
            });
        }
        match report {
            Work::Progress(progress) => {
                entries.push(Entry::Progressed {
                    job: job.key,
                    at: now,
                    percent: progress.percent as f32,
                    stage: progress.stage.clone(),
                });
            }
            Work::Result(result) => entries.push(finished(
                job,
                now,
                Outcome::Completed,
                Some(result.clone()),
                None,
                self.policy(),
            )),
            Work::Error(error) => entries.push(finished(
                job,
                now,
                Outcome::Failed,
                None,
                Some(error.as_ref().clone()),
                self.policy(),
            )),
        }
        Ok(job.key)
    }

    fn decide_default_job(
        &self,
        wish: &DefaultJob,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<JobKey, Refusal> {
        wish.simulate.validate().map_err(Refusal::Invalid)?;
        let reset_ms = wish
            .reset_after
            .map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        if let Some(set) = self.default_job()
            && set.simulate == wish.simulate
            && set.reset_ms == reset_ms
            && let Some(job) = self.job(set.job)
            && !(wish.is_new && job.is_done())
        {
            return Ok(set.job);
        }
        self.default_job_entries(&wish.simulate, reset_ms, now, entries)
    }

    fn default_job_entries(
        &self,
        simulate: &Simulate,
        reset_ms: Option<u64>,
        at: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<JobKey, Refusal> {
        let create = Create {
            owner: Owner::ANYONE,
            new: NewJob {
                simulate: Some(simulate.clone()),
                ..NewJob::default()
            },
            idempotency_key: None,
        };
        let (job, _) = self.decide_create(&create, at, entries)?;
        entries.push(Entry::DefaultJob(Box::new(DefaultJobSet {
            job,
            simulate: simulate.clone(),
            reset_ms,
        })));
        Ok(job)
    }

    pub(crate) fn reset_default_job(&self, key: JobKey, at: Timestamp, entries: &mut Vec<Entry>) {
        if let Some(set) = self.default_job().filter(|set| set.job == key) {
            // Where there is no room, the old one stays: a full server is no reason to lose the default job.
            let _full = self.default_job_entries(&set.simulate, set.reset_ms, at, entries);
        }
    }
}

pub(crate) fn finished(
    job: &Job,
    at: Timestamp,
    outcome: Outcome,
    result: Option<Json>,
    error: Option<Problem>,
    policy: &Policy,
) -> Entry {
    Entry::Finished(Box::new(Finished {
        job: job.key,
        at,
        outcome,
        result,
        error: error.map(|problem| problem.instance(format!("/v1/jobs/{}", job.key))),
        expires_at: at + policy.retention,
    }))
}

/// A digest of everything that a create says about the job itself.
fn what_was_said(new: &NewJob<Json>) -> u64 {
    let simulate = new
        .simulate
        .as_ref()
        .and_then(|simulate| serde_json::to_vec(simulate).ok())
        .unwrap_or_default();
    fn text(json: &Option<Json>) -> &[u8] {
        json.as_ref().map_or(b"", |json| json.get().as_bytes())
    }
    digest(&[
        new.kind.as_deref().unwrap_or(KIND_DEFAULT).as_bytes(),
        text(&new.input),
        text(&new.metadata),
        &simulate,
        &[u8::from(new.worker == Some(Worker::External))],
    ])
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

fn validate(new: &NewJob<Json>) -> Result<(), Refusal> {
    if let Some(kind) = &new.kind
        && (kind.is_empty() || kind.chars().count() > limits::WORD_CHARS_MAX)
    {
        return Err(Refusal::Invalid(format!(
            "`kind` must be 1 to {} characters long, but is {}",
            limits::WORD_CHARS_MAX,
            kind.chars().count()
        )));
    }
    if let Some(metadata) = &new.metadata {
        let members = metadata
            .members()
            .ok_or_else(|| Refusal::Invalid("`metadata` must be an object".to_owned()))?;
        if members > limits::METADATA_MEMBERS_MAX {
            return Err(Refusal::Invalid(format!(
                "`metadata` must have at most {} members, but has {members}",
                limits::METADATA_MEMBERS_MAX,
            )));
        }
    }
    if let Some(simulate) = &new.simulate {
        if new.worker == Some(Worker::External) {
            return Err(Refusal::Invalid(
                "`simulate` must not be given where `worker` is \"external\"".to_owned(),
            ));
        }
        simulate.validate().map_err(Refusal::Invalid)?;
    }
    if let Some(webhook) = &new.webhook {
        validate_webhook(webhook)?;
    }
    Ok(())
}

fn validate_webhook(webhook: &WebhookTarget) -> Result<(), Refusal> {
    if webhook.url.is_empty() || webhook.url.len() > limits::URL_BYTES_MAX {
        return Err(Refusal::Invalid(format!(
            "`url` of `webhook` must be 1 to {} bytes long",
            limits::URL_BYTES_MAX
        )));
    }
    if let Some(events) = &webhook.events {
        Events::parse(events).map_err(Refusal::Invalid)?;
    }
    if let Some(secret) = &webhook.secret {
        secret
            .parse::<Secret>()
            .map_err(|error| Refusal::Invalid(format!("`secret` of `webhook`: {error}")))?;
    }
    Ok(())
}
