//! Questions to a law on the grid: how likely, by when, how soon.

use super::grid::{BINS, EDGES, Law, position};

/// The probability that the job has ended by `seconds`, linear within a bin on the logarithmic axis.
pub(crate) fn ended_by(law: &Law, seconds: f64) -> f64 {
    if seconds <= 0.0 {
        return 0.0;
    }
    let position = position(seconds.ln()).clamp(0.0, BINS as f64);
    let whole = (position as usize).min(BINS - 1);
    let below: f64 = law[..whole].iter().sum();
    (below + law[whole] * (position - whole as f64)).min(1.0)
}

/// The instant by which the job has ended with the given probability, knowing that it ran at `now`.
pub(crate) fn quantile(law: &Law, probability: f64, now: f64) -> f64 {
    let already = ended_by(law, now);
    let target = already + probability.clamp(0.0, 1.0) * (1.0 - already);
    let mut below = 0.0;
    for (i, mass) in law.iter().enumerate() {
        if below + mass >= target && *mass > 0.0 {
            let share = ((target - below) / mass).clamp(0.0, 1.0);
            let at = EDGES[i] * (EDGES[i + 1] / EDGES[i]).powf(share);
            // The first bin stands for everything shorter than its upper edge.
            let at = if i == 0 { share * EDGES[1] } else { at };
            return at.max(now);
        }
        below += mass;
    }
    EDGES[BINS].max(now)
}

/// The rate at which the job ends, per second, knowing that it ran at `now`; looks a tenth of the age ahead.
pub(crate) fn hazard(law: &Law, now: f64) -> f64 {
    let ahead = (0.1 * now).max(0.25);
    let left = 1.0 - ended_by(law, now);
    if left <= f64::EPSILON {
        return 0.0;
    }
    let share = ((ended_by(law, now + ahead) - ended_by(law, now)) / left).clamp(0.0, 1.0 - 1e-9);
    -(-share).ln_1p() / ahead
}

#[cfg(test)]
mod tests {
    use super::super::grid::student;
    use super::*;

    #[test]
    fn quantiles_invert_the_distribution() {
        let law = student(3.0, 15f64.ln(), 1.0);
        assert!((quantile(&law, 0.5, 0.0) - 15.0).abs() < 0.3);
        for probability in [0.01, 0.1, 0.5, 0.9, 0.99] {
            let at = quantile(&law, probability, 0.0);
            assert!(
                (ended_by(&law, at) - probability).abs() < 1e-9,
                "{probability}"
            );
            assert!(quantile(&law, probability, 30.0) >= at.max(30.0));
        }
    }

    #[test]
    fn the_ends_of_the_axis_are_no_cliffs() {
        let law = student(3.0, 15f64.ln(), 1.0);
        assert_eq!(ended_by(&law, 0.0), 0.0);
        assert!((ended_by(&law, 1e9) - 1.0).abs() < 1e-9);
        assert_eq!(quantile(&law, 0.5, 1e9), 1e9);
        assert_eq!(hazard(&law, 1e9), 0.0);
        assert!(hazard(&law, 10.0) > hazard(&law, 1000.0));
    }
}
