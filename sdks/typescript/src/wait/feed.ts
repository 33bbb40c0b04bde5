/** The changes of all jobs. */

import { isSound } from "../answer.js";
import type { Core } from "../client.js";
import { Failure, garbled, tooSlow } from "../failure.js";
import { urlOf } from "../origin.js";
import { LATE, before, sleepUntil } from "../rt/clock.js";
import { Events, type Item, openEvents } from "../sse.js";
import type { Event, Job } from "../wire.js";
import { STREAM_IDLE } from "./moves.js";
import { Trouble } from "./trouble.js";

/** What `abide.feed` may be told. */
export interface FeedOptions {
  /** Begins after that place instead of with what happens next. */
  after?: string | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * What a feed tells: a job changed, or changes are missing before the next one (`gap`): list the jobs to know how they
 * stand. `place` is for going on after it in another process; it means something to that server alone.
 */
export type Change =
  ({ gap: false } & Event & { place: string | undefined }) | { gap: true; place: string | undefined };

/**
 * The changes of all of the caller's jobs. A connection that breaks or falls silent is replaced, and the feed goes on
 * where it was: each change comes once and in order, or a gap says that some were missed.
 */
export async function* feed({ origin }: Core, { after, signal }: FeedOptions): AsyncGenerator<Change, void> {
  const { attemptTimeout, budget, clock, random, retry } = origin;
  let place = after,
    wasOpen = false,
    trouble = new Trouble(),
    events: Events | undefined;

  const read = (item: Item): Change | undefined => {
    if (item === "alive") return undefined;
    const { data, event, id } = item;
    if (event !== "reset" && !event.startsWith("job.")) return undefined;
    // Other ids couldn't be sent back in a header.
    if (/^[!-~]+$/.test(id ?? "")) place = id;
    if (event === "reset") return { gap: true, place };
    // One that can't be read would be sent again and again: the feed goes on behind it.
    const said = parsed(data);
    if (!said || !isSound(said)) return { gap: true, place };
    return { gap: false, type: event, timestamp: said.updated_at, data: said, place };
  };

  try {
    for (;;) {
      try {
        if (!events) {
          await budget.take(clock, 0, 1, signal);
          const opened = await openEvents(origin, urlOf(origin, ["v1", "events"]), place, attemptTimeout, signal);
          if (opened === "over") return;
          if (!(opened instanceof Events)) throw garbled("the answer is no stream of events");
          events = opened;
          // What happened since the last connection broke is unknown.
          if (wasOpen && place === undefined) yield { gap: true, place };
          wasOpen = true;
        }
        const listening: Events = events;
        const item = await before(clock, clock.now() + STREAM_IDLE, signal, (signal) => listening.next(signal));
        if (item === LATE) throw tooSlow(STREAM_IDLE);
        if (item === undefined) {
          const pause = events.retry * random();
          events.close();
          events = undefined;
          await sleepUntil(clock, clock.now() + pause, signal);
          continue;
        }
        trouble = new Trouble();
        const change = read(item);
        if (change) yield change;
      } catch (failure) {
        events?.close();
        events = undefined;
        if (!(failure instanceof Failure)) throw failure;
        const now = clock.now(),
          pause = trouble.meet(failure, retry, now, now, random(), () => true);
        if (pause === undefined) throw failure.intoError();
        await sleepUntil(clock, now + pause, signal);
        trouble.paused(now + pause, clock.now());
      }
    }
  } finally {
    events?.close();
  }
}

const parsed = (data: string): Job | undefined => {
  try {
    return JSON.parse(data) as Job;
  } catch {
    return undefined;
  }
};
