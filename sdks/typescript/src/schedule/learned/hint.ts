/**
 * Learning from what the server says about the time that remains.
 *
 * An estimate is a measurement with an error to be learned. Each sort of hint has a learner of its own, in which an
 * estimate is the job's size: it learns the law of actual ÷ estimated. Whichever learner has predicted better lately is
 * believed. Times are in seconds.
 */

import type { Remaining, Seen } from "../seen.js";
import { clamp } from "./grid.js";
import type { History } from "./history.js";
import { Kind, type Traits, logScore } from "./kind.js";
import type { Whose } from "./past.js";

/** Stands between a kind's name and the sort of hint in the name of the hint's learner. */
export const MARK = "\u001f";

/** The estimate that counts as size 1: it is where the grid has room on both sides. */
const REFERENCE = 15;

/** The spread that is believed of estimates before any was checked, in ln of actual ÷ estimated. */
const PRIOR_SCALE = 0.35;

/** The least and greatest spread that a server's own quantiles may claim. */
const SCALE_SPAN = [0.05, 1.5] as const;

/** The distance of the 90 % quantile of Student's t₃ from its median, in scales. */
const T3_UPPER_DECILE = 1.638;

/** The least estimate, which is the first edge of the grid, and the greatest. */
const LEAST = 0.1,
  GREATEST = 1e9;

/** How wide an exactly known end is taken when two learners are compared, in ln of the duration. */
const EXACT_WIDTH = 0.02;

/** The sorts of hint, in the order in which they are believed when they have done equally well. */
export const SORTS = ["remaining", "progress"] as const;

/** An estimate of the remaining time. */
export interface Estimate {
  /** When it was made, since acceptance. */
  at: number;
  /** What it said remained. */
  seconds: number;
  /** The spread that the server claims for it. */
  scale?: number | undefined;
}

/** The estimate of a sort in the latest answer, which described the job as of `now`. */
export const readHint = (
  sort: (typeof SORTS)[number],
  { remaining, progress }: Seen,
  now: number,
): Estimate | undefined => {
  const seconds = (ms: number): number => clamp(ms / 1000, LEAST, GREATEST);
  if (sort === "progress") {
    return progress! > 0 && progress! <= 1
      ? { at: now, seconds: Math.max((now * (1 - progress!)) / progress!, LEAST) }
      : undefined;
  }
  const { p10, p50, p90 }: Partial<Remaining> = remaining ?? {};
  // What a server says may be anything.
  if (typeof p50 !== "number" || !(p50 >= 0)) return undefined;
  const width = p10 === undefined || p90 === undefined ? 0 : Math.log(seconds(p90) / seconds(p10));
  return {
    at: now,
    seconds: seconds(p50),
    scale: width > 0 ? clamp(width / (2 * T3_UPPER_DECILE), ...SCALE_SPAN) : undefined,
  };
};

/** One sort of hint, as heard of one job. */
export class Heard {
  readonly learner: Kind;
  /** The latest estimate: the one to plan by. */
  latest: Estimate;
  /** The estimate to learn from: one of all that were heard, each equally likely. */
  #kept: Estimate;
  #count = 1;

  constructor(history: History, kind: string, sort: (typeof SORTS)[number], first: Estimate) {
    this.learner = history.estimates(kind + MARK + sort, () => Kind.ofEstimates(REFERENCE, first.scale ?? PRIOR_SCALE));
    this.latest = this.#kept = first;
  }

  /** Hears another estimate; `share` is random, from 0 up to 1. */
  hear(estimate: Estimate, share: number): void {
    this.latest = estimate;
    if (share * ++this.#count < 1) this.#kept = estimate;
  }

  /** Learns how the estimate turned out for a job that ended within `(after, atMost]`, and compares the learners. */
  learn(after: number, atMost: number, plain: Kind, traits: Traits, whose: Whose): void {
    const { at, seconds } = this.#kept,
      width = after === atMost ? EXACT_WIDTH : 0;
    const low = after * (1 - width),
      high = atMost * (1 + width);
    if (high > at) {
      const ours = logScore(this.learner.law({ size: seconds }), 0, low - at, high - at);
      this.learner.compared(ours - logScore(plain.law(traits), at, low, high));
    }
    const until = Math.max(atMost - at, LEAST);
    this.learner.observe(whose, clamp(after - at, 0, until), until, { size: seconds });
  }
}
