/** A push first, with polls as a safety net. */

import type { Inbox } from "../inbox.js";
import type { Schedule } from "../schedule/cursor.js";
import { pace } from "../schedule/pacer.js";
import type { Strategy } from "./plan.js";
import { pollPlan } from "./poll.js";

/**
 * Waits for a push in an inbox, with polls as a safety net: the first of the two wins. The learned schedule plans these
 * polls for the share of pushes that are lost, which it counts. `polls` is a schedule for them.
 */
export const webhook = (inbox: Inbox, polls?: Schedule): Strategy => ({
  name: "webhook",
  inbox,
  begin: ({ schedule, start }) =>
    // Where the polls are used up, a push may still come; the deadline bounds it.
    pollPlan(pace(polls ?? schedule, { ...start, push: "expected" }), (until = Infinity) => ({ move: "inbox", until })),
});
