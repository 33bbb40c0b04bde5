/** A job on an API that isn't ours, by its description. */

import { answerOf, toldOf } from "../answer.js";
import { exchange } from "../exchange.js";
import type { JobHandle } from "../job.js";
import type { Origin } from "../origin.js";
import type { Speech } from "../remote/speak.js";
import type { Job } from "../wire.js";
import type { Target } from "./target.js";

/** Whether two answers show the same state. */
const isSame = (a: Job, b: Job): boolean =>
  a.status === b.status &&
  a.done === b.done &&
  JSON.stringify([a.progress, a.result]) === JSON.stringify([b.progress, b.result]);

/** One wait's view of one foreign job. `warn` is told of a word that nobody knows. */
export const foreign = (
  origin: Origin,
  speech: Speech,
  job: JobHandle,
  warn: (warning: string) => void,
): Target<Job> => {
  // Foreign jobs have no revisions: every answer that differs from the one before is one.
  let seen: Job | undefined,
    { createdAt } = job.known;
  const { budget, clock, rtt } = origin,
    { kind } = job.known;

  return {
    async ask({ account, limit, signal, weight }) {
      await account.spend(budget, clock, weight, signal);
      const call = speech.request("status", job.id, kind, () => job.facts()),
        reply = await exchange(origin, call, limit, signal);
      account.received += reply.text.length;
      rtt.note(reply.received - reply.sent);
      const read = speech.read(reply, job.id, kind);
      if (speech.isUnknown(read)) {
        warn(`nobody knows what the status "${read.status}" of ${speech.name} means, so it counts as running`);
      }
      read.revision = seen ? seen.revision + (isSame(seen, read) ? 0 : 1) : 1;
      const { end, start } = speech.dates;
      if (!start) read.created_at = createdAt ??= read.created_at;
      const resultCall = read.outcome === "completed" ? speech.resultCall(job.id, kind) : undefined;
      if (resultCall) {
        await account.spend(budget, clock, undefined, signal);
        const result = await exchange(origin, resultCall, limit, signal);
        account.received += result.text.length;
        read.result = speech.resultOf(result);
      }
      seen = read;
      const told = answerOf(origin, reply, read, "poll", false),
        remaining = speech.remaining(reply);
      return {
        ...told,
        hint: told.done ? undefined : speech.hint(reply),
        remaining: remaining === undefined ? undefined : { p50: remaining },
        acceptedFor: start ? told.acceptedFor : undefined,
        age: end ? told.age : undefined,
        duration: start && end ? told.duration : undefined,
      };
    },

    pushed: (pushed) => (pushed.id === job.id ? toldOf(origin, pushed, "push") : undefined),

    facts: (last) => job.facts(last),
  };
};
