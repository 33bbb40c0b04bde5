/** The same pause every time. */

import type { Duration } from "../rt/duration.js";
import { backoff } from "./backoff.js";
import type { Schedule } from "./cursor.js";
import type { Jitter } from "./jitter.js";

/** What a schedule of pauses may be told. */
export interface PauseOptions {
  /** Spreads every pause. Default: not at all. */
  jitter?: Jitter;
  /** The pause before the first poll; zero polls at once. Default: the first of the schedule. */
  first?: Duration;
  /** Gives up after this many polls. Default: never. */
  attempts?: number;
}

/** Polls at a fixed interval, counted from each answer to the next poll. Default: one poll a second. */
export const fixed = (interval: Duration = 1000, options: PauseOptions = {}): Schedule =>
  backoff(interval, { ...options, factor: 1, max: Infinity });
