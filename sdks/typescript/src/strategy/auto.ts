/** The best of the others. */

import { longPoll } from "./longPoll.js";
import type { Plan, Strategy } from "./plan.js";
import { poll } from "./poll.js";
import { stream } from "./stream.js";

/**
 * The ladder: a stream where every change is wanted, a held request where the end is; polls where the server holds
 * nothing. What a server can do is found out by using it and remembered by the client.
 */
export const auto = (): Strategy => ({
  name: "auto",
  begin(begin) {
    let rung: Strategy | undefined, plan: Plan | undefined;
    const rungs = { stream: stream(), hold: longPoll(), poll: poll() };
    return {
      next(seen) {
        const { hold, stream } = seen.abilities;
        const best = begin.updates && stream !== "no" ? rungs.stream : hold !== "no" ? rungs.hold : rungs.poll;
        if (rung === best) return plan!.next(seen);
        rung = best;
        // A schedule follows a job for one plan at a time, and another way to wait teaches it nothing.
        plan?.finish({ after: 0 });
        plan = best.begin(begin);
        return plan.next({ ...seen, happened: "began" });
      },
      // Nothing was planned yet, and all rungs learn alike.
      finish: (ended) => (plan ?? rungs.poll.begin(begin)).finish(ended),
      hazard: (seen) => plan?.hazard(seen),
    };
  },
});
