/** Experts with few parameters: lognormals, and levels, which follow durations that drift or resemble the latest. */

import { type Law, clamp, student } from "./grid.js";

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

/**
 * The law that a level predicts for the next job from at least one duration before it, oldest first in ln u. It expects
 * a mean and a learned share of the latest deviation from it.
 */
export const level = (durations: number[], pace: number): Law => {
  let mean = durations[0]!,
    latest = mean,
    weight = 1;
  let xx = CARRY_WEIGHT * SPREAD * SPREAD,
    xy = CARRY * xx;
  let squares = SHAPE * 2 * SPREAD * SPREAD,
    count = 2 * SHAPE;
  const carried = (): number => clamp(xy / xx, 0, 1) * (latest - mean);
  for (const duration of durations.slice(1)) {
    const x = latest - mean,
      y = duration - mean,
      off = y - carried();
    squares = FADE * squares + off * off;
    count = FADE * count + 1;
    xy = FADE * xy + x * y;
    xx = FADE * xx + x * x;
    weight = FADE * weight + 1;
    mean += y / weight;
    latest += pace * (duration - latest);
  }
  const scale = Math.sqrt((squares / count) * (1 + 1 / durations.length));
  return student(Math.max(count, 2), mean + carried(), Math.max(scale, SCALE_MIN));
};
