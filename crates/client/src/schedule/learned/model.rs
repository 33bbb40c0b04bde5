//! The learner proper: what one kind of job remembers, and the law it predicts from that.
//!
//! The memory is the ring of observations and one weight per expert, three kilobytes in all. Everything else (the
//! experts' laws, their mixture) is a pure function of the memory and can be thrown away and made anew.

use super::experts::{
    EXACT, EXPERTS, Evidence, FIRST_WEIGHTS, Lanes, Opinions, Prior, TWINS, evidence, fit, mix,
};
use super::grid::{EDGES, Law, bin};
use super::lattice::{self, Period};
use super::past::{Past, Whose};
use super::plan::Tick;
use super::ring::{Observation, Place};
use super::risk::Seen;
use std::collections::VecDeque;

/// How much of its weight an expert shares out after each job, so that none is ever beyond recall: always, and on top
/// of that where the best expected the job more than this many times as much.
const SHARE_MIN: f64 = 0.0005;
const SHARE: f64 = 0.05;
const AS_GOOD: f64 = 2.0;

/// The change-point rule: when the short memory holds this much of the weight of both, and this much of all, after more
/// than this many jobs, only the latest few are kept.
const CHANGE_WEIGHT: f64 = 0.995;
const CHANGE_WEIGHT_MIN: f64 = 0.2;
const CHANGE_LEAST_JOBS: usize = 12;
const CHANGE_KEEP: usize = 8;

/// How far around a single end the next one is expected where ends fall together, in seconds.
const TICK_MIN: f64 = 0.02;

/// A job hangs when this expert, the long kernel of middle width, gave it no more than this to run on.
const OVERDUE_BY: usize = 6;
const OVERDUE: f64 = 0.02;

/// The learner of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    prior: Prior,
    /// The exponent that is not to be learned: an estimate of the remaining time scales with it by definition.
    fixed_slope: Option<f64>,
    past: Past,
    weights: Lanes,
    /// The experts' laws; none when the memory has changed since they were made.
    fitted: Option<Fitted>,
    before: Option<Box<Opinions>>,
    /// Laws to be overwritten by the next fit, instead of made anew.
    spare: Option<Box<Opinions>>,
}

#[derive(Debug, Clone)]
struct Fitted {
    slope: f64,
    /// The period that something speaks for.
    period: Option<Period>,
    laws: Box<Opinions>,
}

impl Fitted {
    /// The period that durations are taken for multiples of; the laws are of what is rounded to one.
    fn rounds_to(&self) -> Option<f64> {
        believed(self.period)
    }
}

impl Model {
    /// A learner that has seen nothing.
    pub(crate) fn new(prior: Prior, fixed_slope: Option<f64>) -> Self {
        Self {
            prior,
            fixed_slope,
            past: Past::default(),
            weights: FIRST_WEIGHTS,
            fitted: None,
            before: None,
            spare: None,
        }
    }

    /// A learner with the memory it had before.
    pub(crate) fn restore(
        prior: Prior,
        fixed_slope: Option<f64>,
        ended: Vec<Observation>,
        weights: Lanes,
    ) -> Self {
        Self {
            past: Past::new(ended),
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

    /// The jobs that are remembered and followed.
    pub(crate) fn past(&self) -> &Past {
        &self.past
    }

    /// Moves the prior's median as long as nothing was seen; returns whether it did.
    pub(crate) fn expect(&mut self, median: f64) -> bool {
        let moved = self.past.ended().is_empty() && self.prior.ln_median != median.ln();
        if moved {
            self.prior = Prior::new(median, self.prior.scale);
            self.fitted = None;
        }
        moved
    }

    /// The median of the durations seen; none if there were none.
    pub(crate) fn median_seen(&self) -> Option<f64> {
        let ended = self.past.ended().iter();
        let mut seen: Vec<f64> = ended.filter_map(|seen| seen.middle()).collect();
        seen.sort_by(f64::total_cmp);
        seen.get(seen.len() / 2).copied()
    }

    /// The jobs that are remembered and followed, to be changed where that teaches nothing.
    pub(crate) fn past_mut(&mut self) -> &mut Past {
        &mut self.past
    }

    /// Learns how a job ended that was followed; returns the observation if it was.
    pub(crate) fn close(&mut self, place: Place, after: f64, at_most: f64) -> Option<Observation> {
        let seen = self.past.close(place, after, at_most)?;
        self.learn(seen);
        Some(seen)
    }

    /// Learns from one job that wasn't followed.
    pub(crate) fn observe(
        &mut self,
        whose: Whose,
        after: f64,
        at_most: f64,
        ln_size: f64,
    ) -> Observation {
        let seen = self.past.observation(whose, after, at_most, ln_size);
        self.learn(seen);
        seen
    }

    fn learn(&mut self, seen: Observation) {
        let fitted = self.fitted();
        let span = unrounded(seen, fitted.rounds_to()).span(fitted.slope);
        let evidence = evidence(&fitted.laws, span);
        self.reweigh(&evidence);
        self.past.remember(seen);
        self.forget_after_a_change();
        self.spare = self.before.take();
        self.before = self.fitted.take().map(|f| f.laws);
    }

    /// Fits the experts to what is known now.
    ///
    /// At the end of a job no wait needs an answer; at the next plan one would.
    pub(crate) fn refit(&mut self) {
        self.fitted();
    }

    /// The law of u = T / size^slope for the next job, where within bins ends fall together, and the slope.
    pub(crate) fn predict(&mut self) -> (Box<Law>, Vec<Tick>, f64) {
        let weights = self.weights;
        let fitted = self.fitted();
        let (law, slope) = (mix(&fitted.laws, &weights), fitted.slope);
        match fitted.rounds_to() {
            Some(period) => {
                let (law, ticks) = lattice::rounded(&law, period);
                (law, ticks, slope)
            }
            None => (law, self.ticks(), slope),
        }
    }

    /// The period to be probed: one that polls alone tell of.
    pub(crate) fn probed(&mut self) -> Option<Period> {
        let period = self.fitted().period?;
        let told = self.past.ended().iter().any(|seen| seen.is_exact());
        (!told).then_some(period)
    }

    /// The ends that are known, on the axis of u = T / size^slope and in order.
    pub(crate) fn ends(&mut self) -> Vec<f64> {
        let slope = self.fitted().slope;
        let exact = self.past.ended().iter().filter(|seen| seen.is_exact());
        let mut ends: Vec<f64> = exact
            .map(|seen| f64::from(seen.after) / (slope * f64::from(seen.ln_size)).exp())
            .collect();
        ends.sort_by(f64::total_cmp);
        ends
    }

    /// Where within their bins ends have fallen together, as far as the experts who expect exactly what was there
    /// before are believed.
    fn ticks(&mut self) -> Vec<Tick> {
        let weights = self.weights;
        let ends = self.ends();
        let ends: Vec<f64> = ends.into_iter().filter(|end| *end > EDGES[0]).collect();
        let mut ticks: Vec<Tick> = Vec::new();
        let fitted = self.fitted();
        for ends in ends.chunk_by(|one, other| bin(one.ln()) == bin(other.ln())) {
            let bin = bin(ends[0].ln());
            let laws = &fitted.laws[bin];
            let all: f64 = (0..EXPERTS).map(|e| weights[e] * laws[e]).sum();
            let exact: f64 = EXACT.map(|e| weights[e] * laws[e]).sum();
            let (first, last) = (ends[0], ends[ends.len() - 1]);
            // The next may lie as far outside of those seen as they are from each other.
            let beyond = TICK_MIN + (last - first) / ends.len() as f64;
            ticks.push(Tick {
                bin,
                share: exact / all,
                from: (first - beyond).max(EDGES[bin]),
                to: (last + beyond).min(EDGES[bin + 1]),
            });
        }
        ticks
    }

    /// Fits the experts if the memory has changed.
    fn fitted(&mut self) -> &Fitted {
        if self.fitted.is_none() {
            let slope = self.fixed_slope.unwrap_or_else(|| slope(self.past.ended()));
            let period = match self.fixed_slope {
                None => lattice::period(self.past.ended()),
                Some(_) => None,
            };
            let (spare, before) = (self.spare.take(), self.before.as_deref());
            let evidence = self.evidence(slope, believed(period));
            let laws = fit(&self.prior, &evidence, before, spare);
            self.fitted = Some(Fitted {
                slope,
                period,
                laws,
            });
        }
        self.fitted.as_ref().expect("it was made just above")
    }

    fn evidence(&self, slope: f64, period: Option<f64>) -> Evidence {
        let mut jobs: Vec<Observation> = self.past.ended().iter().copied().collect();
        jobs.extend(self.past.under_way());
        jobs.sort_by_key(|job| job.place());
        for job in &mut jobs {
            *job = unrounded(*job, period);
        }
        let seen = jobs.iter().map(|job| Seen {
            span: job.span(slope),
            ended: !job.is_censored(),
        });
        // Of jobs begun together the first to end are the shortest: no level to follow.
        let oldest = self.oldest_under_way(slope);
        let durations = jobs
            .iter()
            .take_while(|job| oldest.is_none_or(|oldest| job.place() < oldest))
            .filter(|job| job.middle().is_some())
            .map(|job| {
                let ln_u = |end: f32| f64::from(end).ln() - slope * f64::from(job.ln_size);
                (ln_u(job.after), ln_u(job.at_most))
            });
        Evidence {
            seen: seen.collect(),
            durations: durations.collect(),
            exact: jobs.iter().all(|job| job.is_exact() || job.is_censored()),
        }
    }

    /// The place in the order of the oldest job that may be taken to go on as jobs do, and not to hang.
    fn oldest_under_way(&self, slope: f64) -> Option<Place> {
        let before = self.before.as_ref()?;
        let mut left = 1.0;
        let overdue = before.iter().position(|laws| {
            left -= laws[OVERDUE_BY];
            left < OVERDUE
        });
        let overdue = overdue.unwrap_or(usize::MAX);
        let jobs = self.past.under_way().iter();
        let going = jobs.filter(|job| job.span(slope).first < overdue);
        going.map(|job| job.place()).min()
    }

    /// Bayes among the experts. Those who were right keep what they have, so that on a law that stays little is spent
    /// on the others; after a change much is shared out at once.
    fn reweigh(&mut self, evidence: &Lanes) {
        let best = evidence.iter().copied().fold(0.0, f64::max);
        let sum: f64 = (0..EXPERTS).map(|e| self.weights[e] * evidence[e]).sum();
        if !(sum > 0.0 && sum.is_finite()) {
            return;
        }
        let kept: Lanes = std::array::from_fn(|e| {
            let share = SHARE_MIN + SHARE * (1.0 - AS_GOOD * evidence[e] / best).max(0.0);
            self.weights[e] * evidence[e] / sum * (1.0 - share)
        });
        let shared = 1.0 - kept.iter().sum::<f64>();
        self.weights = std::array::from_fn(|e| kept[e] + shared * FIRST_WEIGHTS[e]);
    }

    /// Drops the past when only the short memory can explain the present.
    fn forget_after_a_change(&mut self) {
        let short: f64 = TWINS.map(|twin| self.weights[2 * twin + 1]).sum();
        let long: f64 = TWINS.map(|twin| self.weights[2 * twin]).sum();
        // Levels may know it, too; where they alone do there is no change but a drift.
        let changed = short > CHANGE_WEIGHT * (short + long) && short > CHANGE_WEIGHT_MIN;
        if !changed || self.past.ended().len() <= CHANGE_LEAST_JOBS {
            return;
        }
        self.past.keep_latest(CHANGE_KEEP);
        for twin in TWINS {
            let both = 0.5 * (self.weights[2 * twin] + self.weights[2 * twin + 1]);
            self.weights[2 * twin] = both;
            self.weights[2 * twin + 1] = both;
        }
    }
}

/// The period that durations are taken for multiples of.
fn believed(period: Option<Period>) -> Option<f64> {
    let period = period.filter(|period| period.is_believed());
    period.map(|period| period.seconds)
}

fn unrounded(seen: Observation, period: Option<f64>) -> Observation {
    period.map_or(seen, |period| lattice::unrounded(seen, period))
}

/// The exponent b of the size in T = u·size^b: a ridge slope of ln T on ln size, drawn towards 1.
fn slope(ended: &VecDeque<Observation>) -> f64 {
    let points: Vec<(f64, f64)> = ended
        .iter()
        .filter_map(|seen| {
            seen.middle()
                .map(|middle| (f64::from(seen.ln_size), middle.ln()))
        })
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
    use super::super::forecast;
    use super::super::plan::Plan;
    use super::super::planner::Terms;
    use super::super::ring::RING;
    use super::*;

    const KNOWN: [f64; 5] = [18.0, 22.0, 19.0, 25.0, 21.0];

    fn model(seen: impl IntoIterator<Item = (f64, f64)>) -> Model {
        let mut model = Model::new(Prior::new(15.0, 1.0), None);
        for (after, at_most) in seen {
            model.observe(Whose::default(), after, at_most, 0.0);
        }
        model
    }

    /// The first eight polls, unjittered, at the balanced price.
    fn check(seen: Vec<(f64, f64)>, polls: [f64; 8]) {
        let (law, ..) = model(seen).predict();
        let terms = Terms {
            price: 0.5,
            gap: 0.25,
            loss: 1.0,
        };
        let plan = Plan::new(&law, &[], &[], terms);
        for (planned, poll) in plan.path(0.0, f64::INFINITY, false).iter().zip(polls) {
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
            [5.405, 9.849, 14.117, 18.493, 23.044, 27.866, 33.030, 38.761],
        );
        check(
            known,
            [
                16.902, 20.034, 22.363, 24.469, 26.507, 28.715, 31.106, 33.697,
            ],
        );
        check(
            enclosed,
            [
                16.734, 19.637, 21.920, 23.985, 25.982, 28.146, 30.490, 33.030,
            ],
        );
        check(
            given_up,
            [
                11.558, 18.493, 21.920, 25.214, 28.715, 33.030, 38.761, 45.944,
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
        let (law, _, slope) = model.predict();
        let sum: f64 = law.iter().sum();
        assert!((sum - 1.0).abs() < 1e-9 && law.iter().all(|mass| *mass > 0.0));
        assert!(slope.is_finite());
        assert_eq!(model.past().ended().len(), RING);
    }

    #[test]
    fn after_a_jump_the_next_job_is_expected_where_the_latest_were() {
        let steady = (0..100).map(|i| 20.0 + f64::from(i % 7));
        let same = |t: f64| (t, t);
        assert_eq!(model(steady.clone().map(same)).past().ended().len(), 100);
        let (law, ..) = model(steady.chain([200.0; 20]).map(same)).predict();
        let median = forecast::quantile(&law, 0.5, 0.0);
        assert!((150.0..250.0).contains(&median), "{median}");
    }

    #[test]
    fn the_exponent_of_the_size_is_learned() {
        for truth in [0.0, 0.5, 1.0] {
            let mut model = Model::new(Prior::new(15.0, 1.0), None);
            for i in 0..100 {
                let size = 1.0 + f64::from(i % 10);
                let t = 10.0 * size.powf(truth);
                model.observe(Whose::default(), t, t, size.ln());
            }
            let (_, _, slope) = model.predict();
            assert!((slope - truth).abs() < 0.05, "{slope} is not {truth}");
        }
    }
}
