//! The state of the jobs: the records, what is found by what, and which entry changes it how.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::create::Creates;
use super::due;
use super::job::{ByKey, Job};
use super::learn::{Cohort, Kinds};
use super::lease::Leases;
use super::named::Named;
use super::plan::Defaults;
use super::shares::Shares;
use super::simulator::Simulator;
use super::snapshot::Restoring;
use crate::effect::{Effect, Touch};
use crate::entry::Entry;
use crate::hash::{FastMap, FastSet};
use crate::intern::Interner;
use crate::snapshot::PartKey;
use crate::{JobKey, Owner, Rng};

/// The most removed jobs that are remembered, to answer `410` for them rather than `404`.
pub const REMOVED_MAX: usize = 100_000;

/// All jobs. Changed by [`Engine::apply`](crate::Engine::apply) alone.
#[derive(Clone, Debug, Default)]
pub struct Jobs {
    pub(super) by_key: FastSet<ByKey>,
    pub(super) shares: Shares,
    pub(super) removed: Removed,
    pub(super) creates: Creates,
    pub(super) leases: Leases,
    pub(super) named: BTreeMap<Arc<str>, Named>,
    pub(super) kinds: Kinds,
    pub(crate) simulator: Simulator,
    pub(crate) intern: Interner,
    /// What a restore has gathered; `None` at any other time.
    pub(super) restoring: Option<Box<Restoring>>,
}

/// What an entry did to a job.
pub(crate) enum News {
    /// It is new or has changed.
    Changed(Arc<Job>),
    /// Its record, as it last was, is gone.
    Removed(Arc<Job>),
}

/// The names of removed jobs, the oldest first, and whose they were.
#[derive(Clone, Debug, Default)]
pub(super) struct Removed {
    order: VecDeque<JobKey>,
    owners: FastMap<JobKey, Owner>,
}

impl Removed {
    /// Remembers a name, and returns the oldest if it is forgotten for that.
    pub(super) fn insert(&mut self, key: JobKey, owner: Owner) -> Option<JobKey> {
        if self.owners.insert(key, owner).is_none() {
            self.order.push_back(key);
        }
        let forgotten = (self.order.len() > REMOVED_MAX)
            .then(|| self.order.pop_front())
            .flatten()?;
        self.owners.remove(&forgotten);
        Some(forgotten)
    }
}

impl Jobs {
    /// A job by its name.
    #[must_use]
    pub fn get(&self, key: JobKey) -> Option<&Arc<Job>> {
        self.by_key.get(&key).map(|ByKey(job)| job)
    }

    /// All jobs, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Job>> {
        self.by_key.iter().map(|ByKey(job)| job)
    }

    /// How many jobs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is no job.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Whose job that was, if its record has been removed and that is remembered. Only that owner may hear of it.
    #[must_use]
    pub fn owner_of_removed(&self, key: JobKey) -> Option<Owner> {
        self.removed.owners.get(&key).copied()
    }

    /// The removed jobs and their owners, the oldest first.
    pub fn removed(&self) -> impl Iterator<Item = (JobKey, Owner)> + '_ {
        let keys = self.removed.order.iter();
        keys.map(|key| (*key, self.removed.owners[key]))
    }

    /// What is known of how long jobs take, by owner and kind.
    pub fn kinds(&self) -> impl Iterator<Item = (Owner, &Arc<str>, &Arc<Cohort>)> {
        self.kinds.iter()
    }

    /// How many jobs were ever created.
    #[must_use]
    pub const fn made(&self) -> u64 {
        self.creates.made
    }

    /// The source of the simulator's draws.
    #[must_use]
    pub const fn rng(&self) -> Rng {
        self.simulator.rng
    }

    /// The simulator's defaults.
    #[must_use]
    pub const fn defaults(&self) -> &Arc<Defaults> {
        &self.simulator.defaults
    }

    /// What each record takes, with its owner.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = (Owner, usize)> {
        let jobs = self.iter().map(|job| (job.owner, job.bytes()));
        jobs.chain(self.creates.bytes()).chain(self.leases.bytes())
    }

    /// Changes the jobs by one fact.
    pub(crate) fn apply(&mut self, entry: &Entry, touch: &mut Touch<'_>) -> Option<News> {
        let changed = match entry {
            Entry::Created(created) => self.created(created, touch),
            Entry::Started { job, at } => self.started(*job, *at, touch),
            Entry::Progressed {
                job,
                at,
                percent,
                stage,
            } => self.progressed(*job, *at, *percent, stage.as_deref(), touch),
            Entry::Claimed {
                job,
                at,
                token,
                lease_ms,
            } => self.claimed(*job, *at, (*token, *lease_ms), touch),
            Entry::LeaseLost { job, at } => self.unclaimed(*job, *at, true, touch),
            Entry::Released { job, at } => self.unclaimed(*job, *at, false, touch),
            Entry::Renewed { job, at } => {
                self.renew(*job, *at, touch);
                None
            }
            Entry::Resumed { at } => {
                self.renew_all(*at, touch);
                None
            }
            Entry::Finished(finished) => self.finished(finished, touch),
            Entry::Removed { job } => return self.remove(*job, touch),
            Entry::Forgotten { key } => {
                self.creates.forget(*key, touch);
                None
            }
            Entry::Seeded { seed } => {
                self.creates.forget_bodies(touch);
                self.simulator.seed(*seed, touch);
                None
            }
            Entry::Settings(defaults) => {
                self.simulator.set(defaults, touch);
                None
            }
            Entry::Named(named) => {
                self.name(named, touch);
                None
            }
            Entry::Clock { .. }
            | Entry::Webhook(_)
            | Entry::Reset
            | Entry::Level { .. }
            | Entry::Policy(_)
            | Entry::Configured { .. } => None,
        };
        changed.map(News::Changed)
    }

    /// What is left when everything is forgotten but the seed, and how many jobs were ever created: no name is given
    /// twice.
    pub(crate) fn forgotten(&self) -> Self {
        let mut fresh = Self::default();
        fresh.creates.made = self.made();
        fresh.simulator.rng = self.rng();
        fresh
    }

    /// Leaves what is [left](Self::forgotten). Returns what was there.
    pub(crate) fn forget_all(&mut self) -> Self {
        let fresh = self.forgotten();
        std::mem::replace(self, fresh)
    }

    fn remove(&mut self, key: JobKey, touch: &mut Touch<'_>) -> Option<News> {
        let job = self.get(key).filter(|job| job.is_done())?.clone();
        self.take(key, touch);
        touch.dirty(PartKey::Job(key));
        touch.dirty(PartKey::Removed(key));
        if let Some(forgotten) = self.removed.insert(key, job.owner) {
            touch.dirty(PartKey::Removed(forgotten));
        }
        touch.tell(Effect::Removed(key));
        Some(News::Removed(job))
    }

    /// Puts a job in, with its deadlines, and tells of it.
    pub(super) fn put(&mut self, job: &Arc<Job>, touch: &mut Touch<'_>) {
        for (at, due) in due::of_job(job) {
            touch.due.insert(at, due);
        }
        self.shares.add(job);
        self.leases.open(job);
        self.by_key.insert(ByKey(job.clone()));
        touch.stored.add(job.owner, job.bytes());
        touch.dirty(PartKey::Job(job.key));
        touch.tell(Effect::Changed(job.clone(), touch.seq));
    }

    /// Takes a job out, with its deadlines.
    pub(super) fn take(&mut self, key: JobKey, touch: &mut Touch<'_>) {
        let Some(ByKey(job)) = self.by_key.take(&key) else {
            return;
        };
        touch.stored.remove(job.owner, job.bytes());
        self.leases.close(&job);
        for (at, due) in due::of_job(&job) {
            touch.due.remove(at, due);
        }
        self.shares.remove(&job);
    }
}
