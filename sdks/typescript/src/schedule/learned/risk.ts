/**
 * Who was at risk: the weights by which observations count, age by age.
 *
 * The law is built from rates, as Kaplan and Meier do it: in each bin, the jobs that ended there out of those that had
 * come that far. An observation fades in a bin with every newer job that has come as far as that bin, and with no
 * other.
 */

import { BINS, type Law } from "./grid.js";
import type { Span } from "./ring.js";

/** How many memories there are: a long one and a short one. */
export const MEMORIES = 2;

/** The weight of an observation in terms of that of the next newer one, in each memory. */
const FADE = [1 - 1 / 100, 1 - 1 / 12] as const;

/** One job as evidence: the bins in which it ended, or from the first of which on it may end. */
export interface Seen {
  span: Span;
  ended: boolean;
}

/** The weights of a past. */
export interface Risk {
  /** The ends and how many newer jobs have come as far. */
  ends: { span: Span; newer: number }[];
  /** In each memory, for each bin, the weight of all at risk less that of the ends in it and beyond. */
  others: Law[];
  /** The weight of all jobs, in each memory. */
  total: number[];
}

/** The weight of an observation after that many newer ones, in a memory. */
export const weight = (memory: number, newer: number): number => FADE[memory]! ** newer;

/** Weighs jobs that are given in the order of their acceptance. */
export const riskOf = (seen: Seen[]): Risk => {
  // One more than the last bin in which each was at risk.
  const reach = seen.map(({ span, ended }) => (ended ? span[1] + 1 : span[0]));
  const reaching = new Float64Array(BINS + 1);
  const ends: Risk["ends"] = [];
  seen.forEach(({ span, ended }, k) => {
    reaching[reach[k]!]!++;
    if (ended) ends.push({ span, newer: reach.slice(k + 1).filter((reach) => reach > span[0]).length });
  });
  const total: number[] = [];
  const others = FADE.map((fade, m) => {
    const other = new Float64Array(BINS);
    for (const { span, newer } of ends) other[span[1]]! -= weight(m, newer);
    let atRisk = 0,
      ended = 0;
    for (let i = BINS - 1; i >= 0; i--) {
      ended += other[i]!;
      // What that many jobs weigh together, of which each is newer than the one before.
      total[m] = (1 - weight(m, (atRisk += reaching[i + 1]!))) / (1 - fade);
      other[i] = total[m]! + ended;
    }
    return other;
  });
  return { ends, others, total };
};
