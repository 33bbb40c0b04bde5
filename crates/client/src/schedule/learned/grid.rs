//! The axis of durations: bins of equal width in ln u.
//!
//! A bin is 1 % wide, so that a whole law fits into twelve kilobytes. Everything shorter than the first edge falls into
//! the first bin, everything longer into the last.

use std::sync::LazyLock;

/// How many bins there are.
pub(crate) const BINS: usize = 1536;

/// The lower edge of the first bin, in seconds.
pub(crate) const FIRST: f64 = 0.1;

/// The width of a bin in ln u.
pub(crate) const STEP: f64 = 0.01;

/// A probability per bin.
pub(crate) type Law = [f64; BINS];

/// The edges in seconds: bin `i` lies between `EDGES[i]` and `EDGES[i + 1]`; the last is about five days.
pub(crate) static EDGES: LazyLock<[f64; BINS + 1]> =
    LazyLock::new(|| std::array::from_fn(|i| FIRST * (STEP * i as f64).exp()));

/// The middle of bin `i` in ln seconds.
pub(crate) fn ln_middle(i: usize) -> f64 {
    FIRST.ln() + STEP * (i as f64 + 0.5)
}

/// Where ln `seconds` lies on the axis, in bins from the first edge; not clamped.
pub(crate) fn position(ln_seconds: f64) -> f64 {
    (ln_seconds - FIRST.ln()) / STEP
}

/// The bin that holds ln `seconds`; the first or the last if it lies outside.
pub(crate) fn bin(ln_seconds: f64) -> usize {
    // A float-to-integer cast saturates, so infinities and short times land in the outer bins.
    (position(ln_seconds).floor() as usize).min(BINS - 1)
}

/// Where a density is less than this share of its peak, as a logarithm, it isn't worth its logarithm.
const FAR: f64 = 32.0;

/// Student's t density of `freedom` degrees around `center`, normalized over the grid.
pub(crate) fn student(freedom: f64, center: f64, scale: f64) -> Box<Law> {
    let exponent = -0.5 * (freedom + 1.0);
    let inverse = 1.0 / (scale * scale * freedom);
    let far = ((-FAR / exponent).exp_m1() / inverse).sqrt();
    let mut law = Box::new([0.0; BINS]);
    let (first, last) = (bin(center - far), bin(center + far));
    for (i, mass) in law.iter_mut().enumerate().take(last + 1).skip(first) {
        let distance = ln_middle(i) - center;
        *mass = (exponent * (1.0 + distance * distance * inverse).ln()).exp();
    }
    normalize(&mut law, 1.0);
    law
}

/// Scales a law so that it sums to `total`; a law of nothing stays nothing.
pub(crate) fn normalize(law: &mut Law, total: f64) {
    let sum: f64 = law.iter().sum();
    if sum > 0.0 {
        let factor = total / sum;
        law.iter_mut().for_each(|mass| *mass *= factor);
    }
}

/// Moves a law by a (fractional) number of bins towards longer durations; what leaves the grid stays in its outer bin.
pub(crate) fn shift(law: &Law, bins: f64) -> Box<Law> {
    let mut moved = Box::new([0.0; BINS]);
    // Beyond the whole width of the grid every shift is the same.
    let bins = bins.clamp(-(BINS as f64), BINS as f64);
    let whole = bins.floor();
    let share = bins - whole;
    let clamp = |i: isize| i.clamp(0, BINS as isize - 1) as usize;
    for (i, mass) in law.iter().enumerate() {
        let to = i as isize + whole as isize;
        moved[clamp(to)] += mass * (1.0 - share);
        moved[clamp(to + 1)] += mass * share;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_spans_a_tenth_of_a_second_to_five_days() {
        assert_eq!(EDGES[0], 0.1);
        assert!(EDGES[BINS] > 5.0 * 86_400.0);
        assert_eq!(bin(f64::NEG_INFINITY), 0);
        assert_eq!(bin(f64::INFINITY), BINS - 1);
        assert_eq!(bin(ln_middle(700)), 700);
    }

    #[test]
    fn a_shift_loses_no_mass() {
        let law = student(3.0, 15f64.ln(), 1.0);
        for bins in [0.0, 1.5, -700.25, 1e9, -1e9] {
            let sum: f64 = shift(&law, bins).iter().sum();
            assert!((sum - 1.0).abs() < 1e-12, "{bins}: {sum}");
        }
        assert_eq!(shift(&law, 0.0), law);
    }
}
