//! The jobs' parts of a checkpoint.

use std::sync::Arc;

use abide_wire::Timestamp;

use super::create::Idempotency;
use super::job::{ByKey, Job};
use super::lease::Lease;
use super::shares::Shares;
use super::table::Jobs;
use super::{due, named::Named};
use crate::due::{Due, DueSet};
use crate::snapshot::{Part, PartKey, RestoreError, Stored};
use crate::{JobKey, Owner};

/// What a restore gathers, to put it in at its end: one by one would take a million searches.
#[derive(Clone, Debug, Default)]
pub(super) struct Restoring {
    jobs: Vec<Arc<Job>>,
    due: Vec<(Timestamp, Due)>,
}

impl Jobs {
    /// The names of all parts.
    pub(crate) fn part_keys(&self) -> impl Iterator<Item = PartKey> + '_ {
        let jobs = self.iter().map(|job| PartKey::Job(job.key));
        jobs.chain(
            self.kinds()
                .map(|(owner, kind, _)| PartKey::Kind(owner, kind.clone())),
        )
        .chain(self.names().map(|named| PartKey::Named(named.name.clone())))
        .chain(self.leases.keys().map(PartKey::Lease))
        .chain(self.removed().map(|(key, _)| PartKey::Removed(key)))
        .chain(
            self.creates
                .idempotency
                .keys()
                .copied()
                .map(PartKey::Idempotency),
        )
        .chain(self.creates.bodies.keys().copied().map(PartKey::Body))
        .chain([PartKey::Simulator, PartKey::Made])
    }

    /// A part as it is now, if it is one of the jobs'.
    pub(crate) fn part(&self, key: &PartKey) -> Option<Part> {
        match key {
            PartKey::Job(key) => self.get(*key).cloned().map(Part::Job),
            PartKey::Kind(owner, kind) => self.kinds.get(*owner, kind).cloned().map(Part::Kind),
            PartKey::Named(name) => self.named(name).cloned().map(Box::new).map(Part::Named),
            PartKey::Removed(key) => {
                let owner = self.owner_of_removed(*key)?;
                Some(Part::Removed(
                    Some(owner).filter(|owner| !owner.is_anyone()),
                ))
            }
            PartKey::Lease(key) => {
                let (owner, lease) = self.leases.stored(*key)?;
                Some(Part::Lease(owner, lease))
            }
            PartKey::Idempotency(key) => {
                let (job, memory) = self.creates.idempotency.get(key)?;
                Some(Part::Idempotency(*job, *memory))
            }
            PartKey::Body(digest) => self.creates.bodies.get(digest).copied().map(Part::Body),
            PartKey::Simulator => Some(Part::Simulator(self.simulator.clone())),
            PartKey::Made => Some(Part::Made(self.made())),
            _ => None,
        }
    }

    /// Puts a job back. What it has in common with others may have been read by several readers.
    pub(crate) fn restore_job(&mut self, mut job: Arc<Job>) {
        if let Some(job) = Arc::get_mut(&mut job) {
            job.kind = self.intern.kind(&job.kind);
            job.stages = job.stages.take().map(|stages| self.intern.stages(stages));
        }
        let gathered = self.restoring.get_or_insert_default();
        gathered.due.extend(due::of_job(&job));
        self.leases.open(&job);
        gathered.jobs.push(job);
    }

    /// Puts a stored part back that is no job. `false` if it is none of the jobs'.
    pub(crate) fn restore(
        &mut self,
        stored: &Stored<'_>,
        due: &mut DueSet,
    ) -> Result<bool, RestoreError> {
        match stored.sort {
            "lease" => {
                let (owner, lease): (Owner, Lease) = stored.read()?;
                self.leases.restore(owner, stored.key()?, lease, due);
            }
            "kind" => {
                let kind = self.intern.kind(stored.name);
                self.kinds.restore(Owner::ANYONE, kind, stored.read()?);
            }
            "kind-of" => {
                let (owner, kind) = stored.owned()?;
                let kind = self.intern.kind(kind);
                self.kinds.restore(owner, kind, stored.read()?);
            }
            "named" => {
                let named: Named = stored.read()?;
                self.named.insert(named.name.clone(), named);
            }
            "removed" => {
                let owner: Option<Owner> = stored.read()?;
                self.removed
                    .insert(stored.key()?, owner.unwrap_or_default());
            }
            "idempotency" => {
                let (job, memory): (JobKey, Idempotency) = stored.read()?;
                self.creates.restore(job, memory, due);
            }
            "body" => {
                self.creates.bodies.insert(stored.number()?, stored.read()?);
            }
            "simulator" => self.simulator = stored.read()?,
            "made" => self.creates.made = stored.read()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Ends a restore: what follows from several parts together.
    pub(crate) fn restored(&mut self, due: &mut DueSet) {
        if let Some(gathered) = self.restoring.take() {
            self.shares = Shares::of(&gathered.jobs);
            self.by_key.reserve(gathered.jobs.len());
            self.by_key.extend(gathered.jobs.into_iter().map(ByKey));
            due.add_all(gathered.due);
        }
        for named in self.names() {
            if let Some((at, reset)) = self.get(named.job).and_then(|job| self.reset(job)) {
                due.insert(at, reset);
            }
        }
    }
}
