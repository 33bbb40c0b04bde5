//! The learner proper: what one kind of job remembers, and the law it predicts from that.
//!
//! The memory is the ring of observations and one weight per expert, three kilobytes in all. Everything else (the
//! experts' laws, their mixture) is a pure function of the memory and can be thrown away and made anew.

use super::experts::{EXPERTS, Lanes, Opinions, Prior, evidence, fit, mix};
use super::grid::Law;
use super::ring::{Observation, RING, Span};
use std::collections::VecDeque;

/// How much weight the experts share out among themselves before each job, so that none is ever beyond recall.
const SHARE: f64 = 0.02;

/// The change-point rule: when the short memory holds this much of the weight, after more than this many jobs, only
/// the latest few are kept.
const CHANGE_WEIGHT: f64 = 0.95;
const CHANGE_LEAST_JOBS: usize = 12;
const CHANGE_KEEP: usize = 8;

/// The learner of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    prior: Prior,
    /// The exponent that is not to be learned: an estimate of the remaining time scales with it by definition.
    fixed_slope: Option<f64>,
    ring: VecDeque<Observation>,
    weights: Lanes,
    /// The experts' laws; none when the memory has changed since they were made.
    fitted: Option<Fitted>,
}

#[derive(Debug, Clone)]
struct Fitted {
    slope: f64,
    laws: Box<Opinions>,
}

impl Model {
    /// A learner that has seen nothing.
    pub(crate) fn new(prior: Prior, fixed_slope: Option<f64>) -> Self {
        Self {
            prior,
            fixed_slope,
            ring: VecDeque::new(),
            weights: [1.0 / EXPERTS as f64; EXPERTS],
            fitted: None,
        }
    }

    /// A learner with the memory it had before.
    pub(crate) fn restore(
        prior: Prior,
        fixed_slope: Option<f64>,
        ring: VecDeque<Observation>,
        weights: Lanes,
    ) -> Self {
        Self {
            ring,
            weights,
            ..Self::new(prior, fixed_slope)
        }
    }

    /// The prior, and the exponent if it isn't learned.
    pub(crate) fn beliefs(&self) -> (&Prior, Option<f64>) {
        (&self.prior, self.fixed_slope)
    }

    /// The experts' weights; they sum to 1.
    pub(crate) fn weights(&self) -> Lanes {
        self.weights
    }

    /// The jobs remembered, oldest first.
    pub(crate) fn ring(&self) -> impl ExactSizeIterator<Item = &Observation> {
        self.ring.iter()
    }

    /// Moves the prior's median as long as nothing was seen; returns whether it did.
    pub(crate) fn expect(&mut self, median: f64) -> bool {
        let moved = self.ring.is_empty() && self.prior.ln_median != median.ln();
        if moved {
            self.prior = Prior::new(median, self.prior.scale);
            self.fitted = None;
        }
        moved
    }

    /// The median of the durations seen; none if there were none.
    pub(crate) fn median_seen(&self) -> Option<f64> {
        let mut seen: Vec<f64> = self.ring.iter().filter_map(|seen| seen.middle()).collect();
        seen.sort_by(f64::total_cmp);
        seen.get(seen.len() / 2).copied()
    }

    /// Learns from one job.
    pub(crate) fn observe(&mut self, observation: Observation) {
        let fitted = self.fitted();
        let evidence = evidence(&fitted.laws, observation.span(fitted.slope));
        self.reweigh(&evidence);
        if self.ring.len() == RING {
            self.ring.pop_front();
        }
        self.ring.push_back(observation);
        self.forget_after_a_change();
        self.fitted = None;
        // At the end of a job nobody waits for an answer; at the next plan somebody would.
        self.fitted();
    }

    /// The law of u = T / size^slope for the next job, and the slope.
    pub(crate) fn predict(&mut self) -> (Box<Law>, f64) {
        let weights = self.weights;
        let fitted = self.fitted();
        (mix(&fitted.laws, &weights), fitted.slope)
    }

    /// Fits the experts if the memory has changed.
    fn fitted(&mut self) -> &Fitted {
        if self.fitted.is_none() {
            let slope = self.fixed_slope.unwrap_or_else(|| slope(&self.ring));
            let spans: Vec<Span> = self.ring.iter().map(|seen| seen.span(slope)).collect();
            let all_exact = self.ring.iter().all(|seen| seen.is_exact());
            self.fitted = Some(Fitted {
                slope,
                laws: fit(&self.prior, &spans, all_exact),
            });
        }
        self.fitted.as_ref().expect("it was made just above")
    }

    /// Bayes among the experts, with a little of everything shared out.
    fn reweigh(&mut self, evidence: &Lanes) {
        let mut weights = self.weights;
        for e in 0..EXPERTS {
            weights[e] *= evidence[e];
        }
        let sum: f64 = weights.iter().sum();
        if sum > 0.0 && sum.is_finite() {
            self.weights =
                weights.map(|weight| (1.0 - SHARE) * weight / sum + SHARE / EXPERTS as f64);
        }
    }

    /// Drops the past when only the short memory can explain the present.
    fn forget_after_a_change(&mut self) {
        let half = EXPERTS / 2;
        let short: f64 = self.weights[half..].iter().sum();
        if short <= CHANGE_WEIGHT || self.ring.len() <= CHANGE_LEAST_JOBS {
            return;
        }
        self.ring.drain(..self.ring.len() - CHANGE_KEEP);
        for shape in 0..half {
            let both = 0.5 * (self.weights[shape] + self.weights[half + shape]);
            self.weights[shape] = both;
            self.weights[half + shape] = both;
        }
    }
}

/// The exponent b of the size in T = u·size^b: a ridge slope of ln T on ln size, drawn towards 1.
fn slope(ring: &VecDeque<Observation>) -> f64 {
    let points: Vec<(f64, f64)> = ring
        .iter()
        .filter_map(|seen| seen.middle().map(|middle| (seen.ln_size, middle.ln())))
        .collect();
    if points.is_empty() {
        return 1.0;
    }
    let n = points.len() as f64;
    let (mean_x, mean_y) = points.iter().fold((0.0, 0.0), |(x, y), point| {
        (x + point.0 / n, y + point.1 / n)
    });
    let (mut xy, mut xx) = (1.0, 1.0);
    for (x, y) in points {
        xy += (x - mean_x) * (y - mean_y);
        xx += (x - mean_x) * (x - mean_x);
    }
    (xy / xx).clamp(0.0, 1.5)
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use super::super::planner::Terms;
    use super::*;

    const KNOWN: [f64; 5] = [18.0, 22.0, 19.0, 25.0, 21.0];

    fn model(seen: impl IntoIterator<Item = (f64, f64)>) -> Model {
        let mut model = Model::new(Prior::new(15.0, 1.0), None);
        for (after, at_most) in seen {
            model.observe(Observation {
                after,
                at_most,
                ln_size: 0.0,
            });
        }
        model
    }

    /// The first eight polls, unjittered, at the balanced price.
    fn check(seen: Vec<(f64, f64)>, polls: [f64; 8]) {
        let (law, _) = model(seen).predict();
        let terms = Terms {
            price: 0.5,
            gap: 0.25,
            loss: 1.0,
        };
        let plan = Plan::new(&law, terms);
        for (planned, poll) in plan.path(0.0, f64::INFINITY).iter().zip(polls) {
            assert!(
                (planned.at - poll).abs() < 6e-4,
                "{planned:?} is not {poll}"
            );
        }
    }

    #[test]
    fn the_golden_vectors_hold() {
        let known = KNOWN.map(|t| (t, t)).to_vec();
        let enclosed = KNOWN.map(|t| (t - 2.0, t + 1.0)).to_vec();
        let mut given_up = known.clone();
        given_up.push((60.0, f64::INFINITY));
        check(
            vec![],
            [5.352, 9.751, 13.977, 18.309, 22.815, 27.589, 32.701, 38.375],
        );
        check(
            known,
            [
                16.734, 19.834, 22.141, 24.226, 26.243, 28.429, 30.797, 33.362,
            ],
        );
        check(
            enclosed,
            [
                16.734, 19.637, 21.920, 23.985, 25.982, 28.146, 30.490, 33.362,
            ],
        );
        check(
            given_up,
            [
                12.902, 19.057, 22.363, 25.724, 29.295, 34.036, 39.941, 46.872,
            ],
        );
    }

    #[test]
    fn a_law_stays_a_law_whatever_was_seen() {
        let absurd = [
            (0.0, f64::INFINITY),
            (0.0, 1e-9),
            (1e9, 1e9),
            (1e9, f64::INFINITY),
            (0.0, 0.0),
            (7200.0, 1e300),
        ];
        let mut model = model(absurd.into_iter().cycle().take(300));
        let (law, slope) = model.predict();
        let sum: f64 = law.iter().sum();
        assert!((sum - 1.0).abs() < 1e-9 && law.iter().all(|mass| *mass > 0.0));
        assert!(slope.is_finite());
        assert_eq!(model.ring().len(), RING);
    }

    #[test]
    fn a_jump_empties_the_memory_and_steadiness_does_not() {
        let steady = (0..100).map(|i| 20.0 + f64::from(i % 7));
        let same = |t: f64| (t, t);
        assert_eq!(model(steady.clone().map(same)).ring().len(), 100);
        let jump = steady.chain([200.0; 6]);
        assert!(model(jump.map(same)).ring().len() < 20);
    }

    #[test]
    fn the_exponent_of_the_size_is_learned() {
        for truth in [0.0, 0.5, 1.0] {
            let mut model = Model::new(Prior::new(15.0, 1.0), None);
            for i in 0..100 {
                let size = 1.0 + f64::from(i % 10);
                let t = 10.0 * size.powf(truth);
                model.observe(Observation {
                    after: t,
                    at_most: t,
                    ln_size: size.ln(),
                });
            }
            let (_, slope) = model.predict();
            assert!((slope - truth).abs() < 0.05, "{slope} is not {truth}");
        }
    }
}
