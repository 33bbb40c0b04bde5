/** Anything that a function can look at. */

import { Refused, Unreachable } from "../error.js";
import { Failure, tooSlow } from "../failure.js";
import type { Surroundings } from "../origin.js";
import { type FindHeader, retryAfter } from "../retry.js";
import { AWAKE, LATE, before } from "../rt/clock.js";
import type { Remaining } from "../schedule/seen.js";
import type { Target } from "./target.js";

/** What a look has shown, in so far as it matters to the wait. */
export interface Looked {
  /** Whether it is done, well or not. */
  done: boolean;
  /** The share of the work that is done, 0 to 1. */
  progress?: number | undefined;
  /** How long it will still take by the server's estimate, in ms. */
  remaining?: number | undefined;
  /** How long the server wants to be left alone, in ms. */
  retryAfter?: number | undefined;
  /** How long the job took by the server's account, in ms. */
  took?: number | undefined;
}

/** Statuses of 4xx that may pass. */
const PASSING = [408, 409, 425, 429];

type Shape = Record<string, any> | undefined | null;

/** The HTTP status in an error, as the SDKs have it. */
export const statusOf = (error: Shape): number | undefined =>
  [error?.status, error?.statusCode, error?.response?.status, error?.$metadata?.httpStatusCode].find(
    (status) => typeof status === "number",
  );

/** The headers in an error, as the SDKs have them. */
const headersOf = (error: Shape): FindHeader => {
  const headers = error?.headers ?? error?.response?.headers;
  return (name) => (typeof headers?.get === "function" ? headers.get(name) : headers?.[name]);
};

/** A function as something that is waited for. `read` says what a value shows, `isFinal` which errors won't pass. */
export const closure = <T>(
  origin: Surroundings,
  look: (signal: AbortSignal) => T | Promise<T>,
  read: (value: T) => Looked,
  isFinal?: (error: unknown) => boolean,
): Target<T> => {
  const { budget, clock, retry, rtt } = origin,
    begun = clock.now();
  const passes = (error: unknown): boolean => {
    if (isFinal) return !isFinal(error);
    const status = statusOf(error as Shape);
    if (status === 404) return clock.now() - begun < retry.notFoundFor;
    return !status || status < 400 || status >= 500 || PASSING.includes(status);
  };
  return {
    async ask({ account, limit, signal, weight }) {
      await account.spend(budget, clock, weight, signal);
      const sent = clock.now();
      let value: T | typeof LATE;
      try {
        value = await before(clock, sent + limit, signal, async (signal) => look(signal), AWAKE);
      } catch (error) {
        signal?.throwIfAborted();
        const details = { cause: error, hint: retryAfter(headersOf(error as Shape)) };
        if (passes(error))
          throw new Failure(Unreachable, `the look failed: ${(error as Error)?.message ?? error}`, details);
        throw new Failure(Refused, "", { ...details, own: true });
      }
      if (value === LATE) throw tooSlow(limit);
      rtt.note(clock.now() - sent);
      const { done, progress, remaining, retryAfter: hint, took: duration } = read(value);
      const estimate: Remaining | undefined = remaining === undefined ? undefined : { p50: remaining };
      return {
        view: value,
        done,
        progress: progress! >= 0 && progress! <= 1 ? progress : undefined,
        remaining: estimate,
        hint,
        duration,
        channel: "poll",
      };
    },
    facts: () => ({}),
  };
};
