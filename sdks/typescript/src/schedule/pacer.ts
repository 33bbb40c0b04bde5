/** The rules that hold for every schedule: the server's floor, the least pause. */

import { UsageError } from "../error.js";
import type { Cursor, Schedule } from "./cursor.js";
import type { Seen, Start } from "./seen.js";

/**
 * The least pause between an answer and the next poll, whatever a schedule says, in ms. A first poll may leave at once.
 */
export const PAUSE_MIN = 10;

/** Begins a schedule for one job, under the rules that no schedule may break. */
export const pace = (schedule: Schedule, start: Start): Cursor => {
  const cursor = schedule.begin(start);
  return {
    next(seen: Seen) {
      const at = cursor.next(seen);
      // It would be an instant that never comes, whatever the deadline.
      if (Number.isNaN(at)) throw new UsageError("the schedule gives NaN");
      const earliest = seen.polls ? seen.elapsed + PAUSE_MIN : seen.elapsed;
      return at === undefined ? undefined : Math.max(at, earliest, seen.notBefore ?? 0);
    },
    finish: (ended) => cursor.finish?.(ended),
    quantile: (probability, seen) => cursor.quantile?.(probability, seen),
    hazard: (seen) => cursor.hazard?.(seen),
  };
};
