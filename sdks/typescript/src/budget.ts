/** How many requests all waits may send together. */

import { type Clock, before } from "./rt/clock.js";

/** The least part of the rate that is left after any number of refusals. */
const BEARABLE_MIN = 0.05;

/** A place in the queue, and how to wake who waits there. */
interface Place {
  tag: number;
  wake: () => void;
}

/**
 * A limit on the requests that waits send, shared by all clients that are given it.
 *
 * Where the waits want more than it allows, they are served in proportion to the square roots of how likely their jobs
 * end soon. Where the server answers 429 nevertheless the budget shrinks, and grows back while it doesn't. Waits draw
 * on it for everything they send but the last look before a deadline; single calls don't.
 */
export class Budget {
  readonly #rate: number;
  readonly #burst: number;
  /** Requests that may leave at once; negative where last looks have overdrawn it. */
  #tokens: number;
  #filled: number | undefined;
  /** Which part of the rate the server has been seen to bear. */
  #bearable = 1;
  /** The tag that was served last: time as the queue counts it. */
  #virtualTime = 0;
  /** Who waits, in order of tags. */
  readonly #queue: Place[] = [];

  /** That many requests a second, and as many at once as a second has, but at least one. Default: 50. */
  constructor(perSecond = 50) {
    this.#rate = perSecond > 0 && perSecond < Infinity ? perSecond : 1;
    this.#tokens = this.#burst = Math.max(this.#rate, 1);
  }

  /** Waits for a turn; returns the place in the queue to be given the next time. */
  async take(clock: Clock, after: number, weight: number, signal: AbortSignal | undefined): Promise<number> {
    const tag = Math.max(after, this.#virtualTime) + 1 / (Math.min(Math.max(weight, 1e-6), 1e6) || 1);
    const place: Place = { tag, wake: () => {} };
    let at = this.#queue.findIndex((other) => other.tag > tag);
    if (at < 0) at = this.#queue.length;
    this.#queue.splice(at, 0, place);
    try {
      for (;;) {
        const first = this.#queue[0] === place,
          ready = first ? this.#ready(clock.now()) : undefined;
        if (ready === 0) {
          this.#tokens--;
          this.#virtualTime = tag;
          return tag;
        }
        const until = ready === undefined ? undefined : clock.now() + ready;
        await before(
          clock,
          until,
          signal,
          () =>
            new Promise<void>((wake) => {
              place.wake = wake;
            }),
        );
      }
    } finally {
      this.#queue.splice(this.#queue.indexOf(place), 1);
      this.#queue[0]?.wake();
    }
  }

  /** Takes a turn without waiting for it: later ones wait the longer. */
  overdraw(): void {
    this.#tokens = Math.max(this.#tokens - 1, -this.#burst);
  }

  /** The server said 429. */
  refused(): void {
    this.#bearable = Math.max(this.#bearable * 0.7, BEARABLE_MIN);
  }

  /** The server gave an answer. */
  answered(): void {
    this.#bearable = Math.min(this.#bearable + 0.01, 1);
  }

  /** In how many milliseconds there will be a token. */
  #ready(now: number): number {
    const rate = (this.#rate * this.#bearable) / 1000;
    this.#tokens = Math.min(this.#tokens + (now - (this.#filled ?? now)) * rate, this.#burst);
    this.#filled = now;
    // A little later than computed, so that rounding never finds a token that is almost there.
    return this.#tokens >= 1 ? 0 : (1 - this.#tokens) / rate + 1;
  }
}

/** What a wait has spent, and its place in the queue for more. */
export class Account {
  /** Requests that were sent for it. */
  requests = 0;
  /** Its part of them; a request for `n` waits counts as `1/n`. */
  share = 0;
  /** Bytes of bodies that were received for it alone. */
  received = 0;
  #tag = 0;

  /** Counts a request of one's own, after waiting for its turn. Without a weight it isn't kept waiting. */
  async spend(
    budget: Budget,
    clock: Clock,
    weight: number | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (weight === undefined) budget.overdraw();
    else this.#tag = await budget.take(clock, this.#tag, weight, signal);
    this.requests++;
    this.share++;
  }
}
