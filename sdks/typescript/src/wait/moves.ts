/** The moves of a wait that only our server knows: held requests, streams and pushes. */

import { LATE, before, overslept, sleepUntil } from "../rt/clock.js";
import { Events, type Opened } from "../sse.js";
import type { Answer } from "../target/target.js";
import { HOLD_EXACT_MAX, HOLD_SPREAD } from "../wire.js";
import type { Driver, Moves, Step } from "./driver.js";

/** A stream over which nothing came for this long is dead: more than two heartbeats of our server, in ms. */
export const STREAM_IDLE = 40_000;

/** All moves, for one wait. */
export const allMoves = <V>(): Moves<V> => {
  let events: Events | undefined,
    /** When something last came over the stream, or it was opened, and whether anything ever did. */
    alive = 0,
    spoke = false;
  const close = (): void => {
    events?.close();
    events = undefined;
  };

  /** Closes a stream that doesn't tell what happens. */
  const mute = (driver: Driver<V>): void => {
    close();
    driver.origin.memory?.noteStream(false, driver.now());
    driver.seen.happened = "muted";
  };

  /** Opens the stream, or notes why there is none. */
  const open = async (driver: Driver<V>): Promise<void> => {
    const { origin, seen, terms } = driver;
    let stream: Opened | undefined,
      handed = false;
    const listen = async (signal: AbortSignal): Promise<Opened> => {
      const exchange = driver.exchange(signal, driver.weight(), terms.attemptTimeout);
      stream = await terms.target.listen!(seen.revision, exchange);
      // Nobody waits for it any more.
      if (signal.aborted && stream instanceof Events) stream.close();
      return stream;
    };
    let opened: Opened | typeof LATE;
    try {
      opened = await before(origin.clock, driver.lookAt(), terms.signal, listen);
      handed = true;
    } finally {
      if (!handed && stream instanceof Events) stream.close();
    }
    if (opened === LATE) return;
    if (opened instanceof Events) {
      events = opened;
      alive = driver.now();
      spoke = false;
      driver.closing = close;
      driver.looked = () => {
        // The look knew what the stream should have told.
        if (events && !spoke) mute(driver);
      };
      return;
    }
    if (opened === "absent") origin.memory?.noteStream(false, driver.now());
    seen.happened = opened === "over" ? "closed" : "none";
  };

  return {
    async hold(driver, { until, upTo }) {
      await driver.turnAround();
      const { origin, seen, terms } = driver,
        sent = driver.now(),
        lookAt = driver.lookAt();
      if (sent >= lookAt) return undefined;
      // What is answered then is the last look itself, and there is time for another if it isn't answered.
      const held = Math.min(upTo, unstretched(lookAt - sent)),
        cut = (lookAt + (terms.deadline ?? Infinity)) / 2;
      try {
        const answer = await before(origin.clock, cut, terms.signal, (signal) =>
          terms.target.hold!(
            { upTo: held, until, after: seen.revision },
            driver.exchange(signal, driver.weight(), terms.attemptTimeout),
          ),
        );
        return answer === LATE ? undefined : released(driver, answer, held, sent);
      } catch (failure) {
        origin.memory?.noteCut(driver.now() - sent, driver.now());
        return driver.fail(failure, sent);
      }
    },

    async inbox(driver, { until }) {
      const { origin, seen, terms } = driver;
      if (!terms.inbox) {
        await driver.pause(until);
        return undefined;
      }
      const at = driver.bounded(driver.accepted + until);
      const job = await before(origin.clock, at, terms.signal, (signal) => terms.inbox!.news(signal));
      if (job !== LATE) return driver.told(job);
      seen.happened = "paused";
      return undefined;
    },

    async listen(driver, { check }) {
      const { account, origin, seen, terms } = driver;
      if (!events) {
        await driver.turnAround();
        const sent = driver.now();
        try {
          await open(driver);
        } catch (failure) {
          return driver.fail(failure, sent);
        }
      }
      while (events) {
        const dead = alive + STREAM_IDLE,
          // As it is known now: a round trip that is measured meanwhile moves the last look, and isn't silence.
          end = driver.lookAt(),
          checkAt = check === undefined || spoke ? Infinity : driver.accepted + check,
          listening = events;
        try {
          const item = await before(origin.clock, Math.min(dead, end, checkAt), terms.signal, (signal) =>
            listening.next(signal),
          );
          const now = driver.now();
          // Of a process that was asleep nobody can say that the stream was silent: it is opened anew.
          if (item === undefined || (item === LATE && now < end && overslept(dead, now))) {
            const pause = events.retry * origin.random();
            close();
            await sleepUntil(origin.clock, driver.bounded(now + pause), terms.signal);
            seen.happened = "closed";
          } else if (item === LATE) {
            if (now >= end) return undefined;
            if (now >= dead) mute(driver);
            else seen.happened = "quiet";
            return undefined;
          } else {
            if (!spoke) origin.memory?.noteStream(true, now);
            alive = now;
            spoke = true;
            if (item === "alive") continue;
            account.received += item.data.length;
            const answer = terms.target.read!(item.event, item.data);
            if (!answer) continue;
            seen.happened = "news";
            const step = driver.absorb(answer, now - seen.time.rtt / 2);
            if (step) return step;
          }
        } catch (failure) {
          close();
          return driver.fail(failure, driver.now());
        }
      }
      return undefined;
    },
  };
};

/**
 * How long to ask the server to hold, in whole milliseconds, so that the answer is sent when that time is over, or
 * before if it is long.
 */
const unstretched = (within: number): number =>
  within <= HOLD_EXACT_MAX ? Math.ceil(within) : Math.max(within / (1 + HOLD_SPREAD), HOLD_EXACT_MAX);

/** Takes in the answer to a request that was to be held. */
const released = <V>(driver: Driver<V>, answer: Answer<V>, upTo: number, sent: number): Step<V> | undefined => {
  const now = driver.now(),
    { origin, seen } = driver,
    news = answer.done || driver.isNews(answer),
    took = now - sent,
    whole = answer.granted && !answer.done && took >= upTo,
    kept = took >= upTo / 2;
  if (whole && upTo <= HOLD_EXACT_MAX && origin.rtt.smoothed === undefined) origin.rtt.note(took - upTo);
  // News at once says nothing about whether the server would have held.
  if (answer.channel === "long_poll" && (kept || answer.granted || !news)) {
    origin.memory?.noteHold(kept || !!answer.granted, now);
  }
  seen.happened = kept || news ? "released" : "unheld";
  // The server's poll hint is for polling; it is ignored after a held request.
  const hint = kept ? undefined : answer.hint;
  // A server that held the request for all of the time saw the job running at the end of it.
  const seenAt = whole ? sent + upTo : sent;
  return driver.absorb({ ...answer, hint }, Math.max(now - (origin.rtt.smoothed ?? seen.time.rtt) / 2, seenAt));
};
