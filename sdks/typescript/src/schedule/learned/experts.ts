/**
 * The experts, each a way to turn the same past into a law.
 *
 * An expert starts from what was believed before and repeats: spread each end over the bins it may have happened in, in
 * proportion to the current law (E), turn the counts into probabilities by the rate of ends among those at risk, the
 * prior among them, and smooth the result by the expert's shape (M). Five shapes are kernels of different widths, the
 * sixth is a lognormal; each comes with a long and with a short memory. Two more experts follow a level.
 */

import { BINS, type Law, STEP, lawOf, lnMiddle, normalize, student, sum } from "./grid.js";
import { type Enclosure, PACES, level, lognormal } from "./parametric.js";
import type { Span } from "./ring.js";
import { MEMORIES, type Risk, type Seen, riskOf, weight } from "./risk.js";

/** The standard deviations of the kernels, in ln u. */
const KERNELS = [0, 0.01, 0.04, 0.15, 0.4] as const;

/** The lanes: first the kernels, each in the long and in the short memory, then the lognormals, then the levels. */
const KERNEL_LANES = 10;
export const LOGNORMAL_LANES = 12;

/** How many experts there are. */
export const EXPERTS = 14;

/**
 * How far each expert is believed before it has shown anything. The exact kernels (the first two) and the levels (the
 * last two) are right for special laws only, and have to earn it.
 */
const SPECIAL = 0.015;
export const FIRST_WEIGHTS: readonly number[] = /* @__PURE__ */ Array.from({ length: EXPERTS }, (_, e) =>
  e < MEMORIES || e >= LOGNORMAL_LANES ? SPECIAL : (1 - 4 * SPECIAL) / (EXPERTS - 4),
);

/** How many jobs the prior is worth in each memory, and after how many jobs half as many in the long one. */
const PRIORS = [0.3, 1] as const,
  HALVED = 25;

/** How often E and M are repeated when some ends are enclosures, and how often to find the way anew. */
const ROUNDS = 2,
  FIRST_ROUNDS = 6;

/** How much of what was believed before goes into the first E. The rest is the prior. */
const KEPT = 0.9;

/** What is believed before any job was seen: heavy enough to be wrong by a factor of a hundred without harm. */
export interface Prior {
  lnMedian: number;
  scale: number;
  law: Law;
}

/** The prior of that median, in seconds. */
export const priorOf = (median: number, scale: number): Prior => {
  const lnMedian = Math.log(median);
  return { lnMedian, scale, law: student(3, lnMedian, scale) };
};

/** What the experts are fitted to: jobs in the order of acceptance, and durations in ln u of those that ended. */
export interface Evidence {
  seen: Seen[];
  durations: Enclosure[];
  exact: boolean;
}

/** The filter's pole for which two passes have the standard deviation `width` in ln u. */
const pole = (width = 0): number => {
  const v = (width / (2 * STEP)) ** 2;
  return v && (2 * v + 1 - Math.sqrt(4 * v + 1)) / (2 * v);
};

/** How much a law believes in a span. */
export const massOf = (law: Law, [first, last]: Span): number => sum(law.subarray(first, last + 1));

/** The experts' laws in the given proportion. */
export const mix = (laws: Law[], weights: readonly number[]): Law => normalize(lawOf((i) => mixed(laws, weights, i)));

/** What the experts together give a bin. */
export const mixed = (laws: Law[], weights: readonly number[], i: number): number => {
  let mass = 0;
  for (let e = 0; e < laws.length; e++) mass += weights[e]! * laws[e]![i]!;
  return mass;
};

/** Fits all experts, starting from what they believed before: a law from each. */
export const fit = (prior: Prior, { seen, durations, exact }: Evidence, before?: Law[]): Law[] => {
  const risk = riskOf(seen),
    n = durations.length,
    worths = [PRIORS[0] / (1 + risk.total[0]! / HALVED), PRIORS[1]] as const;
  return FIRST_WEIGHTS.map((_, e) => {
    if (!seen.length) return prior.law;
    if (e >= LOGNORMAL_LANES)
      return n ? blend(prior, PRIORS[1], n, level(durations, PACES[e - LOGNORMAL_LANES]!)) : prior.law;
    const memory = e % MEMORIES,
      worth = worths[memory]!,
      kept = before && !exact ? KEPT : 0;
    let law: Law = prior.law.map((mass, i) => (kept && kept * before![e]![i]!) + (1 - kept) * mass);
    for (let rounds = exact ? 1 : before ? ROUNDS : FIRST_ROUNDS; rounds--;) {
      const counts = spread(law, risk, memory);
      law = rates(prior, worth, risk, memory, counts);
      // Until then, a lognormal is one more kernel that expects exactly what was there before.
      if (!rounds && e >= KERNEL_LANES) return lognormalOf(prior, worth, risk.total[memory]! + worth, counts, law);
      smooth(counts, pole(KERNELS[e >> 1]));
      for (let i = 0; i < BINS; i++) law[i]! += counts[i]!;
    }
    return law;
  });
};

/**
 * E: spreads every end over its bins in proportion to the current law. What a long span adds to a bin is the same
 * multiple of the bin's law everywhere in the span, so it is noted at the two ends only and summed up on the way.
 */
const spread = (law: Law, { ends }: Risk, memory: number): Law => {
  const counts = new Float64Array(BINS),
    upTo = new Float64Array(BINS + 1);
  for (let i = 0; i < BINS; i++) upTo[i + 1] = upTo[i]! + law[i]!;
  for (const {
    span: [first, last],
    newer,
  } of ends) {
    const mass = upTo[last + 1]! - upTo[first]!;
    // The prior is never nothing, so only a law that has lost its meaning stays unmoved.
    if (first === last || !(mass > 0)) continue;
    const multiple = weight(memory, newer) / mass;
    counts[first]! += multiple;
    if (last + 1 < BINS) counts[last + 1]! -= multiple;
  }
  let multiple = 0;
  for (let i = 0; i < BINS; i++) counts[i] = (multiple += counts[i]!) * law[i]!;
  for (const {
    span: [first, last],
    newer,
  } of ends)
    if (first === last) counts[first]! += weight(memory, newer);
  return counts;
};

/** Turns counts of ends into probabilities, in place; returns what the prior contributes. */
const rates = (prior: Prior, worth: number, risk: Risk, memory: number, counts: Law): Law => {
  const law = new Float64Array(BINS);
  let beyond = 0,
    left = 1;
  for (let i = BINS - 1; i >= 0; i--)
    law[i] = (beyond += worth * prior.law[i]! + counts[i]!) + risk.others[memory]![i]!;
  for (let i = 0; i < BINS; i++) {
    const share = left / law[i]!;
    law[i] = share * worth * prior.law[i]!;
    counts[i]! *= share;
    left = Math.max(left - law[i]! - counts[i]!, 0);
  }
  return law;
};

/** M for the kernels: two passes of a two-sided exponential filter, after which the counts sum to what they did. */
const smooth = (counts: Law, keep: number): void => {
  const total = sum(counts);
  // Each sweep starts from where the one before ended, which gives back the mass that one pushed off the grid.
  let carry = 0;
  for (let pass = 0; pass < 2; pass++) {
    for (let i = 0; i < BINS; i++) counts[i] = carry = keep * carry + (1 - keep) * counts[i]!;
    for (let i = BINS - 1; i >= 0; i--) counts[i] = carry = keep * carry + (1 - keep) * counts[i]!;
  }
  const factor = total / sum(counts) || 0;
  for (let i = 0; i < BINS; i++) counts[i]! *= factor;
};

/** M for a lognormal: the law becomes the predictive one, mixed with the prior. */
const lognormalOf = (prior: Prior, worth: number, all: number, counts: Law, law: Law): Law => {
  // What is known of jobs, without what the prior says of those that were seen to end.
  let ended = 0,
    known = 0,
    first = 0,
    second = 0;
  for (let i = 0; i < BINS; i++) {
    ended += counts[i]!;
    const mass = Math.max(counts[i]! + law[i]! - (worth / all) * prior.law[i]!, 0),
      off = lnMiddle(i) - prior.lnMedian;
    known += mass;
    first += mass * off;
    second += mass * off * off;
  }
  const n = ended * all;
  if (!(n > 0 && known > 0)) return prior.law;
  const off = first / known,
    squares = n * Math.max(second / known - off * off, 0);
  return blend(prior, worth, n, lognormal(prior.lnMedian, n, prior.lnMedian + off, squares));
};

/** A law worth `n` jobs, mixed with the prior. */
const blend = (prior: Prior, worth: number, n: number, law: Law): Law =>
  law.map((mass, i) => (worth * prior.law[i]! + n * mass) / (worth + n));
