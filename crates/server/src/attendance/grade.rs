//! How well a client waited: what its reads and its lateness cost, against the least that polling could have cost for
//! the durations that were played.
//!
//! The bound is that of the best polling client. Of the first few jobs of a kind nothing is known, and the best is a
//! pause that grows with the root of the time waited. From then on the best knows the distribution of the durations,
//! and polls at the instants that cost least. Held requests and streams may cost less than the bound.

use abide_engine::hash::FastMap;

/// What a request costs, in seconds of delay: what `abide simulate` and the library take by default.
pub(super) const PRICE_S: f64 = 0.5;
/// Jobs of a kind that are waited for before the best client knows how long they take.
const UNKNOWN: usize = 5;
/// How many times the bound a good client costs at most, and a fair one. Each may cost one request more.
const GOOD: f64 = 1.5;
const FAIR: f64 = 3.0;
/// The most instants at which the best client may poll.
const INSTANTS_MAX: usize = 512;
/// Quantiles of the normal distribution, by which each duration is spread.
const SPREAD: [f64; 5] = [-1.28, -0.52, 0.0, 0.52, 1.28];

/// How well a client waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Near the best that polling could do, or better.
    Good,
    /// Twice that.
    Fair,
    /// More.
    Poor,
}

impl Grade {
    /// The grade of a cost beside its bound, both in seconds a job.
    #[must_use]
    pub fn of(cost_s: f64, bound_s: f64) -> Self {
        match cost_s - PRICE_S {
            cost if cost <= GOOD * bound_s => Self::Good,
            cost if cost <= FAIR * bound_s => Self::Fair,
            _ => Self::Poor,
        }
    }

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Poor => "poor",
        }
    }
}

/// The least that the best polling client costs, in seconds a job, for jobs of those kinds that took those seconds,
/// in the order in which their ends were seen. 0 for no jobs.
pub(super) fn bound_s(jobs: impl Iterator<Item = (u64, f64)>) -> f64 {
    let mut kinds: FastMap<u64, Vec<f64>> = FastMap::default();
    let mut count = 0;
    for (kind, took_s) in jobs {
        kinds.entry(kind).or_default().push(took_s);
        count += 1;
    }
    let of_kind = |took: Vec<f64>| {
        let first = &took[..took.len().min(UNKNOWN)];
        let unknown: f64 = first.iter().map(|took_s| unknown_s(*took_s)).sum();
        let others = took.len() - first.len();
        if others == 0 {
            return unknown;
        }
        unknown + others as f64 * known_s(took)
    };
    let all: f64 = kinds.into_values().map(of_kind).sum();
    if count == 0 {
        0.0
    } else {
        all / f64::from(count)
    }
}

/// What a job costs the best client that knows nothing of its duration: it pauses for the root of twice the price times
/// the time waited, so that a poll and the lateness it saves cost the same.
fn unknown_s(took_s: f64) -> f64 {
    let polls = (2.0 * took_s / PRICE_S).sqrt().max(1.0);
    let late_s = (PRICE_S * took_s / 2.0).sqrt();
    PRICE_S * polls + late_s
}

/// What a job costs the best client that knows the distribution, on average.
fn known_s(took: Vec<f64>) -> f64 {
    let instants = thinned(spread(took));
    let count = instants.len();
    let mut sums = vec![0.0];
    for instant in &instants {
        sums.push(sums[sums.len() - 1] + instant);
    }
    // From the last job back: what all jobs that haven't ended before the i-th cost. The next poll is at an end.
    let mut cost = vec![0.0; count + 1];
    for i in (0..count).rev() {
        let polled_at = |j: usize| {
            let late = instants[j] * (j + 1 - i) as f64 - (sums[j + 1] - sums[i]);
            late + cost[j + 1]
        };
        let least = (i..count).map(polled_at).fold(f64::INFINITY, f64::min);
        cost[i] = PRICE_S * (count - i) as f64 + least;
    }
    cost[0] / count as f64
}

/// Those durations, each spread as widely as so few of them leave its distribution open, in ascending order.
fn spread(took: Vec<f64>) -> Vec<f64> {
    let count = took.len() as f64;
    let mean = took.iter().sum::<f64>() / count;
    let variance = took
        .iter()
        .map(|took_s| (took_s - mean).powi(2))
        .sum::<f64>()
        / count;
    // Silverman's rule.
    let width = 0.9 * variance.sqrt() * count.powf(-0.2);
    let around = |took_s: f64| SPREAD.map(|quantile| (took_s + width * quantile).max(0.0));
    let mut all: Vec<f64> = took.into_iter().flat_map(around).collect();
    all.sort_by(f64::total_cmp);
    all
}

/// At most [`INSTANTS_MAX`] of those, evenly.
fn thinned(all: Vec<f64>) -> Vec<f64> {
    let step = all.len().div_ceil(INSTANTS_MAX).max(1);
    all.into_iter().skip(step / 2).step_by(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That many jobs of one kind at even quantiles.
    fn jobs(count: u32, quantile: impl Fn(f64) -> f64) -> Vec<(u64, f64)> {
        let at = |n| (f64::from(n) + 0.5) / f64::from(count);
        (0..count).map(|n| (1, quantile(at(n)))).collect()
    }

    #[test]
    fn the_bound_of_known_laws_is_the_published_one() {
        let uniform = jobs(1_000, |u| 10.0 + 20.0 * u);
        let exponential = jobs(1_000, |u| -20.0 * (1.0 - u).ln());
        for (name, jobs, published) in [
            ("fixed", jobs(1_000, |_| 20.0), 0.5),
            ("uniform", uniform, 3.23),
            ("exponential", exponential, 4.76),
        ] {
            let bound = bound_s(jobs.into_iter());
            assert!((bound - published).abs() < 0.12, "{name}: {bound}");
        }
    }

    #[test]
    fn of_the_first_jobs_of_a_kind_nothing_is_known() {
        let few = |kinds: u64| bound_s((0..5).map(move |n| (n % kinds, 20.0)));
        assert_eq!(few(1), few(5));
        let expected = 0.5 * (80.0_f64).sqrt() + 5.0_f64.sqrt();
        assert!((few(1) - expected).abs() < 1e-9, "{}", few(1));
        let ten = bound_s(std::iter::repeat_n((1, 20.0), 10));
        assert!((ten - (expected + 0.5) / 2.0).abs() < 1e-9, "{ten}");
        assert_eq!(bound_s(std::iter::empty()), 0.0);
        assert_eq!(bound_s(std::iter::once((1, 0.0))), 0.5);
    }

    #[test]
    fn a_grade_allows_a_request_more() {
        assert_eq!(Grade::of(3.5, 2.0), Grade::Good);
        assert_eq!(Grade::of(3.6, 2.0), Grade::Fair);
        assert_eq!(Grade::of(6.6, 2.0), Grade::Poor);
        assert_eq!(Grade::of(1.0, 0.0), Grade::Poor);
    }
}
