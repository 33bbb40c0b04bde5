/** A stream of events. */

import { longPoll } from "./longPoll.js";
import type { Move, Observed, Strategy } from "./plan.js";

/** The first look at a job whose stream is quiet, in ms; each later one comes after twice the time. */
const CHECK = 3000,
  CHECKS_MAX = 3;

/** After that many streams that came to nothing the wait goes on by other means. */
const TROUBLES_MAX = 3;

/**
 * Reads a stream of server-sent events, resumed by revision: one request for all changes of a job.
 *
 * A stream can be dead without being closed. While nothing has come since it was opened the job is looked at after 3, 9
 * and 21 seconds; a stream that is silent for 40 seconds, or that is caught not telling what a look has told, is
 * closed. Where streams don't work the wait goes on by held requests.
 */
export const stream = (): Strategy => ({
  name: "stream",
  begin(begin) {
    const then = longPoll().begin(begin);
    let opened: number | undefined,
      checks = 0,
      troubles = 0,
      fallen = false;
    const listen = ({ time }: Observed): Move => {
      opened ??= time.elapsed;
      return { move: "listen", check: checks < CHECKS_MAX ? opened + CHECK * (2 ** (checks + 1) - 1) : undefined };
    };
    const fall = (seen: Observed): Move => {
      fallen = true;
      return then.next({ ...seen, happened: "began" });
    };
    return {
      next(seen) {
        const { happened } = seen;
        if (fallen) return then.next(seen);
        if (happened === "quiet") {
          checks++;
          return { move: "ask" };
        }
        if (happened === "none") return fall(seen);
        if (happened === "closed" || happened === "muted" || happened === "failed") {
          opened = undefined;
          checks = 0;
          // A look tells where the job stands, and then another stream is tried.
          if (happened !== "failed") return ++troubles >= TROUBLES_MAX ? fall(seen) : { move: "ask" };
        } else if (happened === "news") {
          troubles = 0;
          checks = CHECKS_MAX;
        }
        return listen(seen);
      },
      finish: (ended) => then.finish(ended),
      hazard: (seen) => then.hazard(seen),
    };
  },
});
