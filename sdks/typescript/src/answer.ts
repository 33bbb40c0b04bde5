/**
 * What an answer shows of a job.
 *
 * An answer that contradicts itself, or is about another job, is not believed. What it tells of ages and durations is
 * brought to this process's clock.
 */

import { type Reply, jsonOf } from "./exchange.js";
import { type Failure, garbled } from "./failure.js";
import type { Origin } from "./origin.js";
import { type Channel, sinceEnd } from "./report.js";
import { retryAfter } from "./retry.js";
import type { Answer } from "./target/target.js";
import type { Job } from "./wire.js";

/** For how long an answer may have been on its way before a round trip was measured, in ms. */
const DATE_DOUBT = 200;

/** Reads the job that an answer holds, and checks that it is the one that was asked for. */
export const readJob = (reply: Reply, id?: string): Job => check(jsonOf<Job>(reply, "job"), id, reply.status);

/** What contradicts itself or answers another question is not believed. `answered` is the HTTP status it came with. */
export const check = (job: Job, id?: string, answered = 200): Job => {
  const wrong = (what: string): Failure => garbled(what, { status: answered }),
    { created_at, done, id: told, kind, outcome = null, revision, status } = job ?? {};
  const words = [told, kind, status].every((word) => typeof word === "string"),
    ends = ["completed", "failed", "canceled", null].includes(outcome);
  if (!words || !ends || !(Number.isSafeInteger(revision) && revision >= 0) || Number.isNaN(Date.parse(created_at))) {
    throw wrong("the answer holds no job");
  }
  if (id !== undefined && id !== told) throw wrong(`the answer is about job ${told}`);
  if (done !== (outcome !== null)) throw wrong(`the answer says done: ${done} with outcome: ${outcome}`);
  return job;
};

/** Whether a job among others can be believed. */
export const isSound = (job: Job): boolean => {
  try {
    return !!check(job);
  } catch {
    return false;
  }
};

/** Learns how the server's clock stands to ours. */
export const noteDate = ({ clock, memory, rtt }: Origin, { headers, received, sent }: Reply): void => {
  const date = Date.parse(headers.get("date") ?? "");
  // `Date` is written when the answer leaves: less than a round trip ago, and twice that to be sure.
  const doubt = rtt.smoothed === undefined ? DATE_DOUBT : 2 * rtt.smoothed,
    now = clock.wall();
  memory.skew.observe(now - Math.min(received - sent, doubt), now, date);
};

/** What an answer shows of a job. */
export const answerOf = (origin: Origin, reply: Reply, job: Job, channel: Channel, granted: boolean): Answer<Job> => {
  noteDate(origin, reply);
  const { headers } = reply,
    told = toldOf(origin, job, channel),
    age = sinceEnd(headers.get("server-timing"));
  return {
    ...told,
    hint: told.done ? undefined : retryAfter((name) => headers.get(name)),
    granted,
    age: told.done && age !== undefined ? age + (origin.rtt.smoothed ?? 0) / 2 : told.age,
    // Not by this answer's `Date` alone, which has whole seconds.
    acceptedFor: origin.memory.skew.age(Date.parse(job.created_at), origin.clock.wall()),
  };
};

/** What a job shows by itself. */
export const toldOf = ({ clock, memory }: Origin, job: Job, channel: Channel): Answer<Job> => {
  const { created_at, done, finished_at, progress, remaining_ms, revision } = job;
  const finished = done ? Date.parse(finished_at ?? "") : NaN,
    took = finished - Date.parse(created_at),
    share = (progress?.percent ?? NaN) / 100;
  return {
    view: job,
    done,
    revision,
    channel,
    progress: share >= 0 && share <= 1 ? share : undefined,
    remaining: remaining_ms ?? undefined,
    age: memory.skew.age(finished, clock.wall()),
    duration: took >= 0 ? took : undefined,
  };
};
