/**
 * The jobs that a kind knows of: those that have ended, and some of those under way.
 *
 * Of jobs begun together the short ones end first. Three rules keep the sample fair: jobs stand in the order of their
 * acceptance, a job under way is evidence too, and whether a job is followed is settled when it is accepted.
 */

import { type Observation, RING, inOrder, isCensored } from "./ring.js";

/** How many jobs under way are followed. */
const UNDER_WAY_MAX = 64;

/** Which job an observation is of. */
export interface Whose {
  /** When its wait began, in seconds since 1970; after all others if unknown. */
  second?: number | undefined;
  /** The job, if the caller can tell it from others. */
  job?: number | undefined;
  /** A number that settles the order within a second. */
  random: number;
}

/** See the module. */
export class Past {
  /** What is over, by order of acceptance. */
  readonly ended: Observation[];
  /** What is followed; in no order. */
  underWay: Observation[] = [];
  /** The latest second in the order. */
  #latest: number;

  constructor(ended: Observation[] = []) {
    this.ended = ended.sort(inOrder).slice(-RING);
    this.#latest = this.ended.at(-1)?.second ?? 0;
  }

  /**
   * Follows a job from its acceptance; none if there is no room, or the job is followed already. A job of which an
   * earlier wait was given up is taken up again.
   */
  accept(whose: Whose, lnSize: number): Observation | undefined {
    const same = (seen: Observation): boolean => whose.job === seen.key;
    if (this.underWay.length >= UNDER_WAY_MAX || this.underWay.some(same)) return undefined;
    const before = this.ended.findLastIndex((seen) => isCensored(seen) && same(seen));
    const job = before < 0 ? this.observation(whose, 0, Infinity, lnSize) : this.ended.splice(before, 1)[0]!;
    this.underWay.push(job);
    return job;
  }

  /** An observation with a place of its own. */
  observation(whose: Whose, after: number, atMost: number, lnSize: number): Observation {
    const seen = {
      second: whose.second ?? this.#latest + 1,
      key: whose.job ?? whose.random,
      lnSize: Math.fround(lnSize),
    };
    while ([...this.ended, ...this.underWay].some((other) => other.second === seen.second && other.key === seen.key)) {
      seen.key = (seen.key + 1) >>> 0;
    }
    this.#latest = Math.max(this.#latest, seen.second);
    return enclose({ ...seen, after: 0, atMost: 0 }, after, atMost);
  }

  /** Stops following a job; whether it was followed. */
  forget(job: Observation): boolean {
    const at = this.underWay.indexOf(job);
    if (at >= 0) this.underWay.splice(at, 1);
    return at >= 0;
  }

  /** Remembers an observation in its place. */
  remember(seen: Observation): void {
    this.#latest = Math.max(this.#latest, seen.second);
    this.ended.push(seen);
    this.ended.sort(inOrder);
    if (this.ended.length > RING) {
      this.ended.shift();
      this.underWay = this.underWay.filter((job) => inOrder(job, this.ended[0]!) >= 0);
    }
  }

  /** The job that is followed longest, if there is room for one alone. */
  inTheWay(): Observation | undefined {
    return this.underWay.length < UNDER_WAY_MAX ? undefined : [...this.underWay].sort(inOrder)[0];
  }
}

/** Says within which bounds a job ended, in single precision. */
export const enclose = (job: Observation, after: number, atMost: number): Observation => {
  job.after = Math.fround(after);
  job.atMost = Math.max(Math.fround(atMost), job.after);
  return job;
};
