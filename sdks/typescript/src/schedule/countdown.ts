/** Pauses that shrink while attempts run out. */

import { type Duration, millis } from "../rt/duration.js";
import type { Schedule } from "./cursor.js";
import { intervals } from "./custom.js";

/**
 * Polls at pauses that change from step to step, each step a number of polls and the pause before each. After the last
 * step it goes on at the pause `then`, or gives up without one. Default: four polls at 4 s, three at 2 s, three at 1 s.
 */
export const countdown = (
  steps: [polls: number, pause: Duration][] = [
    [4, 4000],
    [3, 2000],
    [3, 1000],
  ],
  then?: Duration,
): Schedule =>
  intervals(function* () {
    for (const [polls, pause] of steps) for (let i = 0; i < polls; i++) yield millis(pause);
    while (then !== undefined) yield millis(then);
  });
