//! A law of durations as a table of weighted points: exact sums instead of random ones.

use abide_wire::DurationLaw;

/// How finely a law is tabulated.
const POINTS: usize = 20_000;

/// The instants at which a bound may place its polls: one for each equal share of the jobs, and in the thin tail one
/// wherever time has grown by [`TAIL_STEP`].
const CANDIDATES: usize = 4_000;
const TAIL_STEP: f64 = 1.002;

/// Where a bound may look for jobs that take no time: right after they were accepted, in seconds.
const AT_ONCE: f64 = 1e-9;

/// Durations in ascending order, with their weights summed up.
#[derive(Debug, Clone)]
pub(crate) struct Durations {
    /// Distinct durations in seconds, ascending.
    times: Vec<f64>,
    /// The probability of ending by each, and the part of the mean that lies below; each begins with 0 for nothing.
    ended: Vec<f64>,
    mean: Vec<f64>,
}

/// What the planner is given to place polls at.
#[derive(Debug)]
pub(crate) struct Steps {
    pub(crate) instants: Vec<f64>,
    pub(crate) ended: Vec<f64>,
    pub(crate) mean: Vec<f64>,
}

impl Durations {
    /// Tabulates a law, leaving out what is longer than `longest` seconds.
    pub(crate) fn of(law: &DurationLaw, longest: f64) -> Self {
        let mut points = law.points(POINTS);
        points.retain(|(time, _)| *time <= longest);
        Self::from_points(points)
    }

    /// Tabulates weighted points; of nothing it makes a duration of nothing.
    pub(crate) fn from_points(mut points: Vec<(f64, f64)>) -> Self {
        points.retain(|(time, weight)| time.is_finite() && *time >= 0.0 && *weight > 0.0);
        if points.is_empty() {
            points.push((0.0, 1.0));
        }
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        let total: f64 = points.iter().map(|(_, weight)| weight).sum();
        let (mut times, mut ended, mut mean) = (Vec::new(), vec![0.0], vec![0.0]);
        let (mut so_far, mut moment) = (0.0, 0.0);
        for (time, weight) in points {
            so_far += weight / total;
            moment += time * weight / total;
            if times.last() == Some(&time) {
                ended.pop();
                mean.pop();
            } else {
                times.push(time);
            }
            ended.push(so_far);
            mean.push(moment);
        }
        Self { times, ended, mean }
    }

    /// Every duration times a factor.
    pub(crate) fn scaled(&self, factor: f64) -> Self {
        let scale = |numbers: &[f64]| numbers.iter().map(|number| number * factor).collect();
        Self {
            times: scale(&self.times),
            ended: self.ended.clone(),
            mean: scale(&self.mean),
        }
    }

    /// The mean duration in seconds.
    pub(crate) fn mean(&self) -> f64 {
        self.mean[self.times.len()]
    }

    /// The longest duration in seconds.
    pub(crate) fn longest(&self) -> f64 {
        self.times[self.times.len() - 1]
    }

    /// The probability of having ended by `seconds`, and the part of the mean that lies below.
    pub(crate) fn by(&self, seconds: f64) -> (f64, f64) {
        let count = self.times.partition_point(|time| *time <= seconds);
        (self.ended[count], self.mean[count])
    }

    /// The duration below which a share `u` lies.
    pub(crate) fn quantile(&self, u: f64) -> f64 {
        let count = self.ended[1..].partition_point(|ended| *ended < u);
        self.times[count.min(self.times.len() - 1)]
    }

    /// Where a bound may place its polls: at the durations themselves, thinned to a number that is quick to solve. An
    /// instant that many jobs share is always among them.
    pub(crate) fn steps(&self) -> Steps {
        let mut steps = Steps {
            instants: vec![0.0],
            ended: vec![0.0],
            mean: vec![0.0],
        };
        let share = 1.0 / CANDIDATES as f64;
        let last = self.times.len() - 1;
        for (i, time) in self.times.iter().enumerate() {
            let previous = steps.instants.len() - 1;
            let enough = self.ended[i + 1] - steps.ended[previous] >= share
                || (previous > 0 && time.max(AT_ONCE) >= TAIL_STEP * steps.instants[previous]);
            // The states must ascend strictly, and the last must be one by which all have ended.
            if enough || i == last {
                steps.instants.push(time.max(AT_ONCE));
                steps.ended.push(self.ended[i + 1]);
                steps.mean.push(self.mean[i + 1]);
            }
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_the_moments_of_its_law() {
        for (law, mean) in [
            ("fixed:20s", 20.0),
            ("uniform:10s:30s", 20.0),
            ("exponential:20s", 20.0),
            ("lognormal:20s:0.5", 22.66),
            ("mixture:0.3:lognormal:3s:0.2+0.7:lognormal:45s:0.2", 33.05),
            ("shifted:5s:fixed:2s", 7.0),
        ] {
            let table = Durations::of(&law.parse().unwrap(), 3600.0);
            assert!(
                (table.mean() - mean).abs() < 0.02 * mean,
                "{law}: {}",
                table.mean()
            );
            assert!((table.by(f64::INFINITY).0 - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_table_of_nothing_is_a_table_still() {
        let table = Durations::from_points(vec![(f64::NAN, 1.0), (-1.0, 1.0)]);
        assert_eq!(table.quantile(0.5), 0.0);
        assert_eq!(table.steps().instants.len(), 2);
    }

    #[test]
    fn shared_instants_stay_candidates() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i) + 1.0, 1.0)).collect();
        points.push((0.5, 500.0));
        let steps = Durations::from_points(points).steps();
        assert_eq!(steps.instants[1], 0.5);
        assert!(steps.instants.len() < 2 * CANDIDATES);
        assert_eq!(*steps.instants.last().unwrap(), 10_000.0);
    }
}
