//! Ten experts, each a way to turn the same past into a law: two memories times five shapes.
//!
//! An expert starts from the prior and repeats: spread each observation over the bins it covers in proportion to the
//! current law (E), smooth the result by the expert's shape (M), and mix it with the prior. Four shapes are kernels of
//! different widths on ln u, for laws with several peaks or none that has a name; the fifth is a lognormal, which needs
//! the fewest jobs where it is right. The long memory serves a stationary law, the short one a law that drifts.
//!
//! All experts go through the grid side by side, one lane each: the filters are recursions, and eight recursions in
//! step run as fast as one or two.

use super::grid::{BINS, Law, STEP, ln_middle, normalize, student};
use super::ring::Span;

/// How many experts there are.
pub(crate) const EXPERTS: usize = MEMORIES.len() * SHAPES;

/// Four kernels and the lognormal.
const SHAPES: usize = KERNELS.len() + 1;

/// The standard deviations of the kernels, in ln u.
const KERNELS: [f64; 4] = [0.01, 0.04, 0.15, 0.4];

/// How an expert forgets, and how many jobs the prior is worth to it.
struct Memory {
    /// The weight of an observation in terms of that of the job after it.
    fade: f64,
    /// The weight of the prior, in jobs.
    prior: f64,
}

const MEMORIES: [Memory; 2] = [
    Memory {
        fade: 1.0 - 1.0 / 100.0,
        prior: 0.3,
    },
    Memory {
        fade: 1.0 - 1.0 / 12.0,
        prior: 1.0,
    },
];

/// How often E and M are repeated when some observations are enclosures.
const ROUNDS: usize = 3;

/// The lognormal's own prior: its weights in the mean and in the spread, and the spread itself.
const LOGNORMAL_MEAN_WEIGHT: f64 = 0.5;
const LOGNORMAL_SHAPE: f64 = 0.75;
const LOGNORMAL_SPREAD: f64 = 0.3;

/// The narrowest lognormal, in ln u.
const LOGNORMAL_LEAST_SCALE: f64 = 0.005;

/// One number per expert; expert `memory * SHAPES + shape`.
pub(crate) type Lanes = [f64; EXPERTS];

/// What is believed before any job was seen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prior {
    /// ln of the median.
    pub(crate) ln_median: f64,
    /// The scale in ln u.
    pub(crate) scale: f64,
    /// The law on the grid.
    pub(crate) law: Box<Law>,
}

impl Prior {
    /// A Student t₃ on ln u: heavy enough to be wrong by a factor of a hundred without harm.
    pub(crate) fn new(median: f64, scale: f64) -> Self {
        let ln_median = median.ln();
        Self {
            ln_median,
            scale,
            law: Box::new(student(3.0, ln_median, scale)),
        }
    }
}

/// The experts' laws: for each bin, one mass per expert.
pub(crate) type Opinions = [Lanes; BINS];

/// Fits all experts to the spans, oldest first.
pub(crate) fn fit(prior: &Prior, spans: &[Span], all_exact: bool) -> Box<Opinions> {
    let mut laws: Box<Opinions> = boxed(|i| [prior.law[i]; EXPERTS]);
    if spans.is_empty() {
        return laws;
    }
    let weights = weights(spans.len());
    let total: Lanes = lanes(|e| weights.iter().map(|weight| weight[e / SHAPES]).sum());
    let mut counts: Box<Opinions> = boxed(|_| [0.0; EXPERTS]);
    for _ in 0..if all_exact { 1 } else { ROUNDS } {
        spread(&laws, spans, &weights, &mut counts);
        smooth(&mut counts, &total);
        lognormal(&mut counts, &total, prior.ln_median);
        let scale: Lanes = lanes(|e| 1.0 / (MEMORIES[e / SHAPES].prior + total[e]));
        for (i, (law, count)) in laws.iter_mut().zip(counts.iter()).enumerate() {
            for e in 0..EXPERTS {
                law[e] = (MEMORIES[e / SHAPES].prior * prior.law[i] + count[e]) * scale[e];
            }
        }
    }
    laws
}

/// How much each expert believes in a span.
pub(crate) fn evidence(laws: &Opinions, span: Span) -> Lanes {
    let mut sum = [0.0; EXPERTS];
    for law in &laws[span.first..=span.last] {
        for e in 0..EXPERTS {
            sum[e] += law[e];
        }
    }
    sum
}

/// The experts' laws in the given proportion.
pub(crate) fn mix(laws: &Opinions, weights: &Lanes) -> Box<Law> {
    let mut mixed = Box::new([0.0; BINS]);
    for (mass, law) in mixed.iter_mut().zip(laws.iter()) {
        *mass = (0..EXPERTS).map(|e| weights[e] * law[e]).sum();
    }
    normalize(&mut mixed, 1.0);
    mixed
}

/// The weight of each observation in each memory, oldest first.
fn weights(count: usize) -> Vec<[f64; MEMORIES.len()]> {
    (0..count)
        .map(|k| {
            let age = (count - 1 - k) as i32;
            std::array::from_fn(|memory| MEMORIES[memory].fade.powi(age))
        })
        .collect()
}

/// E: spreads every observation over its bins in proportion to the current laws.
///
/// What a long span adds to a bin is the same multiple of the bin's law everywhere in the span, so it is noted at the
/// two ends only and summed up on the way.
fn spread(
    laws: &Opinions,
    spans: &[Span],
    weights: &[[f64; MEMORIES.len()]],
    counts: &mut Opinions,
) {
    counts.fill([0.0; EXPERTS]);
    let sums = cumulative(laws);
    let mut single = Vec::new();
    let mut past_end = [0.0; EXPERTS];
    for (span, weight) in spans.iter().zip(weights) {
        if span.first == span.last {
            single.push((span.first, weight));
            continue;
        }
        for e in 0..EXPERTS {
            let mass = sums[span.last + 1][e] - sums[span.first][e];
            // The prior is never nothing, so only a law that has lost its meaning gets here; it stays unmoved.
            let multiple = if mass > 0.0 {
                weight[e / SHAPES] / mass
            } else {
                0.0
            };
            counts[span.first][e] += multiple;
            match counts.get_mut(span.last + 1) {
                Some(end) => end[e] -= multiple,
                None => past_end[e] -= multiple,
            }
        }
    }
    let mut multiple = [0.0; EXPERTS];
    for (count, law) in counts.iter_mut().zip(laws.iter()) {
        for e in 0..EXPERTS {
            multiple[e] += count[e];
            count[e] = multiple[e] * law[e];
        }
    }
    for (i, weight) in single {
        for e in 0..EXPERTS {
            counts[i][e] += weight[e / SHAPES];
        }
    }
}

/// The laws summed up to each edge.
fn cumulative(laws: &Opinions) -> Box<[Lanes]> {
    let mut sum = [0.0; EXPERTS];
    std::iter::once(sum)
        .chain(laws.iter().map(|law| {
            for e in 0..EXPERTS {
                sum[e] += law[e];
            }
            sum
        }))
        .collect()
}

/// M for the kernels: two passes of a two-sided exponential filter; the lognormals' lanes pass unchanged.
fn smooth(counts: &mut Opinions, total: &Lanes) {
    let keep: Lanes = lanes(|e| KERNELS.get(e % SHAPES).map_or(0.0, |width| pole(*width)));
    let mut carry = [0.0; EXPERTS];
    for _ in 0..2 {
        // Each sweep starts from where the one before ended, which gives back the mass that one pushed off the grid.
        counts
            .iter_mut()
            .for_each(|count| sweep(count, &mut carry, &keep));
        counts
            .iter_mut()
            .rev()
            .for_each(|count| sweep(count, &mut carry, &keep));
    }
    rescale(counts, total);
}

fn sweep(count: &mut Lanes, carry: &mut Lanes, keep: &Lanes) {
    for e in 0..EXPERTS {
        carry[e] = keep[e] * carry[e] + (1.0 - keep[e]) * count[e];
    }
    *count = *carry;
}

/// The filter's pole for which two passes have the standard deviation `width` in ln u.
fn pole(width: f64) -> f64 {
    let ratio = width / (2.0 * STEP);
    let v = ratio * ratio;
    (2.0 * v + 1.0 - (4.0 * v + 1.0).sqrt()) / (2.0 * v)
}

/// Makes every lane sum to its total.
fn rescale(counts: &mut Opinions, total: &Lanes) {
    let mut sum = [0.0; EXPERTS];
    for count in counts.iter() {
        for e in 0..EXPERTS {
            sum[e] += count[e];
        }
    }
    let factor: Lanes = lanes(|e| if sum[e] > 0.0 { total[e] / sum[e] } else { 0.0 });
    for count in counts.iter_mut() {
        for e in 0..EXPERTS {
            count[e] *= factor[e];
        }
    }
}

/// M for the lognormals: their lanes become the predictive law of a conjugate normal-inverse-gamma fit.
fn lognormal(counts: &mut Opinions, total: &Lanes, ln_median: f64) {
    for memory in 0..MEMORIES.len() {
        let lane = memory * SHAPES + KERNELS.len();
        let n = total[lane];
        let moment = |power: &dyn Fn(f64) -> f64| -> f64 {
            counts
                .iter()
                .enumerate()
                .map(|(i, count)| count[lane] * power(ln_middle(i)))
                .sum()
        };
        let mean = moment(&|y| y) / n;
        let squares = moment(&|y| (y - mean) * (y - mean));
        let kappa = LOGNORMAL_MEAN_WEIGHT + n;
        let alpha = LOGNORMAL_SHAPE + 0.5 * n;
        let center = (LOGNORMAL_MEAN_WEIGHT * ln_median + n * mean) / kappa;
        let off = mean - ln_median;
        let beta = LOGNORMAL_SHAPE * LOGNORMAL_SPREAD * LOGNORMAL_SPREAD
            + 0.5 * squares
            + 0.5 * LOGNORMAL_MEAN_WEIGHT * n * off * off / kappa;
        let scale = (beta * (kappa + 1.0) / (alpha * kappa))
            .sqrt()
            .max(LOGNORMAL_LEAST_SCALE);
        let law = student(2.0 * alpha, center, scale);
        for (count, mass) in counts.iter_mut().zip(law) {
            count[lane] = n * mass;
        }
    }
}

fn lanes(value: impl FnMut(usize) -> f64) -> Lanes {
    std::array::from_fn(value)
}

/// Makes the array on the heap: at ninety kilobytes it would strain a small stack.
fn boxed(value: impl FnMut(usize) -> Lanes) -> Box<Opinions> {
    let lanes: Box<[Lanes]> = (0..BINS).map(value).collect();
    lanes
        .try_into()
        .unwrap_or_else(|_| unreachable!("the iterator above yields exactly BINS items"))
}
