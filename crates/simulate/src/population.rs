//! The jobs that a simulation waits for.

use crate::durations::Durations;
use abide::schedule::Feature;
use abide_wire::DurationLaw;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// How finely the law of one size is tabulated.
const SIZED_POINTS: usize = 2_000;

/// One job to wait for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Job {
    /// How long it takes.
    pub duration: Duration,
    /// How big it is, as told to the schedule.
    pub size: Option<f64>,
    /// What else the schedule is told of it.
    pub features: Vec<Feature>,
}

impl Job {
    /// A job without a size.
    #[must_use]
    pub fn new(duration: Duration) -> Self {
        Self {
            duration,
            size: None,
            features: Vec::new(),
        }
    }
}

/// Jobs to be drawn, and all that a bound must know of them.
#[derive(Debug, Clone)]
pub struct Population {
    /// Equally likely groups, each with what is known of its jobs beforehand.
    groups: Vec<Group>,
}

/// Jobs that nothing tells apart beforehand.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) size: Option<f64>,
    pub(crate) durations: Durations,
}

impl Group {
    /// The job at a quantile.
    fn job(&self, u: f64) -> Job {
        let seconds = self.durations.quantile(u);
        Job {
            size: self.size,
            ..Job::new(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
        }
    }
}

impl Population {
    /// Jobs of one law.
    #[must_use]
    pub fn of(law: &DurationLaw) -> Self {
        Self::of_at_most(law, Duration::MAX)
    }

    /// Jobs of one law, none longer than `longest`.
    #[must_use]
    pub fn of_at_most(law: &DurationLaw, longest: Duration) -> Self {
        Self::from_durations(Durations::of(law, longest.as_secs_f64()))
    }

    /// Jobs that take what earlier jobs took.
    #[must_use]
    pub fn like(jobs: &[Duration]) -> Self {
        let points = jobs.iter().map(|time| (time.as_secs_f64(), 1.0)).collect();
        Self::from_durations(Durations::from_points(points))
    }

    /// Jobs whose size is known beforehand, each size equally likely: a duration of the size times another of
    /// `per_unit`, which says how long a job of size 1 takes.
    #[must_use]
    pub fn sized(sizes: &[f64], per_unit: &DurationLaw) -> Self {
        let points = per_unit.points(SIZED_POINTS);
        let groups = sizes.iter().map(|size| {
            let scaled = points.iter().map(|(time, weight)| (time * size, *weight));
            Group {
                size: Some(*size),
                durations: Durations::from_points(scaled.collect()),
            }
        });
        let groups: Vec<Group> = groups.collect();
        if groups.is_empty() {
            return Self::like(&[]);
        }
        Self { groups }
    }

    /// Draws jobs; the same seed gives the same ones.
    #[must_use]
    pub fn draw(&self, seed: u64, count: usize) -> Vec<Job> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count)
            .map(|_| {
                let group = &self.groups[rng.random_range(0..self.groups.len())];
                group.job(rng.random())
            })
            .collect()
    }

    /// About `count` jobs at evenly spaced quantiles, in ascending order: a fair sample without chance, for schedules
    /// that don't learn.
    #[must_use]
    pub fn even(&self, count: usize) -> Vec<Job> {
        let per_group = count.div_ceil(self.groups.len());
        let of_group = |group: &Group| -> Vec<Job> {
            (0..per_group)
                .map(|k| group.job((k as f64 + 0.5) / per_group as f64))
                .collect()
        };
        self.groups.iter().flat_map(of_group).collect()
    }

    /// The same jobs, each taking `factor` times as long.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let groups = self.groups.iter().map(|group| Group {
            size: group.size,
            durations: group.durations.scaled(factor),
        });
        Self {
            groups: groups.collect(),
        }
    }

    /// The mean duration in seconds.
    #[must_use]
    pub fn mean_s(&self) -> f64 {
        self.over_groups(|group| group.durations.mean())
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The mean of something over the groups.
    pub(crate) fn over_groups(&self, value: impl Fn(&Group) -> f64) -> f64 {
        self.groups.iter().map(value).sum::<f64>() / self.groups.len() as f64
    }

    fn from_durations(durations: Durations) -> Self {
        Self {
            groups: vec![Group {
                size: None,
                durations,
            }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_sample_has_the_mean_of_the_population() {
        let sized = Population::sized(&[1.0, 2.0, 3.0], &"uniform:10s:30s".parse().unwrap());
        let even = sized.even(3_000);
        assert_eq!(even.len(), 3_000);
        let mean = even
            .iter()
            .map(|job| job.duration.as_secs_f64())
            .sum::<f64>()
            / 3_000.0;
        assert!((mean - sized.mean_s()).abs() < 0.02, "{mean}");
        assert!((mean - 40.0).abs() < 0.1, "{mean}");
        assert_eq!(even[0].size, Some(1.0));
    }

    #[test]
    fn the_same_seed_draws_the_same_jobs() {
        let population = Population::of(&"exponential:20s".parse().unwrap());
        assert_eq!(population.draw(1, 50), population.draw(1, 50));
        assert_ne!(population.draw(1, 50), population.draw(2, 50));
    }
}
