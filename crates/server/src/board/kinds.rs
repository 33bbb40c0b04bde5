//! What is known of how long each owner's jobs of each kind take.

use std::sync::Arc;

use abide_engine::hash::FastMap;
use abide_engine::jobs::Step;
use abide_engine::{Cohort, Curve, Engine, Job, Owner};
use abide_wire::{Remaining, Timestamp};
use parking_lot::RwLock;

/// The kinds of each owner.
#[derive(Debug)]
pub(super) struct Kinds(RwLock<FastMap<Owner, FastMap<Arc<str>, Kind>>>);

#[derive(Debug, Default)]
struct Kind {
    cohort: Cohort,
    /// The cohort's curve as it was computed last; computed anew when it is asked for and no longer current.
    curve: RwLock<Curve>,
}

impl Kinds {
    pub(super) fn new(engine: &Engine) -> Self {
        let mut owners = FastMap::<_, FastMap<_, _>>::default();
        for (owner, kind, cohort) in engine.jobs().kinds() {
            let known = Kind {
                cohort: cohort.as_ref().clone(),
                curve: RwLock::default(),
            };
            owners.entry(owner).or_default().insert(kind.clone(), known);
        }
        Self(RwLock::new(owners))
    }

    pub(super) fn note(&self, owner: Owner, kind: &Arc<str>, step: Step) {
        let mut owners = self.0.write();
        let kinds = owners.entry(owner).or_default();
        kinds.entry(kind.clone()).or_default().cohort.note(step);
    }

    pub(super) fn forget(&self, owner: Owner, kind: &str) {
        if let Some(kinds) = self.0.write().get_mut(&owner) {
            kinds.remove(kind);
        }
    }

    pub(super) fn clear(&self) {
        self.0.write().clear();
    }

    pub(super) fn remaining(&self, job: &Job, now: Timestamp) -> Option<Remaining> {
        if job.is_done() {
            return None;
        }
        let elapsed = now.since(job.created_at).as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let owners = self.0.read();
        let kind = owners.get(&job.owner)?.get(&job.kind)?;
        {
            let curve = kind.curve.read();
            if kind.cohort.is_current(&curve, now) {
                return curve.remaining(elapsed);
            }
        }
        let curve = kind.cohort.curve(now);
        let remaining = curve.remaining(elapsed);
        *kind.curve.write() = curve;
        remaining
    }
}
