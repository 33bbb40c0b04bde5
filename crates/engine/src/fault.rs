//! Whether a fault meets the n-th occasion.

use abide_wire::{Fault, FaultKind, FaultTarget};

use crate::Luck;

/// The faults that meet the `ordinal`-th request (or stream, or delivery) of the job with that fate, in the order in which they were
/// listed, counted from 1. `own` are the job's faults, `all` those of every job.
pub fn meet<'a>(
    own: &'a [Fault],
    all: &'a [Fault],
    fate: u64,
    ordinal: u32,
    luck: Luck,
    wanted: impl Fn(&Fault) -> bool + 'a,
) -> impl Iterator<Item = &'a Fault> + 'a {
    own.iter()
        .chain(all)
        .enumerate()
        .filter(move |(n, fault)| {
            wanted(fault)
                && fault.may_meet(ordinal)
                && fault.chance.is_none_or(|chance| {
                    let purpose = fault.fault.as_str();
                    let nth = (u64::from(ordinal) << 16) | *n as u64;
                    luck.unit(fate, purpose, nth) < chance
                })
        })
        .map(|(_, fault)| fault)
}

/// Whether the fault changes the answer to a request of that sort.
#[must_use]
pub fn changes_answer(fault: &Fault, target: FaultTarget) -> bool {
    let of_answers = matches!(
        fault.fault,
        FaultKind::Latency
            | FaultKind::Error
            | FaultKind::Reset
            | FaultKind::Truncate
            | FaultKind::Stall
    );
    let on = fault.on.unwrap_or_default();
    of_answers && (on == target || on == FaultTarget::Any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_reads_and_only_they_meet_a_fault_of_the_first_two() {
        let fault = Fault {
            first: Some(2),
            ..Fault::new(FaultKind::Error)
        };
        let faults = [fault];
        let hit = |n| meet(&faults, &[], 5, n, Luck::new(1), |_| true).count();
        assert_eq!([hit(1), hit(2), hit(3)], [1, 1, 0]);
    }

    #[test]
    fn chance_is_drawn_per_occasion_and_is_the_same_again() {
        let fault = Fault {
            chance: Some(0.5),
            ..Fault::new(FaultKind::Reset)
        };
        let faults = [fault];
        let hits = || -> Vec<u32> {
            (1..=1_000)
                .filter(|n| meet(&[], &faults, 9, *n, Luck::new(1), |_| true).count() == 1)
                .collect()
        };
        assert_eq!(hits(), hits());
        assert!((430..570).contains(&hits().len()), "{}", hits().len());
    }

    #[test]
    fn a_fault_of_creates_leaves_reads_alone() {
        let fault = Fault {
            on: Some(FaultTarget::Create),
            ..Fault::new(FaultKind::Error)
        };
        assert!(changes_answer(&fault, FaultTarget::Create));
        assert!(!changes_answer(&fault, FaultTarget::Read));
        assert!(!changes_answer(
            &Fault::new(FaultKind::Stale),
            FaultTarget::Read
        ));
    }
}
