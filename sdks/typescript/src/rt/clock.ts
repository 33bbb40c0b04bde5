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

/** How late a timer fires at least in a process that was asleep: stopped, suspended, or blocked by its own work. */
const OVERSLEPT = 250;

/** The least time that an answer gets after the process slept past the end of its time, in ms. */
export const AWAKE = 2000;

/** Whether a timer for that instant, which has fired now, fired late because the process was asleep. */
export const overslept = (at: number, now: number): boolean => now > at + OVERSLEPT;

/**
 * Runs work until that instant, if there is one, or until the signal. Then the work's own signal is aborted; whatever
 * becomes of the work after that is ignored. Nothing is left when the promise settles: no timer, no listener. A process
 * that slept past the instant gives the work `awake` more, to read the answers that came meanwhile.
 */
export const before = <T>(
  clock: Clock,
  at: number | undefined,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
  awake = 0,
): Promise<T | typeof LATE> =>
  new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const own = new AbortController();
    let timer: unknown,
      over = false,
      until = at!,
      more = awake;
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
      const now = clock.now();
      if (more && overslept(until, now)) {
        until = now + more;
        more = 0;
      }
      if (until > now) timer = clock.setTimeout(arm, Math.min(until - now, TIMER_MAX));
      else end(resolve)(LATE);
    };
    work(own.signal).then(end(resolve), end(reject));
    if (until < Infinity) arm();
  });

/** Waits for nothing but the end of its signal. */
export const never = (): Promise<never> => new Promise(() => {});

/** Sleeps until that instant; rejects with the signal's reason if it comes first. */
export const sleepUntil = (clock: Clock, at: number, signal: AbortSignal | undefined): Promise<unknown> =>
  before(clock, at, signal, never);
