/** Failures since the last answer, and for how long they are borne. */

import { Garbled } from "../error.js";
import type { Failure } from "../failure.js";
import type { RetryPolicy } from "../retry.js";
import { overslept } from "../rt/clock.js";

/**
 * How long a wait bears answers that can't be read and nothing else, however patient it is: what gives them is no server
 * of ours, or one that this version doesn't understand.
 */
const GARBLED_MAX = 30_000;

/** Failures in a row. */
export class Trouble {
  failures = 0;
  #since: number | undefined;
  /** Since when there were answers, and none that could be read. */
  #garbledSince: number | undefined;
  /** What failed, for a last look that has no time left to find out. */
  latest: Failure | undefined;

  /**
   * Meets a failure of a request that was sent at `sent`: the pause before the next attempt, or none if it is time to
   * give up. `mayRetry` draws on the client's budget of retries; without leave the greatest pause is made.
   */
  meet(
    failure: Failure,
    policy: RetryPolicy,
    sent: number,
    now: number,
    share: number,
    mayRetry: () => boolean,
  ): number | undefined {
    this.failures++;
    this.#since ??= now;
    this.#garbledSince = failure.kind === Garbled ? (this.#garbledSince ?? now) : undefined;
    // A request that was sent while there was patience may take its time to fail: it says nothing of now.
    if (!failure.transient || !policy.patience || sent - this.#since >= policy.patience) return undefined;
    if (this.#garbledSince !== undefined && sent - this.#garbledSince >= GARBLED_MAX) return undefined;
    const { hint, timedOut } = failure.details;
    const pause = Math.max(policy.pause(this.failures, hint, share), mayRetry() ? 0 : policy.max);
    // A pause that the server asked for is no sign of its death.
    if (hint !== undefined) this.#since += pause;
    if (!timedOut || !this.latest) this.latest = failure;
    return pause;
  }

  /**
   * The pause that should have ended at `due` is over. The time that the process slept is no time without an answer.
   */
  paused(due: number, now: number): void {
    if (overslept(due, now)) this.#since = this.#garbledSince = undefined;
  }
}
