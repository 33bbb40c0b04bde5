/** Randomness in a pause, so that clients that started together don't ask together. */

/** How a pause is spread: not at all, between nothing and the pause (`"full"`), or by ± this share of it. */
export type Jitter = "none" | "full" | number;

/** Spreads one pause by a number from 0 up to 1, which is drawn only where it is needed. */
export const spread = (jitter: Jitter, pause: number, random: () => number): number => {
  if (jitter === "full") return pause * random();
  const share = Math.min(Number(jitter) || 0, 1);
  return share > 0 ? pause * (1 + share * (2 * random() - 1)) : pause;
};
