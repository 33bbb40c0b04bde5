//! Whether a fault meets the n-th occasion.
//!
//! An occasion is a request for a job, a stream of its events or a delivery about it. Occasions are counted from 1,
//! per job and per [`Purpose`], for all clients together; whether a fault meets one is drawn by `hash(server's seed,
//! job's seed, fault, purpose, ordinal)`. So what a job's clients meet depends on what they do with that job and on
//! nothing else: not on other jobs, not on how many requests are under way at the same time, not on the node that
//! answers.

use std::time::Duration;

use abide_wire::{Fault, FaultKind, FaultTarget};

use crate::Rng;

/// What an occasion is, as far as it matters for faults. Each is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A read of the job, held or not.
    Read,
    /// The create.
    Create,
    /// A cancel, a report or a delete.
    Write,
    /// A stream of the job's events.
    Stream,
    /// A delivery of a webhook about the job.
    Webhook,
}

impl Purpose {
    /// Every purpose, in the order of [`Purpose::index`].
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Create,
        Self::Write,
        Self::Stream,
        Self::Webhook,
    ];

    /// Its place among [`Purpose::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether faults of that sort can meet such an occasion.
    #[must_use]
    pub fn is_met_by(self, fault: &Fault) -> bool {
        use FaultKind as F;
        match fault.fault {
            F::Latency | F::Error | F::Reset | F::Truncate | F::Stall => {
                match (self, fault.on.unwrap_or_default()) {
                    (Self::Read, on) => on != FaultTarget::Create,
                    (Self::Create, on) => on != FaultTarget::Read,
                    (Self::Write, on) => on == FaultTarget::Any,
                    (Self::Stream | Self::Webhook, _) => false,
                }
            }
            F::Stale | F::UnknownStatus | F::LateResult | F::NotFoundFirst => self == Self::Read,
            F::SlowCancel => matches!(self, Self::Read | Self::Write),
            F::LostCreate => self == Self::Create,
            F::StreamCut | F::StreamMute => self == Self::Stream,
            F::WebhookLost | F::WebhookDoubled | F::WebhookLate | F::WebhookEarly => {
                self == Self::Webhook
            }
            // Decided when the job is made, or when its result is fetched.
            F::Stuck | F::CanceledElsewhere | F::QueueStuck | F::ExpiredUrl => false,
        }
    }
}

/// The faults that meet the `ordinal`-th occasion of that purpose, counted from 1, of the job with that seed, in the
/// order in which they were listed. `own` are the job's faults, `all` those of every job.
pub fn meet<'a>(
    own: &'a [Fault],
    all: &'a [Fault],
    seed: u64,
    purpose: Purpose,
    ordinal: u32,
    rng: Rng,
) -> impl Iterator<Item = &'a Fault> + 'a {
    own.iter()
        .chain(all)
        .enumerate()
        .filter(move |(n, fault)| {
            purpose.is_met_by(fault)
                && fault.may_meet(ordinal)
                && fault.chance.is_none_or(|chance| {
                    let place = (purpose.index() << 8) | n;
                    let nth = (u64::from(ordinal) << 16) | place as u64;
                    rng.unit(seed, fault.fault.as_str(), nth) < chance
                })
        })
        .map(|(_, fault)| fault)
}

/// What happens to one delivery of a webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookFaults {
    /// It counts as delivered and is never sent.
    pub is_lost: bool,
    /// It is sent twice.
    pub is_doubled: bool,
    /// It is sent before the create is answered, where it tells of the create.
    pub is_early: bool,
    /// It is sent so much later.
    pub late: Option<Duration>,
}

impl WebhookFaults {
    /// What happens to the `ordinal`-th delivery about the job with that seed, counted from 1. Attempts at the same
    /// delivery share its ordinal.
    #[must_use]
    pub fn of(own: &[Fault], all: &[Fault], seed: u64, ordinal: u32, rng: Rng) -> Self {
        let mut it = Self::default();
        for fault in meet(own, all, seed, Purpose::Webhook, ordinal, rng) {
            match fault.fault {
                FaultKind::WebhookLost => it.is_lost = true,
                FaultKind::WebhookDoubled => it.is_doubled = true,
                FaultKind::WebhookEarly => it.is_early = true,
                FaultKind::WebhookLate => it.late = it.late.max(Some(fault.delay())),
                _ => {}
            }
        }
        it
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordinals_met(fault: &Fault, purpose: Purpose, job: u64, seed: u64) -> Vec<u32> {
        let faults = std::slice::from_ref(fault);
        (1..=1_000)
            .filter(|n| meet(&[], faults, job, purpose, *n, Rng::new(seed)).count() == 1)
            .collect()
    }

    #[test]
    fn the_first_two_reads_and_only_they_meet_a_fault_of_the_first_two() {
        let fault = Fault {
            first: Some(2),
            ..Fault::new(FaultKind::Error)
        };
        assert_eq!(ordinals_met(&fault, Purpose::Read, 5, 1), [1, 2]);
    }

    #[test]
    fn chance_is_drawn_per_occasion_and_is_the_same_again() {
        let fault = Fault {
            chance: Some(0.5),
            on: Some(FaultTarget::Any),
            ..Fault::new(FaultKind::Reset)
        };
        let reads = ordinals_met(&fault, Purpose::Read, 9, 1);
        assert_eq!(reads, ordinals_met(&fault, Purpose::Read, 9, 1));
        assert!((430..570).contains(&reads.len()), "{}", reads.len());
        for other in [
            ordinals_met(&fault, Purpose::Write, 9, 1),
            ordinals_met(&fault, Purpose::Read, 8, 1),
            ordinals_met(&fault, Purpose::Read, 9, 2),
        ] {
            let same = other.iter().filter(|n| reads.contains(n)).count();
            assert!((170..330).contains(&same), "{same}");
        }
    }

    #[test]
    fn faults_meet_the_occasions_that_they_are_about() {
        use Purpose::{Create, Read, Stream, Webhook, Write};
        let on = |fault, on| Fault {
            on,
            ..Fault::new(fault)
        };
        let table: [(Fault, &[Purpose]); 9] = [
            (on(FaultKind::Error, None), &[Read]),
            (on(FaultKind::Reset, Some(FaultTarget::Read)), &[Read]),
            (on(FaultKind::Stall, Some(FaultTarget::Create)), &[Create]),
            (
                on(FaultKind::Latency, Some(FaultTarget::Any)),
                &[Read, Create, Write],
            ),
            (on(FaultKind::Stale, Some(FaultTarget::Any)), &[Read]),
            (on(FaultKind::StreamCut, None), &[Stream]),
            (on(FaultKind::StreamMute, None), &[Stream]),
            (on(FaultKind::WebhookLost, None), &[Webhook]),
            (on(FaultKind::Stuck, None), &[]),
        ];
        for (fault, purposes) in table {
            let met: Vec<_> = Purpose::ALL
                .into_iter()
                .filter(|purpose| purpose.is_met_by(&fault))
                .collect();
            assert_eq!(met, purposes, "{fault:?}");
        }
    }

    #[test]
    fn a_delivery_meets_each_of_its_faults() {
        let fault = |kind, nth: u32| Fault {
            nth: Some(vec![nth]),
            ..Fault::new(kind)
        };
        let own = [
            fault(FaultKind::WebhookLost, 1),
            fault(FaultKind::WebhookDoubled, 2),
            fault(FaultKind::WebhookLate, 2),
            Fault {
                delay: Some(abide_wire::Span::new(Duration::from_secs(9))),
                ..fault(FaultKind::WebhookLate, 3)
            },
            Fault::new(FaultKind::Error),
        ];
        let all = [fault(FaultKind::WebhookLate, 3)];
        let of = |ordinal| WebhookFaults::of(&own, &all, 7, ordinal, Rng::new(1));
        assert_eq!(
            of(1),
            WebhookFaults {
                is_lost: true,
                ..WebhookFaults::default()
            }
        );
        assert_eq!(
            of(2),
            WebhookFaults {
                is_doubled: true,
                late: Some(Duration::from_secs(5)),
                ..WebhookFaults::default()
            }
        );
        assert_eq!(of(3).late, Some(Duration::from_secs(9)));
        assert_eq!(of(4), WebhookFaults::default());
    }
}
