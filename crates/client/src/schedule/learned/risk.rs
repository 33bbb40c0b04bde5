//! Who was at risk: the weights by which observations count, age by age.
//!
//! The law is built from rates, as Kaplan and Meier do it: in each bin, the jobs that ended there out of those that had
//! come that far. A job that still runs is at risk in every bin that it has passed, and says nothing of those beyond.
//!
//! Forgetting is by age, too. An observation fades in a bin with every newer job that has come as far as that bin, and
//! with no other: what is known of ages that newer jobs haven't reached is the newest knowledge of them. So a thousand
//! jobs that have just begun, or the short ones of a batch, don't wipe out what is known of long jobs.

use super::grid::BINS;
use super::ring::Span;

/// How many memories there are: a long one and a short one.
pub(crate) const MEMORIES: usize = 2;

/// The weight of an observation in terms of that of the next newer one, in each memory.
const FADE: [f64; MEMORIES] = [1.0 - 1.0 / 100.0, 1.0 - 1.0 / 12.0];

/// How many jobs the prior is worth in each memory, and after how many jobs half as many in the long one: polls against
/// what never happened in a hundred jobs are dear where jobs are long.
const PRIORS: Weight = [0.3, 1.0];
const HALVED: f64 = 25.0;

/// A number for each memory.
pub(crate) type Weight = [f64; MEMORIES];

/// One job as evidence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// The bins in which it ended, or from `first` on may end.
    pub(crate) span: Span,
    pub(crate) ended: bool,
}

impl Seen {
    /// One more than the last bin in which it was at risk.
    fn reach(self) -> usize {
        if self.ended {
            self.span.last + 1
        } else {
            self.span.first
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Risk {
    /// The ends and their weights.
    pub(crate) ends: Vec<(Span, Weight)>,
    /// For each bin, the weight of all at risk less that of the ends in it and beyond.
    pub(crate) others: Box<[Weight; BINS]>,
    /// The weight of all jobs.
    pub(crate) total: Weight,
    /// The weight of the prior beside them.
    pub(crate) prior: Weight,
}

impl Risk {
    /// Weighs jobs that are given in the order of their acceptance.
    pub(crate) fn new(seen: &[Seen]) -> Self {
        let reach: Vec<usize> = seen.iter().map(|seen| seen.reach()).collect();
        // The weight of that many jobs together, each newer than the one before.
        let mut together = vec![[0.0; MEMORIES]];
        let mut single = vec![[1.0; MEMORIES]];
        for count in 0..seen.len() {
            together.push(std::array::from_fn(|m| {
                together[count][m] + single[count][m]
            }));
            single.push(std::array::from_fn(|m| single[count][m] * FADE[m]));
        }
        let mut ends = Vec::with_capacity(seen.len());
        let mut reaching = vec![0_usize; BINS + 1];
        let mut others: Box<[Weight; BINS]> = Box::new([[0.0; MEMORIES]; BINS]);
        for (k, job) in seen.iter().enumerate() {
            reaching[reach[k]] += 1;
            if job.ended {
                let newer = reach[k + 1..]
                    .iter()
                    .filter(|reach| **reach > job.span.first);
                let weight = single[newer.count()];
                ends.push((job.span, weight));
                for (other, weight) in others[job.span.last].iter_mut().zip(weight) {
                    *other -= weight;
                }
            }
        }
        let (mut at_risk, mut ended) = (0, [0.0; MEMORIES]);
        for (i, other) in others.iter_mut().enumerate().rev() {
            at_risk += reaching[i + 1];
            for m in 0..MEMORIES {
                ended[m] += other[m];
                other[m] = together[at_risk][m] + ended[m];
            }
        }
        let total = together[at_risk];
        Self {
            ends,
            others,
            total,
            prior: [PRIORS[0] / (1.0 + total[0] / HALVED), PRIORS[1]],
        }
    }
}
