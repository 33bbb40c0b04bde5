//! Which faults meet an occasion.

use abide_engine::fault::{Purpose, meet};
use abide_engine::rng::digest;
use abide_engine::{Job, JobKey, Owner, Rng};
use abide_wire::{Fault, FaultKind};

use crate::http::state::AppState;

/// The faults that meet one occasion.
#[derive(Debug)]
pub(super) struct Met {
    seed: u64,
    ordinal: u32,
    rng: Rng,
    /// They, in the order in which they were listed.
    pub faults: Vec<Fault>,
}

impl Met {
    /// Counts an occasion of that job if there are faults that may meet it, and gives those that do.
    pub(super) fn of_job(state: &AppState, job: &Job, purpose: Purpose) -> Self {
        let (defaults, rng) = state.board.settings();
        let seed = job.seed();
        let (own, all) = (job.faults(), &defaults.faults);
        let may = own.iter().chain(all.iter()).any(|it| purpose.is_met_by(it));
        if !may {
            return Self {
                seed,
                ordinal: 0,
                rng,
                faults: Vec::new(),
            };
        }
        let ordinal = state.ordinals.next(job.key, purpose);
        let faults = meet(own, all, seed, purpose, ordinal, rng);
        Self {
            seed,
            ordinal,
            rng,
            faults: faults.cloned().collect(),
        }
    }

    /// The same for the stream of all of an owner's jobs. It has no job; its owner stands in for one.
    pub(super) fn of_feed(state: &AppState, owner: Owner) -> Self {
        let (defaults, rng) = state.board.settings();
        let seed = digest(&[b"feed", &owner.0.to_le_bytes()]);
        let key = JobKey::from_u128(u128::from(seed));
        let ordinal = state.ordinals.next(key, Purpose::Stream);
        let faults = meet(&[], &defaults.faults, seed, Purpose::Stream, ordinal, rng);
        Self {
            seed,
            ordinal,
            rng,
            faults: faults.cloned().collect(),
        }
    }

    /// The first fault of that kind.
    pub(super) fn first(&self, kind: FaultKind) -> Option<&Fault> {
        self.faults.iter().find(|fault| fault.fault == kind)
    }

    /// The first fault that spoils a stream.
    pub(super) fn of_stream(&self) -> Option<&Fault> {
        let mut faults = self.faults.iter();
        faults.find(|fault| matches!(fault.fault, FaultKind::StreamCut | FaultKind::StreamMute))
    }

    /// The events after which a stream is spoiled. These are few, so that a short stream is met as well.
    pub(super) fn events_before(&self) -> usize {
        let place = self
            .rng
            .unit(self.seed, "stream place", u64::from(self.ordinal));
        (place * 3.0) as usize
    }
}
