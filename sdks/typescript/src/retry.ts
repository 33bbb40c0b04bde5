/**
 * When to send a failed request again.
 *
 * Failures are a process of their own, apart from the completion of a job: a poll that failed neither advances nor
 * resets a schedule. It is sent again after a random pause between nothing and a ceiling that doubles. A server's
 * `Retry-After` is a floor under the pause, and a client's retries draw on a budget that only answers refill.
 */

import { type Duration, millis } from "./rt/duration.js";

/** How failures are retried. */
export interface RetryOptions {
  /** The greatest pause after the first failure. Default: 200 ms. */
  initial?: Duration;
  /** What the greatest pause is multiplied by after each further failure, at least 1. Default: 2. */
  factor?: number;
  /** The greatest pause of all, a server's `Retry-After` apart. Default: 10 s. */
  max?: Duration;
  /** How often a single call (create, status, cancel, list, delete) is sent at most. Default: 4. */
  attempts?: number;
  /** How long a wait goes on without any answer before it ends as unreachable. Default: 30 s. */
  patience?: Duration;
  /** How long a 404 for a job that was just created means "not yet". Default: 10 s. */
  notFoundFor?: Duration;
  /** The longest `Retry-After` of a server that is believed. Default: 5 minutes. */
  hintMax?: Duration;
}

/** A policy in numbers; `false` is one under which every failure is final. */
export class RetryPolicy {
  readonly #initial: number;
  readonly #factor: number;
  readonly #hintMax: number;
  readonly max: number;
  readonly attempts: number;
  readonly patience: number;
  readonly notFoundFor: number;

  constructor(options: RetryOptions | false = {}) {
    const {
      initial = 200,
      factor = 2,
      max = 10_000,
      attempts = 4,
      patience = 30_000,
      hintMax = 300_000,
      notFoundFor = 10_000,
    } = options || { attempts: 1, patience: 0 };
    this.#initial = millis(initial);
    this.#factor = Math.max(factor, 1) || 1;
    this.#hintMax = millis(hintMax);
    this.max = millis(max);
    this.attempts = Math.max(attempts, 1);
    this.patience = millis(patience);
    this.notFoundFor = millis(notFoundFor);
  }

  /** The pause before the next attempt, after that many failures in a row. `share` is random, from 0 up to 1. */
  pause(failures: number, hint: number | undefined, share: number): number {
    const pause = Math.min(this.#initial * this.#factor ** (failures - 1), this.max) * share;
    return hint === undefined ? pause : Math.max(this.floor(hint, share), pause);
  }

  /** A server's hint as it is followed: not longer than believed, and a little later each time, by chance. */
  floor(hint: number, share: number): number {
    const believed = Math.min(hint, this.#hintMax);
    return believed + Math.min(believed * 0.1 * share, 2000);
  }
}

/** Where the budget of retries starts, and the most that it can hold. */
const BUDGET_MAX = 100;

/** What a client may still spend on retries. Every retry takes one; every answer gives a fifth back. */
export class RetryBudget {
  #left: number = BUDGET_MAX;

  /** Takes one retry out, if there is one. */
  withdraw(): boolean {
    return this.#left >= 1 && !!this.#left--;
  }

  /** Notes an answer. */
  deposit(): void {
    this.#left = Math.min(this.#left + 0.2, BUDGET_MAX);
  }
}

/**
 * The pause after an answer that came at once and told nothing, where it was to be held, in ms; `before` is how many in
 * a row came before it.
 */
export const turnaround = (before: number): number => Math.min(250 * 2 ** before, 15_000);

/** Finds a header by its lower-case name. */
export type FindHeader = (name: string) => string | null | undefined;

/**
 * What `Retry-After` says, in ms: whole seconds, or a date, which is compared with the `Date` of the same answer so
 * that no clock of ours is involved. `Retry-After-Ms` and its like are understood too, and before them those of `more`.
 */
export const retryAfter = (header: FindHeader, more: readonly string[] = []): number | undefined => {
  for (const name of [...more, "retry-after-ms", "x-ms-retry-after-ms"]) {
    const text = header(name)?.trim() ?? "";
    if (/^\d+$/.test(text)) return Number(text);
  }
  const hint = header("retry-after")?.trim();
  if (!hint) return undefined;
  const span = /^[\d.]+$/.test(hint)
    ? Number(hint) * 1000
    : Math.max(Date.parse(hint) - Date.parse(header("date") ?? ""), 0);
  return Number.isNaN(span) ? undefined : span;
};
