//! The experts, each a way to turn the same past into a law.
//!
//! An expert starts from what was believed before and repeats: spread each end over the bins it may have happened in,
//! in proportion to the current law (E), turn the counts into probabilities by the [rate of ends among those at
//! risk](super::risk), the prior among them, and smooth the result by the expert's shape (M). Five shapes are kernels
//! of different widths on ln u, for laws with several peaks or none that has a name: the narrowest expects exactly what
//! was there before. The sixth is a [lognormal](super::parametric). Each comes with a long memory, for a law that
//! stays, and with a short one. Two more [follow a level](super::parametric::level).
//!
//! All experts go through the grid side by side, one lane each: the filters are recursions, and eight recursions in
//! step run as fast as one or two.

use super::grid::{BINS, Law, STEP, ln_middle, normalize, student};
use super::parametric::{self, Enclosure, PACES};
use super::ring::Span;
use super::risk::{MEMORIES, Risk, Seen, Weight};
use std::sync::{Mutex, PoisonError};

/// The standard deviations of the kernels, in ln u.
const KERNELS: [f64; 5] = [0.0, 0.01, 0.04, 0.15, 0.4];

/// The lanes: first the kernels, each in the long and in the short memory, then the lognormals, then the levels.
const KERNEL_LANES: usize = KERNELS.len() * MEMORIES;
const LOGNORMAL_LANES: usize = KERNEL_LANES + MEMORIES;

/// How many experts there are.
pub(crate) const EXPERTS: usize = LOGNORMAL_LANES + PACES.len();

/// The experts with a long memory, each followed by its twin with a short one.
pub(crate) const TWINS: std::ops::Range<usize> = 0..LOGNORMAL_LANES / MEMORIES;

/// The kernels that expect exactly what was there before.
pub(crate) const EXACT: std::ops::Range<usize> = 0..MEMORIES;

/// How far each expert is believed before it has shown anything: the exact kernels and the levels are right for special
/// laws only, and have to earn it.
pub(crate) const FIRST_WEIGHTS: Lanes = {
    let mut weights = [COMMON; EXPERTS];
    weights[0] = SPECIAL;
    weights[1] = SPECIAL;
    weights[LOGNORMAL_LANES] = SPECIAL;
    weights[LOGNORMAL_LANES + 1] = SPECIAL;
    weights
};
const SPECIAL: f64 = 0.015;
const COMMON: f64 = (1.0 - 4.0 * SPECIAL) / (EXPERTS - 4) as f64;

/// How often E and M are repeated when some ends are enclosures, and how often to find the way anew.
const ROUNDS: usize = 2;
const FIRST_ROUNDS: usize = 6;

/// How much of what was believed before goes into the first E. The rest is the prior, so that durations that suddenly
/// shrink are looked for where nothing was seen before.
const KEPT: f64 = 0.9;

/// One number per expert.
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
            law: student(3.0, ln_median, scale),
        }
    }
}

/// The experts' laws: for each bin, one mass per expert.
pub(crate) type Opinions = [Lanes; BINS];

/// How many jobs ended in each bin, in the eyes of each expert but the levels.
type Counted = [f64; LOGNORMAL_LANES];
type Counts = [Counted; BINS];

/// What the experts are fitted to.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// The jobs, in the order of their acceptance.
    pub(crate) seen: Vec<Seen>,
    /// How long those took that have ended, in the same order.
    pub(crate) durations: Vec<Enclosure>,
    /// Whether all ends are known to the bin.
    pub(crate) exact: bool,
}

/// What a fit works in.
struct Room {
    counts: Box<Counts>,
    /// The laws summed up to each edge.
    sums: Box<[Counted]>,
}

/// The room of the fit before this one: to be given so much memory anew takes as long as a round.
static ROOM: Mutex<Option<Room>> = Mutex::new(None);

/// Fits all experts, starting from what they believed before. `spare` is overwritten.
pub(crate) fn fit(
    prior: &Prior,
    evidence: &Evidence,
    before: Option<&Opinions>,
    spare: Option<Box<Opinions>>,
) -> Box<Opinions> {
    let mut laws = spare.unwrap_or_else(|| boxed([0.0; _]));
    let kept = if evidence.exact { 0.0 } else { KEPT };
    for (i, law) in laws.iter_mut().enumerate() {
        *law = match before {
            Some(before) => lanes(|e| kept * before[i][e] + (1.0 - kept) * prior.law[i]),
            None => [prior.law[i]; EXPERTS],
        };
    }
    if evidence.seen.is_empty() {
        return laws;
    }
    let risk = Risk::new(&evidence.seen);
    let room = || ROOM.lock().unwrap_or_else(PoisonError::into_inner);
    let mut own = room().take().unwrap_or_else(|| Room {
        counts: boxed([0.0; _]),
        sums: vec![[0.0; _]; BINS + 1].into(),
    });
    let Room { counts, sums } = &mut own;
    let rounds = match before {
        _ if evidence.exact => 1,
        Some(_) => ROUNDS,
        None => FIRST_ROUNDS,
    };
    for round in 1..=rounds {
        spread(&laws, &risk.ends, counts, sums);
        let total = rates(prior, &risk, counts, &mut laws);
        if round == rounds {
            // Until then, the lognormals' lanes are one more kernel that expects exactly what was there before.
            parametrics(prior, &risk, &evidence.durations, counts, &mut laws);
        }
        smooth(counts, &total, &mut laws);
    }
    *room() = Some(own);
    laws
}

/// Turns counts of ends into probabilities, by the rate of ends among those at risk, and returns what they sum up to.
/// What the prior contributes, which counts as some jobs more, is put into `laws`.
fn rates(prior: &Prior, risk: &Risk, counts: &mut Counts, laws: &mut Opinions) -> Counted {
    let worth: Counted = lanes(|e| risk.prior[e % MEMORIES]);
    let mut beyond: Counted = [0.0; _];
    for i in (0..BINS).rev() {
        let others: Counted = lanes(|e| risk.others[i][e % MEMORIES]);
        for e in 0..LOGNORMAL_LANES {
            beyond[e] += worth[e] * prior.law[i] + counts[i][e];
            laws[i][e] = beyond[e] + others[e];
        }
    }
    let (mut left, mut total): (Counted, Counted) = ([1.0; _], [0.0; _]);
    for i in 0..BINS {
        for e in 0..LOGNORMAL_LANES {
            let share = left[e] / laws[i][e];
            let (prior, count) = (share * worth[e] * prior.law[i], share * counts[i][e]);
            laws[i][e] = prior;
            counts[i][e] = count;
            total[e] += count;
            left[e] = (left[e] - prior - count).max(0.0);
        }
    }
    total
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

/// E: spreads every observation over its bins in proportion to the current laws.
///
/// What a long span adds to a bin is the same multiple of the bin's law everywhere in the span, so it is noted at the
/// two ends only and summed up on the way.
fn spread(laws: &Opinions, ends: &[(Span, Weight)], counts: &mut Counts, sums: &mut [Counted]) {
    counts.fill([0.0; _]);
    let single = |(span, _): &(Span, Weight)| span.first == span.last;
    if !ends.iter().all(single) {
        sum_up(laws, sums);
        enclosures(laws, ends, counts, sums);
    }
    for (span, weight) in ends.iter().filter(|end| single(end)) {
        for e in 0..LOGNORMAL_LANES {
            counts[span.first][e] += weight[e % MEMORIES];
        }
    }
}

/// The part of E for ends that are not known to the bin.
fn enclosures(laws: &Opinions, ends: &[(Span, Weight)], counts: &mut Counts, sums: &[Counted]) {
    for (span, weight) in ends {
        if span.first == span.last {
            continue;
        }
        for e in 0..LOGNORMAL_LANES {
            let mass = sums[span.last + 1][e] - sums[span.first][e];
            // The prior is never nothing, so only a law that has lost its meaning gets here; it stays unmoved.
            let multiple = if mass > 0.0 {
                weight[e % MEMORIES] / mass
            } else {
                0.0
            };
            counts[span.first][e] += multiple;
            if let Some(end) = counts.get_mut(span.last + 1) {
                end[e] -= multiple;
            }
        }
    }
    let mut multiple: Counted = [0.0; _];
    for (count, law) in counts.iter_mut().zip(laws.iter()) {
        for e in 0..LOGNORMAL_LANES {
            multiple[e] += count[e];
            count[e] = multiple[e] * law[e];
        }
    }
}

/// Sums the laws up to each edge.
fn sum_up(laws: &Opinions, sums: &mut [Counted]) {
    let mut sum: Counted = [0.0; _];
    for (above, law) in sums.iter_mut().skip(1).zip(laws) {
        for e in 0..LOGNORMAL_LANES {
            sum[e] += law[e];
        }
        *above = sum;
    }
}

/// M for the kernels: two passes of a two-sided exponential filter, whose result sums up to `total` and is added to
/// `laws`; the lognormals' lanes pass unchanged.
fn smooth(counts: &mut Counts, total: &Counted, laws: &mut Opinions) {
    let keep: Counted = lanes(|e| KERNELS.get(e / MEMORIES).map_or(0.0, |width| pole(*width)));
    // Each sweep starts from where the one before ended, which gives back the mass that one pushed off the grid.
    let mut carry: Counted = [0.0; _];
    for backwards in [false, true, false] {
        let mut sweep = |count| sweep(count, &mut carry, &keep);
        match backwards {
            false => counts.iter_mut().for_each(&mut sweep),
            true => counts.iter_mut().rev().for_each(&mut sweep),
        }
    }
    let mut sum: Counted = [0.0; _];
    for count in counts.iter_mut().rev() {
        sweep(count, &mut carry, &keep);
        for e in 0..LOGNORMAL_LANES {
            sum[e] += count[e];
        }
    }
    let factor: Counted = lanes(|e| if sum[e] > 0.0 { total[e] / sum[e] } else { 0.0 });
    for (law, count) in laws.iter_mut().zip(counts.iter()) {
        for e in 0..LOGNORMAL_LANES {
            law[e] += factor[e] * count[e];
        }
    }
}

fn sweep(count: &mut Counted, carry: &mut Counted, keep: &Counted) {
    for e in 0..KERNEL_LANES {
        carry[e] = keep[e] * carry[e] + (1.0 - keep[e]) * count[e];
        count[e] = carry[e];
    }
}

/// The filter's pole for which two passes have the standard deviation `width` in ln u.
fn pole(width: f64) -> f64 {
    if width == 0.0 {
        return 0.0;
    }
    let ratio = width / (2.0 * STEP);
    let v = ratio * ratio;
    (2.0 * v + 1.0 - (4.0 * v + 1.0).sqrt()) / (2.0 * v)
}

/// M for the lognormals, whose counts are used up, and the levels: their laws become the predictive ones, mixed with
/// the prior.
fn parametrics(
    prior: &Prior,
    risk: &Risk,
    durations: &[Enclosure],
    counts: &mut Counts,
    laws: &mut Opinions,
) {
    const PARAMETRIC: usize = EXPERTS - KERNEL_LANES;
    let fitted: [_; PARAMETRIC] = std::array::from_fn(|k| match k.checked_sub(MEMORIES) {
        None => lognormal(prior, risk, k, counts, laws),
        Some(k) => parametric::level(durations, PACES[k]),
    });
    // The shares of the prior and of what was fitted.
    let parts: [(f64, f64, &Law); PARAMETRIC] = std::array::from_fn(|k| match &fitted[k] {
        None => (1.0, 0.0, &*prior.law),
        Some((n, law)) => {
            let worth = risk.prior.get(k).unwrap_or(&risk.prior[1]);
            (worth / (worth + n), n / (worth + n), &**law)
        }
    });
    for i in 0..BINS {
        for (lane, (ours, theirs, law)) in laws[i][KERNEL_LANES..].iter_mut().zip(parts) {
            *lane = ours * prior.law[i] + theirs * law[i];
        }
    }
}

/// The lognormal of a memory and how many jobs it is worth; none where no job is known to have ended.
fn lognormal(
    prior: &Prior,
    risk: &Risk,
    memory: usize,
    counts: &mut Counts,
    laws: &Opinions,
) -> Option<(f64, Box<Law>)> {
    let (lane, worth) = (KERNEL_LANES + memory, risk.prior[memory]);
    let all = risk.total[memory] + worth;
    // What is known of jobs, without what the prior says of those that were seen to end. Of those that run it is all
    // there is beyond their age.
    let (mut ended, mut known, mut first, mut second) = (0.0, 0.0, 0.0, 0.0);
    for i in 0..BINS {
        let count = std::mem::take(&mut counts[i][lane]);
        ended += count;
        let mass = (count + laws[i][lane] - worth / all * prior.law[i]).max(0.0);
        let off = ln_middle(i) - prior.ln_median;
        known += mass;
        first += mass * off;
        second += mass * off * off;
    }
    let n = ended * all;
    if n <= 0.0 || known <= 0.0 {
        return None;
    }
    let off = first / known;
    let squares = n * (second / known - off * off).max(0.0);
    let law = parametric::lognormal(prior, n, prior.ln_median + off, squares);
    Some((n, law))
}

fn lanes<const N: usize>(value: impl FnMut(usize) -> f64) -> [f64; N] {
    std::array::from_fn(value)
}

/// Makes the array on the heap: at more than a hundred kilobytes it would strain a small stack.
fn boxed<const N: usize>(lanes: [f64; N]) -> Box<[[f64; N]; BINS]> {
    vec![lanes; BINS]
        .into_boxed_slice()
        .try_into()
        .unwrap_or_else(|_| unreachable!("the vector has exactly BINS items"))
}
