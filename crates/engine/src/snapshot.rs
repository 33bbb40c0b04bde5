//! The state in parts, for checkpoints.
//!
//! A checkpoint holds the state as of an entry, so that a restart replays only what came after. It is kept in parts,
//! each under a name of its own, and only the parts that changed since the last one are written again. Each half knows
//! its own parts.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use abide_wire::webhook::Secret;

use crate::engine::Engine;
use crate::entry::LEVEL;
use crate::intern::Interner;
use crate::jobs::simulator::Simulator;
use crate::jobs::{Cohort, Idempotency, Job, Lease, Named};
use crate::meta::Meta;
use crate::{Delivery, DeliveryKey, Endpoint, EndpointKey, JobKey, Owner, Policy};

/// The name of a part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartKey {
    /// All parts of checkpoints before this one: they are gone, and the changes beside it are all that there is. It is
    /// no part, and its name is empty.
    All,
    /// What the log says of itself. The first by name, so that a level that is too new is met before its forms.
    Meta,
    /// What the server allows.
    Policy,
    /// The simulator's seed and defaults.
    Simulator,
    /// The number of jobs ever created.
    Made,
    /// The job of a name.
    Named(Arc<str>),
    /// A job.
    Job(JobKey),
    /// The lease on a job.
    Lease(JobKey),
    /// An idempotency key.
    Idempotency(u64),
    /// How often a create's body came.
    Body(u64),
    /// A removed job.
    Removed(JobKey),
    /// How long an owner's jobs of a kind take.
    Kind(Owner, Arc<str>),
    /// The secret from which those of endpoints are derived.
    WebhookMaster,
    /// A webhook endpoint.
    Endpoint(EndpointKey),
    /// A delivery to one.
    Delivery(DeliveryKey),
    /// A removed job that deliveries need.
    Kept(JobKey),
}

impl PartKey {
    /// What changes with a reset.
    pub(crate) const AFTER_RESET: [Self; 6] = [
        Self::All,
        Self::Meta,
        Self::Policy,
        Self::Simulator,
        Self::Made,
        Self::WebhookMaster,
    ];
}

impl fmt::Display for PartKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => Ok(()),
            Self::Meta => f.write_str("_meta"),
            Self::Policy => f.write_str("policy"),
            Self::Simulator => f.write_str("simulator"),
            Self::Made => f.write_str("made"),
            Self::Named(name) => write!(f, "named/{name}"),
            Self::Job(key) => write!(f, "job/{key}"),
            Self::Lease(key) => write!(f, "lease/{key}"),
            Self::Idempotency(key) => write!(f, "idempotency/{key:016x}"),
            Self::Body(digest) => write!(f, "body/{digest:016x}"),
            Self::Removed(key) => write!(f, "removed/{key}"),
            Self::Kind(Owner::ANYONE, kind) => write!(f, "kind/{kind}"),
            Self::Kind(Owner(owner), kind) => write!(f, "kind-of/{owner:016x}/{kind}"),
            Self::WebhookMaster => f.write_str("webhook-master"),
            Self::Endpoint(key) => write!(f, "endpoint/{key}"),
            Self::Delivery(key) => write!(f, "delivery/{key}"),
            Self::Kept(key) => write!(f, "kept/{key}"),
        }
    }
}

/// A part, shared with the state as it was when it was taken, so that encoding it needs no lock.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Part {
    /// What the log says of itself.
    Meta(Meta),
    /// What the server allows.
    Policy(Box<Policy>),
    /// The simulator's seed and defaults.
    Simulator(Simulator),
    /// The number of jobs ever created.
    Made(u64),
    /// The job of a name.
    Named(Box<Named>),
    /// A job.
    Job(Arc<Job>),
    /// The lease on a job, and the job's owner.
    Lease(Owner, Lease),
    /// An idempotency key.
    Idempotency(JobKey, Idempotency),
    /// How often a create's body came.
    Body(u32),
    /// A removed job, and its owner; `None` for [`Owner::ANYONE`], and in parts of programs that stored no owner.
    Removed(Option<Owner>),
    /// How long jobs of a kind take.
    Kind(Arc<Cohort>),
    /// The secret from which those of endpoints are derived.
    WebhookMaster(Secret),
    /// A webhook endpoint.
    Endpoint(Arc<Endpoint>),
    /// A delivery to one.
    Delivery(Arc<Delivery>),
}

impl Part {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a part has no map with keys that are not text")
    }
}

/// Why a stored part can't be read.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A newer program wrote it.
    #[error("the checkpoint needs level {needs}, and this program reads levels up to {LEVEL}")]
    Level {
        /// The level that it needs.
        needs: u32,
    },
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

impl RestoreError {
    /// The name of the part.
    #[must_use]
    pub fn part(&self) -> &str {
        match self {
            Self::Level { .. } => "_meta",
            Self::UnknownPart(name) | Self::Unreadable { name, .. } => name,
        }
    }
}

/// Reads stored parts. Those that one reader has read share what they have in common; a thread that reads has a reader
/// of its own.
#[derive(Debug, Default)]
pub struct PartReader(Interner);

/// A part that was read, for [`Engine::put`].
#[derive(Debug)]
pub struct ReadPart(Read);

#[derive(Debug)]
enum Read {
    Job(Arc<Job>),
    /// A part of a sort that is few, as it is stored: its name and its bytes.
    Stored(String, Vec<u8>),
}

impl PartReader {
    /// Reads a stored part, as far as that takes long and needs no state.
    ///
    /// # Errors
    ///
    /// The bytes are not what the name says.
    pub fn read(&mut self, name: &str, bytes: &[u8]) -> Result<ReadPart, RestoreError> {
        let stored = Stored::new(name, bytes);
        Ok(ReadPart(if stored.is_job() {
            Read::Job(Arc::new(self.0.reading(|| stored.read())?))
        } else {
            Read::Stored(name.to_owned(), bytes.to_owned())
        }))
    }
}

/// A part as it is stored.
pub(crate) struct Stored<'a> {
    /// The name up to the first slash.
    pub(crate) sort: &'a str,
    /// The rest of the name.
    pub(crate) name: &'a str,
    full_name: &'a str,
    bytes: &'a [u8],
}

impl<'a> Stored<'a> {
    fn new(full_name: &'a str, bytes: &'a [u8]) -> Self {
        let (sort, name) = full_name.split_once('/').unwrap_or((full_name, ""));
        Self {
            sort,
            name,
            full_name,
            bytes,
        }
    }

    fn is_job(&self) -> bool {
        self.sort == "job"
    }

    pub(crate) fn read<T: Deserialize<'a>>(&self) -> Result<T, RestoreError> {
        serde_json::from_slice(self.bytes).map_err(|source| RestoreError::Unreadable {
            name: self.full_name.to_owned(),
            source,
        })
    }

    pub(crate) fn key<T: std::str::FromStr>(&self) -> Result<T, RestoreError> {
        self.name.parse().map_err(|_| self.unknown())
    }

    pub(crate) fn number(&self) -> Result<u64, RestoreError> {
        u64::from_str_radix(self.name, 16).map_err(|_| self.unknown())
    }

    /// The owner that the name begins with, and what follows it.
    pub(crate) fn owned(&self) -> Result<(Owner, &'a str), RestoreError> {
        let split = self.name.split_once('/');
        let owned =
            split.and_then(|(owner, name)| Some((u64::from_str_radix(owner, 16).ok()?, name)));
        owned
            .map(|(owner, name)| (Owner(owner), name))
            .ok_or_else(|| self.unknown())
    }

    fn unknown(&self) -> RestoreError {
        RestoreError::UnknownPart(self.full_name.to_owned())
    }
}

impl Engine {
    /// The parts that changed since this was last asked, and how they are now; `None` for those that are gone.
    /// [`PartKey::All`] comes first.
    pub fn take_dirty(&mut self) -> Vec<(PartKey, Option<Part>)> {
        let names = self.take_dirty_names();
        names
            .map(|key| {
                let part = self.part(&key);
                (key, part)
            })
            .collect()
    }

    /// The names of these parts. With [`Engine::part`] they can be taken bit by bit: one that changes in between is
    /// among the next.
    pub fn take_dirty_names(&mut self) -> impl Iterator<Item = PartKey> + Send + use<> {
        let all = self.dirty.take(&PartKey::All);
        all.into_iter().chain(std::mem::take(&mut self.dirty))
    }

    /// How many parts have changed since they were last asked for.
    #[must_use]
    pub fn dirty(&self) -> usize {
        self.dirty.len()
    }

    /// Has these parts written again with the next checkpoint, because one that held them was not.
    pub fn mark_dirty(&mut self, keys: impl IntoIterator<Item = PartKey>) {
        self.dirty.extend(keys);
    }

    /// All parts, sorted by name; for comparing states.
    #[must_use]
    pub fn all_parts(&self) -> Vec<(PartKey, Part)> {
        let mut keys: Vec<PartKey> = self.jobs.part_keys().collect();
        keys.extend(self.deliveries.part_keys());
        keys.extend([PartKey::Meta, PartKey::Policy]);
        keys.sort();
        keys.into_iter()
            .filter_map(|key| self.part(&key).map(|part| (key, part)))
            .collect()
    }

    /// That part as it is now; `None` if it is gone.
    #[must_use]
    pub fn part(&self, key: &PartKey) -> Option<Part> {
        match key {
            PartKey::Meta => Some(Part::Meta(self.meta.clone())),
            PartKey::Policy => Some(Part::Policy(Box::new(self.policy.clone()))),
            key => self.jobs.part(key).or_else(|| self.deliveries.part(key)),
        }
    }

    /// Puts a part that was read back into a fresh state. After the last one, call [`Engine::restored`].
    ///
    /// # Errors
    ///
    /// The part is not one of this version's.
    pub fn put(&mut self, part: ReadPart) -> Result<(), RestoreError> {
        match part.0 {
            Read::Job(job) => {
                self.jobs.restore_job(job);
                Ok(())
            }
            Read::Stored(name, bytes) => self.restore(&name, &bytes),
        }
    }

    /// Reads a stored part and puts it back, as [`Engine::put`] does.
    ///
    /// # Errors
    ///
    /// The part is not one of this version's.
    pub fn restore(&mut self, name: &str, bytes: &[u8]) -> Result<(), RestoreError> {
        let stored = Stored::new(name, bytes);
        if stored.is_job() {
            let job = self.jobs.intern.reading(|| stored.read())?;
            self.jobs.restore_job(Arc::new(job));
        } else if stored.sort == "_meta" {
            self.meta = stored.read()?;
            if self.meta.level > LEVEL {
                return Err(RestoreError::Level {
                    needs: self.meta.level,
                });
            }
        } else if stored.sort == "policy" {
            self.policy = stored.read()?;
            self.deliveries.follow(&self.policy.webhooks);
        } else if stored.sort == "clock" {
            // Of level 1: what the manual clock last showed.
            self.meta.latest = self.meta.latest.max(stored.read()?);
        } else if !self.jobs.restore(&stored, &mut self.due)?
            && !self.deliveries.restore(&stored, &mut self.due)?
        {
            return Err(stored.unknown());
        }
        Ok(())
    }

    /// Ends a restore of the state after the entry of that number.
    pub fn restored(&mut self, seq: u64) {
        self.seq = seq;
        self.jobs.restored(&mut self.due);
        self.deliveries.restored(&self.jobs, &mut self.due);
        self.stored = self.recount();
        self.dirty.clear();
    }
}
