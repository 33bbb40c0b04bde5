/** One job's duration as an observation, and the bins that it covers. */

import { bin } from "./grid.js";

/** How many jobs a kind remembers. */
export const RING = 128;

/**
 * How near to an edge of a bin counts as on it, in ln u. Polls are placed on edges, and a bin that ends where the job
 * was last seen running is not one it may have ended in, whatever rounding says.
 */
const EDGE = 1e-5;

/** A duration somewhere in `(after, atMost]`, in seconds since acceptance; in single precision, as it is kept. */
export interface Observation {
  /** When its wait began: seconds since 1970, or a count. */
  second: number;
  /** Tells the job from others, and settles the order within a second. */
  key: number;
  /** When the job was last known to run. */
  after: number;
  /** When it was first known to have ended; infinite if that was never seen. */
  atMost: number;
  /** The logarithm of the job's relative size; 0 if unknown. */
  lnSize: number;
}

/** The bins that an observation covers, both included. */
export type Span = readonly [first: number, last: number];

/** The order of acceptance. */
export const inOrder = (a: Observation, b: Observation): number => a.second - b.second || a.key - b.key;

/** Whether the duration is known and not merely enclosed. */
export const isExact = (seen: Observation): boolean => seen.after === seen.atMost;

/** Whether the job still ran when it was last seen. */
export const isCensored = (seen: Observation): boolean => seen.atMost === Infinity;

/** The middle of the enclosure; none if the job was given up, or never seen running nor late. */
export const middle = (seen: Observation): number | undefined => {
  const at = 0.5 * (seen.after + seen.atMost);
  return at > 0 && at < Infinity ? at : undefined;
};

/** The bins covered on the axis of u = T / size^`slope`. */
export const spanOf = (seen: Observation, slope: number): Span => {
  const place = (seconds: number, edge: number): number => bin(Math.log(seconds) - slope * seen.lnSize + edge);
  if (isExact(seen)) {
    const only = place(seen.after, 0);
    return [only, only];
  }
  const last = place(seen.atMost, -EDGE);
  return [Math.min(place(seen.after, EDGE), last), last];
};
