/** Waiting for anything at all: a function that looks. */

import { Budget } from "../budget.js";
import { UsageError } from "../error.js";
import { ATTEMPT_TIMEOUT, type Surroundings } from "../origin.js";
import type { Report } from "../report.js";
import { RetryBudget, type RetryOptions, RetryPolicy } from "../retry.js";
import { type Clock, systemClock } from "../rt/clock.js";
import { type Duration, millis } from "../rt/duration.js";
import { Rtt } from "../rt/rtt.js";
import type { Schedule } from "../schedule/cursor.js";
import type { Features } from "../schedule/feature.js";
import { History } from "../schedule/learned/history.js";
import { type Price, learned } from "../schedule/learned/schedule.js";
import { poll } from "../strategy/poll.js";
import { type Looked, closure } from "../target/closure.js";
import { Driver } from "./driver.js";
import { recognize } from "./recognize.js";

/** What a look is given. */
export interface LookContext {
  /** Ends the request in flight: at the caller's abort, at the deadline, and when the look takes too long. */
  signal: AbortSignal;
  /** Which look it is, counted from 1. */
  attempt: number;
}

/** How to wait. */
export interface PollUntilOptions<T> {
  /**
   * Whether a value shows the end, well or not; an object says more. Default: recognizes what vendors return, by a
   * `done`, `status` or `state`.
   */
  done?: ((value: T) => boolean | Looked) | undefined;
  /**
   * Under which name durations are learned: the vendor, the model, and whatever else changes the speed. Default: the
   * text of the look.
   */
  kind?: string;
  /**
   * Bounds everything: the request in flight, pauses after failures, the server's hints. One last look is taken just
   * before.
   */
  timeout?: Duration | undefined;
  /** Ends the wait at once, the request in flight included; the wait rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /**
   * How much earlier news is worth: `"eager"`, `"balanced"` (half a second a request), `"frugal"`, or a span of time.
   */
  price?: Price;
  /** How big the job is, in any unit that is the same within one kind, such as seconds of video. */
  size?: number;
  /** What else is known of the job: `features({ model: "sdxl" })`. */
  features?: Features;
  /** When to look. Default: the learned schedule. */
  schedule?: Schedule;
  /** What was learned before. Default: one history per process. */
  history?: History;
  /** How failures are retried. Default: every error that may pass is, for 30 s without an answer. */
  retry?: RetryOptions | false;
  /**
   * Which errors of the look end the wait at once, as themselves. Default: those with an HTTP status of 4xx other than
   * 408, 409, 425 and 429; a 404 only after the first 10 s.
   */
  final?: (error: unknown) => boolean;
  /** The most that one look may take. Default: 10 s. */
  attemptTimeout?: Duration;
  /** What all waits may send together. Default: 50 looks a second for the process. */
  budget?: Budget;
  /** Called with the value of every look. */
  onLook?: (value: T) => void;
  /** Where time comes from, for tests. */
  clock?: Clock;
  /** Where jitter comes from, for tests: numbers from 0 up to 1. */
  random?: () => number;
}

/** What a wait has found. */
export interface Found<T> {
  /** The value of the look that showed the end. The job may have failed: see its status. */
  value: T;
  /** What the wait cost. */
  report: Report;
}

/** What the process has learned and may send. */
let shared: { history: History; budget: Budget } | undefined;

/**
 * Waits until a look finds something done: any API, any SDK, anything that can be looked at.
 *
 * ```ts
 * const look = ({ signal }) => videos.retrieve(id, { signal });
 * const { value } = await pollUntil(look, { kind: "sora-2", timeout: "15m" });
 * ```
 *
 * Rejects with `StillRunning` at the deadline or when the schedule's attempts are used up, `Unreachable` when looks
 * have failed for too long (its `cause` is the look's own error), the look's own error where that is final, and the
 * signal's reason when that is aborted.
 */
export const pollUntil = async <T>(
  look: (context: LookContext) => T | Promise<T>,
  options: PollUntilOptions<T> = {},
): Promise<Found<T>> => {
  const {
    attemptTimeout = ATTEMPT_TIMEOUT,
    clock = systemClock,
    done,
    features,
    onLook,
    random = Math.random,
    retry,
    signal,
    size,
    timeout,
  } = options;
  if (typeof look !== "function") throw new UsageError("pollUntil wants a function that looks");
  shared ??= { history: new History(), budget: new Budget() };
  const { history = shared.history, budget = shared.budget, kind = String(look), price } = options;
  const origin: Surroundings = {
    clock,
    random,
    budget,
    rtt: new Rtt(),
    retry: new RetryPolicy(retry),
    retryBudget: new RetryBudget(),
    attemptTimeout: millis(attemptTimeout),
  };
  const schedule = options.schedule ?? learned(kind, { price });
  const start = { random, size, features, began: clock.wall(), history };
  const read = (value: T): Looked => {
    onLook?.(value);
    const shown = done ? done(value) : recognize(value, (warning) => driver.warn(warning));
    // A caller without types may return anything truthy or falsy.
    return typeof shown === "object" && shown && "done" in shown ? shown : { done: !!shown };
  };
  let attempt = 0;
  const driver: Driver<T> = new Driver<T>({
    target: closure(origin, (signal) => look({ signal, attempt: ++attempt }), read, options.final),
    origin,
    plan: poll().begin({ schedule, start, updates: false }),
    strategy: "poll",
    retry: origin.retry,
    attemptTimeout: origin.attemptTimeout,
    deadline: timeout === undefined ? undefined : clock.now() + millis(timeout),
    signal,
  });
  try {
    const { view: value } = await driver.step();
    return { value, report: driver.report() };
  } finally {
    driver.close();
  }
};
