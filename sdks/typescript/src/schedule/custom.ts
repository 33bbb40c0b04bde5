/** The caller's own schedule: pauses, or a closure. */

import { type Duration, millis } from "../rt/duration.js";
import type { Schedule } from "./cursor.js";
import type { Seen } from "./seen.js";

/** A schedule of pauses, counted from each answer to the next poll: a list, or a function that begins them anew. */
export const intervals = (pauses: Iterable<Duration> | (() => Iterable<Duration>)): Schedule => ({
  begin() {
    const each = (typeof pauses === "function" ? pauses() : pauses)[Symbol.iterator]();
    return {
      next({ elapsed }) {
        const { done, value } = each.next();
        return done ? undefined : elapsed + millis(value);
      },
    };
  },
});

/**
 * A schedule of a closure from what was seen to the instant of the next poll, both in ms since the job was accepted.
 */
export const fromFn = (next: (seen: Seen) => number | undefined): Schedule => ({ begin: () => ({ next }) });
