/** Creating a job, once however often it is sent. */

import { noteDate, readJob } from "./answer.js";
import { call } from "./call.js";
import type { Core } from "./client.js";
import { UsageError } from "./error.js";
import type { Reply } from "./exchange.js";
import { type CallOptions, JobHandle } from "./job.js";
import { urlOf } from "./origin.js";
import { readToken, writeToken } from "./resume.js";
import type { Job, NewJob } from "./wire.js";

/** How to create. */
export interface CreateOptions extends CallOptions {
  /** The key that names this create, 1 to 255 visible ASCII characters. Default: 128 random bits. */
  idempotencyKey?: string;
  /** The token of an earlier attempt whose answer never came: there will be one job, not two. */
  resume?: string;
}

/** A key that names one logical create. */
export const newKey = (): string =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Creates a job; see `Abide.create`. */
export const create = async (core: Core, kind: string, job: NewJob, options: CreateOptions): Promise<JobHandle> => {
  const { origin, speech } = core,
    { rtt, server } = origin;
  const key =
    options.idempotencyKey ?? (options.resume === undefined ? undefined : readToken(options.resume).key) ?? newKey();
  if (!/^[!-~]{1,255}$/.test(key)) throw new UsageError("an idempotency key has 1 to 255 visible ASCII characters");
  if (speech) {
    if (!speech.hasKeys && (options.idempotencyKey ?? options.resume) !== undefined) {
      throw new UsageError(`${speech.name} has no header for an idempotency key`);
    }
    return speech.create(core, kind, job, key, options.signal);
  }
  const facts = { token: writeToken({ server, key }), idempotencyKey: key };
  const request = {
    method: "POST",
    url: urlOf(origin, ["v1", "jobs"]),
    headers: { "idempotency-key": key },
    body: { kind, ...job },
  };
  const read = (reply: Reply): [Job, Reply] => [readJob(reply), reply];
  const [made, reply] = await call(origin, request, facts, options.signal, read, true);
  noteDate(origin, reply);
  rtt.note(reply.received - reply.sent);
  const replayed = reply.headers.get("idempotent-replayed") === "true";
  return new JobHandle(core, made.id, {
    snapshot: made,
    // A job that was there before was accepted at some other time, which its next answer will tell.
    accepted: replayed ? undefined : (reply.sent + reply.received) / 2,
    key,
    kind: made.kind,
    revision: made.revision,
    createdAt: made.created_at,
    replayed,
  });
};
