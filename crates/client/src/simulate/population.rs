//! The jobs that a simulation waits for.

use super::durations::Durations;
use super::law::Law;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// How finely the law of one size is tabulated.
const SIZED_POINTS: usize = 2_000;

/// One job to wait for.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Job {
    /// How long it takes.
    pub duration: Duration,
    /// How big it is, as told to the schedule.
    pub size: Option<f64>,
}

impl Job {
    /// A job without a size.
    #[must_use]
    pub fn new(duration: Duration) -> Self {
        Self {
            duration,
            size: None,
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

impl Population {
    /// Jobs of one law.
    #[must_use]
    pub fn of(law: &Law) -> Self {
        Self::of_at_most(law, Duration::MAX)
    }

    /// Jobs of one law, none longer than `longest`.
    #[must_use]
    pub fn of_at_most(law: &Law, longest: Duration) -> Self {
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
    pub fn sized(sizes: &[f64], per_unit: &Law) -> Self {
        let mut points = Vec::new();
        per_unit.points(1.0, SIZED_POINTS, &mut points);
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
        let mut luck = ChaCha8Rng::seed_from_u64(seed);
        (0..count)
            .map(|_| {
                let group = &self.groups[luck.random_range(0..self.groups.len())];
                let seconds = group.durations.quantile(luck.random());
                Job {
                    duration: Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
                    size: group.size,
                }
            })
            .collect()
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
