/** One request now and then. */

import type { Cursor, Schedule } from "../schedule/cursor.js";
import { pace } from "../schedule/pacer.js";
import type { Plan, Strategy } from "./plan.js";

/**
 * A walk along a schedule. `idle` makes the move of the time in between: a pause, or waiting for a push; it is given no
 * instant where the attempts are used up.
 */
export const pollPlan = (pacer: Cursor, idle: (until: number | undefined) => ReturnType<Plan["next"]>): Plan => {
  // When the next poll is due; none where the attempts are used up.
  let due: number | undefined;
  return {
    next({ happened, ageKnown, time }) {
      if (happened === "began" || happened === "answered") {
        // A job of which nothing is known is asked about at once; the schedule goes on only when a poll was answered.
        due = !ageKnown && !time.polls ? 0 : pacer.next(time);
      } else if (happened === "paused" || happened === "failed") {
        due = 0;
      }
      return due! <= time.elapsed ? { move: "ask" } : idle(due);
    },
    finish: (ended) => pacer.finish?.(ended),
    hazard: ({ time }) => pacer.hazard?.(time),
  };
};

/** Asks now and then, as a schedule says; the wait's own schedule unless one is given. */
export const poll = (schedule?: Schedule): Strategy => ({
  name: "poll",
  begin: (begin) =>
    pollPlan(pace(schedule ?? begin.schedule, begin.start), (until) =>
      until === undefined ? { move: "stop" } : { move: "pause", until },
    ),
});
