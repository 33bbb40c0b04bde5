/** Waiting for many jobs together. */

import { ALONE_MAX } from "../hub/hub.js";
import type { JobHandle } from "../job.js";
import { millis } from "../rt/duration.js";
import type { Outcome } from "../wire.js";
import { type Done, type WaitOptions, wait } from "./end.js";

/** What became of a wait in a set: the end of its job, or why there is none. */
export type End = { id: string; ok: true; outcome: Outcome; done: Done } | { id: string; ok: false; error: unknown };

/**
 * Jobs that are waited for together, each one told of as it ends. Against our server thousands of jobs are waited for
 * by one held request. Each job has an outcome of its own; the deadline is one for the whole set. A job that is added
 * twice is waited for once. Leaving the loop gives up what is in flight; the jobs go on.
 */
export class JobSet implements AsyncIterable<End> {
  readonly #options: WaitOptions;
  /** Ends what is under way; each wait has one of its own, for hosts that warn of many listeners at one signal. */
  readonly #aborting: Set<AbortController> = new Set();
  #deadline: number | undefined;
  /** Added, and not begun. */
  #fresh: JobHandle[] = [];
  /** Added, and not told of. */
  readonly #ids: Set<string> = new Set();
  readonly #ends: End[] = [];
  #wake: () => void = () => {};

  /** @internal Use `abide.asCompleted`. */
  constructor(jobs: Iterable<JobHandle>, options: WaitOptions) {
    this.#options = options;
    for (const job of jobs) this.add(job);
  }

  /** Adds a job, at any time; the deadline stays where it is. Returns whether it wasn't in the set. */
  add(job: JobHandle): boolean {
    if (this.#ids.has(job.id)) return false;
    this.#ids.add(job.id);
    this.#fresh.push(job);
    this.#wake();
    return true;
  }

  /** How many jobs haven't been told of. */
  get size(): number {
    return this.#ids.size;
  }

  /** Each job as it ends, or as its wait comes to nothing. */
  async *[Symbol.asyncIterator](): AsyncGenerator<End, void> {
    const { signal } = this.#options,
      aborted = (): void => this.#wake();
    signal?.addEventListener("abort", aborted);
    try {
      while (this.#ids.size) {
        signal?.throwIfAborted();
        this.#begin();
        const end = this.#ends.shift();
        if (end) {
          this.#ids.delete(end.id);
          yield end;
        } else {
          await new Promise<void>((wake) => (this.#wake = wake));
        }
      }
    } finally {
      signal?.removeEventListener("abort", aborted);
      for (const aborting of this.#aborting) aborting.abort();
    }
  }

  /** All that haven't been told of, in the order in which they were added. */
  async all(): Promise<End[]> {
    const ends = new Map<string, End | undefined>([...this.#ids].map((id) => [id, undefined]));
    for await (const end of this) ends.set(end.id, end);
    return [...ends.values()].filter((end) => end !== undefined);
  }

  #begin(): void {
    const fresh = this.#fresh.splice(0);
    if (!fresh.length) return;
    const { clock } = fresh[0]!.core.origin,
      timeout = this.#options.timeout ?? fresh[0]!.core.waitTimeout;
    if (timeout !== undefined) this.#deadline ??= clock.now() + millis(timeout);
    const inSet = { deadline: this.#deadline, crowded: fresh.length > ALONE_MAX };
    for (const job of fresh) {
      const { id } = job,
        aborting = new AbortController();
      const told = (end: End): void => {
        this.#aborting.delete(aborting);
        this.#ends.push(end);
        this.#wake();
      };
      this.#aborting.add(aborting);
      wait(job, { ...this.#options, signal: aborting.signal }, inSet).then(
        (done) => told({ id, ok: true, outcome: done.outcome, done }),
        (error: unknown) => told({ id, ok: false, error }),
      );
    }
  }
}
