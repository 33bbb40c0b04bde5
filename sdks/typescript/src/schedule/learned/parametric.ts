/** Experts with few parameters: lognormals, and levels, which follow durations that drift or resemble the latest. */

import { type Law, clamp, student } from "./grid.js";

/** Between what a duration lies, in ln u: twice the same where it is known. */
export type Enclosure = readonly [low: number, high: number];

/** The lognormal's own prior: its weights in the mean and in the spread, and the spread itself. */
const MEAN_WEIGHT = 0.5,
  SHAPE = 0.75,
  SPREAD = 0.3;

/** The narrowest lognormal, in ln u. */
const SCALE_MIN = 0.005;

/** How fast each level follows the latest duration. */
export const PACES = [0.25, 0.6] as const;

/** How fast the past fades from a level's own accounts. */
const FADE = 0.98;

/** What a level believes at first of how much of the latest deviation carries over to the next job, and how firmly. */
const CARRY = 0.5,
  CARRY_WEIGHT = 0.3;

/** The law that `n` durations predict, of this mean and sum of squared deviations in ln u. */
export const lognormal = (lnMedian: number, n: number, mean: number, squares: number): Law => {
  const kappa = MEAN_WEIGHT + n,
    alpha = SHAPE + 0.5 * n,
    off = mean - lnMedian;
  const beta = SHAPE * SPREAD * SPREAD + 0.5 * squares + (0.5 * MEAN_WEIGHT * n * off * off) / kappa;
  const scale = Math.sqrt((beta * (kappa + 1)) / (alpha * kappa));
  return student(2 * alpha, (MEAN_WEIGHT * lnMedian + n * mean) / kappa, Math.max(scale, SCALE_MIN));
};

/** How far from what was expected an end is looked for within its enclosure, in standard deviations. */
const REACH = 2;

/**
 * The law that a level predicts for the next job from at least one duration before it, oldest first in ln u, of which
 * each lies between two. It expects a mean and a learned share of the latest deviation from it.
 */
export const level = (durations: Enclosure[], pace: number): Law => {
  const [low, high] = durations[0]!;
  let mean = Math.log(0.5 * (Math.exp(low) + Math.exp(high))),
    latest = mean,
    weight = 1;
  let xx = CARRY_WEIGHT * SPREAD * SPREAD,
    xy = CARRY * xx;
  let squares = SHAPE * 2 * SPREAD * SPREAD,
    count = 2 * SHAPE;
  const expected = (): number => mean + clamp(xy / xx, 0, 1) * (latest - mean);
  for (const [low, high] of durations.slice(1)) {
    const center = expected(),
      reach = REACH * Math.sqrt(squares / count);
    const duration = 0.5 * (clamp(center - reach, low, high) + clamp(center + reach, low, high));
    const x = latest - mean,
      y = duration - mean,
      off = duration - center;
    squares = FADE * squares + off * off;
    count = FADE * count + 1;
    xy = FADE * xy + x * y;
    xx = FADE * xx + x * x;
    weight = FADE * weight + 1;
    mean += y / weight;
    latest += pace * (duration - latest);
  }
  const scale = Math.sqrt((squares / count) * (1 + 1 / durations.length));
  return student(Math.max(count, 2), expected(), Math.max(scale, SCALE_MIN));
};
