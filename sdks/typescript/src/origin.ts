/** What all waits of one client share. */

import type { Budget } from "./budget.js";
import type { Memory } from "./memory.js";
import type { RetryBudget, RetryPolicy } from "./retry.js";
import type { Clock } from "./rt/clock.js";
import type { Rtt } from "./rt/rtt.js";

/** The most that one exchange may take where nothing else is said, in ms. */
export const ATTEMPT_TIMEOUT = 10_000;

/** The surroundings of a wait. */
export interface Surroundings {
  clock: Clock;
  /** Numbers from 0 up to 1. */
  random: () => number;
  rtt: Rtt;
  retry: RetryPolicy;
  retryBudget: RetryBudget;
  budget: Budget;
  /** The most that one exchange may take that isn't held. */
  attemptTimeout: number;
  /** What the server was seen to be able to do; none where that says nothing. */
  memory?: Memory;
}
