/** When a wait is over, and when its last look is due. Times are in milliseconds. */

import type { Rtt } from "../rt/rtt.js";

/** How far the last look may outrun the deadline: its answer may already be on the way. */
export const GRACE = 50;

/** How long before the deadline the last look is sent if no round trip was measured, and the bounds. */
const LOOK_MARGIN = 1000,
  LOOK_MARGIN_MIN = 10,
  LOOK_MARGIN_MAX = 2000;

/** The deadline of a wait, if it has one. */
export interface Deadline {
  at: number | undefined;
  begun: number;
  /** Whether a cautious last look found the job running, so that a closer one can do no harm. */
  looked: boolean;
}

/** When the last look before the deadline is due; infinite without a deadline. */
export const lookAt = ({ at, begun, looked }: Deadline, rtt: Rtt): number => {
  if (at === undefined) return Infinity;
  // Two slow round trips: one for a connection, one for the look.
  const slow = rtt.within(4),
    margin = (looked ? rtt.within(0.5) : slow && 2 * slow) ?? LOOK_MARGIN;
  return at - Math.min(Math.max(margin, LOOK_MARGIN_MIN), LOOK_MARGIN_MAX, (at - begun) / 4);
};
