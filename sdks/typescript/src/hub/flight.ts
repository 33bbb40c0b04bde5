/** One request for many, to its answer. */

import { noteDate } from "../answer.js";
import { isObject } from "../complaint.js";
import { JOBS_BYTES_MAX, exchange, jsonOf, stretched, wasHeld } from "../exchange.js";
import { Failure, garbled } from "../failure.js";
import { type Origin, urlOf } from "../origin.js";
import type { Job, Problem } from "../wire.js";
import type { Member, Want } from "./hub.js";

/** A request for many, on its way. */
export interface Batch {
  want: Want;
  /** Those that are still aboard. */
  members: Set<Member>;
  /** What is asked for, and the newest revision that all know of. */
  jobs: Map<string, number | undefined>;
  aborting: AbortController;
  sent: number;
}

/** The jobs of a set that have news, and the ids that can't be waited for. */
export interface WaitResponse {
  jobs: Job[];
  errors: { id: string; error: Problem }[];
}

/** What a list has that can be looked at; none of what is no list. */
const objects = <T>(list: T[] | undefined): T[] => (Array.isArray(list) ? list.filter(isObject) : []);

/** Sends a request for many; resolves to its answer. */
export const fly = async (origin: Origin, batch: Batch): Promise<WaitResponse> => {
  const { attemptTimeout, budget, clock, memory, rtt } = origin,
    { aborting, members, want } = batch,
    { signal } = aborting;
  const hold = want === "now" ? 0 : memory.abilities(clock.now()).holdMax;
  if (want === "now") budget.overdraw();
  // One request finds the ends of all of them.
  else await budget.take(clock, 0, Math.sqrt(members.size), signal);
  batch.sent = clock.now();
  const body = {
    jobs: [...batch.jobs].map(([id, after]) => (after === undefined ? { id } : { id, after })),
    wait: hold / 1000,
    until: want === "done" ? "done" : "any",
  };
  const url = urlOf(origin, ["v1", "jobs", "wait"]),
    call = { method: "POST", url, body, limit: JOBS_BYTES_MAX };
  try {
    const reply = await exchange(origin, call, stretched(hold) + attemptTimeout, signal),
      said = jsonOf<Partial<WaitResponse> | null>(reply, "jobs"),
      took = reply.received - reply.sent;
    noteDate(origin, reply);
    if (!Array.isArray(said?.jobs)) throw garbled("the answer holds no jobs", { status: reply.status });
    const answer = { jobs: objects(said?.jobs), errors: objects(said?.errors) };
    if (!hold) rtt.note(took);
    else {
      const held = wasHeld(reply) || took >= hold / 2;
      if (held || !(answer.jobs.length || answer.errors.length)) memory.noteHold(held, reply.received);
    }
    return answer;
  } catch (failure) {
    const now = clock.now();
    if (failure instanceof Failure && failure.transient && hold) memory.noteCut(now - batch.sent, now);
    throw failure;
  }
};

/** A set is refused as such, or its answer is too large: each of its waiters holds alone. */
export const isNoSet = ({ details: { final, status } }: Failure): boolean =>
  !!final || [400, 404, 405, 413, 422, 501].includes(status!);
