/** Requests that the server holds. */

import { turnaround } from "../retry.js";
import { type Duration, millis } from "../rt/duration.js";
import { pace } from "../schedule/pacer.js";
import { HOLD_MAX } from "../wire.js";
import type { Move, Observed, Strategy, Until } from "./plan.js";

/** What `longPoll` may be told. */
export interface LongPollOptions {
  /** How long each request shall be held, at least 1 s. Default: 60 s; a server may grant less. */
  hold?: Duration;
  /** The share of jobs that may end before the first request is sent; 0 holds from the beginning. Default: 0.01. */
  attachLate?: number;
}

/** The least sleep that is worth attaching late for, in ms: a held request costs a server little. */
const LATE_MIN = 5000;

/**
 * Asks with requests that the server holds until there is news: one or two for a job of minutes, and the news arrives
 * when it happens. Where the schedule has learned how long such jobs take, the first request is sent late.
 */
export const longPoll = (options: LongPollOptions = {}): Strategy => ({
  name: "long_poll",
  begin({ schedule, start, updates }) {
    const pacer = pace(schedule, start),
      upTo = Math.max(millis(options.hold ?? HOLD_MAX), 1000);
    // A client that wants every change must be there from the beginning.
    const late = updates ? 0 : Math.min(Math.max(options.attachLate ?? 0.01, 0), 0.5),
      until: Until = updates ? "any" : "done";
    let looked = false,
      ignored = 0;
    const hold = ({ abilities }: Observed): Move => {
      looked = false;
      return { move: "hold", upTo: Math.min(upTo, abilities.holdMax), until };
    };
    return {
      next(seen) {
        const { elapsed } = seen.time;
        if (seen.happened === "began" && late && seen.ageKnown) {
          const at = pacer.quantile!(late, seen.time);
          if (at !== undefined && at >= elapsed + LATE_MIN) return { move: "pause", until: at };
        }
        if (seen.happened === "unheld") {
          return { move: "pause", until: elapsed + turnaround(ignored++) };
        }
        // A plain look tells whether it is the holding that fails, on the way or at the server.
        if (seen.happened === "failed" && !looked) {
          looked = true;
          return { move: "ask" };
        }
        if (seen.happened === "released") ignored = 0;
        return hold(seen);
      },
      finish: (ended) => pacer.finish!(ended),
      hazard: ({ time }) => pacer.hazard!(time),
    };
  },
});
