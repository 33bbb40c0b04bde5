/** Claiming a job to work on. */

import { readJob } from "../answer.js";
import { persist } from "../call.js";
import type { Core } from "../client.js";
import { newKey } from "../create.js";
import { Unreachable, UsageError } from "../error.js";
import { type Call, type Reply, stretched } from "../exchange.js";
import { Failure, garbled } from "../failure.js";
import type { CallOptions } from "../job.js";
import { urlOf } from "../origin.js";
import { turnaround } from "../retry.js";
import { LATE, before, sleepUntil } from "../rt/clock.js";
import { type Duration, millis } from "../rt/duration.js";
import type { Job } from "../wire.js";
import { Lease } from "./lease.js";

/** The longest that one request for a job is held, in ms. */
const HOLD_MAX = 25_000;

/** The least time that a held answer without a job takes, or the hold that was asked for if that is shorter. */
const HELD_MIN = 1000;

/** How much later than its timeout a claim may end, so that an answer that is on its way isn't lost, in ms. */
const TIMEOUT_SLACK = 1000;

/** How to claim. */
export interface ClaimOptions extends CallOptions {
  /**
   * How long this worker may be silent before it has lost the job, 1 s to 24 hours. The lease renews itself every third
   * of it. Default: 30 s.
   */
  lease?: Duration;
  /** Gives up, with nothing, if no job came within that time. Default: none, it waits on. */
  timeout?: Duration | undefined;
}

/** Claims a job; see `Abide.claim`. */
export const claim = async (
  core: Core,
  kinds: readonly string[],
  { lease: span = 30_000, signal, timeout }: ClaimOptions,
): Promise<Lease | undefined> => {
  const { origin, speech } = core,
    { attemptTimeout, clock, memory } = origin;
  if (speech) throw new UsageError("only our own API gives jobs to workers");
  const length = millis(span),
    until = timeout === undefined ? undefined : clock.now() + millis(timeout),
    headers = { "idempotency-key": newKey() };

  const read = (reply: Reply): Job | undefined => {
    if (reply.status === 204) return undefined;
    const job = readJob(reply);
    if (typeof job.lease?.token !== "string") throw garbled("the answer has no lease");
    return job;
  };

  /** One held request, sent again while its failures may pass. */
  const next = (hold: number, signal: AbortSignal): Promise<Job | undefined> => {
    const make = (): [Call, number] => {
      const wait = Math.min(hold, memory.abilities(clock.now()).holdMax),
        body = { ...(kinds.length > 0 && { kinds }), wait: wait / 1000, lease_s: length / 1000 },
        call = { method: "POST", url: urlOf(origin, ["v1", "jobs", "claim"]), headers, body };
      return [call, stretched(wait) + attemptTimeout];
    };
    return persist(origin, make, signal, read);
  };

  try {
    const slack = until === undefined ? undefined : until + TIMEOUT_SLACK;
    const claimed = await before(clock, slack, signal, async (signal) => {
      for (let empty = 0; ;) {
        const asked = clock.now(),
          left = until === undefined ? HOLD_MAX : Math.max(until - asked, 0),
          job = await next(Math.min(left, HOLD_MAX), signal),
          now = clock.now();
        if (job || left === 0) return job;
        if (now - asked >= Math.min(left, HELD_MIN)) empty = 0;
        // Whatever answers holds no request; it isn't asked as fast as it answers.
        else await sleepUntil(clock, Math.min(now + turnaround(empty++), until ?? Infinity), signal);
      }
    });
    if (claimed === LATE) throw new Failure(Unreachable, "no answer until the claim's timeout", { timedOut: true });
    // Only now: nothing keeps the lease of a claim that was aborted.
    return claimed && new Lease(core, claimed, length);
  } catch (failure) {
    throw failure instanceof Failure ? failure.intoError() : failure;
  }
};
