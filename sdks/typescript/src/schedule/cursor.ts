/** What a schedule is, and its walk along one job. */

import type { Ended, Seen, Start } from "./seen.js";

/** When to poll, as a value. Implement it for a schedule of your own; `fromFn` and `intervals` do it for closures. */
export interface Schedule {
  /** Begins the schedule for one job. */
  begin(start: Start): Cursor;
}

/** One job's walk along its schedule. All times are in milliseconds since the job was accepted. */
export interface Cursor {
  /**
   * When to send the next poll. Asked once before the first poll and then once per poll that was answered "not yet". An
   * instant that has passed means now; none means that the attempts are used up, and the wait ends as still running.
   */
  next(seen: Seen): number | undefined;
  /** How the wait ended, for schedules that learn. Called once. */
  finish?(ended: Ended): void;
  /** The instant by which the job has ended with the given probability, knowing that it still ran at `seen.elapsed`. */
  quantile?(probability: number, seen: Seen): number | undefined;
  /** The rate at which the job is expected to end, per second. */
  hazard?(seen: Seen): number | undefined;
}
