//! What is known of how long jobs of each kind take.

use std::sync::Arc;

use abide_engine::hash::FastMap;
use abide_engine::jobs::Step;
use abide_engine::{Cohort, Curve, Engine, Job};
use abide_wire::{Remaining, Timestamp};
use parking_lot::RwLock;

/// All kinds.
#[derive(Debug)]
pub(super) struct Kinds(RwLock<FastMap<Arc<str>, Kind>>);

#[derive(Debug, Default)]
struct Kind {
    cohort: Cohort,
    /// The cohort's curve as it was computed last; computed anew when it is asked for and no longer current.
    curve: RwLock<Curve>,
}

impl Kinds {
    pub(super) fn new(engine: &Engine) -> Self {
        let kinds = engine.jobs().kinds().map(|(kind, cohort)| {
            let cohort = cohort.as_ref().clone();
            (
                kind.clone(),
                Kind {
                    cohort,
                    curve: RwLock::default(),
                },
            )
        });
        Self(RwLock::new(kinds.collect()))
    }

    pub(super) fn note(&self, kind: &Arc<str>, step: Step) {
        let mut kinds = self.0.write();
        kinds.entry(kind.clone()).or_default().cohort.note(step);
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
        let kinds = self.0.read();
        let kind = kinds.get(&job.kind)?;
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
