//! From a wish to facts, or a refusal.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;

use abide_wire::webhook::Secret;
use abide_wire::{
    NewJob, Outcome, Problem, Progress, Revision, Simulate, Timestamp, WebhookTarget, Worker,
    limits,
};

use crate::delivery::{Events, Wish};
use crate::engine::{Engine, Policy};
use crate::entry::{Created, DefaultJobSet, Entry, Finished, Idempotency};
use crate::job::{Job, State};
use crate::luck::{digest, fate_of_key, fate_of_occurrence};
use crate::model::Defaults;
use crate::{Delivery, DeliveryKey, Endpoint, EndpointKey, JobKey, Json, Owner};

/// What kind a job is of where its creator doesn't say.
pub const KIND_DEFAULT: &str = "video_translation";

/// A wish.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make a job.
    Create(Box<Create>),
    /// End a job without an outcome of its own.
    Cancel {
        /// Who asks.
        owner: Owner,
        /// Which.
        job: JobKey,
    },
    /// Remove the record of a job that is done.
    Delete {
        /// Who asks.
        owner: Owner,
        /// Which.
        job: JobKey,
    },
    /// A worker says how it goes.
    Report {
        /// Who asks.
        owner: Owner,
        /// Which job.
        job: JobKey,
        /// The revision that the worker believes to be the newest.
        if_match: Option<Revision>,
        /// What the worker says.
        report: Report,
    },
    /// Change the simulator's defaults, those of them that are named.
    Settings(Box<Simulate>),
    /// Replace the simulator's defaults, all of them.
    Defaults(Box<Defaults>),
    /// Begin all luck anew with that seed, also where it is the same as before.
    Seed(u64),
    /// Show the job of the routes that name none, and make it where there is none that is played like this.
    DefaultJob(Box<DefaultJob>),
    /// Note what the manual clock shows.
    Clock,
    /// Something about webhooks.
    Webhook(Wish),
}

/// The wish for a job.
#[derive(Clone, Debug)]
pub struct Create {
    /// Who asks.
    pub owner: Owner,
    /// For what.
    pub new: NewJob<Json>,
    /// Under which idempotency key.
    pub idempotency_key: Option<String>,
}

/// How the job of the routes that name none is played.
#[derive(Clone, Debug, PartialEq)]
pub struct DefaultJob {
    /// Its duration and outcome.
    pub simulate: Simulate,
    /// How long after its end it starts again; never where `None`.
    pub reset_after: Option<Duration>,
    /// Whether one that has ended counts as none: the first wish after a start wants a job that is to be waited for.
    pub is_new: bool,
}

/// What a worker says of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// It came further.
    Progress(Progress),
    /// It is done, and this is what it made.
    Result(Json),
    /// It failed, and this is why.
    Error(Box<Problem>),
}

/// What became of a wish.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The job was made, or had been made before under the same idempotency key.
    Created {
        /// The job.
        job: Arc<Job>,
        /// Whether it had been made before.
        replayed: bool,
    },
    /// The job as it is now.
    Job(Arc<Job>),
    /// The endpoint as it is now.
    Endpoint(Arc<Endpoint>),
    /// The delivery as it is now.
    Delivery(Arc<Delivery>),
    /// So many.
    Count(usize),
    /// It is done.
    Done,
}

/// Why a wish wasn't granted. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such job, or it is somebody else's.
    #[error("there is no such job")]
    NotFound,
    /// Its record has been removed.
    #[error("the job's record has been removed")]
    Gone,
    /// It has ended, and an ended job never changes.
    #[error("the job is done and can't change")]
    Done,
    /// It hasn't ended, and only the record of an ended job can be removed.
    #[error("the job is not done; cancel it first")]
    NotDone,
    /// The simulator works on it.
    #[error(
        "the simulator works on this job; create it with `\"worker\": \"external\"` to report on it"
    )]
    NotExternal,
    /// It has changed since the worker looked.
    #[error("the job is at revision {current}")]
    Changed {
        /// The revision it is at.
        current: Revision,
    },
    /// The same idempotency key was used for something else.
    #[error("the idempotency key was used with another body for {job}")]
    IdempotencyMismatch {
        /// The job that was made under it.
        job: JobKey,
    },
    /// There are as many jobs as there may be.
    #[error("the server holds {limit} jobs that are not done, as many as it may")]
    TooManyJobs {
        /// How many there may be.
        limit: usize,
    },
    /// A member is out of its bound.
    #[error("{0}")]
    Invalid(String),
    /// There is no such endpoint, or it is somebody else's.
    #[error("there is no such webhook endpoint")]
    NoSuchEndpoint,
    /// There is no such delivery, or it is somebody else's.
    #[error("there is no such delivery")]
    NoSuchDelivery,
    /// The endpoint isn't called at the moment.
    #[error("the endpoint has been disabled since {since}; enable it first")]
    EndpointDisabled {
        /// Since when.
        since: Timestamp,
    },
    /// There are as many endpoints as there may be.
    #[error("there are {limit} webhook endpoints, as many as there may be")]
    TooManyEndpoints {
        /// How many there may be.
        limit: usize,
    },
}

/// What [`Engine::decide`] found, before it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Tell of this job once the entries are durable.
    Created {
        /// Which.
        job: JobKey,
        /// Whether it had been made before.
        replayed: bool,
    },
    /// Tell of this job.
    Job(JobKey),
    /// Tell of this endpoint.
    Endpoint(EndpointKey),
    /// Tell of this delivery.
    Delivery(DeliveryKey),
    /// Tell how many there were.
    Count(usize),
    /// There is nothing to tell but that it is done.
    Done,
}

impl Engine {
    /// Turns a wish into entries, or refuses it. Changes nothing.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] says why there are no entries.
    pub fn decide(
        &self,
        command: &Command,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<Decision, Refusal> {
        match command {
            Command::Create(create) => self.decide_create(create, now, entries),
            Command::Cancel { owner, job } => {
                let job = self.owned(*owner, *job)?;
                if !job.is_done() {
                    entries.push(finished(
                        job,
                        now,
                        Outcome::Canceled,
                        None,
                        None,
                        self.policy(),
                    ));
                }
                Ok(Decision::Job(job.key))
            }
            Command::Delete { owner, job } => {
                let job = match self.owned(*owner, *job) {
                    Err(Refusal::Gone) => return Ok(Decision::Done),
                    found => found?,
                };
                if !job.is_done() {
                    return Err(Refusal::NotDone);
                }
                entries.push(Entry::Removed { job: job.key });
                Ok(Decision::Done)
            }
            Command::Report {
                owner,
                job,
                if_match,
                report,
            } => self.decide_report(self.owned(*owner, *job)?, *if_match, report, now, entries),
            Command::Settings(change) => {
                change.validate().map_err(Refusal::Invalid)?;
                let changed = self.defaults().with(change);
                if changed != **self.defaults() {
                    entries.push(Entry::Settings(Box::new(changed)));
                }
                Ok(Decision::Done)
            }
            Command::Defaults(defaults) => {
                defaults.to_wire().validate().map_err(Refusal::Invalid)?;
                if **defaults != **self.defaults() {
                    entries.push(Entry::Settings(defaults.clone()));
                }
                Ok(Decision::Done)
            }
            Command::Seed(seed) => {
                entries.push(Entry::Seeded { seed: *seed });
                Ok(Decision::Done)
            }
            Command::DefaultJob(wish) => self.decide_default_job(wish, now, entries),
            Command::Clock => {
                entries.push(Entry::Clock { at: now });
                Ok(Decision::Done)
            }
            Command::Webhook(wish) => self.decide_wish(wish, now, entries),
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
    ) -> Result<Decision, Refusal> {
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
            return Ok(Decision::Created {
                job,
                replayed: true,
            });
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
        Ok(Decision::Created {
            job: key,
            replayed: false,
        })
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
        report: &Report,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<Decision, Refusal> {
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
        if let Report::Progress(progress) = report {
            validate_progress(progress)?;
        }
        if job.state == State::Pending {
            entries.push(Entry::Started {
                job: job.key,
                at: now,
            });
        }
        match report {
            Report::Progress(progress) => {
                entries.push(Entry::Progressed {
                    job: job.key,
                    at: now,
                    percent: progress.percent as f32,
                    stage: progress.stage.clone(),
                });
            }
            Report::Result(result) => entries.push(finished(
                job,
                now,
                Outcome::Completed,
                Some(result.clone()),
                None,
                self.policy(),
            )),
            Report::Error(error) => entries.push(finished(
                job,
                now,
                Outcome::Failed,
                None,
                Some(error.as_ref().clone()),
                self.policy(),
            )),
        }
        Ok(Decision::Job(job.key))
    }

    fn decide_default_job(
        &self,
        wish: &DefaultJob,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<Decision, Refusal> {
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
            return Ok(Decision::Job(set.job));
        }
        let job = self.default_job_entries(&wish.simulate, reset_ms, now, entries)?;
        Ok(Decision::Job(job))
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
        let Decision::Created { job, .. } = self.decide_create(&create, at, entries)? else {
            return Err(Refusal::NotFound);
        };
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
