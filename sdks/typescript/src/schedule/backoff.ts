/** Pauses that grow. */

import { type Duration, millis } from "../rt/duration.js";
import type { Schedule } from "./cursor.js";
import type { PauseOptions } from "./fixed.js";
import { spread } from "./jitter.js";

/** What `backoff` may be told. */
export interface BackoffOptions extends PauseOptions {
  /** What each pause is multiplied by for the next, at least 1. Default: 1.5. */
  factor?: number;
  /** The greatest pause, jitter included. Default: 30 s. */
  max?: Duration;
}

/**
 * Polls at pauses that grow by a factor up to a cap. It suits errors; for detecting an end it is late by design, and
 * offered because some APIs demand it.
 */
export const backoff = (initial: Duration = 1000, options: BackoffOptions = {}): Schedule => {
  const { jitter = "none", first, attempts = Infinity } = options;
  const factor = Math.max(options.factor ?? 1.5, 1) || 1,
    max = millis(options.max ?? 30_000);
  return {
    begin({ random }) {
      let pause = Math.min(millis(initial), max),
        given = 0;
      return {
        next({ elapsed }) {
          if (given >= attempts) return undefined;
          let wanted = pause;
          if (!given++ && first !== undefined) wanted = millis(first);
          else pause = Math.min(pause * factor, max);
          return elapsed + Math.min(spread(jitter, wanted, random), max);
        },
      };
    },
  };
};
