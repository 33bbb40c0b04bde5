//! The state in parts, for checkpoints.
//!
//! A checkpoint holds the state as of an entry, so that a restart replays only what came after. It is kept in parts, each
//! under a name of its own, and only the parts that changed since the last one are written again.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use abide_wire::webhook::Secret;
use abide_wire::{Stage, Timestamp, Worker};

use crate::compact::{Percent, Word};
use crate::due::Due;
use crate::engine::Engine;
use crate::entry::{DefaultJobSet, Idempotency};
use crate::job::{Change, Extra, Job, State};
use crate::model::{Defaults, Plan};
use crate::{Cohort, Delivery, DeliveryKey, Endpoint, EndpointKey, JobKey, Owner};

/// The name of a part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartKey {
    /// What there is one of.
    Meta,
    /// A job.
    Job(JobKey),
    /// An idempotency key.
    Idempotency(u64),
    /// How often the same was said.
    Said(u64),
    /// A removed job.
    Removed(JobKey),
    /// What is known of how long jobs of a kind take.
    Kind(Arc<str>),
    /// The secret from which those of endpoints are derived.
    WebhookMaster,
    /// A webhook endpoint.
    Endpoint(EndpointKey),
    /// A delivery to one.
    Delivery(DeliveryKey),
}

impl fmt::Display for PartKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meta => f.write_str("meta"),
            Self::Job(key) => write!(f, "job/{key}"),
            Self::Idempotency(key) => write!(f, "idempotency/{key:016x}"),
            Self::Said(key) => write!(f, "said/{key:016x}"),
            Self::Removed(key) => write!(f, "removed/{key}"),
            Self::Kind(kind) => write!(f, "kind/{kind}"),
            Self::WebhookMaster => f.write_str("webhook-master"),
            Self::Endpoint(key) => write!(f, "endpoint/{key}"),
            Self::Delivery(key) => write!(f, "delivery/{key}"),
        }
    }
}

/// A part, shared with the state as it was when it was taken, so that encoding it needs no lock.
#[derive(Clone, Debug)]
pub enum Part {
    /// What there is one of.
    Meta(Box<Meta>),
    /// A job.
    Job(Arc<Job>),
    /// An idempotency key.
    Idempotency(JobKey, Idempotency),
    /// How often the same was said.
    Said(u32),
    /// A removed job.
    Removed,
    /// What is known of how long jobs of a kind take.
    Kind(Arc<Cohort>),
    /// The secret from which those of endpoints are derived.
    WebhookMaster(Secret),
    /// A webhook endpoint.
    Endpoint(Arc<Endpoint>),
    /// A delivery to one.
    Delivery(Arc<Delivery>),
}

/// What there is one of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    seed: u64,
    jobs_made: u64,
    defaults: Defaults,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clock: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default_job: Option<DefaultJobSet>,
}

/// What a restore gathers, to put it in at its end: one by one would take a million searches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Restoring {
    pub(crate) due: Vec<(Timestamp, Due)>,
    pub(crate) expiries: Vec<(Timestamp, JobKey)>,
    /// The list of stages that was read last, and its text: most jobs have the one that the job before them has.
    stages: Option<(String, Arc<[Stage]>)>,
}

/// A stored [`Job`], member for member, with its texts where they were read: what it has in common with the others needn't be
/// made for each.
#[derive(Deserialize)]
struct StoredJob<'a> {
    key: JobKey,
    owner: Owner,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    worker: Worker,
    state: State,
    revision: u64,
    #[serde(borrow)]
    changes: Vec<StoredChange<'a>>,
    created_at: Timestamp,
    #[serde(default)]
    started_at: Option<Timestamp>,
    #[serde(default)]
    finished_at: Option<Timestamp>,
    #[serde(default)]
    expires_at: Option<Timestamp>,
    #[serde(default)]
    plan: Option<Arc<Plan>>,
    #[serde(default, borrow)]
    stages: Option<&'a RawValue>,
    #[serde(default)]
    stages_begun: u16,
    #[serde(default)]
    extra: Option<Arc<Extra>>,
}

/// A stored [`Change`].
#[derive(Deserialize)]
struct StoredChange<'a> {
    at: Timestamp,
    state: State,
    #[serde(default)]
    percent: Option<Percent>,
    #[serde(default, borrow)]
    stage: Option<StoredWord<'a>>,
}

#[derive(Deserialize)]
struct StoredWord<'a>(#[serde(borrow)] Cow<'a, str>);

impl Part {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let bytes = match self {
            Self::Meta(meta) => serde_json::to_vec(meta),
            Self::Job(job) => serde_json::to_vec(job),
            Self::Idempotency(job, memory) => serde_json::to_vec(&(job, memory)),
            Self::Said(times) => serde_json::to_vec(times),
            Self::Removed => Ok(b"{}".to_vec()),
            Self::Kind(cohort) => serde_json::to_vec(cohort),
            Self::WebhookMaster(secret) => serde_json::to_vec(secret),
            Self::Endpoint(endpoint) => serde_json::to_vec(endpoint),
            Self::Delivery(delivery) => serde_json::to_vec(delivery),
        };
        bytes.expect("a part has no map with keys that are not text")
    }
}

/// Why a stored part can't be read.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The name is not one of this version's.
    #[error("the checkpoint has a part {0:?} that this version doesn't know")]
    UnknownPart(String),
    /// The bytes are not what the name says.
    #[error("the checkpoint's part {name:?} can't be read")]
    Unreadable {
        /// The part's name.
        name: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Engine {
    /// The parts that changed since this was last asked, and how they are now; `None` for those that are gone.
    pub fn take_dirty(&mut self) -> Vec<(PartKey, Option<Part>)> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty
            .into_iter()
            .map(|key| {
                let part = self.part(&key);
                (key, part)
            })
            .collect()
    }

    /// Has these parts written again with the next checkpoint, because one that held them was not.
    pub fn mark_dirty(&mut self, keys: impl IntoIterator<Item = PartKey>) {
        self.dirty.extend(keys);
    }

    /// Every part there is; for comparing states.
    #[must_use]
    pub fn all_parts(&self) -> Vec<(PartKey, Part)> {
        let mut keys: Vec<PartKey> = self.jobs().map(|job| PartKey::Job(job.key)).collect();
        keys.extend(self.kinds().map(|(kind, _)| PartKey::Kind(kind.clone())));
        keys.extend(self.removed().map(PartKey::Removed));
        keys.extend(self.idempotency_keys().map(PartKey::Idempotency));
        keys.extend(self.said_keys().map(PartKey::Said));
        let book = self.webhooks();
        keys.extend(book.master().map(|_| PartKey::WebhookMaster));
        keys.extend(book.endpoints().map(|found| PartKey::Endpoint(found.key)));
        keys.extend(book.deliveries().map(|found| PartKey::Delivery(found.key)));
        keys.push(PartKey::Meta);
        keys.sort();
        keys.into_iter()
            .filter_map(|key| self.part(&key).map(|part| (key, part)))
            .collect()
    }

    fn part(&self, key: &PartKey) -> Option<Part> {
        match key {
            PartKey::Meta => Some(Part::Meta(Box::new(Meta {
                seed: self.luck().seed(),
                jobs_made: self.jobs_made(),
                defaults: self.defaults().as_ref().clone(),
                clock: self.clock(),
                default_job: self.default_job().cloned(),
            }))),
            PartKey::Job(key) => self.job(*key).cloned().map(Part::Job),
            PartKey::Idempotency(key) => self
                .idempotency(*key)
                .map(|(job, memory)| Part::Idempotency(*job, *memory)),
            PartKey::Said(key) => self.said(*key).map(Part::Said),
            PartKey::Removed(key) => self.was_removed(*key).then_some(Part::Removed),
            PartKey::Kind(kind) => self.cohort(kind).cloned().map(Part::Kind),
            PartKey::WebhookMaster => self.webhooks().master().cloned().map(Part::WebhookMaster),
            PartKey::Endpoint(key) => self.webhooks().endpoint(*key).cloned().map(Part::Endpoint),
            PartKey::Delivery(key) => self.webhooks().delivery(*key).cloned().map(Part::Delivery),
        }
    }

    /// Puts a stored part back into a fresh state. After the last one, call [`Engine::restored`].
    ///
    /// # Errors
    ///
    /// Where the part is not one of this version's.
    pub fn restore(&mut self, name: &str, bytes: &[u8]) -> Result<(), RestoreError> {
        let unknown = || RestoreError::UnknownPart(name.to_owned());
        let unreadable = |source| RestoreError::Unreadable {
            name: name.to_owned(),
            source,
        };
        self.restoring.get_or_insert_default();
        let (sort, rest) = name.split_once('/').unwrap_or((name, ""));
        let number = || u64::from_str_radix(rest, 16).map_err(|_| unknown());
        match sort {
            "meta" => {
                let meta: Meta = serde_json::from_slice(bytes).map_err(unreadable)?;
                self.restore_meta(
                    meta.seed,
                    meta.jobs_made,
                    meta.defaults,
                    meta.clock,
                    meta.default_job,
                );
            }
            "job" => {
                let stored = serde_json::from_slice(bytes).map_err(unreadable)?;
                let job = self.unstore(stored).map_err(unreadable)?;
                self.insert(Arc::new(job));
            }
            "idempotency" => {
                let (job, memory) = serde_json::from_slice(bytes).map_err(unreadable)?;
                self.remember(job, memory);
            }
            "said" => {
                let times = serde_json::from_slice(bytes).map_err(unreadable)?;
                self.restore_said(number()?, times);
            }
            "removed" => self.bury(rest.parse().map_err(|_| unknown())?),
            "kind" => {
                let cohort = serde_json::from_slice(bytes).map_err(unreadable)?;
                self.restore_kind(Arc::from(rest), cohort);
            }
            "webhook-master" => {
                let secret = serde_json::from_slice(bytes).map_err(unreadable)?;
                self.book.restore_master(secret);
            }
            "endpoint" => {
                let endpoint = serde_json::from_slice(bytes).map_err(unreadable)?;
                self.book.insert_endpoint(&Arc::new(endpoint));
            }
            "delivery" => {
                let delivery = serde_json::from_slice(bytes).map_err(unreadable)?;
                self.book.insert(Arc::new(delivery), &mut self.due);
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }

    /// Ends a restore.
    pub fn restored(&mut self) {
        self.finish_restore();
    }

    /// A job that was read, which shares with the others what it has in common with them.
    fn unstore(&mut self, stored: StoredJob<'_>) -> Result<Job, serde_json::Error> {
        let changes = stored.changes.into_iter().map(|change| Change {
            at: change.at,
            state: change.state,
            percent: change.percent,
            stage: change.stage.map(|word| self.known_word(&word.0)),
        });
        Ok(Job {
            changes: changes.collect(),
            key: stored.key,
            owner: stored.owner,
            kind: self.shared_kind(&stored.kind),
            worker: stored.worker,
            state: stored.state,
            revision: stored.revision,
            created_at: stored.created_at,
            started_at: stored.started_at,
            finished_at: stored.finished_at,
            expires_at: stored.expires_at,
            plan: stored.plan,
            stages: match stored.stages {
                Some(text) => Some(self.unstore_stages(text.get())?),
                None => None,
            },
            stages_begun: stored.stages_begun,
            extra: stored.extra,
        })
    }

    fn unstore_stages(&mut self, text: &str) -> Result<Arc<[Stage]>, serde_json::Error> {
        let last = |restoring: &Restoring| restoring.stages.clone();
        if let Some((_, stages)) = self
            .restoring
            .as_deref()
            .and_then(last)
            .filter(|(known, _)| known == text)
        {
            return Ok(stages);
        }
        let stages = self.shared(serde_json::from_str(text)?);
        let restoring = self.restoring.get_or_insert_default();
        restoring.stages = Some((text.to_owned(), stages.clone()));
        Ok(stages)
    }

    /// The word, shared with the jobs that have it too.
    fn known_word(&mut self, text: &str) -> Word {
        match self.find_word(text) {
            Some(known) => known,
            None => self.shared_word(text.into()),
        }
    }
}
