/** Single calls: one request, sent again while its failures may pass. */

import type { Facts } from "./error.js";
import { type Call, type Reply, exchange } from "./exchange.js";
import { Failure } from "./failure.js";
import type { Origin } from "./origin.js";
import { AWAKE, sleepUntil } from "./rt/clock.js";
import { unlessFresh } from "./target/fresh.js";
import { Trouble } from "./wait/trouble.js";

/**
 * Sends until there is an answer that can be read, or the retry policy gives up. A request that isn't repeatable is
 * sent again only if it surely had no effect. `facts` is what an error is about; `creates` says
 * that a request whose answer is lost may have made something.
 */
export const call = async <T>(
  origin: Origin,
  request: Call,
  facts: Facts,
  signal: AbortSignal | undefined,
  read: (reply: Reply) => T,
  creates = false,
): Promise<T> => {
  const { attemptTimeout, clock, random, retry, retryBudget, timeout } = origin,
    until = clock.now() + timeout;
  for (let failures = 1; ; failures++) {
    // A process that slept through the time that was left hasn't asked yet.
    const left = until - clock.now(),
      limit = Math.min(left > 0 ? left : AWAKE, attemptTimeout);
    try {
      const value = read(await exchange(origin, request, limit, signal));
      retryBudget.deposit();
      return value;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      const failure = unlessFresh(origin, request.accepted, error),
        { harmless, hint, status } = failure.details,
        next = clock.now() + retry.pause(failures, hint, random());
      const again =
        failure.transient &&
        (request.repeatable !== false || harmless) &&
        // As long as a job may not be known yet, only time bounds the attempts.
        (failures < retry.attempts || status === 404) &&
        next < until &&
        retryBudget.withdraw();
      const mayHaveCreated = creates && !harmless && failure.transient;
      if (!again) throw failure.intoError(mayHaveCreated ? { ...facts, mayHaveCreated } : facts);
      await sleepUntil(clock, next, signal);
    }
  }
};

/**
 * Sends until there is an answer that can be read, for as long as the retry policy is patient with a server that gives
 * none; throws the last `Failure` then. `make` gives the request, which may be repeated, and the most that it may take.
 */
export const persist = async <T>(
  origin: Origin,
  make: () => [request: Call, limit: number],
  signal: AbortSignal | undefined,
  read: (reply: Reply) => T,
): Promise<T> => {
  const { clock, random, retry, retryBudget } = origin,
    trouble = new Trouble();
  for (;;) {
    const sent = clock.now();
    try {
      const value = read(await exchange(origin, ...make(), signal));
      retryBudget.deposit();
      return value;
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      const now = clock.now(),
        pause = trouble.meet(failure, retry, sent, now, random(), () => retryBudget.withdraw());
      if (pause === undefined) throw failure;
      await sleepUntil(clock, now + pause, signal);
      trouble.paused(now + pause, clock.now());
    }
  }
};
