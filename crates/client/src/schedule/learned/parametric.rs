//! Experts with few parameters: lognormals, which need the fewest jobs where they are right, and levels, which follow
//! durations that drift or resemble those of the jobs before.

use super::experts::Prior;
use super::grid::{Law, student};

/// The lognormal's own prior: its weights in the mean and in the spread, and the spread itself.
const MEAN_WEIGHT: f64 = 0.5;
const SHAPE: f64 = 0.75;
const SPREAD: f64 = 0.3;

/// The narrowest lognormal, in ln u.
const SCALE_MIN: f64 = 0.005;

/// How fast each level follows the latest duration.
pub(crate) const PACES: [f64; 2] = [0.25, 0.6];

/// How fast the past fades from a level's own accounts: as the long memory does.
const FADE: f64 = 0.98;

/// What a level believes at first of how much of the latest deviation carries over to the next job, and how firmly.
const CARRY: f64 = 0.5;
const CARRY_WEIGHT: f64 = 0.3;

/// The law that `n` durations predict, of this mean and sum of squared deviations in ln u: that of a conjugate
/// normal-inverse-gamma fit.
pub(crate) fn lognormal(prior: &Prior, n: f64, mean: f64, squares: f64) -> Box<Law> {
    let kappa = MEAN_WEIGHT + n;
    let alpha = SHAPE + 0.5 * n;
    let center = (MEAN_WEIGHT * prior.ln_median + n * mean) / kappa;
    let off = mean - prior.ln_median;
    let beta = SHAPE * SPREAD * SPREAD + 0.5 * squares + 0.5 * MEAN_WEIGHT * n * off * off / kappa;
    let scale = (beta * (kappa + 1.0) / (alpha * kappa)).sqrt();
    student(2.0 * alpha, center, scale.max(SCALE_MIN))
}

/// How far from what was expected an end is looked for within its enclosure, in standard deviations.
const REACH: f64 = 2.0;

/// Between what a duration lies, in ln u: twice the same where it is known.
pub(crate) type Enclosure = (f64, f64);

/// The law that a level predicts for the next job, from the durations before it, oldest first; none before there are
/// any.
///
/// It expects a mean and, on top of that, a share of the latest deviation from it. The share is learned: near 1 where
/// durations drift, near 0 where each job is drawn anew. Of an enclosure that part counts in which the end was
/// expected: the middle of one that began long before, as that of a first poll did, would be far from any end.
pub(crate) fn level(durations: &[Enclosure], pace: f64) -> Option<(f64, Box<Law>)> {
    let ((low, high), rest) = durations.split_first()?;
    let first = (0.5 * (low.exp() + high.exp())).ln();
    let (mut mean, mut weight, mut level) = (first, 1.0, first);
    let (mut xy, mut xx) = (
        CARRY * CARRY_WEIGHT * SPREAD * SPREAD,
        CARRY_WEIGHT * SPREAD * SPREAD,
    );
    let (mut squares, mut count) = (SHAPE * 2.0 * SPREAD * SPREAD, 2.0 * SHAPE);
    for (low, high) in rest {
        let x = level - mean;
        let expected = mean + (xy / xx).clamp(0.0, 1.0) * x;
        let reach = REACH * (squares / count).sqrt();
        let within = |ln_seconds: f64| ln_seconds.clamp(*low, *high);
        let duration = f64::midpoint(within(expected - reach), within(expected + reach));
        let (y, off) = (duration - mean, duration - expected);
        squares = FADE * squares + off * off;
        count = FADE * count + 1.0;
        xy = FADE * xy + x * y;
        xx = FADE * xx + x * x;
        weight = FADE * weight + 1.0;
        mean += y / weight;
        level += pace * (duration - level);
    }
    let center = mean + (xy / xx).clamp(0.0, 1.0) * (level - mean);
    let n = durations.len() as f64;
    let scale = (squares / count * (1.0 + 1.0 / n)).sqrt();
    Some((n, student(count.max(2.0), center, scale.max(SCALE_MIN))))
}
