/** A world for tests: virtual time, and random numbers that repeat. */

import type { Clock } from "../dist/rt/clock.js";

/** How many promises may follow each other without a look at the clock. */
const HOPS = 12;

/** A clock that stands still until nothing else is to be done, and then jumps to its next timer. */
export class World implements Clock {
  #now = 0;
  #timers: { at: number; done: () => void }[] = [];
  #seed = 1;
  /** Called between any two steps that need no time, for tests that cut there. */
  hop: (() => void) | undefined;

  now = (): number => this.#now;
  wall = (): number => 1_800_000_000_000 + this.#now;

  setTimeout = (done: () => void, ms: number): unknown => {
    const timer = { at: this.#now + Math.max(ms, 0), done };
    this.#timers.push(timer);
    return timer;
  };

  clearTimeout = (timer: unknown): void => {
    this.#timers = this.#timers.filter((other) => other !== timer);
  };

  /** Numbers from 0 up to 1, the same in every run. */
  random = (): number => {
    this.#seed = (Math.imul(this.#seed, 1664525) + 1013904223) >>> 0;
    return this.#seed / 2 ** 32;
  };

  /** How many timers are set. */
  get timers(): number {
    return this.#timers.length;
  }

  /** Sleeps in this world. */
  sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const aborted = (): void => {
        this.clearTimeout(timer);
        reject(signal!.reason);
      };
      const timer = this.setTimeout(() => {
        signal?.removeEventListener("abort", aborted);
        resolve();
      }, ms);
      signal?.addEventListener("abort", aborted, { once: true });
    });

  /** Runs until the promise settles, or nothing is left that could settle it. */
  async run<T>(work: Promise<T>): Promise<T> {
    let over = false;
    const end = (): void => {
      over = true;
    };
    work.then(end, end);
    for (;;) {
      // Whatever can go on without time does, a promise at a time if somebody looks.
      for (let i = 0; this.hop && i < HOPS; i++) {
        this.hop();
        await undefined;
      }
      await new Promise((next) => setImmediate(next));
      if (over) return work;
      this.#timers.sort((a, b) => a.at - b.at);
      const timer = this.#timers.shift();
      if (!timer) throw new Error("nothing is left to do");
      this.#now = Math.max(this.#now, timer.at);
      timer.done();
    }
  }

  /** Runs for that long. */
  advance(ms: number): Promise<void> {
    return this.run(this.sleep(ms));
  }
}

/** A job at a vendor's that ends at an instant of the world, and what was asked about it. */
export const vendorJob = (
  world: World,
  end: number,
  rtt = 100,
): { at: number[]; look: (context: { signal: AbortSignal }) => Promise<{ status: string }> } => {
  const at: number[] = [];
  return {
    at,
    async look({ signal }) {
      at.push(world.now());
      await world.sleep(rtt / 2, signal);
      const status = world.now() >= end ? "completed" : "in_progress";
      await world.sleep(rtt / 2, signal);
      return { status };
    },
  };
};
