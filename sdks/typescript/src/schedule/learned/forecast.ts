/** Questions to a law on the grid: how likely, by when, how soon. Times are in seconds. */

import { BINS, EDGES, type Law, clamp, position } from "./grid.js";

/** The probability that the job has ended by `seconds`, linear within a bin on the logarithmic axis. */
export const endedBy = (law: Law, seconds: number): number => {
  if (seconds <= 0) return 0;
  const place = clamp(position(Math.log(seconds)), 0, BINS),
    whole = Math.min(Math.floor(place), BINS - 1);
  let below = law[whole]! * (place - whole);
  for (let i = 0; i < whole; i++) below += law[i]!;
  return Math.min(below, 1);
};

/** The instant by which the job has ended with the given probability, knowing that it ran at `now`. */
export const quantile = (law: Law, probability: number, now: number): number => {
  const already = endedBy(law, now),
    target = already + clamp(probability, 0, 1) * (1 - already);
  let below = 0;
  for (let i = 0; i < BINS; i++) {
    const mass = law[i]!;
    if (mass > 0 && below + mass >= target) {
      const share = clamp((target - below) / mass, 0, 1);
      // The first bin stands for everything shorter than its upper edge.
      return Math.max(i ? EDGES[i]! * (EDGES[i + 1]! / EDGES[i]!) ** share : share * EDGES[1]!, now);
    }
    below += mass;
  }
  return Math.max(EDGES[BINS]!, now);
};

/** The rate at which the job ends, per second, knowing that it ran at `now`; looks a tenth of the age ahead. */
export const hazard = (law: Law, now: number): number => {
  const ahead = Math.max(0.1 * now, 0.25),
    ended = endedBy(law, now),
    left = 1 - ended;
  if (left <= Number.EPSILON) return 0;
  return -Math.log1p(-clamp((endedBy(law, now + ahead) - ended) / left, 0, 1 - 1e-9)) / ahead;
};
