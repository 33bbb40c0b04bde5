/** What a schedule is told: at the start of a job, after each poll, and at the end. All times are in milliseconds. */

import type { Features } from "./feature.js";
import type { History } from "./learned/history.js";

/** Whether news of the end is also pushed: not at all, as often as was counted, or with this share (0 to 1) lost. */
export type Push = "none" | "expected" | number;

/** What is known when a job's schedule begins. */
export interface Start {
  /** Where the job's jitter comes from: numbers from 0 up to 1. */
  random: () => number;
  /** How big the job is, in any unit that is the same within one kind. */
  size?: number | undefined;
  /** What else is known of the job. */
  features?: Features | undefined;
  /** Whether a push is expected to bring the news first. Default: `"none"`. */
  push?: Push;
  /** The job's id: several waits for it then count as one observation. */
  job?: string;
  /** The time of day, in milliseconds since 1970. It puts what several processes learn in order. */
  began?: number;
  /** What the caller has learned so far. A schedule with a history of its own keeps to that. */
  history?: History | undefined;
}

/** What has been seen of one job so far; all instants are times since the job was accepted. */
export interface Seen {
  /** Now. */
  elapsed: number;
  /** The latest estimate of a round trip to the server; 100 ms until one was measured. */
  rtt: number;
  /** How many polls have been answered "not yet". */
  polls: number;
  /** The server's `Retry-After`, as the instant before which it doesn't want to be asked. */
  notBefore?: number | undefined;
  /** The server's own estimate of what remains. */
  remaining?: Remaining | undefined;
  /** The share of the work that is done, 0 to 1. */
  progress?: number | undefined;
}

/** A server's estimate of the time that remains: the median, and the 10 % and 90 % quantiles where it gives them. */
export interface Remaining {
  p50: number;
  p10?: number;
  p90?: number;
}

/** How a wait ended, as an observation of the job's duration. */
export interface Ended {
  /** When the server last said "not yet"; zero if it never did. */
  after: number;
  /** When it first said "done"; none if the wait was given up. */
  atMost?: number | undefined;
  /** The job's own account of its duration. */
  duration?: number | undefined;
  /** How many polls were spent. */
  polls?: number;
  /** Whether an expected push came; none if none was expected. */
  pushed?: boolean | undefined;
}
