//! One schedule on one set of jobs, and the figures of it.

use abide_simulate::{Bound, Run};
use serde::Serialize;

use crate::output;

/// One schedule, tried.
pub(super) struct Trial {
    pub(super) name: String,
    pub(super) is_ours: bool,
    pub(super) run: Run,
}

impl Trial {
    /// Where it is in a picture.
    pub(super) fn place(&self) -> Place<'_> {
        let mean = self.run.mean();
        Place {
            name: &self.name,
            is_ours: self.is_ours,
            requests: mean.requests,
            delay_s: mean.delay_s,
        }
    }

    /// Writes what each job cost.
    pub(super) fn write_rows(&self) -> std::io::Result<()> {
        self.run
            .jobs()
            .iter()
            .enumerate()
            .try_for_each(|(job, spent)| {
                output::json(&Row {
                    schedule: &self.name,
                    job,
                    requests: spent.requests,
                    delay_s: spent.delay_s.map(rounded),
                })
            })
    }

    /// What it cost on the whole, beside the bound.
    pub(super) fn summary(&self, bound: &Bound, informed: Option<f64>, price: f64) -> Summary<'_> {
        let mean = self.run.mean();
        let (cost, best) = (mean.cost_s(price), bound.at_price(price).cost_s(price));
        // A bound of nothing, or of infinity where no client can go, has no ratio.
        let over = |ours: f64, best: f64| {
            let ratio = ours / best;
            (best > 0.0 && ratio.is_finite() && ratio > 0.0).then(|| rounded(ratio))
        };
        Summary {
            schedule: &self.name,
            jobs: self.run.jobs().len(),
            given_up: self.run.given_up(),
            requests: rounded(mean.requests),
            delay_s: rounded(mean.delay_s),
            p95_delay_s: rounded(self.run.delay_quantile_s(0.95)),
            cost_s: rounded(cost),
            bound_cost_s: rounded(best),
            cost_over_bound: over(cost, best),
            informed_bound_cost_s: informed.map(rounded),
            cost_over_informed_bound: informed.and_then(|best| over(cost, best)),
            delay_over_bound: over(mean.delay_s, bound.delay_at(mean.requests)),
            requests_over_bound: over(mean.requests, bound.requests_at(mean.delay_s)),
        }
    }
}

/// What is written of each job with `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    pub(super) schedule: &'a str,
    /// Which job, counted from 0 in the order of the durations.
    pub(super) job: usize,
    pub(super) requests: u32,
    /// None if the schedule gave up before the end.
    pub(super) delay_s: Option<f64>,
}

/// What is written of each schedule, after all jobs.
#[derive(Debug, Serialize)]
pub(super) struct Summary<'a> {
    pub(super) schedule: &'a str,
    pub(super) jobs: usize,
    pub(super) given_up: usize,
    pub(super) requests: f64,
    pub(super) delay_s: f64,
    pub(super) p95_delay_s: f64,
    pub(super) cost_s: f64,
    /// The cost of the best polls there are for jobs of these durations in any order: a static bound.
    pub(super) bound_cost_s: f64,
    pub(super) cost_over_bound: Option<f64>,
    /// The same to a client that knows the law of each job, where each was given one of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) informed_bound_cost_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cost_over_informed_bound: Option<f64>,
    /// Against the best that spends as many requests, and the best that is as late.
    pub(super) delay_over_bound: Option<f64>,
    pub(super) requests_over_bound: Option<f64>,
}

/// A schedule's place in a picture.
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    pub(super) is_ours: bool,
    pub(super) requests: f64,
    pub(super) delay_s: f64,
}

/// To the microsecond: more digits would be noise.
fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use abide_simulate::{DurationLaw, Population, World};

    use super::super::schedules::candidates;
    use super::*;

    #[test]
    fn a_schedule_is_compared_with_the_bound() {
        let law: DurationLaw = "uniform:10s:30s".parse().unwrap();
        let population = Population::of(&law);
        let [candidate] =
            &candidates(&["fixed:2s".to_owned()], Duration::from_millis(500)).unwrap()[..]
        else {
            panic!("one was asked for");
        };
        let trial = Trial {
            name: candidate.name.clone(),
            is_ours: false,
            run: World::new().run(&candidate.schedule, &population.even(1_000), 1),
        };
        let bound = Bound::new(&population, Duration::from_millis(100));
        let summary = trial.summary(&bound, None, 0.5);
        assert!((summary.requests - 10.0).abs() < 0.1 && (summary.delay_s - 1.1).abs() < 0.05);
        assert!(
            (2.0..2.4).contains(&summary.delay_over_bound.unwrap()),
            "{summary:?}"
        );
        assert!(
            (1.9..2.3).contains(&summary.requests_over_bound.unwrap()),
            "{summary:?}"
        );
    }
}
