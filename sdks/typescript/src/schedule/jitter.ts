/** Randomness in a pause, so that clients that started together don't ask together. */

/** How a pause is spread: not at all, between nothing and the pause (`"full"`), or by ± this share of it. */
export type Jitter = "none" | "full" | number;

/** Spreads one pause by a number from 0 up to 1. */
export const spread = (jitter: Jitter, pause: number, share: number): number =>
  jitter === "full" ? pause * share : pause * (1 + Math.min(Number(jitter) || 0, 1) * (2 * share - 1));
