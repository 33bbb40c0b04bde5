/** A job on our server, over `/v1`. */

import { answerOf, check, readJob, toldOf } from "../answer.js";
import type { Facts } from "../error.js";
import { type Call, exchange, stretched, wasHeld } from "../exchange.js";
import { Failure, garbled } from "../failure.js";
import type { Hub } from "../hub/hub.js";
import { type Origin, urlOf } from "../origin.js";
import type { Channel } from "../report.js";
import { retryAfter } from "../retry.js";
import { openEvents } from "../sse.js";
import type { Job } from "../wire.js";
import { isFresh } from "./fresh.js";
import type { Answer, Exchange, Target } from "./target.js";

/** Statuses of a route that isn't there, or not for this: to be met by other means, not by failing. */
const ABSENT = [404, 405, 406, 501];

/**
 * One wait's view of one job. `crowded` says that more waits begin together than may each hold a request; `accepted` is
 * when this process made the job, if it did; `facts` is what an error is about.
 */
export const native = (
  origin: Origin,
  hub: Hub,
  id: string,
  crowded: boolean,
  accepted: number | undefined,
  facts: (last: Job | undefined) => Facts,
): Target<Job> => {
  const { budget, clock, rtt } = origin,
    path = ["v1", "jobs", id];

  const look = async (call: Call, channel: Channel, terms: Exchange, hold: number): Promise<Answer<Job>> => {
    const { account, limit, signal, weight } = terms;
    await account.spend(budget, clock, weight, signal);
    const reply = await exchange(origin, call, limit + hold, signal);
    account.received += reply.text.length;
    if (channel === "poll") rtt.note(reply.received - reply.sent);
    const granted = wasHeld(reply);
    if (reply.status === 304) {
      return { done: false, granted, channel, hint: retryAfter((name) => reply.headers.get(name)) };
    }
    return answerOf(origin, reply, readJob(reply, id), channel, granted);
  };

  return {
    async ask(terms) {
      let release = hub.alone("ask");
      if (!release) {
        const answer = await hub.join(id, "now", undefined, terms.account, terms.signal);
        if (answer) return answer;
        release = hub.alone("ask");
      }
      try {
        return await look({ url: urlOf(origin, path) }, "poll", terms, 0);
      } finally {
        release?.();
      }
    },

    async hold({ after, until, upTo }, terms) {
      let release = crowded ? undefined : hub.alone("hold");
      if (!release) {
        const answer = await hub.join(id, until, after, terms.account, terms.signal);
        if (answer) return answer;
        release = hub.alone("hold");
      }
      // Without a validator every state is news, and is answered at once.
      const validator = until === "done" ? { until } : after === undefined ? {} : { after: String(after) };
      const wait = seconds(upTo);
      try {
        return await look({ url: urlOf(origin, path, { wait, ...validator }) }, "long_poll", terms, stretched(upTo));
      } finally {
        release?.();
      }
    },

    async listen(after, { account, limit, signal, weight }) {
      const release = hub.alone("listen");
      if (!release) return "crowded";
      let handed = false;
      try {
        await account.spend(budget, clock, weight, signal);
        handed = true;
        return await openEvents(origin, urlOf(origin, [...path, "events"]), after?.toString(), limit, signal, release);
      } catch (failure) {
        if (!(failure instanceof Failure)) throw failure;
        // What isn't known yet may well have a stream: this wait does without, and others will see.
        if (isFresh(origin, accepted, failure)) return "crowded";
        if (ABSENT.includes(failure.details.status!)) return "absent";
        throw failure;
      } finally {
        if (!handed) release();
      }
    },

    read(event, data) {
      // Of other kinds of event this version knows nothing.
      if (event !== "message" && event !== "reset" && !event.startsWith("job.")) return undefined;
      let said: (Job & { data?: Job }) | null;
      try {
        said = JSON.parse(data) as typeof said;
      } catch (cause) {
        throw garbled("an event holds no job", { cause });
      }
      return toldOf(origin, check(said?.data ?? said!, id), "stream");
    },

    pushed(job) {
      try {
        return toldOf(origin, check(job, id), "push");
      } catch {
        return undefined;
      }
    },

    facts,
  };
};

/** Seconds as the server reads them, in milliseconds if they aren't whole. */
const seconds = (ms: number): string => {
  // Differences of instants are off by less than a nanosecond.
  const whole = Math.floor(ms + 1e-6);
  return (whole / 1000).toFixed(whole % 1000 ? 3 : 0);
};
