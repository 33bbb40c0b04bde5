// What time it is on the server, which may live faster than we do, or stand still.

import { call, optional } from './api.js';
import { Cell, useCell } from './cell.js';
import { lostAt } from './feed.js';
import { useEffect, useReducer } from './html.js';

/** How often a running clock is compared again. */
const SYNC_EVERY = 60_000;

/** `{sort, speed, now, at}`: at our `at` (by `performance.now()`) it was the server's `now`. `known` once it was asked. */
export const clock = new Cell({ sort: 'real', speed: 1, now: Date.now(), at: performance.now(), known: false });

/** The server's time now, in milliseconds since the epoch. It stands still while the server can't be reached, as all does that is shown. */
export function serverNow() {
  const { sort, speed, now, at } = clock.value;
  const here = lostAt.value ?? performance.now();
  return sort === 'manual' ? now : now + (here - at) * speed;
}

/** Asks the server what time it is. A server that doesn't say keeps ours. */
export async function syncClock() {
  const sent = performance.now();
  const answer = await optional('v1/clock').catch(() => undefined);
  if (answer === undefined) return;
  const received = performance.now();
  if (answer === null) {
    clock.value = { sort: 'real', speed: 1, now: Date.now(), at: received, known: false };
    return;
  }
  take(answer, (sent + received) / 2);
}

/** Moves a manual clock on. */
export async function advance(seconds) {
  await call('v1/clock/advance', { method: 'POST', body: { seconds } });
  await syncClock();
}

/** Notes that the server has told of something that happened then: its clock is at least there. */
export function clockIsAtLeast(instant) {
  const seen = Date.parse(instant);
  if (Number.isFinite(seen) && seen > serverNow()) {
    clock.value = { ...clock.value, now: seen, at: performance.now() };
  }
}

/** The server's time in a component that is drawn again every `every` milliseconds while `isRunning`. */
export function useNow(isRunning = true, every = 1000) {
  useCell(clock);
  const [, redraw] = useReducer((n) => n + 1, 0);
  useEffect(() => {
    if (!isRunning) return undefined;
    const timer = setInterval(redraw, every);
    return () => clearInterval(timer);
  }, [isRunning, every]);
  return serverNow();
}

/** Keeps the clock in step, for as long as the page is open. */
export function keepInStep() {
  syncClock();
  setInterval(syncClock, SYNC_EVERY);
}

function take({ now, sort, speed }, at) {
  clock.value = { sort: sort ?? 'real', speed: speed || 1, now: Date.parse(now), at, known: true };
}
