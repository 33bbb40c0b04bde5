/** The clock of a wait, and the one way to wait: everything here that takes time can be cut short. */

/** Where time comes from. Replace it in a test. */
export interface Clock {
  /** A monotonic clock, in milliseconds. */
  now(): number;
  /** The time of day, in milliseconds since 1970. */
  wall(): number;
  setTimeout(done: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
}

/** The clock of the host. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  setTimeout: (done, ms) => setTimeout(done, ms),
  clearTimeout: (timer) => clearTimeout(timer as number),
};

/** What `before` resolves to when time is up. */
export const LATE: unique symbol = Symbol("late");

/** The longest that a host's timer waits. */
const TIMER_MAX = 2 ** 31 - 1;

/**
 * Runs work until that instant, if there is one, or until the signal. Then the work's own signal is aborted; whatever
 * becomes of the work after that is ignored. Nothing is left when the promise settles: no timer, no listener.
 */
export const before = <T>(
  clock: Clock,
  at: number | undefined,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | typeof LATE> =>
  new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const own = new AbortController();
    let timer: unknown,
      over = false;
    const end =
      <V>(settle: (value: V) => void) =>
      (value: V): void => {
        if (over) return;
        over = true;
        clock.clearTimeout(timer);
        signal?.removeEventListener("abort", aborted);
        settle(value);
        own.abort(LATE);
      };
    const aborted = (): void => end(reject)(signal!.reason);
    signal?.addEventListener("abort", aborted);
    const arm = (): void => {
      if (over) return;
      const left = at! - clock.now();
      if (left > 0) timer = clock.setTimeout(arm, Math.min(left, TIMER_MAX));
      else end(resolve)(LATE);
    };
    work(own.signal).then(end(resolve), end(reject));
    if (at! < Infinity) arm();
  });

/** Waits for nothing but the end of its signal. */
export const never = (): Promise<never> => new Promise(() => {});

/** Sleeps until that instant; rejects with the signal's reason if it comes first. */
export const sleepUntil = (clock: Clock, at: number, signal: AbortSignal | undefined): Promise<unknown> =>
  before(clock, at, signal, never);
